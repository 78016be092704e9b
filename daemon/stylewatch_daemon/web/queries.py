"""Reads status.json and the ledger for the page; writes nothing."""

import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.outbox import status_json
from stylewatch_daemon.store.ledger import FILE_NAME, Entry, Ledger, opened
from stylewatch_daemon.store.requests import PAUSED

POLL_EVERY_S = 0.2
"""Seconds between two looks for a new status.json."""


class Reader:
    """Reads what the daemon of the state folder `state` has written; safe for threads.

    `clock` is monotonic, in seconds.
    """

    def __init__(self, state: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.state, self._clock = state, clock
        self._lock = threading.Lock()
        self._looked = -float("inf")
        self._seen: tuple[int, int, int] | None = None
        self._file_content: Mapping[str, Any] = {}
        self._status: dict[str, Any] = {}
        self._ledger_file: tuple[int, int] | None = None
        self._idle_ledgers: list[Ledger] = []
        """Connections to that file which nobody uses: opening takes longer than a query."""
        weakref.finalize(self, _close, self._idle_ledgers)

    def published(self) -> dict[str, Any]:
        """The latest status.json with all its keys; read-only.

        `health.at_work` and `health.paused` are as they are now, not as they were published.
        """
        with self._lock:
            if self._clock() - self._looked >= POLL_EVERY_S:
                self._looked = self._clock()
                self._read_status()
            return self._status

    @property
    def seen(self) -> Hashable:
        """The inode, mtime and size of the status.json that `published` returned last."""
        return self._seen

    @contextmanager
    def ledger(self) -> Iterator[Ledger | None]:
        """Lend the ledger to this thread; None where there is none yet.

        Raises OutputError where it cannot be read.
        """
        try:
            status = (self.state / FILE_NAME).stat()
        except FileNotFoundError:
            yield None
            return
        file = status.st_dev, status.st_ino
        ledger = self._lend(file)
        try:
            yield ledger
        except BaseException:
            ledger.close()
            raise
        self._take_back(ledger, file)

    def _lend(self, file: tuple[int, int]) -> Ledger:
        with self._lock:
            if file != self._ledger_file:  # another ledger took its place
                _close(self._idle_ledgers)
            self._ledger_file = file
            if self._idle_ledgers:
                return self._idle_ledgers.pop()
        return opened(self.state / FILE_NAME)

    def _take_back(self, ledger: Ledger, file: tuple[int, int]) -> None:
        with self._lock:
            if file == self._ledger_file:
                self._idle_ledgers.append(ledger)
                return
        ledger.close()

    def job(self, job_id: str) -> Entry | None:
        """The job with exactly this id; raises OutputError where the ledger cannot be read."""
        with self.ledger() as ledger:
            entry = ledger.find(job_id) if ledger is not None else None
        return entry if entry is not None and entry.id == job_id else None

    def _read_status(self) -> None:
        try:
            status = (self.state / status_json.FILE_NAME).stat()
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        except OSError:
            seen = None
        if seen is None or seen != self._seen:
            self._seen, self._file_content = seen, status_json.read(self.state) or {}
        plain = {**status_json.nothing(), **self._file_content}
        now = {"at_work": self._is_at_work(), "paused": (self.state / PAUSED).exists()}
        self._status = {**plain, "health": {**plain["health"], **now}}

    def _is_at_work(self) -> bool:
        try:
            return status_json.is_at_work(self.state)
        except OutputError:
            return False


def _close(ledgers: list[Ledger]) -> None:
    while ledgers:
        ledgers.pop().close()
