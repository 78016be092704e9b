"""How fast a painting gets on, and so when it will be done."""

from collections import deque

from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.outbox.status_txt import Running
from stylewatch_daemon.worker.contract import Event

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

    def hear(self, event: Progress) -> None:
        """A step was made."""
        self._heard.append(event)

    def left(self, event: Progress) -> float | None:
        """Seconds until the end after `event`, where that can be told and is worth telling."""
        self.hear(event)
        return self.told()

    def told(self) -> float | None:
        """Seconds until the end after what was heard last, as `left`."""
        since, now = self._heard[(len(self._heard) - 1) // 2], self._heard[-1]
        done = self._work(now.step) - self._work(since.step)
        if done <= 0 or now.step == now.steps:
            return None
        todo = self._work(now.steps) - self._work(now.step)
        return (now.seconds - since.seconds) / done * todo

    def _work(self, step: int) -> int:
        """The pixels that all steps up to `step`, and the sizes they begin, go through."""
        work = 0
        for (width, height), steps in zip(self._started.sizes, self._started.steps_at, strict=True):
            here = min(step, steps)
            work += (here + SEEING * (here > 0)) * width * height
            step -= here
        return work


class Pace:
    """How far a painting is, by the events of its worker.

    Events are many more than questions: all that is done with one is to remember it.
    """

    def __init__(self) -> None:
        self._started: Started | None = None
        self._clock: Clock | None = None
        self._last: Progress | None = None

    def hear(self, event: Event) -> None:
        """Something happened to the painting."""
        if isinstance(event, Progress):
            self._last = event
            if self._clock:
                self._clock.hear(event)
        elif isinstance(event, Started):
            self._started, self._clock, self._last = event, Clock(event), None

    def running(self, job: str, job_id: str = "") -> Running:
        """How far it is; what it is called by now, and its id in the ledger."""
        begun, last = self._started, self._last
        if begun is None:
            return Running(job, id=job_id)
        if last is None:
            return Running(job, begun.step, begun.steps, device=begun.device, id=job_id)
        return Running(
            job,
            last.step,
            last.steps,
            loss=last.loss,
            size=last.size,
            seconds_left=self._clock.told() if self._clock else None,
            device=begun.device,
            id=job_id,
        )
