"""Watching of folders for file events, which only wake the daemon: the scan is authoritative.

This is the only module that imports watchdog.
"""

import errno
import logging
import threading
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from stylewatch_daemon.files import disks
from stylewatch_daemon.files.identity import Identity, identity

if TYPE_CHECKING:
    from watchdog.utils import BaseThread

SCAN_S = 0.5
"""Interval in seconds between scans of folders without events."""

LEAST_PAUSE = 5
"""Minimum interval between scans, as a multiple of the duration of the last scan, so that scans of
large folders do not keep the daemon busy."""

SCANS_WITHOUT = 120
"""Number of scans after an error until events are tried again; about a minute, because scans
without events are frequent."""

STOP_S = 2.0
"""Time in seconds that a thread of the observer has to end."""

Events = Literal["auto", "yes", "no"]
"""Values of the setting `watch.events`."""


class Watch:
    """Watcher that calls `wake`, from another thread, when files in folders change.

    Files and subfolders of any of the `folders` count. Events are used for all folders or for none,
    because one without events needs frequent scans, which cover the others as well. `enabled` is
    the setting `watch.events`; auto excludes file systems that do not report changes made by other
    machines. Errors are logged, and never raised.
    """

    def __init__(self, folders: Iterable[Path], wake: Callable[[], None], enabled: Events) -> None:
        self._folders, self._wake, self._enabled = tuple(folders), wake, enabled
        self._watched: dict[Path, Identity] = {}
        self._threads: list[BaseThread] = []
        """All threads of the observer; events stop as soon as one of them ends."""
        self._scans_without = 0
        self._logged: set[str] = set()

    def __enter__(self) -> Self:
        # The library reports lost events, for which the next scan makes up.
        logging.getLogger("watchdog.observers").setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", module="watchdog")
        self._excepthook, threading.excepthook = threading.excepthook, self._report_error
        self.check()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        threading.excepthook = self._excepthook

    def _report_error(self, error: threading.ExceptHookArgs) -> None:
        """Report an error that ended a thread; `check` handles those of the observer."""
        if error.thread not in self._threads:
            self._excepthook(error)

    @property
    def works(self) -> bool:
        """True if events of all folders are received."""
        return bool(self._watched) and all(thread.is_alive() for thread in self._threads)

    def seconds_between_scans(self, rescan_s: float, last_scan_s: float) -> float:
        """Return the maximum time until the next scan, in seconds.

        `last_scan_s` is the duration of the last scan.
        """
        seconds = rescan_s if self.works else min(rescan_s, SCAN_S)
        return max(seconds, LEAST_PAUSE * last_scan_s)

    def check(self) -> None:
        """Restart the observer if a folder was missing or replaced, or if a thread has died.

        Call it before each scan, which then covers the missed events.
        """
        folders: dict[Path, Identity] = {}
        with suppress(OSError):  # a missing folder or a dead mount is reported by its scan
            if all(wants_events(folder, self._enabled) for folder in self._folders):
                folders = {folder: identity(folder.stat()) for folder in self._folders}
        if folders == self._watched:
            if not folders or self.works:
                return
            self._warn("file events stopped unexpectedly and are started again")
        self._stop()
        self._scans_without = max(0, self._scans_without - 1)
        if folders and not self._scans_without:
            self._observe(folders)

    def _observe(self, folders: dict[Path, Identity]) -> None:
        """Start the observer of `folders`."""
        from watchdog.utils import BaseThread

        before = set(threading.enumerate())
        try:
            _start_observer(folders, self._wake)
            self._watched = folders
        except Exception as error:  # an error of a library: without events there are still scans
            reason = _reason(error)
            self._warn(f"no file events, so inboxes are scanned every {SCAN_S:g} s ({reason})")
            self._scans_without = SCANS_WITHOUT
        # The observer knows only some of its threads, but the one that reads events may die too.
        started = (thread for thread in threading.enumerate() if thread not in before)
        self._threads = [thread for thread in started if isinstance(thread, BaseThread)]
        if not self._watched:
            self._stop()

    def _stop(self) -> None:
        for thread in reversed(self._threads):
            with suppress(Exception):  # it may have died in any state
                thread.stop()
                thread.join(STOP_S)
        self._threads, self._watched = [], {}

    def _warn(self, warning: str) -> None:
        """Log a warning that was not logged before."""
        if warning not in self._logged:
            logging.getLogger(__name__).warning(warning)
        self._logged.add(warning)


def wants_events(folder: Path, enabled: Events) -> bool:
    """Return whether events of `folder` are used, unless they fail."""
    if enabled == "auto":
        return disks.tells_events(folder, disks.table())
    return enabled == "yes"


def _start_observer(folders: Iterable[Path], wake: Callable[[], None]) -> None:
    from watchdog import events, observers

    class Handler(events.FileSystemEventHandler):
        def on_any_event(self, event: events.FileSystemEvent) -> None:
            wake()

    # without opening and reading, by which scans would cause events, and without each write
    kinds = [
        events.FileCreatedEvent, events.FileClosedEvent, events.FileDeletedEvent,
        events.FileMovedEvent, events.DirCreatedEvent, events.DirDeletedEvent, events.DirMovedEvent,
    ]  # fmt: skip
    observer = observers.Observer()
    for folder in folders:
        observer.schedule(Handler(), folder, recursive=True, event_filter=kinds)
    observer.start()


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "the folders of an inbox are nested too deeply"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EMFILE):
        return (
            f"{error.strerror}; raise fs.inotify.max_user_watches or "
            "fs.inotify.max_user_instances with sysctl"
        )
    return f"{type(error).__name__}: {error}"
