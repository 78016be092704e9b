"""Orders that come together: each has its own files and End, as if it were alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from PIL import Image
from tests.daemon.worker.orders import files, order, painted, receipt, with_settings

from stylewatch_daemon.base.model import Cause, Progress, Started
from stylewatch_daemon.worker import batch, checkpoint
from stylewatch_daemon.worker.messages import (
    Done,
    End,
    Event,
    Failed,
    Order,
    Refused,
    Staged,
    Stopped,
)
from stylewatch_painter.errors import DivergedError
from stylewatch_painter.images import reduced
from stylewatch_plugins import numpy_loop, registry
from stylewatch_plugins.contract import Step, Task, Wish
from stylewatch_plugins.sketch import Sketch
from stylewatch_plugins.testing.tasks import after

Ask = Callable[[], Wish]
Steps = Iterator[tuple[int, Step | Exception]]


@pytest.fixture
def orders(tmp_path: Path, pictures: Path) -> list[Order]:
    """Three of one size, each with its own strength, seed and stages."""
    settings: list[dict[str, Any]] = [
        {"strength": 0.8}, {"seed": 7}, {"save_every": 3, "save_start": True}
    ]  # fmt: skip
    return [order(tmp_path / f"job-{n}", pictures, **own) for n, own in enumerate(settings)]


def together(orders: Sequence[Order], *wishes: Sequence[Wish]) -> list[list[Event]]:
    """The events of each; `wishes` are those of the first, the second ... after step 1, 2 ..."""
    events: list[list[Event]] = [[] for _ in orders]
    asks = [chain(list(own), repeat(Wish.GO_ON)) for own in (*wishes, *repeat((), len(orders)))]
    for index, event in batch.work(orders, [ask.__next__ for ask in asks[: len(orders)]]):
        events[index].append(event)
    for own in events:
        assert [event for event in own if isinstance(event, End)] == own[-1:]
    return events


def starts(events: Sequence[Event]) -> list[tuple[int, int]]:
    """How many ran at once at each start, and for how many there was no memory."""
    return [(event.together, event.too_many) for event in events if isinstance(event, Started)]


def left_by(given: Order) -> dict[str, Any]:
    """The files of an order, without the number of jobs that ran at once."""
    contents = files(given)
    contents["receipt.json"]["attempts"][-1]["decided"].pop("batch", None)
    return contents


def alone(given: Order) -> dict[str, Any]:
    """The files that an order leaves if it runs by itself."""
    folder = given.staging.parent / "alone"
    other = replace(given, staging=folder / "staging", checkpoint=folder / "checkpoint.npz")
    other.staging.mkdir(parents=True)
    painted(other)
    return left_by(other)


def test_each_leaves_the_same_files_as_alone(orders: list[Order]) -> None:
    for given, events in zip(orders, together(orders), strict=True):
        assert starts(events) == [(3, 0)]
        assert receipt(given)["attempts"][-1]["decided"]["batch"] == 3
        assert left_by(given) == alone(given)


def test_bad_inputs_and_settings_are_refused_and_the_others_run(
    orders: list[Order], pictures: Path
) -> None:
    bad = replace(orders[1], content=pictures / "bad.jpg")
    bad.main.write_text("this is no picture")
    wrong = with_settings(orders[1], steps=0)
    first, second, third, fourth = together([orders[0], bad, orders[2], wrong])
    assert isinstance(second[-1], Refused)
    assert isinstance(fourth[-1], Refused)
    assert "only measures" in fourth[-1].reason
    assert starts(first) == starts(third) == [(2, 0)]
    assert isinstance(third[-1], Done)
    first, _ = together([replace(orders[0], checkpoint=None), bad])
    assert starts(first) == [(1, 0)]
    assert "batch" not in receipt(orders[0])["attempts"][-1]["decided"]


def test_a_stopped_order_ends_at_its_step_and_continues_alone(orders: list[Order]) -> None:
    wishes = iter(after(3, Wish.STOP))
    asks: list[Ask] = [lambda: next(wishes, Wish.GO_ON), *[lambda: Wish.GO_ON] * 2]
    events = list(batch.work(orders, asks))
    at = events.index((0, Stopped(3)))
    assert sum(isinstance(event, Done) for _, event in events[at:]) == 2
    paths = [event.path for index, event in events if index == 1 and isinstance(event, Staged)]
    assert paths[:-2:2] == [f"stages/000{step}.png" for step in (2, 4, 6, 8)]
    again, _ = together(orders[:2])
    assert starts(again) == [(1, 0)]
    assert isinstance(again[0], Started) and again[0].step == 3
    assert left_by(orders[0]) == alone(orders[0])


def test_a_single_order_reads_its_checkpoint_once(
    orders: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    together(orders[:1], after(4, Wish.STOP))
    read = Mock(side_effect=checkpoint.load)
    monkeypatch.setattr(checkpoint, "load", read)
    (again,) = together(orders[:1])
    assert isinstance(again[0], Started) and again[0].step == 3
    assert read.call_count == 1


def test_an_order_whose_files_cannot_be_written_ends_alone(orders: list[Order]) -> None:
    orders[1].staging.rmdir()
    events = together(orders)
    assert isinstance(events[1][-1], Failed)
    assert events[1][-1].cause is Cause.DISK
    assert len([event for event in events[1] if isinstance(event, Progress)]) == 2
    assert isinstance(events[2][-1], Done)


def test_an_error_in_place_of_a_step_ends_that_order_and_one_of_the_backend_all(
    orders: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    def paint_many(self: Sketch, tasks: Sequence[Task], wishes: Sequence[Ask]) -> Steps:
        shared = {id(style.picture) for task in tasks for style in task.styles}
        assert len(shared) == 1, "a style of several orders is in memory once"
        yield 1, DivergedError("the loss is no longer a number")
        yield 0, next(self.paint(tasks[0], wishes[0]))
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Sketch, "paint_many", paint_many)
    events = together(orders)
    assert events[1][-1] == Refused("the loss is no longer a number")
    for number in (0, 2):
        end = events[number][-1]
        assert isinstance(end, Failed)
        assert "ZeroDivisionError: a bug" in end.trace


def test_a_style_that_is_decoded_at_two_sizes_is_two_pictures(
    orders: list[Order], pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a batch, too, each order has its own."""
    Image.new("RGB", (200, 160), (90, 20, 20)).save(pictures / "style.jpg")
    shapes: list[tuple[int, ...]] = []

    def paint_many(self: Sketch, tasks: Sequence[Task], wishes: Sequence[Ask]) -> Steps:
        shapes.extend(style.picture.shape for task in tasks for style in task.styles)
        return numpy_loop.by_turns(list(map(self.paint, tasks, wishes)))

    monkeypatch.setattr(Sketch, "paint_many", paint_many)
    monkeypatch.setattr(reduced, "WHOLE", 100)
    together([orders[0], with_settings(orders[1], style_size="64"), orders[2]])
    assert shapes == [(80, 100, 3), (160, 200, 3), (80, 100, 3)]


