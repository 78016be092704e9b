"""The limit of silence after which a worker counts as hung."""

from collections import deque
from itertools import accumulate
from statistics import median

from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.worker.messages import Event, Saving, Wanted

MIN_STEP = 60.0
"""Seconds that any step may take, where `limits.step_timeout_s` is not set."""

FACTOR = 10
"""A step may take so many times the median. Loading, the first step at a size, and writing a
checkpoint or the final files may take so many times the limit of a step."""

MEDIAN_OF = 25
"""Number of steps of which the median is taken."""


class Patience:
    """Silence of one attempt, against its limit.

    `step_timeout_s` is the limit for a step; None: MIN_STEP, or FACTOR times the median step if
    that is longer. Time is counted as reported to `waited`: where the machine slept, or this
    process was stopped, no worker looks hung.
    """

    def __init__(self, step_timeout_s: float | None) -> None:
        self.silent = 0.0
        self.asked = Wanted.GO_ON
        """The last request: an attempt that is to end and made no step has nothing to keep."""
        self._step_timeout_s = step_timeout_s
        self._slow_next = True
        self._saving = False
        self._steps: deque[float] = deque(maxlen=MEDIAN_OF)
        self._last: Progress | None = None
        self._last_steps: set[int] = set()
        """The last step at each size."""

    def heard(self, event: Event) -> None:
        """Note an event of the attempt."""
        self.silent = 0.0
        self._saving = isinstance(event, Saving)
        if isinstance(event, Started):
            self._last_steps = set(accumulate(event.steps_at))
            self._last, self._slow_next = None, True  # it may have begun again, and loads again
            self._steps.clear()
        elif isinstance(event, Progress):
            if self._last is None or event.size != self._last.size:
                self._steps.clear()
            else:
                self._steps.append(event.seconds - self._last.seconds)
            self._last = event
            self._slow_next = event.step in self._last_steps

    def waited(self, seconds: float) -> bool:
        """Add seconds of silence; True where that is too long."""
        self.silent += seconds
        return self.silent > self.limit

    @property
    def limit(self) -> float:
        """Seconds that the attempt may be silent now."""
        step = self._step_timeout_s or max(MIN_STEP, FACTOR * median(self._steps or [0.0]))
        loads = self._slow_next and not self.asked
        if self._saving or self.asked is Wanted.FINISH or loads:
            return max(step, FACTOR * (self._step_timeout_s or MIN_STEP))
        return step
