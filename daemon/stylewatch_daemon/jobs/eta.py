"""The time that a running job has left."""

from collections import deque

from stylewatch_daemon.base.model import Progress, Started

RECENT = 200
"""Steps that are remembered. The later half counts: the first steps are slow, since a line search
has no length yet to begin with, and the machine may be busier now than it was."""

EXTRA_STEPS = 1
"""Steps by which the first one at a size takes longer: the targets are computed."""


class EtaEstimator:
    """Estimates the time left from the pixels that the steps went through."""

    def __init__(self, started: Started) -> None:
        self._started = started
        self._recent: deque[Progress] = deque(maxlen=RECENT)

    def left(self, event: Progress) -> float | None:
        """Return the seconds left after a step; None where they are unknown or zero.

        A frame of a clip that is reported again is not counted again.
        """
        if not self._recent or event.step > self._recent[-1].step:
            self._recent.append(event)
        first, last = self._recent[(len(self._recent) - 1) // 2], self._recent[-1]
        done = self._work(last.step) - self._work(first.step)
        if done <= 0 or last.step == last.steps:
            return None
        todo = self._work(last.steps) - self._work(last.step)
        return (last.seconds - first.seconds) / done * todo

    def _work(self, step: int) -> int:
        """Return the pixels of all steps up to `step`, and of the sizes they begin."""
        work = 0
        for (width, height), steps in zip(self._started.sizes, self._started.steps_at, strict=True):
            steps_here = min(step, steps)
            work += (steps_here + EXTRA_STEPS * (steps_here > 0)) * width * height
            step -= steps_here
        return work