def runs_out(of_all: bool) -> Callable[[Sketch, Sequence[Task], Sequence[Ask]], Steps]:
    """No memory for several after two steps each: for all at once, or for the last of them."""

    def paint_many(self: Sketch, tasks: Sequence[Task], wishes: Sequence[Ask]) -> Steps:
        error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        for number, step in numpy_loop.by_turns(list(map(self.paint, tasks, wishes))):
            if isinstance(step, Exception) or step.step <= 2:
                yield number, step
            elif of_all:
                raise error
            else:
                yield number, error if number == len(tasks) - 1 else step

    return paint_many


@pytest.mark.parametrize("of_all", [True, False])
def test_orders_without_memory_run_alone(
    of_all: bool, orders: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sketch, "paint_many", runs_out(of_all))
    events = together(orders)
    assert all(isinstance(own[-1], Done) for own in events)
    expected = [[(3, 0), *[(1, 3)] * (of_all or number == 2)] for number in range(3)]
    assert list(map(starts, events)) == expected
    for given in orders:
        assert left_by(given) == alone(given)


def test_a_backend_for_one_at_a_time_runs_them_in_turn(
    orders: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    class OneAtATime:
        def __init__(self, options: Mapping[str, object]) -> None:
            self._sketch = Sketch(options)

        def __getattr__(self, name: str) -> Any:
            if name == "paint_many":
                raise AttributeError(name)
            return getattr(self._sketch, name)

    monkeypatch.setattr(registry, "load", lambda name, options: OneAtATime(options))
    given = [orders[0], with_settings(orders[1], steps=0), orders[2]]
    events = [
        (index, type(event))
        for index, event in batch.work(given, [lambda: Wish.GO_ON] * 3)
        if isinstance(event, Started | Refused | Done)
    ]
    assert events == [(0, Started), (0, Done), (1, Refused), (2, Started), (2, Done)]
