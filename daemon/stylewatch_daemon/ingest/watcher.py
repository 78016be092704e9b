"""File events into wake-ups, and nothing more: only a scan says what there is.

The only module that knows watchdog. Of watchdog only the thread that reads inotify is used, one for
each inbox: its recursive observer follows every folder to any depth, and breaks on a deep one.
"""

import errno
import logging
import os
import secrets
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Literal, Self, cast

from stylewatch_daemon.files import mounts
from stylewatch_daemon.files.identity import Identity, identity

if TYPE_CHECKING:
    from watchdog.observers.inotify_c import CallbackId, InotifyEvent, WatchDescriptor

POLL_S = 10.0
"""Seconds between two scans where no events come."""

CANARY_S = 2.0
"""Seconds within which an event of a file that we make ourselves has to come."""

RETRY_S = 300.0
"""Seconds until events are tried again in an inbox where they failed."""

STOP_WITHIN = 2.0
"""Seconds that a thread which reads events gets to end."""

FIRST = 3
"""How often a repeated message of watchdog is logged in full."""

REPEATS_S = 60.0
"""Seconds after which the number of further repetitions is logged."""

_LIBRARY = "watchdog.observers.inotify_c"
"""The logger of the part of watchdog that is used here."""

_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES})
"""Errors of a folder that went away between the scan and the watch; the next scan knows."""

Folders = Mapping[Path, Identity]
"""The folders below an inbox, as the last scan found them."""


class Events:
    """A thread that calls `wake` when something happens in `folder`, or in those it is to follow.

    Raises OSError where events can't be had.
    """

    def __init__(self, folder: Path, wake: Callable[[], None], lost: Callable[[], None]) -> None:
        self.identity = identity(folder.stat())
        self._wake, self._lost = wake, lost
        self._watches: dict[Identity, WatchDescriptor] = {}
        self._ended: list[WatchDescriptor] = []
        with _only_os_errors():
            from watchdog.observers.inotify_c import InotifyConstants as Inotify
            from watchdog.observers.inotify_c import InotifyFD, Mask

            # Neither opening nor reading: they would make us wake ourselves.
            self._mask = Mask(
                Inotify.IN_CREATE | Inotify.IN_MODIFY | Inotify.IN_CLOSE_WRITE | Inotify.IN_ATTRIB
                | Inotify.IN_MOVE | Inotify.IN_DELETE | Inotify.IN_DELETE_SELF
                | Inotify.IN_MOVE_SELF | Inotify.IN_ONLYDIR | Inotify.IN_DONT_FOLLOW
            )  # fmt: skip
            self._reader = InotifyFD()
            self._reader.start()
        try:
            self._watch(folder.resolve(), self.identity)
        except OSError:
            self.stop()
            raise

    @property
    def alive(self) -> bool:
        """Whether the thread reads events."""
        return self._reader.is_alive()

    def follow(self, folders: Folders) -> bool:
        """Watch `folders` and no others below the inbox; whether there were new ones.

        What happened in a new one before was not seen. Raises OSError where there are too many.
        """
        self._forget_ended()
        paths = {own: path for path, own in folders.items()}
        for own in self._watches.keys() - paths.keys() - {self.identity}:
            self._unwatch(own)
        added = False
        for own in paths.keys() - self._watches.keys():
            try:
                self._watch(paths[own], own)
            except OSError as error:
                if error.errno not in _GONE:
                    raise
            else:
                added = True
        return added

    def stop(self) -> None:
        """End the thread."""
        with suppress(Exception):  # it may have died in any state
            self._reader.stop()
        if self._reader.is_alive():
            self._reader.join(STOP_WITHIN)

    def on_event(self, event: "InotifyEvent") -> None:
        """Wake; called by watchdog's thread."""
        self._wake()

    def on_watch_deleted(self, wd: "WatchDescriptor") -> None:
        """Remember that a folder is gone: the next one may get its inode."""
        self._ended.append(wd)
        self._wake()

    def on_queue_overflow(self) -> None:
        """Count lost events."""
        self._lost()
        self._wake()

    def _watch(self, path: Path, own: Identity) -> None:
        with _only_os_errors():
            self._watches[own] = self._reader.add_callback(
                os.fsencode(path), self._mask, self, _id(own)
            )
            if self._watches[own] < 0:  # watchdog keeps this error to itself
                self._unwatch(own)
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    def _unwatch(self, own: Identity) -> None:
        with _only_os_errors():
            self._reader.remove_callbacks([(self._watches.pop(own), _id(own))])

    def _forget_ended(self) -> None:
        ended = {self._ended.pop() for _ in range(len(self._ended))}
        self._watches = {own: wd for own, wd in self._watches.items() if wd not in ended}


@dataclass
class _Watched:
    """An inbox and how it is watched."""

    folder: Path
    events: Events | None = None
    polled: str = ""
    """Why it is scanned instead, if it is."""
    died: float = -float("inf")
    """When the thread that reads its events last ended by itself."""
    retry: float = -float("inf")
    """When events are tried again."""


