"""Simulated workers on a thousand devices, in virtual time: the executor of the bench of scale.

Each job takes as long as a measured one, by a virtual clock: it advances by SLICE whenever the
events are read, so events come as fast as they are handled. Files have no bytes.
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
    AttemptRequest,
    Done,
    End,
    Event,
    Lost,
    Order,
    Staged,
)

MEASURED = (0.88, 1.15, 1.24, 1.64, 2.08, 2.16, 2.79, 10.4, 10.9)
"""Seconds of jobs on an NVIDIA H200, from docs/benchmark.md."""

SLICE = 0.1
"""Seconds of the virtual clock between two readings."""

SIZE = (640, 480)

DIGEST = 64 * "a"
"""SHA-256 of every picture, for inspection and workers."""

EMPTY = hashlib.sha256().hexdigest()
"""SHA-256 of a file without bytes."""


@dataclass(frozen=True)
class Script:
    """Events of a simulated job: the number of steps, and the steps between two stages."""

    steps: int = 20
    save_every: int = 10

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that a job writes, the receipt last."""
        stages = range(self.save_every, self.steps + 1, self.save_every)
        return (*(f"stages/{step:04}.png" for step in stages), "final.png", "losses.csv", RECEIPT)


class Fleet:
    """An executor with so many `devices`; `chance` draws how long each job takes."""

    def __init__(
        self, devices: int, script: Script, chance: random.Random, many: bool = False
    ) -> None:
        self.wake: Callable[[], object] = lambda: None
        self.now = 0.0
        """Seconds of the fleet's clock."""
        self._devices, self._script, self._chance, self._many = devices, script, chance, many
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

    def ask(self, ticket: str, wanted: AttemptRequest) -> None:
        """Ignore requests to stop."""

    def drop(self, ticket: str) -> None:
        """End a job."""
        if ticket in self._going:
            self._going[ticket] = iter([(self.now, Lost("it was given up"))])

    def events(self) -> Iterator[AttemptEvent]:
        """Return the events since the last call; the clock advances by SLICE."""
        self.now += SLICE
        events = []
        while self._coming and self._coming[0][0] <= self.now:
            _, _, ticket, event = heapq.heappop(self._coming)
            if isinstance(event, get_args(End)):
                del self._going[ticket]
                left = self._batch.pop(ticket)
                left[0] -= 1
                self._busy -= not left[0]
            else:
                self._advance(ticket)
            events.append(AttemptEvent(ticket, event))
        if self._going:
            self.wake()
        return iter(events)

    def free(self) -> int:
        """Return how many devices are free."""
        return self._devices - self._busy

    def close(self) -> None:
        """Forget all jobs."""
        self._going.clear()

    def _advance(self, ticket: str) -> None:
        """Schedule the next event of a job."""
        at, event = next(self._going[ticket])
        self._count += 1
        heapq.heappush(self._coming, (at, self._count, ticket, event))

    def _paint(self, order: Order, together: int) -> Iterator[tuple[float, Event]]:
        began, takes, script = self.now, self._chance.choice(MEASURED), self._script
        yield began, Started(
            *("sketch", "cuda:0", (SIZE,), (script.steps,)),
            paints_many=self._many, together=together,
        )  # fmt: skip
        files = iter(script.files)
        for step in range(1, script.steps + 1):
            at = began + takes * step / script.steps
            yield at, Progress(step, script.steps, SIZE, loss=1 / step, seconds=at - began)
            if step % script.save_every == 0:
                yield at, _leave(order.staging, next(files), step)
        for name in files:
            yield began + takes, _leave(order.staging, name, script.steps)
        yield began + takes, Done(receipt(order, takes))


def receipt(order: Order, seconds: float) -> dict[str, Any]:
    """Return the parts of a receipt that the daemon reads."""
    inputs = [{"name": path.name, "sha256": DIGEST} for path in (order.main, *order.styles)]
    return {"job": order.name, "state": "done", "inputs": inputs, "seconds": seconds}


def _leave(staging: Path, name: str, step: int) -> Staged:
    path = f"{staging}/{name}"
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    except FileNotFoundError:
        Path(path).parent.mkdir()
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    return Staged(name, EMPTY, step)
