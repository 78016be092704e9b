"""Watch inboxes for file events, which only wake the daemon: a scan says what is there.

The only module that imports watchdog, of which just the thread that reads inotify is used, one for
each inbox: watchdog's recursive observer follows folders to any depth, and fails on a deep one.
"""

import errno
import logging
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Literal, Self

from stylewatch_daemon.files import mounts
from stylewatch_daemon.files.identity import Identity, identity

POLL_S = 10.0
"""Seconds between two scans where there are no events."""

CANARY_S, CANARY_LOOKS = 2.0, 10
"""Seconds within which a test file must bring an event, and the number of waits they are divided
into: if this process is suspended meanwhile, only one of the waits is lost."""

RETRY_S = 300.0
"""Seconds until events are tried again in an inbox where they failed."""

STOP_WITHIN = 2.0
"""Seconds that a thread which reads events gets to end."""

REPEATS_S = 60.0
"""Seconds in which lost events are logged once."""

_LIBRARY = "watchdog.observers.inotify_c"
"""The logger of the part of watchdog that is used here."""

_REMOVED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES})
"""Errors of a folder that was removed between the scan and the watch; the next scan notices."""

Polling = Literal["auto", "yes", "no"]
"""The setting `watch.polling`."""

Folders = Mapping[Path, Identity]
"""The folders below an inbox, by the last scan."""


class Events:
    """A thread that calls `wake` on events in `folder`, and in those that it follows.

    Raises OSError where there are no events; `lost` is called where some were lost.
    """

    def __init__(self, folder: Path, wake: Callable[[], None], lost: Callable[[], None]) -> None:
        self.identity = identity(folder.stat())
        self._wake, self._lost = wake, lost
        self._watches: dict[Identity, int] = {}
        self._deleted: list[int] = []
        with _only_os_errors():
            from watchdog.observers.inotify_c import InotifyConstants as Inotify
            from watchdog.observers.inotify_c import InotifyFD, Mask

            # Neither opening nor reading: our own scans would wake us.
            self._mask = Mask(
                Inotify.IN_CREATE | Inotify.IN_MODIFY | Inotify.IN_CLOSE_WRITE | Inotify.IN_ATTRIB
                | Inotify.IN_MOVE | Inotify.IN_DELETE | Inotify.IN_DELETE_SELF
                | Inotify.IN_MOVE_SELF | Inotify.IN_ONLYDIR | Inotify.IN_DONT_FOLLOW
            )  # fmt: skip
            self._reader: Any = InotifyFD()
            self._reader.start()
        try:
            self._watch(folder.resolve(), self.identity)
        except OSError:
            self.stop()
            raise

    @property
    def alive(self) -> bool:
        """True if the thread reads events."""
        return bool(self._reader.is_alive())

    def follow(self, folders: Folders) -> bool:
        """Watch `folders` and no others below the inbox; return whether any of them are new.

        Events in a new folder before that were missed. Raises OSError for too many folders.
        """
        deleted = {self._deleted.pop() for _ in range(len(self._deleted))}
        self._watches = {own: wd for own, wd in self._watches.items() if wd not in deleted}
        paths = {folder_id: path for path, folder_id in folders.items()}
        for folder_id in self._watches.keys() - paths.keys() - {self.identity}:
            self._unwatch(folder_id)
        added = False
        for folder_id in paths.keys() - self._watches.keys():
            try:
                self._watch(paths[folder_id], folder_id)
            except OSError as error:
                if error.errno not in _REMOVED:
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

    def on_event(self, event: object) -> None:
        """Wake; called by watchdog's thread."""
        self._wake()

    def on_watch_deleted(self, wd: int) -> None:
        """Record that a folder was removed: the next one may get its inode."""
        self._deleted.append(wd)
        self._wake()

    def on_queue_overflow(self) -> None:
        """Count lost events."""
        self._lost()
        self._wake()

    def _watch(self, path: Path, folder_id: Identity) -> None:
        with _only_os_errors():
            self._watches[folder_id] = self._reader.add_callback(
                os.fsencode(path), self._mask, self, folder_id[1]
            )
            if self._watches[folder_id] < 0:  # watchdog does not raise this error
                self._unwatch(folder_id)
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    def _unwatch(self, folder_id: Identity) -> None:
        with _only_os_errors():
            self._reader.remove_callbacks([(self._watches.pop(folder_id), folder_id[1])])


@dataclass
class _Watched:
    """An inbox and how it is watched."""

    folder: Path
    events: Events | None = None
    polled: str = ""
    """Why the inbox is scanned instead, if it is."""
    died: float = -float("inf")
    """When the thread that reads its events last ended by itself."""
    retry: float = -float("inf")
    """When events are tried again."""


