"""File events into wake-ups, and nothing more: only a scan says what there is.

The only module that knows watchdog.
"""

import logging
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, Self

from watchdog.events import (
    EVENT_TYPE_CLOSED_NO_WRITE,
    EVENT_TYPE_OPENED,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

POLL_S = 10.0
"""Seconds between two scans where no events come."""

STOP_WITHIN = 2.0
"""Seconds that the observer's thread gets to end."""

_NETWORK = re.compile(r"nfs\d?|cifs|smb\d?|smbfs|9p|fuse|fuse\..+|virtiofs|vboxsf|ceph|afs")
_OURSELVES = frozenset({EVENT_TYPE_OPENED, EVENT_TYPE_CLOSED_NO_WRITE})
"""Events that reading makes; waking for them, we would wake ourselves."""


class Watcher:
    """Calls `wake`, from another thread, when something happens under one of `folders`.

    With `polling` auto, folders on file systems that do not tell what other machines do are left
    to scans every POLL_S seconds; so are those that cannot be watched for want of inotify watches.
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
            if polling == "no" or (polling == "auto" and tells_events(folder, mounts()))
        )
        self._handler, self._overflow = _Wake(wake), _Overflow(wake)
        self._polled = len(self._folders) < len(folders)
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
        there = {folder: folder.stat().st_ino for folder in self._folders if folder.is_dir()}
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

    def _watch(self, observer: BaseObserver, folder: Path) -> bool:
        try:
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
            self._observer.stop()
            self._observer.join(STOP_WITHIN)
        self._observer = None


def mounts() -> str:
    """The kernel's table of mounts; empty where there is none."""
    try:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def tells_events(folder: Path, table: str) -> bool:
    """Whether the file system of `folder`, by the kernel's `table` of mounts, tells all events."""
    best, kind = "", ""
    real = folder.resolve()
    for line in table.splitlines():
        before, _, after = line.partition(" - ")
        point = _unescaped(before.split(" ")[4])
        if real.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, after.split(" ")[0]
    return _NETWORK.fullmatch(kind) is None


def _unescaped(field: str) -> str:
    r"""A path in mountinfo has its spaces as \040."""
    return re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), field)


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

    def emit(self, record: logging.LogRecord) -> None:
        self._wake()
