"""Watching of folders for file events, which only wake the daemon: the scan is authoritative.

This is the only module that imports watchdog.
"""

import errno
import logging
import os
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Literal, Self

from stylewatch_daemon.files import disks, entries
from stylewatch_daemon.files.identity import Identity, identity

SCAN_S = 0.5
"""Interval in seconds between scans of a folder without events."""

LEAST_PAUSE = 5
"""Minimum interval between scans, as a multiple of the duration of the last scan, so that scans of
large folders do not keep the daemon busy."""

SCANS_WITHOUT = 120
"""Number of scans after an error until events are tried again; about a minute, because scans
without events are frequent."""

LATE_S = 5.0
"""Time in seconds after a change of a folder until its event counts as lost."""

STOP_S = 2.0
"""Timeout in seconds for observers to end."""

Events = Literal["auto", "yes", "no"]
"""Values of the setting `watch.events`."""


class Watch:
    """Watcher that calls `wake`, from other threads, when files in folders change.

    Files and subfolders count. `enabled` is the setting `watch.events`; auto excludes file systems
    that may not report all changes, such as those made by other machines. Each folder has an
    observer of its own, so that a folder without events, or on a disk that does not answer, affects
    no other (law 9).
    """

    def __init__(self, wake: Callable[[], object], enabled: Events) -> None:
        self._wake = wake
        self._enabled = enabled
        self._watched: dict[Path, _Watched] = {}
        self._scans_without = Counter[Path]()
        self._logged: set[str] = set()
        self._ended = False

    def __enter__(self) -> Self:
        # The library reports lost events, for which the next scan makes up.
        logging.getLogger("watchdog.observers").setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", module="watchdog")
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        folders = list(self._watched)
        ends = [partial(self._end, folder) for folder in folders]
        threads = [Thread(target=end, name="end of file events", daemon=True) for end in ends]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(STOP_S)  # a disk may not answer

    def works(self, folder: Path) -> bool:
        """Return whether events of a folder are received."""
        watched = self._watched.get(folder)
        return watched is not None and watched.is_alive

    def seconds_between_scans(self, folder: Path, rescan_s: float, last_scan_s: float) -> float:
        """Return the maximum time until the next scan of a folder, in seconds.

        `rescan_s` is the interval between scans while events are received, `last_scan_s` the
        duration of the last scan.
        """
        seconds = rescan_s if self.works(folder) else min(rescan_s, SCAN_S)
        return max(seconds, LEAST_PAUSE * last_scan_s)

    def check(self, folder: Path) -> None:
        """Start an observer of a folder, unless a working one watches this very folder.

        End an observer that died or lost events, or whose folder was replaced. Start none if events
        are not wanted or the folder does not exist, nor for SCANS_WITHOUT scans after an error.

        Call it before each scan, which makes up for missed events, and in the thread that scans the
        folder, as its disk may not answer. Raises OSError if the status of the folder is unknown.
        """
        is_wanted = wants_events(folder, self._enabled)
        status = entries.target_status(folder) if is_wanted else None
        watched = self._watched.get(folder)
        if watched is not None and status is not None and watched.identity == identity(status):
            if watched.is_alive and not watched.has_lost_events(status):
                return
            self._warn("file events stopped unexpectedly and are started again")
        self._end(folder)
        self._scans_without[folder] -= 1
        if status is None or self._scans_without[folder] > 0:
            return
        try:
            self._watched[folder] = _Watched(folder, identity(status), self._wake)
        except Exception as error:  # an error of a library: without events there are still scans
            reason = _reason(error)
            self._warn(f"no file events, so inboxes are scanned every {SCAN_S:g} s ({reason})")
            self._scans_without[folder] = SCANS_WITHOUT
        if self._ended:  # meanwhile
            self._end(folder)

    def _end(self, folder: Path) -> None:
        watched = self._watched.pop(folder, None)
        if watched is not None:
            watched.end()

    def _warn(self, warning: str) -> None:
        """Log a warning that was not logged before."""
        if warning not in self._logged:
            logging.getLogger(__name__).warning(warning)
        self._logged.add(warning)


class _Watched:
    """A watched folder with its observer, and its `identity` when the observer started."""

    def __init__(self, folder: Path, identity: Identity, wake: Callable[[], object]) -> None:
        from watchdog import events, observers

        def came() -> None:
            self._came = True
            wake()

        class Handler(events.FileSystemEventHandler):
            def on_any_event(self, event: events.FileSystemEvent) -> None:
                came()

        # without opening and reading, by which scans would cause events, and without each write
        kinds = [
            events.FileCreatedEvent, events.FileClosedEvent, events.FileDeletedEvent,
            events.FileMovedEvent, events.DirCreatedEvent, events.DirDeletedEvent,
            events.DirMovedEvent,
        ]  # fmt: skip
        self.identity = identity
        self._came = False
        self._modified_ns: int | None = None
        """Time of the folder's last change at the last check."""
        self._late_since: float | None = None
        """Monotonic time in seconds at which a change without an event was seen; None if there is
        none."""
        self._observer = observers.Observer()
        watched = str(entries.real_path(folder))  # a link has no events of its target
        try:
            self._observer.schedule(Handler(), watched, recursive=True, event_filter=kinds)
            for thread in (self._observer, *self._observer.emitters):
                thread.name = f"file events of {folder.name}"
            self._observer.start()
        except BaseException:
            self.end()
            raise

    @property
    def is_alive(self) -> bool:
        """True if all threads that the library shows are running."""
        threads = (self._observer, *self._observer.emitters)
        return all(thread.is_alive() for thread in threads)

    def has_lost_events(self, status: os.stat_result) -> bool:
        """Return whether a change of the folder has had no event for LATE_S seconds.

        `status` is the present status of the folder; its modification time is compared with the one
        at the last call. The library has a hidden thread that may die, for example when folders are
        nested too deeply.
        """
        is_changed = self._modified_ns not in (None, status.st_mtime_ns)
        self._modified_ns = status.st_mtime_ns
        if self._came:
            self._came = False
            self._late_since = None
        elif is_changed and self._late_since is None:
            self._late_since = time.monotonic()
        return self._late_since is not None and time.monotonic() - self._late_since >= LATE_S

    def end(self) -> None:
        """End the observer; its threads may have died in any state."""
        with suppress(Exception):
            self._observer.stop()
            self._observer.join(STOP_S)


def wants_events(folder: Path, enabled: Events) -> bool:
    """Return whether events of `folder` are to be used, by the setting `enabled`."""
    if enabled == "auto":
        return disks.tells_events(folder, disks.table())
    return enabled == "yes"


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "the folders of an inbox are nested too deeply"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EMFILE):
        return (
            f"{error.strerror}; raise fs.inotify.max_user_watches or "
            "fs.inotify.max_user_instances with sysctl"
        )
    return f"{type(error).__name__}: {error}"
