"""File events into wake-ups, and nothing more: only a scan says what there is.

The only module that knows watchdog.
"""

import logging
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Literal, Self

from watchdog.events import (
    EVENT_TYPE_CLOSED_NO_WRITE,
    EVENT_TYPE_OPENED,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from stylewatch_daemon import mounts

POLL_S = 10.0
"""Seconds between two scans where no events come."""

CANARY_S = 2.0
"""Seconds within which an event of a file that we make ourselves has to come."""

STOP_WITHIN = 2.0
"""Seconds that the observer's thread gets to end."""

_OURSELVES = frozenset({EVENT_TYPE_OPENED, EVENT_TYPE_CLOSED_NO_WRITE})
"""Events that reading makes; waking for them, we would wake ourselves."""


class Watcher:
    """Calls `wake`, from another thread, when something happens under one of `folders`.

    With `polling` auto, folders on file systems that do not tell what other machines do are left
    to scans every POLL_S seconds; so are those that cannot be watched for want of inotify watches,
    and those in which a file that we make ourselves brings no event.
    """

    def __init__(
        self,
        folders: Iterable[Path],
        polling: Literal["auto", "yes", "no"],
        wake: Callable[[], None],
    ) -> None:
        folders = tuple(folders)
        self._folders = tuple(
            folder
            for folder in folders
            if polling == "no"
            or (polling == "auto" and mounts.tells_events(folder, mounts.table()))
        )
        self._handler, self._overflow = _Wake(wake), _Overflow(wake)
        self._polled, self._auto = len(self._folders) < len(folders), polling == "auto"
        self._tried: dict[Path, int] = {}
        self._observer: BaseObserver | None = None

    def __enter__(self) -> Self:
        logging.getLogger("watchdog").addHandler(self._overflow)
        self.check()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        logging.getLogger("watchdog").removeHandler(self._overflow)

    def interval(self, rescan_s: float) -> float:
        """Seconds between two scans, events or not."""
        return min(rescan_s, POLL_S) if self._polled else rescan_s

    def check(self) -> bool:
        """Mend a dead observer, and watch folders that came or were replaced; whether it did.

        What happened meanwhile was not seen, so a scan is due if it did.
        """
        there = dict(_there(self._folders))
        alive = self._observer is not None and self._observer.is_alive()
        if there == self._tried and (alive or not there):
            return False
        self._stop()
        self._tried = there
        self._observer = Observer()
        self._observer.start()
        watched = [self._watch(self._observer, folder) for folder in there]
        self._polled = self._polled or not all(watched)
        return True

    def take_lost(self) -> int:
        """How often events were lost since this was last asked."""
        lost, self._overflow.count = self._overflow.count, 0
        return lost

    @property
    def sound(self) -> bool:
        """Whether events come in, if there is anything to watch for them."""
        return not self._tried or (self._observer is not None and self._observer.is_alive())

    def _watch(self, observer: BaseObserver, folder: Path) -> bool:
        try:
            if self._auto and hears(folder) is False:
                logging.getLogger(__name__).warning(
                    "%s brings no events: it is scanned every %g s instead", folder, POLL_S
                )
                return False
            observer.schedule(self._handler, str(folder), recursive=True)
        except OSError as error:  # no inotify watches or instances left, by far the commonest
            logging.getLogger(__name__).warning(
                "%s cannot be watched (%s; fs.inotify.max_user_watches may be too low): "
                "it is scanned every %g s instead", folder, error.strerror, POLL_S,
            )  # fmt: skip
            return False
        return True

    def _stop(self) -> None:
        if self._observer is not None and self._observer.is_alive():
            _end(self._observer)
        self._observer = None


def _there(folders: Iterable[Path]) -> Iterator[tuple[Path, int]]:
    """Those of `folders` that are there, each with its inode; one on a dead mount is not."""
    for folder in folders:
        with suppress(OSError):
            status = folder.stat()
            if stat.S_ISDIR(status.st_mode):
                yield folder, status.st_ino


def hears(folder: Path) -> bool | None:
    """Whether a file that is made in `folder` brings an event, within CANARY_S seconds.

    None where no file can be made there. Raises OSError where it cannot be watched.
    """
    canary, rung = folder / f".stylewatch-canary-{secrets.token_hex(8)}", Event()
    observer = Observer()
    observer.schedule(_Canary(canary.name, rung), str(folder))
    observer.start()
    try:
        canary.touch()
        return rung.wait(CANARY_S)
    except OSError:
        return None
    finally:
        with suppress(OSError):
            canary.unlink()
        _end(observer)


def _end(observer: BaseObserver) -> None:
    """Stop `observer`; that it hears of something on its way out is nothing to complain of."""
    log = logging.getLogger("watchdog.observers.inotify")
    log.addFilter(_nothing)
    observer.stop()
    observer.join(STOP_WITHIN)
    log.removeFilter(_nothing)


def _nothing(record: logging.LogRecord) -> bool:
    return False


class _Canary(FileSystemEventHandler):
    """Rings for the file `name` alone."""

    def __init__(self, name: str, rung: Event) -> None:
        self._name, self._rung = name, rung

    def on_any_event(self, event: FileSystemEvent) -> None:
        if Path(str(event.src_path)).name == self._name:
            self._rung.set()


class _Wake(FileSystemEventHandler):
    """Rings for every event but those of reading."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type not in _OURSELVES:
            self._wake()


class _Overflow(logging.Handler):
    """Rings for watchdog's warnings: it tells only its log that events were lost."""

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._wake = wake
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1
        self._wake()
