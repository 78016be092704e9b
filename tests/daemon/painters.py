"""Executors that paint nothing: they leave small files, and end as they are told."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import get_args

from stylewatch_daemon.files import atomic
from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.service.pipeline import Pipeline
from stylewatch_daemon.worker.messages import (
    AttemptEvent,
    Done,
    End,
    Event,
    Failed,
    Lost,
    Order,
    Refused,
    Staged,
    Stopped,
    Wanted,
)

Ending = Refused | Failed | Lost | None


@dataclass
class Painter:
    """Two stages, a final picture and a receipt, unless `endings` has another end in store.

    Of `endings` each order takes the first, None for a good one. As a real one does, it keeps a
    checkpoint after the first stage, and goes on from there. Each time that it is listened to,
    every order that is on its way comes one event further.
    """

    endings: list[Ending] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    started_at: list[int] = field(default_factory=list)
    closed: int = 0
    at_once: int = 1
    many: bool = False
    """Whether it says that it paints several at once."""
    device: str = "cpu"
    going: dict[str, Iterator[Event]] = field(default_factory=dict)
    submitted: list[list[str]] = field(default_factory=list)
    """The tickets that came together."""
    wanted: dict[str, Wanted] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.wake: Callable[[], object] = lambda: None

    def submit(self, orders: Mapping[str, Order]) -> None:
        self.submitted.append(list(orders))
        for ticket, order in orders.items():
            self.going[ticket] = self.paint(order, partial(self._wanted, ticket))
        self.wake()

    def ask(self, ticket: str, wanted: Wanted) -> None:
        self.wanted[ticket] = wanted

    def drop(self, ticket: str) -> None:
        self.going[ticket] = iter([Lost("it was given up")])

    def events(self) -> Iterator[AttemptEvent]:
        for ticket, events in list(self.going.items()):
            event = next(events)
            if isinstance(event, get_args(End)):
                del self.going[ticket]
            self.wake()
            yield AttemptEvent(ticket, event)

    def free(self) -> int:
        return self.at_once - sum(bool(self.going.keys() & one) for one in self.submitted)

    def close(self) -> None:
        self.going.clear()
        self.closed += 1

    def _wanted(self, ticket: str) -> Wanted:
        return self.wanted.get(ticket, Wanted.GO_ON)

    def paint(self, order: Order, wanted: Callable[[], Wanted]) -> Iterator[Event]:
        self.orders.append(order)
        assert order.checkpoint is not None
        first = 1 if order.checkpoint.exists() else 0
        self.started_at.append(first)
        together = next(len(one) for one in self.submitted if self.going.keys() & one)
        yield Started(
            *("fake", self.device, ((4, 4),), (2,)),
            step=first, paints_many=self.many, together=together,
        )  # fmt: skip
        if first:  # which an earlier attempt left, and perhaps nobody heard of
            yield announced(order, "stages/1.png", 1)
        for step in range(first + 1, 3):
            if (asked := wanted()) in (Wanted.STOP, Wanted.CANCEL):
                yield Stopped(step - 1)
                return
            if asked is Wanted.FINISH:
                break
            yield Progress(step, 2, (4, 4), loss=1 / step, seconds=step)
            yield self.leave(order, f"stages/{step}.png", step)
            atomic.write(order.checkpoint, b"after step 1")
            ending = self.endings.pop(0) if self.endings else None
            if ending is not None:
                yield ending
                return
        yield self.leave(order, "final.png", 2)
        yield self.leave(order, "receipt.json", 2)
        content = {"name": order.main.name, "size": [4, 4], "sha256": "12ab"}
        yield Done({"job": order.name, "inputs": [content]})

    def leave(self, order: Order, name: str, step: int) -> Staged:
        atomic.make_folder((order.staging / name).parent)
        atomic.write(order.staging / name, made(order, name))
        return announced(order, name, step)


def made(order: Order, name: str) -> bytes:
    """What is in a file of a job."""
    return f"{name} of {order.main.read_text()} and {order.styles[0].read_text()}".encode()


def announced(order: Order, name: str, step: int) -> Staged:
    return Staged(name, hashlib.sha256(made(order, name)).hexdigest(), step)


def go_on(line: Pipeline, again: bool = True) -> None:
    """Paint all that is there, and may be painted now."""
    more = True
    while more or line.busy:
        line.handle_worker_events()
        more = line.start_jobs(again)
        more = line.finish_jobs() or more
        more = line.claim() or more
    line.update_status_if_changed(resting=True)
