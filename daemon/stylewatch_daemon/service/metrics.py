"""What the daemon counts of its work since it started, for programs that watch it."""

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.model import Progress, Started

_WHY = (
    ("settings", r"\.ya?ml\b|recipe"),
    ("too large", r"the limit (is|for)"),
    ("damaged", r"cut off"),
    ("hung", r"the worker hung"),
    ("killed", r"the worker process|was killed"),
    ("memory", r"memory"),
    ("fault", r"a fault of"),
)
"""What reasons come to, by what is said in them; no more words than these, however many jobs."""

_ELSE = {"refused": "picture", "failed": "fault"}


class Meters(Reporter):
    """Counts what it hears; `clock` gives Unix time in seconds, as files have it."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._sums: Counter[str] = Counter(
            dict.fromkeys(("scans", "overflows", "steps", "stages", "done", "cancelled"), 0)
        )
        self._seconds = dict.fromkeys(("scans", "steps", "stages"), 0.0)
        self._ended: Counter[tuple[str, str]] = Counter()
        self._steps: dict[str, Progress] = {}

    def plain(self) -> Mapping[str, Any]:
        """All of it as JSON has it; seconds are sums over what was counted.

        `ended` are {state, why, count}: why in a word of a fixed few.
        """
        ended = [
            {"state": state, "why": why, "count": count}
            for (state, why), count in sorted(self._ended.items())
        ]
        return {**self._sums, "seconds": dict(self._seconds), "ended": ended}

    def looked(self, seconds: float) -> None:
        """The inboxes were looked through."""
        self._count("scans", seconds)

    def events_lost(self) -> None:
        """The kernel told of more than could be kept."""
        self._sums["overflows"] += 1

    def job_started(self, job: str, started: Started) -> None:
        """Its first step has nothing to be measured from."""
        self._steps.pop(job, None)

    def progress(self, job: str, progress: Progress) -> None:
        """A step was made."""
        before = self._steps.get(job)
        self._steps[job] = progress
        if before is not None and progress.seconds >= before.seconds:
            self._count("steps", progress.seconds - before.seconds)

    def staged(self, job: str, path: Path) -> None:
        """A file is in the outbox: for so long it was ready before."""
        if path.parent.name != "stages":
            return
        try:
            self._count("stages", max(0.0, self._clock() - path.stat().st_mtime))
        except OSError:
            return

    def done(self, job: str, folder: Path) -> None:
        """It is painted."""
        self._end(job)
        self._sums["done"] += 1

    def cancelled(self, job: str, folder: Path) -> None:
        """It is not wanted any more."""
        self._end(job)
        self._sums["cancelled"] += 1

    def refused(self, job: str, reason: str, folder: Path) -> None:
        """It cannot be painted."""
        self._end(job)
        self._ended["refused", why("refused", reason)] += 1

    def failed(self, job: str, reason: str, trace: str, *, for_good: bool) -> None:
        """A try went wrong, or all of them."""
        self._end(job)
        if for_good:
            self._ended["failed", why("failed", reason)] += 1

    def stopped(self, job: str, step: int) -> None:
        """It goes on at the next start."""
        self._end(job)

    def paused(self, what: str, reason: str) -> None:
        """It goes on later."""
        self._end(what)

    def _end(self, job: str) -> None:
        self._steps.pop(job, None)

    def _count(self, what: str, seconds: float) -> None:
        self._sums[what] += 1
        self._seconds[what] += seconds


def why(state: str, reason: str) -> str:
    """The word for the `reason` of a job that is refused or failed."""
    return next((word for word, told in _WHY if re.search(told, reason)), _ELSE[state])
