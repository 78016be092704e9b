"""Simulated peers of the daemon: painters and the inspection, processes of their own."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, get_args

from stylewatch_daemon.app import tries
from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import InputError, ShortageError
from stylewatch_daemon.base.model import Cause, Picture, Progress, Started
from stylewatch_daemon.files import atomic, entries
from stylewatch_daemon.intake.inspection.messages import Answer, Question
from stylewatch_daemon.outbox.publish import keep_staged, stage
from stylewatch_daemon.worker.failures import as_end
from stylewatch_daemon.worker.messages import (
    AttemptEnd,
    AttemptEvent,
    AttemptLost,
    AttemptRequest,
    AttemptStopped,
    Done,
    Event,
    Failed,
    FileStaged,
    Order,
    Refused,
)
from stylewatch_painter.errors import NotLearnedError

if TYPE_CHECKING:
    from tests.simulate.contents import Content
    from tests.simulate.world import World

STEPS = 2

OFTEN = 0.5
"""Share of the worlds in which some trouble of attempts occurs, and of the attempts there that have
it."""

FAULTS: tuple[AttemptEnd, ...] = (
    AttemptLost("the worker was killed"),
    AttemptLost("the worker hung"),
    Failed("stylewatch_plugins.simulated is at fault: a loss is not a number", Cause.BUG),
    Done({"state": "done"}),  # too early: there is no last stage, and no receipt
)
"""Ends of workers that are at fault, or their backends."""


@dataclass
class _Attempt:
    """An attempt that runs."""

    ticket: str
    order: Order
    events: Iterator[Event]
    wanted: AttemptRequest = AttemptRequest.GO_ON


@dataclass
class Painter:
    """An executor whose workers paint whole pictures, and refuse others."""

    world: "World"
    capacity: int = 1
    wake: Callable[[], object] = lambda: None
    _running: dict[str, _Attempt] = field(default_factory=dict)
    _sent: list[AttemptEvent] = field(default_factory=list)

    def bind(self, *, wake: Callable[[], object]) -> Any:
        """Serve as the factory of an executor."""
        self.wake = wake
        return self

    def submit(self, ticket: str, order: Order) -> None:
        attempt = _Attempt(ticket, order, iter(()))
        attempt.events = self._limited(attempt)
        self._running[ticket] = attempt
        self._soon(attempt, 0.1)

    def ask(self, ticket: str, wanted: AttemptRequest) -> None:
        if ticket in self._running:
            attempt = self._running[ticket]
            attempt.wanted = wanted
            if wanted in (AttemptRequest.STOP, AttemptRequest.CANCEL) and self._is_slow(attempt):
                attempt.events = iter([AttemptLost("the worker hung")])
            self._soon(attempt, 0.1)

    def _is_slow(self, attempt: _Attempt) -> bool:
        """Return whether a worker loads for so long that it is killed if it is asked to stop."""
        return self._happens("slow loading", attempt)

    def _happens(self, what: str, attempt: _Attempt) -> bool:
        """Return whether something happens to an attempt, which it does in OFTEN of all worlds."""
        seed = self.world.plan.settings.seed
        is_in_world = Random(f"{what} {seed}").random() < OFTEN
        return is_in_world and Random(f"{what} {seed} {attempt.ticket}").random() < OFTEN

    def drop(self, ticket: str) -> None:
        if ticket in self._running:
            self._running[ticket].events = iter([AttemptLost("it was given up")])
            self._soon(self._running[ticket], 0.1)

    def events(self) -> list[AttemptEvent]:
        sent, self._sent = self._sent, []
        return sent

    def free(self) -> int:
        return max(0, self.capacity - len(self.tickets))

    @property
    def tickets(self) -> set[str]:
        """The attempts whose end the daemon has not heard of."""
        return {*self._running, *(event.ticket for event in self._sent)}

    @property
    def unasked(self) -> set[str]:
        """The attempts that nobody asked to stop."""
        running = self._running.values()
        return {each.ticket for each in running if each.wanted is AttemptRequest.GO_ON}

    def close(self) -> None:
        self._running.clear()

    def crash(self, random: Random) -> str | None:
        """Let a worker fail, in one of its ways; return the id of its job, or None without one."""
        for ticket, attempt in self._running.items():
            end = random.choice(FAULTS)
            attempt.events = iter([end])
            self._soon(attempt, 60.0 if "hung" in str(end) else 0.1)
            return ticket.partition("#")[0]
        return None

    def _soon(self, attempt: _Attempt, seconds: float) -> None:
        self.world.later(seconds, lambda: self._go_on(attempt))

    def _go_on(self, attempt: _Attempt) -> None:
        """Let a worker do its next step, unless it has ended or a disk holds it up."""
        if self._running.get(attempt.ticket) is not attempt:
            return
        if self.world.is_held_up(str(attempt.order.staging), str(attempt.order.main)):
            self._soon(attempt, 1.0)
            return
        try:
            with self.world.seam.acting("worker"):
                event = next(attempt.events)
        except OSError as error:
            event = _failed(error)
        except InputError as error:
            event = Failed(str(error), Cause.DISK)
        if isinstance(event, get_args(AttemptEnd)):
            del self._running[attempt.ticket]
        self._sent.append(AttemptEvent(attempt.ticket, event))
        self.wake()
        slow = isinstance(event, Started | Progress)
        if attempt.ticket in self._running:
            self._soon(attempt, self.world.stage_s if slow else 0.05)

    def _limited(self, attempt: _Attempt) -> Iterator[Event]:
        """Paint, unless the memory is not enough, or a style has to be learned first."""
        if self._is_too_large(attempt.order):
            yield Failed("the memory is not enough", Cause.MEMORY)
        elif self._is_unlearned(attempt.order):
            yield as_end(NotLearnedError("nothing was learned for the style"))
        elif attempt.ticket.startswith(f"{tries.VERB} "):
            yield from self._preview(attempt)
        else:
            yield from self._paint(attempt)

    def _paint(self, attempt: _Attempt) -> Iterator[Event]:
        order = attempt.order
        parts = {"content": order.content, "init": order.init, **order.masks}
        roles = [*((role, path) for role, path in parts.items() if path),
                 *(("style", path) for path in order.styles)]  # fmt: skip
        inputs = [(role, path, read(path)) for role, path in roles]
        contents = [(role, self.world.contents.of(data)) for role, _, data in inputs]
        if any(content is None for _, content in contents):
            yield Refused("a picture is damaged")
            return
        assert order.checkpoint is not None
        first = 1 if self._continues(attempt, order.checkpoint) else 0
        stages = []
        yield Started("simulated", "cpu", ((4, 4),), (STEPS,), step=first)
        if first:
            stages.append(self._staged(order, "stages/1.png", 1, write=False))
            yield stages[-1]
        for step in range(first + 1, STEPS + 1):
            if attempt.wanted in (AttemptRequest.STOP, AttemptRequest.CANCEL):
                yield AttemptStopped(step - 1)
                return
            if attempt.wanted is AttemptRequest.FINISH and step > order.shown_step:
                break
            yield Progress(step, STEPS, (4, 4), loss=1 / step, seconds=step)
            if any(content.is_odd for _, content in contents if content):
                yield Refused("a picture is odd")
                return
            stages.append(self._staged(order, f"stages/{step}.png", step))
            yield stages[-1]
            self._save(order, order.checkpoint)
        yield self._staged(order, "final.png", STEPS)
        is_early = attempt.wanted is AttemptRequest.FINISH
        receipt = {
            "job": order.name,
            "id": attempt.ticket.partition("#")[0],
            "retry_of": order.retry_of,
            "state": "stopped early" if is_early else "done",
            "inputs": [
                {"role": role, "name": path.name, "size": [4, 4],
                 "sha256": hashlib.sha256(data).hexdigest()}
                for role, path, data in inputs
            ],
            "stages": [
                {"file": stage.path, "sha256": stage.sha256, "step": stage.step}
                for stage in stages
            ],
            "files": [],
            "final": "final.png",
            "seed": order.settings.seed or self._job_yaml(order),
            "tokens": [[role, content.token] for role, content in contents if content],
        }  # fmt: skip
        yield self._write(order, "receipt.json", _as_json(receipt), STEPS)
        keep_staged(order.staging, ["."])
        yield Done(receipt)

    def _preview(self, attempt: _Attempt) -> Iterator[Event]:
        """Paint a preview of a try, which has no checkpoint and no receipt."""
        order = attempt.order
        read(order.main)
        content = self.world.contents.of(read(order.styles[0]))
        yield Started("simulated", "cpu", ((4, 4),), (STEPS,), step=0)
        for step in range(1, STEPS + 1):
            if attempt.wanted is not AttemptRequest.GO_ON:
                yield AttemptStopped(step - 1)
                return
            yield Progress(step, STEPS, (4, 4), loss=1 / step, seconds=step)
        if content is None or content.is_odd:
            yield Refused("the style is damaged")
            return
        stage(order.staging, tries.PICTURE, b"a preview")
        yield Done({"state": "done"})

    def _job_yaml(self, order: Order) -> int:
        """Return the token of a job.yaml that states no seed; 0 without one."""
        path = order.main.with_name("job.yaml")
        content = self.world.contents.of(path.read_bytes()) if path.exists() else None
        return content.token if content else 0

    def _is_too_large(self, order: Order) -> bool:
        main = self.world.contents.of(read(order.main))
        return self.world.faults.is_memory_short and main is not None and main.token % 3 > 0

    def _is_unlearned(self, order: Order) -> bool:
        digests = (hashlib.sha256(read(path)).hexdigest() for path in order.styles)
        return order.settings.learn and not self.world.trainings.learned.issuperset(digests)

    @staticmethod
    def _save(order: Order, checkpoint: Path) -> None:
        """Write a checkpoint, which refers to the staged files."""
        keep_staged(order.staging, ["stages"])
        atomic.write(checkpoint, b"after step 1")

    def _continues(self, attempt: _Attempt, checkpoint: Path) -> bool:
        """Return whether an attempt goes on from a checkpoint; remove one that it refuses."""
        try:
            read(checkpoint)
        except FileNotFoundError:
            return False
        if self._happens("refused checkpoint", attempt):  # as one of another recipe, or package
            entries.unlink(checkpoint)
            return False
        return True

    def _staged(self, order: Order, name: str, step: int, *, write: bool = True) -> FileStaged:
        main, style = read(order.main), read(order.styles[0]) if order.styles else b""
        marks = hashlib.sha256(main + style).hexdigest()[:16]
        data = f"{name} of {marks} by {order.settings.seed};".encode()
        return self._write(order, name, data, step, write=write)

    def _write(
        self, order: Order, name: str, data: bytes, step: int, *, write: bool = True
    ) -> FileStaged:
        if name != "receipt.json":
            self.world.outputs.add(data)
        if write:
            stage(order.staging, name, data)
        return FileStaged(name, hashlib.sha256(data).hexdigest(), step)


def _as_json(receipt: Mapping[str, Any]) -> bytes:
    return (json.dumps(receipt, indent=2) + "\n").encode()


def read(path: Path) -> bytes:
    """Return the bytes of a file; raises OSError or InputError."""
    with atomic.open_regular(path) as file:
        return file.read()


def _failed(error: OSError) -> Failed:
    """Return the end of an attempt that met an error of a disk."""
    shortage = shortages.shortage(error)
    if shortage is not None:
        return Failed(str(shortage), Cause.MACHINE)
    return Failed(f"{error.filename}: {error.strerror or error}", Cause.DISK)


@dataclass
class Inspector:
    """An inspection that accepts whole pictures."""

    world: "World"
    post: Callable[[Callable[[], object]], object]

    def ask(self, question: Question, done: Callable[[Answer | Exception], object]) -> None:
        def answer() -> None:
            if self.world.is_held_up(*map(str, question.files)):
                self.world.later(1.0, answer)
            else:
                verdict = self._verdict(question)
                self.post(lambda: done(verdict))

        self.world.later(0.05, answer)

    def end_if_idle(self) -> None:
        """There is no process."""

    def close(self) -> None:
        """There is no process."""

    def _verdict(self, question: Question) -> Answer | Exception:
        pictures = []
        for path in question.files:
            try:
                with self.world.seam.acting("worker"):
                    data = read(path)
            except (OSError, InputError) as error:
                return ShortageError(f"{path.name} cannot be read: {error}")
            content: Content | None = self.world.contents.of(data)
            if content is None:
                return Answer(reason=f"{path.name} is damaged", cause=Cause.PICTURE)
            frames = 24 if content.kind == "mp4" else 1
            digest = hashlib.sha256(data).hexdigest()
            pictures.append(Picture(path.name, digest, (4, 4), frames))
        return Answer(tuple(pictures))