class Watcher:
    """Calls `wake`, from another thread, when something happens under one of `folders`.

    Below a folder only what `follow` names is watched. With `polling` auto, folders on file systems
    that do not tell what other machines do are left to scans every POLL_S seconds. So are, for
    RETRY_S seconds, those in which events fail: for want of inotify watches, because a file that
    we make ourselves brings no event, or because the thread that reads them ended twice. `clock`
    is monotonic, in seconds.
    """

    def __init__(
        self,
        folders: Iterable[Path],
        polling: Literal["auto", "yes", "no"],
        wake: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        folders = tuple(folders)
        self._watched = [
            _Watched(folder)
            for folder in folders
            if polling == "no"
            or (polling == "auto" and mounts.tells_events(folder, mounts.table()))
        ]
        self._polls, self._auto = len(self._watched) < len(folders), polling == "auto"
        self._wake, self._clock = wake, clock
        self._log = logging.getLogger(__name__)
        self._sparingly = Sparingly(clock)
        self._lost = 0

    def __enter__(self) -> Self:
        logging.getLogger(_LIBRARY).addFilter(self._sparingly)
        self.check()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._watched:
            self._stop(one)
        logging.getLogger(_LIBRARY).removeFilter(self._sparingly)

    def interval(self, rescan_s: float) -> float:
        """Seconds between two scans, events or not."""
        return min(rescan_s, POLL_S) if self._polls or self.polled else rescan_s

    @property
    def polled(self) -> Mapping[Path, str]:
        """The inboxes in which events failed and that are scanned instead, with the reason."""
        return {one.folder: one.polled for one in self._watched if one.polled}

    @property
    def sound(self) -> bool:
        """Whether events come in wherever they are waited for."""
        return all(one.events is None or one.events.alive for one in self._watched)

    def check(self) -> bool:
        """Replace dead threads, and watch folders that came or were replaced; whether it did.

        What happened meanwhile was not seen, so a scan is due if it did.
        """
        replaced = [self._check(one) for one in self._watched]
        return any(replaced)

    def follow(self, trees: Mapping[Path, Folders]) -> bool:
        """Watch the folders below each inbox that a scan found; whether any were new.

        A scan is due if there were: what was put into a new one may have come after the last.
        """
        added = [self._follow(one, trees.get(one.folder, {})) for one in self._watched]
        return any(added)

    def take_lost(self) -> int:
        """How often events were lost since this was last asked."""
        lost, self._lost = self._lost, 0
        return lost

    def _check(self, one: _Watched) -> bool:
        there = _identity(one.folder)
        if one.events is not None:
            if one.events.alive and one.events.identity == there:
                return False
            died = not one.events.alive
            self._stop(one)
            if died and self._has_died(one):
                return True
        if there is None or self._clock() < one.retry:
            return False
        try:
            if self._auto and hears(one.folder) is False:
                self._poll(one, "a file that was made there brought no event")
            else:
                one.events = Events(one.folder, self._wake, self._count_lost)
        except OSError as error:
            self._poll(one, _why(error))
        return True

    def _has_died(self, one: _Watched) -> bool:
        """Remember that the thread ended by itself; whether that is too often."""
        before, one.died = one.died, self._clock()
        if one.died - before < RETRY_S:
            self._poll(one, "the thread that reads its file events ended twice")
            return True
        self._log.warning("the file events of %s ended by themselves: started again", one.folder)
        return False

    def _follow(self, one: _Watched, folders: Folders) -> bool:
        if one.events is None:
            return False
        try:
            added = one.events.follow(folders)
        except OSError as error:
            self._poll(one, _why(error))
            return False
        if one.polled:
            self._log.info("%s: file events work again", one.folder)
            one.polled = ""
        return added

    def _poll(self, one: _Watched, why: str) -> None:
        """Leave an inbox to scans for a time."""
        self._stop(one)
        if one.polled != why:
            self._log.warning(
                "%s: no file events (%s); it is scanned every %g s instead", one.folder, why, POLL_S
            )
        one.polled, one.retry = why, self._clock() + RETRY_S

    def _stop(self, one: _Watched) -> None:
        if one.events is not None:
            one.events.stop()
            one.events = None

    def _count_lost(self) -> None:
        self._lost += 1


class Sparingly(logging.Filter):
    """Lets each message through FIRST times, and after that as a count every REPEATS_S seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._times: Counter[str] = Counter()
        self._logged: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log `record`; it gets the count of those that were not."""
        what, now = str(record.msg), self._clock()
        self._times[what] += 1
        if self._times[what] <= FIRST:
            self._logged[what] = now
            return True
        if now - self._logged[what] < REPEATS_S:
            return False
        record.msg = f"{record.getMessage()} (repeated {self._times[what] - FIRST:,} times)"
        record.args = ()
        self._logged[what], self._times[what] = now, FIRST
        return True


def hears(folder: Path) -> bool | None:
    """Whether a file that is made in `folder` brings an event, within CANARY_S seconds.

    None where no file can be made there. Raises OSError where it cannot be watched.
    """
    canary, rung = folder / f".stylewatch-canary-{secrets.token_hex(8)}", Event()
    events = Events(folder, rung.set, lambda: None)
    try:
        canary.touch()
        return rung.wait(CANARY_S)
    except OSError:
        return None
    finally:
        with suppress(OSError):
            canary.unlink()
        events.stop()


@contextmanager
def _only_os_errors() -> Iterator[None]:
    """Raise whatever goes wrong in watchdog as an OSError: scans do without."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(errno.EIO, f"{type(error).__name__}: {error}") from error


def _identity(folder: Path) -> Identity | None:
    """The identity of `folder`; None where it is not there, or on a dead mount."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return identity(status) if stat.S_ISDIR(status.st_mode) else None


def _id(own: Identity) -> "CallbackId":
    return cast("CallbackId", own[1])


def _why(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EMFILE):
        return (
            f"{error.strerror}; raise fs.inotify.max_user_watches or "
            "fs.inotify.max_user_instances with sysctl"
        )
    return error.strerror or str(error)
