"""Estimated time left of a running job."""

from bisect import bisect_left
from collections import deque
from itertools import accumulate
from math import inf

from stylewatch_daemon.base.model import Progress, Started

RECENT = 200
"""Maximum number of the latest steps at the current size that are remembered. Only their later half
counts: the first steps are slow, because a line search has no initial length yet, and the load of
the machine may have changed."""

SETTLED_STEPS, SETTLED_S = 8, 5.0
"""Number of steps, and time in seconds, after the first step at a size: as soon as one of them is
reached, the speed at that size counts as known."""

ASSUMED_FRAMES, ASSUMED_SHARE = 2, 0.45
"""Number of imaginary frames that are counted after the first frame of a new clip, and the time of
each as a share of the first frame's. A real frame takes a fifth of that time, or nearly as long as
the first if it shows much that is new."""

OVERHEAD_PIXELS = 8_000
"""Number of pixels that take as long as the part of a step that does not depend on the size."""


class EtaEstimator:
    """Estimator of the time left, based on the steps at the current size, or on a clip's frames.

    At later sizes a step takes time in proportion to the pixels, plus OVERHEAD_PIXELS. The first
    step at a size takes additional time, in which the targets are computed. This time is assumed to
    be the same at later sizes as at the current size. At the size at which a job continues it is
    unknown, and counts as zero.
    """

    def __init__(self, started: Started) -> None:
        self._is_new = not started.step
        self._work = [width * height + OVERHEAD_PIXELS for width, height in started.sizes]
        self._ends = list(accumulate(started.steps_at))
        self._here: deque[Progress] = deque(maxlen=RECENT)
        self._begun: Progress | None = None
        """The first step at the current size."""
        self._before = inf if started.step else 0.0
        """Time in seconds of the last step before the current size, 0 if there is none; infinite if
        an earlier attempt made that step, so that its time is unknown."""
        self._first_frame_s = 0.0
        """Time in seconds of the first frame of a clip."""
        self._left: tuple[float, float] | None = None
        """The last estimate of the seconds left, and the time in seconds of the step after which it
        was made."""

    def left(self, event: Progress) -> float | None:
        """Record the step `event`; return the seconds left after it.

        Returns None if they are unknown, and after the last step. A frame of a clip that is
        reported repeatedly is counted once.
        """
        if not self._here or event.step > self._here[-1].step:
            self._add(event)
            estimate = self._left_of_clip() if event.unit == "frame" else self._left_of_sizes()
            if estimate is not None:
                self._left = estimate, event.seconds
        if self._left is None or event.step >= self._ends[-1]:
            return None
        seconds, at = self._left
        return max(0.0, seconds - (event.seconds - at))

    def _add(self, event: Progress) -> None:
        if self._begun is None or self._level(event) != self._level(self._here[-1]):
            if self._here:
                self._before = self._here[-1].seconds
            self._begun = event
            self._here.clear()
        self._here.append(event)
        if event.step == 1:
            self._first_frame_s = event.seconds

    def _level(self, event: Progress) -> int:
        """Return the index of the size at which a step was made."""
        return bisect_left(self._ends, event.step)

    def _left_of_clip(self) -> float | None:
        """Return the seconds that further frames take; None if too few are painted to tell."""
        painted = [frame for frame in self._here if frame.step > 0]
        if not painted:
            return None
        first, last = painted[0], painted[-1]
        frames, seconds = last.step - first.step, last.seconds - first.seconds
        if self._is_new:
            frames += ASSUMED_FRAMES
            seconds += ASSUMED_FRAMES * ASSUMED_SHARE * self._first_frame_s
        return (self._ends[-1] - last.step) * seconds / frames if frames else None

    def _left_of_sizes(self) -> float | None:
        """Return the seconds left at the current and later sizes; None if unknown yet."""
        first, last = self._here[(len(self._here) - 1) // 2], self._here[-1]
        begun = self._begun
        if begun is None or last.step == begun.step:
            return None
        if last.step - begun.step < SETTLED_STEPS and last.seconds - begun.seconds < SETTLED_S:
            return None
        step = (last.seconds - first.seconds) / (last.step - first.step)
        level = self._level(last)
        extra = max(0.0, begun.seconds - self._before - step)
        left = (self._ends[level] - last.step) * step
        for number in range(level + 1, len(self._ends)):
            steps = self._ends[number] - self._ends[number - 1]
            if steps:
                left += extra + steps * step * self._work[number] / self._work[level]
        return left
