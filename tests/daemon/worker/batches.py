"""Orders that come together, for tests: what comes of them, and what of each alone."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any, get_args

import torch
from tests.daemon.worker.orders import files, painted

from stylewatch_daemon.worker import batch
from stylewatch_daemon.worker.contract import End, Event, Order
from stylewatch_plugins import numpy_loop
from stylewatch_plugins.contract import Stage, Step, Task, Wish
from stylewatch_plugins.sketch import Sketch

Ask = Callable[[], Wish]
Yielded = Iterator[tuple[int, Step | Exception]]


def together(orders: Sequence[Order], *wishes: Sequence[Wish]) -> list[list[Event]]:
    """The events of each; `wishes` are those of the first, the second ... after step 1, 2 ..."""
    said: list[list[Event]] = [[] for _ in orders]
    each = [chain(list(one), repeat(Wish.GO_ON)) for one in (*wishes, *repeat((), len(orders)))]
    for index, event in batch.work(orders, [one.__next__ for one in each[: len(orders)]]):
        said[index].append(event)
    assert all(isinstance(events[-1], get_args(End)) for events in said)
    assert sum(isinstance(event, get_args(End)) for event in chain(*said)) == len(orders)
    return said


def left_by(given: Order) -> dict[str, Any]:
    """What is in each of its files, but for how many were painted at once."""
    found: dict[str, Any] = dict(files(given))
    told = json.loads(found["receipt.json"])
    told["attempts"][-1]["decided"].pop("batch", None)
    return {**found, "receipt.json": told}


def alone(given: Order, folder: Path) -> dict[str, Any]:
    """What it comes to by itself."""
    other = replace(given, staging=folder / "staging", checkpoint=folder / "checkpoint.npz")
    other.staging.mkdir(parents=True)
    painted(other)
    return left_by(other)


def runs_out(
    of_all: bool,
) -> Callable[[Sketch, Sequence[Task], Sequence[Ask]], Yielded]:
    """Several have no memory after two steps each: all at once, or the last of them."""

    def paint_many(self: Sketch, tasks: Sequence[Task], wishes: Sequence[Ask]) -> Yielded:
        error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        for which, said in numpy_loop.by_turns(list(map(self.paint, tasks, wishes))):
            if isinstance(said, Exception) or said.step <= 2:
                yield which, said
            elif of_all:
                raise error
            else:
                yield which, error if which == len(tasks) - 1 else said

    return paint_many


def in_bunches(self: Sketch, tasks: Sequence[Task], wishes: Sequence[Ask]) -> Yielded:
    """Steps are made, and wishes asked for, ahead of what is told, as a GPU likes it."""

    def bunched(steps: Iterator[Step]) -> Iterator[Step]:
        held = list[Step]()
        for step in steps:
            held.append(step)
            if isinstance(step, Stage) or step.checkpoint is not None:
                yield from held
                held.clear()

    return numpy_loop.by_turns([bunched(steps) for steps in map(self.paint, tasks, wishes)])
