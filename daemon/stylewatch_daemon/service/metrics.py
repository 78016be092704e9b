"""Counters of the daemon's work since its start, for monitoring."""

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.model import Progress, Started

_CAUSES = (
    ("settings", r"\.ya?ml\b|recipe"),
    ("too large", r"the limit (is|for)"),
    ("damaged", r"cut off"),
    ("hung", r"the worker hung"),
    ("killed", r"the worker process|was killed"),
    ("memory", r"memory"),
    ("fault", r"a fault of"),
)
"""Causes by what a reason contains; few words, so that the number of metrics is limited."""

_OTHER = {"refused": "picture", "failed": "fault"}


class Metrics(Reporter):
    """Counts events; `clock` returns Unix time in seconds, as files have it."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._sums: Counter[str] = Counter(
            dict.fromkeys(("scans", "overflows", "steps", "stages", "done", "cancelled"), 0)
        )
        self._seconds = dict.fromkeys(("scans", "steps", "stages"), 0.0)
        self._ended: Counter[tuple[str, str]] = Counter()
        self._progress: dict[str, Progress] = {}

    def plain(self) -> Mapping[str, Any]:
        """Return all counters as JSON values; seconds are sums over what was counted.

        `ended` is a list of {state, why, count}, with one of a few words as `why`.
        """
        ended = [
            {"state": state, "why": why, "count": count}
            for (state, why), count in sorted(self._ended.items())
        ]
        return {**self._sums, "seconds": dict(self._seconds), "ended": ended}

    def looked(self, seconds: float) -> None:
        """Count a scan of the inboxes."""
        self._count("scans", seconds)

    def events_lost(self) -> None:
        """Count an overflow of the kernel's event queue."""
        self._sums["overflows"] += 1

    def progress(self, job: str, progress: Progress) -> None:
        """Count a step."""
        before = self._progress.get(job)
        self._progress[job] = progress
        if before is not None and progress.seconds >= before.seconds:
            self._count("steps", progress.seconds - before.seconds)

    def staged(self, job: str, path: Path) -> None:
        """Count a stage, and the time between its writing and its publishing."""
        if path.parent.name != "stages":
            return
        try:
            self._count("stages", max(0.0, self._clock() - path.stat().st_mtime))
        except OSError:
            return

    def done(self, job: str, folder: Path) -> None:
        """Count a job that is done."""
        self._forget(job)
        self._sums["done"] += 1

    def cancelled(self, job: str, folder: Path) -> None:
        """Count a job that was cancelled."""
        self._forget(job)
        self._sums["cancelled"] += 1

    def refused(self, job: str, reason: str, folder: Path) -> None:
        """Count a job that was refused, by the cause."""
        self._forget(job)
        self._ended["refused", why("refused", reason)] += 1

    def failed(self, job: str, reason: str, trace: str, *, for_good: bool) -> None:
        """Count a job that failed for good, by the cause."""
        self._forget(job)
        if for_good:
            self._ended["failed", why("failed", reason)] += 1

    def job_started(self, job: str, started: Started) -> None:
        """Forget an earlier attempt: the first step has no start to be measured from."""
        self._forget(job)

    def stopped(self, job: str, step: int) -> None:
        """Forget the progress of a job that continues at the next start."""
        self._forget(job)

    def paused(self, what: str, reason: str) -> None:
        """Forget the progress of a job that continues later."""
        self._forget(what)

    def _forget(self, job: str) -> None:
        self._progress.pop(job, None)

    def _count(self, what: str, seconds: float) -> None:
        self._sums[what] += 1
        self._seconds[what] += seconds


def why(state: str, reason: str) -> str:
    """Return the cause for the `reason` of a job that is refused or failed."""
    return next((cause for cause, text in _CAUSES if re.search(text, reason)), _OTHER[state])
