"""A thousand devices that paint nothing: an executor in virtual time, for the bench of scale.

Each painting takes as long as a measured one, by a clock that is no real one: each time that the
fleet is listened to, SLICE of its seconds are over, and all that happened in them is heard. So
events come as fast as they are taken. Files are left as workers leave them, without their bytes.
"""

import hashlib
import heapq
import os
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.outbox.publish import RECEIPT
from stylewatch_daemon.worker.messages import (
    AttemptEvent,
    Done,
    End,
    Event,
    Lost,
    Order,
    Staged,
    Wanted,
)

MEASURED = (0.88, 1.15, 1.24, 1.64, 2.08, 2.16, 2.79, 10.4, 10.9)
"""Seconds of paintings on an NVIDIA H200, as docs/benchmark.md has them."""

SLICE = 0.1
"""Seconds of the fleet's clock from one listening to the next."""

SIZE = (640, 480)

DIGEST = 64 * "a"
"""Of every picture: intake and workers find the same."""

EMPTY = hashlib.sha256().hexdigest()
"""SHA-256 of a file without bytes, as announced."""


@dataclass(frozen=True)
class Told:
    """Events of a simulated job: the number of steps, and the steps between two stages."""

    steps: int = 20
    save_every: int = 10

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that a job writes, the receipt last."""
        stages = range(self.save_every, self.steps + 1, self.save_every)
        return (*(f"stages/{step:04}.png" for step in stages), "final.png", "losses.csv", RECEIPT)


class Fleet:
    """So many `devices`; how long each painting takes is drawn by `chance`."""

    def __init__(self, devices: int, told: Told, chance: random.Random, many: bool = False) -> None:
        self.wake: Callable[[], object] = lambda: None
        self.now = 0.0
        """Seconds of the fleet's clock."""
        self._devices, self._told, self._chance, self._many = devices, told, chance, many
        self._going: dict[str, Iterator[tuple[float, Event]]] = {}
        self._batch: dict[str, list[int]] = {}
        self._busy = 0
        self._coming: list[tuple[float, int, str, Event]] = []
        self._count = 0

    def submit(self, orders: Mapping[str, Order]) -> None:
        """Begin them, on one device."""
        left = [len(orders)]
        self._busy += 1
        for ticket, order in orders.items():
            self._batch[ticket] = left
            self._going[ticket] = self._paint(order, len(orders))
            self._advance(ticket)
        self.wake()

    def ask(self, ticket: str, wanted: Wanted) -> None:
        """Nobody asks anything here."""

    def drop(self, ticket: str) -> None:
        """End it."""
        if ticket in self._going:
            self._going[ticket] = iter([(self.now, Lost("it was given up"))])

    def events(self) -> Iterator[AttemptEvent]:
        """Return the events since the last call; the clock advances by SLICE."""
        self.now += SLICE
        told = []
        while self._coming and self._coming[0][0] <= self.now:
            _, _, ticket, event = heapq.heappop(self._coming)
            if isinstance(event, get_args(End)):
                del self._going[ticket]
                left = self._batch.pop(ticket)
                left[0] -= 1
                self._busy -= not left[0]
            else:
                self._advance(ticket)
            told.append(AttemptEvent(ticket, event))
        if self._going:
            self.wake()
        return iter(told)

    def free(self) -> int:
        """How many devices have nothing to do."""
        return self._devices - self._busy

    def close(self) -> None:
        """Nobody is at work any more."""
        self._going.clear()

    def _advance(self, ticket: str) -> None:
        """Have the next event of a painting come in its time."""
        at, event = next(self._going[ticket])
        self._count += 1
        heapq.heappush(self._coming, (at, self._count, ticket, event))

    def _paint(self, order: Order, together: int) -> Iterator[tuple[float, Event]]:
        began, takes, told = self.now, self._chance.choice(MEASURED), self._told
        yield began, Started(
            *("sketch", "cuda:0", (SIZE,), (told.steps,)),
            paints_many=self._many, together=together,
        )  # fmt: skip
        files = iter(told.files)
        for step in range(1, told.steps + 1):
            at = began + takes * step / told.steps
            yield at, Progress(step, told.steps, SIZE, loss=1 / step, seconds=at - began)
            if step % told.save_every == 0:
                yield at, _leave(order.staging, next(files), step)
        for name in files:
            yield began + takes, _leave(order.staging, name, told.steps)
        yield began + takes, Done(receipt(order, takes))


def receipt(order: Order, seconds: float) -> dict[str, Any]:
    """As much of a receipt as the daemon reads."""
    inputs = [{"name": one.name, "sha256": DIGEST} for one in (order.main, *order.styles)]
    return {"job": order.name, "state": "done", "inputs": inputs, "seconds": seconds}


def _leave(staging: Path, name: str, step: int) -> Staged:
    path = f"{staging}/{name}"
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    except FileNotFoundError:
        Path(path).parent.mkdir()
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    return Staged(name, EMPTY, step)
