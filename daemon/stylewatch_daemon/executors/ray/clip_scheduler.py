"""Clips whose scenes are painted by several actors; for the daemon each is a single attempt.

    ticket           finds the scenes of the clip, and ends with Divided
    ticket, part 0   paints some of them; its checkpoint is .clip/part-0.npz
    ticket, part 1   paints others at the same time
    ticket           once more: takes over what the parts painted, paints the rest, joins the clip

Parts only save time: the files in the staging folder of the attempt have all that they painted. So
an attempt whose part fails ends like that part, and the next attempt continues from these files.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from stylewatch_daemon.base.model import Cause, Progress, Started
from stylewatch_daemon.executors.scheduler import Emit, Scheduler
from stylewatch_daemon.outbox.publish import CLIP_FOLDER
from stylewatch_daemon.worker.messages import (
    AttemptEvent,
    AttemptRequest,
    Divided,
    End,
    Event,
    Failed,
    Lost,
    Order,
    Refused,
    Stopped,
)

PendingScene = tuple[int, int]
"""The first frame of a scene, and the number of steps that it has left; a step paints a frame."""


class ClipAttempt:
    """An attempt that may turn out to be a clip: its order, and its parts once it is divided."""

    def __init__(self, ticket: str, order: Order) -> None:
        self.ticket, self.order = ticket, order
        self.asked = AttemptRequest.GO_ON
        """The last request to the attempt."""
        self.steps = 0
        """Steps of the clip, once the attempt has started."""
        self.running: set[str] = set()
        """Tickets of the parts that wait or run."""
        self.failure: Refused | Failed | Lost | None = None
        """The End of the first part that failed."""
        self._before = 0
        """Steps that were done before the clip was divided."""
        self._first: dict[str, int] = {}
        """The step at which each part started."""
        self._latest: dict[str, int] = {}
        """The latest step of each part."""
        self._seconds = 0.0

    @property
    def step(self) -> int:
        """Number of steps that are done, once the clip is divided."""
        done = (step - self._first[part] for part, step in self._latest.items())
        return self._before + sum(done)

    def divide(self, scenes: Sequence[PendingScene], places: int) -> dict[str, Order]:
        """Return the orders of the parts, by ticket.

        There are none if a single one would paint all scenes, or if the attempt is to end.
        """
        self._before = self.steps - _steps(scenes)
        count = min(places, len(scenes))
        if count <= 1 or self.asked is not AttemptRequest.GO_ON:
            return {}
        orders = {
            f"{self.ticket}, part {number}": replace(
                self.order,
                scenes=tuple(first for first, _ in part),
                checkpoint=self.order.staging / CLIP_FOLDER / f"part-{number}.npz",
            )
            for number, part in enumerate(balanced(scenes, count))
        }
        self.running = set(orders)
        return orders

    def of_whole(self, part: str, event: Event) -> Event | None:
        """Return what an event of a part says about the whole clip, if anything."""
        if isinstance(event, Started):
            self._first.setdefault(part, event.step)
            return None
        if isinstance(event, Progress):
            self._latest[part] = event.step
            self._seconds = max(self._seconds, event.seconds)
            return replace(event, step=self.step, steps=self.steps, seconds=self._seconds)
        return event

    def end_part(self, part: str, end: End) -> None:
        """Note that a part has ended; one whose machine is not to be had is left to the others."""
        self.running.remove(part)
        is_missing = isinstance(end, Failed) and end.cause is Cause.DEVICE
        if is_missing and part not in self._first:
            return
        if isinstance(end, Refused | Failed | Lost):
            self.failure = self.failure or end


class ClipScheduler(Scheduler, ABC):
    """A Scheduler that divides clips among its places."""

    def __init__(self, emit: Emit) -> None:
        super().__init__(self._follow)
        self._report = emit
        self._clips: dict[str, ClipAttempt] = {}
        """By the tickets of the attempts and of their parts."""

    @property
    @abstractmethod
    def places(self) -> int:
        """Number of batches that can run at once; 0 while it is not known."""

    def submit(self, orders: Mapping[str, Order]) -> None:
        """Run a batch of attempts, by ticket; a clip that is a batch by itself may be divided."""
        (ticket, order), *others = orders.items()
        is_new = ticket not in self._clips
        if is_new and not others and order.content is not None and self.places != 1:
            self._clips[ticket] = ClipAttempt(ticket, order)
            orders = {ticket: replace(order, divide=True)}
        super().submit(orders)

    def ask(self, ticket: str, wanted: AttemptRequest) -> None:
        """Pass a request on to an attempt; any request stops the parts of a clip."""
        super().ask(ticket, wanted)
        if (clip := self._clips.get(ticket)) is not None:
            clip.asked = wanted
            self._stop_parts(clip)

    def drop(self, ticket: str) -> None:
        """End an attempt now, with all its parts."""
        super().drop(ticket)
        if (clip := self._clips.get(ticket)) is not None:
            clip.asked = AttemptRequest.CANCEL
            for part in list(clip.running):
                super().drop(part)

    def _follow(self, received: AttemptEvent) -> None:
        """Report an event of an attempt; those of parts are reported as events of the whole."""
        ticket, event = received.ticket, received.event
        clip = self._clips.get(ticket)
        if clip is not None and ticket != clip.ticket:
            self._follow_part(clip, ticket, event)
        elif clip is not None and isinstance(event, Divided):
            self._divide(clip, event)
        else:
            if clip is not None and isinstance(event, Started):
                clip.steps = event.steps
            if isinstance(event, End):
                self._clips.pop(ticket, None)
            self._report(received)

    def _divide(self, clip: ClipAttempt, divided: Divided) -> None:
        parts = clip.divide(divided.scenes, self.places)
        self._clips |= dict.fromkeys(parts, clip)
        for ticket, order in parts.items():
            self.submit({ticket: order})
        if not parts:
            self._join(clip)

    def _follow_part(self, clip: ClipAttempt, part: str, event: Event) -> None:
        if not isinstance(event, End):
            if (of_whole := clip.of_whole(part, event)) is not None:
                self._report(AttemptEvent(clip.ticket, of_whole))
            return
        del self._clips[part]
        clip.end_part(part, event)
        if not clip.running:
            self._join(clip)
        elif clip.failure is not None:
            self._stop_parts(clip)

    def _stop_parts(self, clip: ClipAttempt) -> None:
        for part in list(clip.running):
            super().ask(part, AttemptRequest.STOP)

    def _join(self, clip: ClipAttempt) -> None:
        """Submit a clip that has no parts any more as a whole; or end it, if it is to end."""
        end: End | None = clip.failure
        if end is None and clip.asked in (AttemptRequest.STOP, AttemptRequest.CANCEL):
            end = Stopped(clip.step)
        if end is not None:
            del self._clips[clip.ticket]
            self._report(AttemptEvent(clip.ticket, end))
            return
        self.submit({clip.ticket: clip.order})
        if clip.asked is AttemptRequest.FINISH:
            super().ask(clip.ticket, clip.asked)


def balanced(scenes: Sequence[PendingScene], count: int) -> list[list[PendingScene]]:
    """Return the scenes in `count` parts of similar length, each in the order of its frames.

    The longest scene that is left goes to the part with the fewest steps.
    """
    parts: list[list[PendingScene]] = [[] for _ in range(count)]
    for scene in sorted(scenes, key=lambda scene: -scene[1]):
        min(parts, key=_steps).append(scene)
    return [sorted(part) for part in parts]


def _steps(scenes: Iterable[PendingScene]) -> int:
    return sum(steps for _, steps in scenes)
