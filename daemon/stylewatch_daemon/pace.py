"""How fast a painting gets on, and so when it will be done."""

from collections import deque
from dataclasses import replace

from stylewatch_daemon.execute.contract import Event, Progress, Started
from stylewatch_daemon.status import Running

RECENT = 200
"""Steps that are remembered. The later half of them counts: first steps are slow, since a line
search has no length yet to begin with, and a machine may be busier now than it was."""


SEEING = 1
"""Steps that a size takes longer by its first one: content and styles are looked at."""


class Clock:
    """How long a painting still takes, by the pixels that it went through."""

    def __init__(self, started: Started) -> None:
        self._started = started
        self._heard: deque[Progress] = deque(maxlen=RECENT)

    def left(self, event: Progress) -> float | None:
        """Seconds until the end, where that can be told and is worth telling."""
        self._heard.append(event)
        since = self._heard[(len(self._heard) - 1) // 2]
        done = self._work(event.step) - self._work(since.step)
        if done <= 0 or event.step == event.steps:
            return None
        todo = self._work(event.steps) - self._work(event.step)
        return (event.seconds - since.seconds) / done * todo

    def _work(self, step: int) -> int:
        """The pixels that all steps up to `step`, and the sizes they begin, go through."""
        work = 0
        for (width, height), steps in zip(self._started.sizes, self._started.steps_at, strict=True):
            here = min(step, steps)
            work += (here + SEEING * (here > 0)) * width * height
            step -= here
        return work


class Pace:
    """How far the painting of `job` is, by the events of its worker."""

    def __init__(self, job: str) -> None:
        self.running = Running(job)
        self._clock: Clock | None = None

    def hear(self, job: str, event: Event) -> Running:
        """How far it is after `event`; `job` is what it is called by now."""
        if isinstance(event, Started):
            self._clock = Clock(event)
            self.running = Running(job, event.step, event.steps, device=event.device)
        elif isinstance(event, Progress):
            self.running = replace(
                self.running,
                job=job,
                step=event.step,
                steps=event.steps,
                loss=event.loss,
                size=event.size,
                seconds_left=self._clock.left(event) if self._clock else None,
            )
        return self.running