class Watcher:
    """Call `wake`, from another thread, on events under one of `folders`.

    Below a folder only the folders that `follow` gets are watched. With `polling` auto, scans every
    POLL_S seconds replace events on file systems that do not report changes by other machines.
    They also do so for RETRY_S seconds in a folder where events fail: for lack of inotify watches,
    because a test file brings no event, or because the thread that reads them ended twice. `clock`
    is monotonic, in seconds.
    """

    def __init__(
        self,
        folders: Iterable[Path],
        polling: Polling,
        wake: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        folders = tuple(folders)
        self._is_auto = polling == "auto"
        self._watched = [_Watched(folder) for folder in folders if has_events(folder, polling)]
        self._any_polled = len(self._watched) < len(folders)
        self._wake, self._clock = wake, clock
        self._log = logging.getLogger(__name__)
        self._lost, self._lost_logged = 0, -float("inf")

    def __enter__(self) -> Self:
        logging.getLogger(_LIBRARY).setLevel(logging.ERROR)  # it warns of each loss of events
        self.check()
        return self

    def __exit__(self, *_: object) -> None:
        for inbox in self._watched:
            self._stop(inbox)

    def interval(self, rescan_s: float) -> float:
        """Seconds between two scans, events or not."""
        if self._any_polled or not all(inbox.events for inbox in self._watched):
            return min(rescan_s, POLL_S)
        return rescan_s

    @property
    def polled(self) -> Mapping[Path, str]:
        """The inboxes that are scanned because events fail there, with the reason."""
        return {inbox.folder: inbox.polled for inbox in self._watched if inbox.polled}

    @property
    def threads_alive(self) -> bool:
        """True unless a thread that reads events has died."""
        return all(inbox.events is None or inbox.events.alive for inbox in self._watched)

    def check(self) -> bool:
        """Replace dead threads, and watch folders that appeared or were replaced.

        Returns whether there were any: then events were missed, and a scan is due.
        """
        return any([*map(self._check, self._watched)])  # all of them, whatever the first returns

    def follow(self, trees: Mapping[Path, Folders]) -> bool:
        """Watch the folders below each inbox that a scan found; return whether any were new.

        Then a scan is due: files may have been put into a new folder since the last one.
        """
        added = [self._follow(inbox, trees.get(inbox.folder, {})) for inbox in self._watched]
        return any(added)

    def take_lost(self) -> int:
        """Return how often events were lost since the last call; log it now and then."""
        lost, self._lost = self._lost, 0
        if lost and self._clock() - self._lost_logged >= REPEATS_S:
            self._lost_logged = self._clock()
            self._log.warning("file events were lost, as too many came at once: a scan follows")
        return lost

    def _check(self, inbox: _Watched) -> bool:
        folder_id: Identity | None = None
        with suppress(OSError):  # it is missing, or on a dead mount
            status = inbox.folder.stat()
            folder_id = identity(status) if stat.S_ISDIR(status.st_mode) else None
        if inbox.events is not None:
            if inbox.events.alive and inbox.events.identity == folder_id:
                return False
            has_died = not inbox.events.alive
            self._stop(inbox)
            if has_died:
                before, inbox.died = inbox.died, self._clock()
                if inbox.died - before < RETRY_S:
                    self._poll(inbox, "the thread that reads its file events ended twice")
                    return True
                self._log.warning(
                    "the file events of %s ended by themselves: started again", inbox.folder
                )
        if folder_id is None or self._clock() < inbox.retry:
            return False
        try:
            if self._is_auto and brings_events(inbox.folder) is False:
                self._poll(inbox, "a file that was made there brought no event")
            else:
                inbox.events = Events(inbox.folder, self._wake, self._count_lost)
        except OSError as error:
            self._poll(inbox, _reason(error))
        return True

    def _follow(self, inbox: _Watched, folders: Folders) -> bool:
        if inbox.events is None:
            return False
        try:
            added = inbox.events.follow(folders)
        except OSError as error:
            self._poll(inbox, _reason(error))
            return False
        if inbox.polled:
            self._log.info("%s: file events work again", inbox.folder)
            inbox.polled = ""
        return added

    def _poll(self, inbox: _Watched, reason: str) -> None:
        """Leave an inbox to scans for RETRY_S seconds."""
        self._stop(inbox)
        if inbox.polled != reason:
            self._log.warning(
                "%s: no file events (%s); it is scanned every %g s instead",
                *(inbox.folder, reason, POLL_S),
            )
        inbox.polled, inbox.retry = reason, self._clock() + RETRY_S

    def _stop(self, inbox: _Watched) -> None:
        if inbox.events is not None:
            inbox.events.stop()
            inbox.events = None

    def _count_lost(self) -> None:
        self._lost += 1


def has_events(folder: Path, polling: Polling) -> bool:
    """Return whether events of `folder` are watched, as long as they do not fail."""
    return polling == "no" or (polling == "auto" and mounts.tells_events(folder, mounts.table()))


def brings_events(folder: Path) -> bool | None:
    """Return whether a file that is made in `folder` brings an event, within CANARY_S seconds.

    None where no file can be made there. Raises OSError where the folder cannot be watched.
    """
    canary, received = folder / f".stylewatch-canary-{secrets.token_hex(8)}", Event()
    events = Events(folder, received.set, lambda: None)
    try:
        canary.touch()
        return any(received.wait(CANARY_S / CANARY_LOOKS) for _ in range(CANARY_LOOKS))
    except OSError:
        return None
    finally:
        with suppress(OSError):
            canary.unlink()
        events.stop()


@contextmanager
def _only_os_errors() -> Iterator[None]:
    """Raise any error of watchdog as an OSError: scans work without events."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(errno.EIO, f"{type(error).__name__}: {error}") from error


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EMFILE):
        return (
            f"{error.strerror}; raise fs.inotify.max_user_watches or "
            "fs.inotify.max_user_instances with sysctl"
        )
    return error.strerror or str(error)
