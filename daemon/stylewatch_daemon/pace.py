"""How fast a painting gets on, and so when it will be done."""

from dataclasses import replace

from stylewatch_daemon.execute.contract import Event, Progress, Started
from stylewatch_daemon.status import Running


class Clock:
    """How long a painting still takes, by the pixels that it went through."""

    def __init__(self, started: Started) -> None:
        self._started = started
        self._first: Progress | None = None

    def left(self, event: Progress) -> float | None:
        """Seconds until the end, where that can be told and is worth telling."""
        first = self._first = self._first or event
        done = self._work(event.step) - self._work(first.step)
        if done <= 0 or event.step == event.steps:
            return None
        todo = self._work(event.steps) - self._work(event.step)
        return (event.seconds - first.seconds) / done * todo

    def _work(self, step: int) -> int:
        """The pixels that all steps up to `step` go through."""
        work = 0
        for (width, height), steps in zip(self._started.sizes, self._started.steps_at, strict=True):
            here = min(step, steps)
            work += here * width * height
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
