"""How long a worker may be silent before it counts as hung."""

from collections import deque
from itertools import accumulate
from statistics import median

from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.worker.contract import Event, Saving, Wanted

AT_LEAST = 60.0
"""Seconds that any step may take, where no other number is set."""

SLOWER = 10
"""How many times longer than the median a step may take; and how many times the limit of a
step loading, the first step at a size, and writing a checkpoint or the final files may take."""

REMEMBERED = 25
"""Of how many steps the median is taken."""


class Patience:
    """Patience with one attempt.

    `step_timeout_s` is the limit for a step; None: AT_LEAST, or SLOWER times the median step
    if that is longer. Time is counted as the waits that it is told of: where the machine slept,
    or we were stopped ourselves, no worker looks hung.
    """

    def __init__(self, step_timeout_s: float | None) -> None:
        self.silent = 0.0
        self.asked = Wanted.GO_ON
        """Told to end: a job that makes no step yet has nothing to keep."""
        self._given = step_timeout_s
        self._long = True
        self._saving = False
        self._steps: deque[float] = deque(maxlen=REMEMBERED)
        self._last: Progress | None = None
        self._ends: set[int] = set()

    def heard(self, event: Event) -> None:
        """The worker told something."""
        self.silent = 0.0
        self._saving = isinstance(event, Saving)
        if isinstance(event, Started):
            self._ends = set(accumulate(event.steps_at))
            self._last, self._long = None, True  # it may have begun anew, and loads again
            self._steps.clear()
        elif isinstance(event, Progress):
            self._step(event)

    def waited(self, seconds: float) -> bool:
        """It was silent so much longer; whether that is too long."""
        self.silent += seconds
        return self.silent > self.limit

    @property
    def limit(self) -> float:
        """Seconds that it may be silent now."""
        step = self._given or max(AT_LEAST, SLOWER * median(self._steps or [0.0]))
        if self._saving or self.asked is Wanted.FINISH or (self._long and not self.asked):
            return max(step, SLOWER * (self._given or AT_LEAST))
        return step

    def _step(self, now: Progress) -> None:
        last, self._last = self._last, now
        if last is None or now.size != last.size:
            self._steps.clear()
        else:
            self._steps.append(now.seconds - last.seconds)
        self._long = now.step in self._ends  # another size follows, or the final files do
