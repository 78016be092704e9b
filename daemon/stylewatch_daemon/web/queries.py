"""What the page knows: what the daemon publishes, and its ledger; nothing is ever written."""

import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.outbox import status_json as published
from stylewatch_daemon.store.control import PAUSED
from stylewatch_daemon.store.ledger import FILE_NAME, Entry, Ledger, opened

LOOK_EVERY = 0.2
"""Seconds between two looks at whether something new was published."""


class Reader:
    """Reads what the daemon of the folder `state` tells; any thread may ask.

    `clock` is monotonic, in seconds.
    """

    def __init__(self, state: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.state, self._clock = state, clock
        self._lock = threading.Lock()
        self._looked = -float("inf")
        self._seen: tuple[int, int, int] | None = None
        self._said: Mapping[str, Any] = {}
        self._now: dict[str, Any] = {}
        self._file: tuple[int, int] | None = None
        self._ledgers: list[Ledger] = []
        """Of that file, opened, and read by nobody now: to open one takes longer than to ask."""
        weakref.finalize(self, _close, self._ledgers)

    def published(self) -> dict[str, Any]:
        """How things stand, as `status.json` has it, every key of it; not to be changed.

        `health.at_work` and `health.paused` are looked at, not taken from there.
        """
        with self._lock:
            if self._clock() - self._looked >= LOOK_EVERY:
                self._looked = self._clock()
                self._look()
            return self._now

    @property
    def seen(self) -> Hashable:
        """What tells of which moment that is what `published` gives."""
        return self._seen

    @contextmanager
    def ledger(self) -> Iterator[Ledger | None]:
        """The ledger, to be read in this thread; None where there is none yet.

        Raises OutputError where it cannot be read.
        """
        try:
            status = (self.state / FILE_NAME).stat()
        except FileNotFoundError:
            yield None
            return
        file = status.st_dev, status.st_ino
        ledger = self._taken(file)
        try:
            yield ledger
        except BaseException:
            ledger.close()
            raise
        self._give_back(ledger, file)

    def _taken(self, file: tuple[int, int]) -> Ledger:
        with self._lock:
            if file != self._file:  # the ledger of before was moved away
                _close(self._ledgers)
            self._file = file
            if self._ledgers:
                return self._ledgers.pop()
        return opened(self.state / FILE_NAME)

    def _give_back(self, ledger: Ledger, file: tuple[int, int]) -> None:
        with self._lock:
            if file == self._file:
                self._ledgers.append(ledger)
                return
        ledger.close()

    def job(self, job_id: str) -> Entry | None:
        """The job with exactly this id; raises OutputError where that cannot be told."""
        with self.ledger() as ledger:
            entry = ledger.find(job_id) if ledger is not None else None
        return entry if entry is not None and entry.id == job_id else None

    def _look(self) -> None:
        try:
            status = (self.state / published.FILE_NAME).stat()
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        except OSError:
            seen = None
        if seen is None or seen != self._seen:
            self._seen, self._said = seen, published.read(self.state) or {}
        said = {**published.nothing(), **self._said}
        told = {"at_work": self._is_at_work(), "paused": (self.state / PAUSED).exists()}
        self._now = {**said, "health": {**said["health"], **told}}

    def _is_at_work(self) -> bool:
        try:
            return published.is_at_work(self.state)
        except OutputError:
            return False


def _close(ledgers: list[Ledger]) -> None:
    while ledgers:
        ledgers.pop().close()
