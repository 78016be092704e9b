"""Access of the pages to status.json and to the ledger, which the daemon writes."""

import threading
import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from stylewatch_daemon.app import status_json
from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.base.model import Job
from stylewatch_daemon.ledger.ledger import FILE_NAME, Ledger, reading
from stylewatch_daemon.ledger.requests import is_paused

POLL_EVERY_S = 0.2
"""Seconds between two looks for a new status.json."""


class Reader:
    """Reads what the daemon of the state folder `state` has written; safe for threads.

    `clock` is monotonic, in seconds.
    """

    def __init__(self, state: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.state, self._clock = state, clock
        self._lock = threading.Lock()
        self._read_at = -float("inf")
        self._file_content: Mapping[str, Any] = {}
        self._status: dict[str, Any] = {}
        self.seen: Hashable = None
        """The inode, mtime and size of the status.json that `published` returned last."""

    def published(self) -> dict[str, Any]:
        """Return the latest status.json with all its keys; read-only.

        `health.at_work` and `health.paused` are as they are now, not as they were published.
        """
        with self._lock:
            if self._clock() - self._read_at >= POLL_EVERY_S:
                self._read_at = self._clock()
                self._read_status()
            return self._status

    def ledger(self) -> AbstractContextManager[Ledger]:
        """Open the ledger; raises OutputError if it cannot be read."""
        return reading(self.state / FILE_NAME)

    def job(self, job_id: str) -> Job | None:
        """Return the job with exactly this id; raises OutputError as `ledger`."""
        with self.ledger() as ledger:
            return ledger.get(job_id)

    def _read_status(self) -> None:
        seen = None
        with suppress(OSError):
            status = (self.state / status_json.FILE_NAME).stat()
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        if seen is None or seen != self.seen:
            self.seen, self._file_content = seen, status_json.read(self.state) or {}
        nothing = status_json.nothing()
        plain = {**nothing, **self._file_content}
        at_work = False
        with suppress(OutputError):
            at_work = status_json.is_at_work(self.state)
        now = {"at_work": at_work, "paused": is_paused(self.state)}
        self._status = {**plain, "health": {**nothing["health"], **plain["health"], **now}}
