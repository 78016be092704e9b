"""Orders that come together: each has its own files and End, as if it were alone."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from tests.daemon.worker.orders import files, order, painted, receipt

from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.worker import batch, checkpoint, prepare, run_job
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
from stylewatch_daemon.worker.recorder import Recorder
from stylewatch_painter.errors import DivergedError
from stylewatch_painter.images import read as image
from stylewatch_painter.images.read import Picture
from stylewatch_painter.images.reduced import Enough
from stylewatch_plugins import numpy_loop, registry
from stylewatch_plugins.contract import Stage, Step, Task, Wish
from stylewatch_plugins.sketch import Sketch
from stylewatch_plugins.testing.tasks import after

Ask = Callable[[], Wish]
Steps = Iterator[tuple[int, Step | Exception]]


@pytest.fixture
def orders(tmp_path: Path, pictures: Path) -> list[Order]:
    """Three of one size, each with its own strength, seed and stages."""
    settings: list[dict[str, Any]] = [{"strength": 0.8}, {"seed": 7}, {"save_every": 3}]
    return [order(tmp_path / f"job-{n}", pictures, **own) for n, own in enumerate(settings)]


def with_settings(given: Order, **settings: Any) -> Order:
    return replace(given, settings=given.settings.model_copy(update=settings))


def together(orders: Sequence[Order], *wishes: Sequence[Wish]) -> list[list[Event]]:
    """The events of each; `wishes` are those of the first, the second ... after step 1, 2 ..."""
    events: list[list[Event]] = [[] for _ in orders]
    asks = [chain(list(own), repeat(Wish.GO_ON)) for own in (*wishes, *repeat((), len(orders)))]
    for index, event in batch.work(orders, [ask.__next__ for ask in asks[: len(orders)]]):
        events[index].append(event)
    assert all(isinstance(own[-1], get_args(End)) for own in events)
    assert sum(isinstance(event, get_args(End)) for event in chain(*events)) == len(orders)
    return events


def starts(events: Sequence[Event]) -> list[tuple[int, int]]:
    """How many ran at once at each start, and for how many there was no memory."""
    return [(event.together, event.too_many) for event in events if isinstance(event, Started)]


def left_by(given: Order) -> dict[str, Any]:
    """The files of an order, without the number of jobs that ran at once."""
    found: dict[str, Any] = dict(files(given))
    record = json.loads(found["receipt.json"])
    record["attempts"][-1]["decided"].pop("batch", None)
    return {**found, "receipt.json": record}


def alone(given: Order, folder: Path) -> dict[str, Any]:
    """The files that an order leaves if it runs by itself."""
    other = replace(given, staging=folder / "staging", checkpoint=folder / "checkpoint.npz")
    other.staging.mkdir(parents=True)
    painted(other)
    return left_by(other)


def test_each_leaves_the_same_files_as_alone(orders: list[Order], tmp_path: Path) -> None:
    for number, (given, events) in enumerate(zip(orders, together(orders), strict=True)):
        assert starts(events) == [(3, 0)]
        assert isinstance(events[0], Started) and events[0].paints_many
        assert receipt(given)["attempts"][-1]["decided"]["batch"] == 3
        assert left_by(given) == alone(given, tmp_path / f"alone-{number}")
    fresh = replace(orders[0], checkpoint=None)
    (events,) = together([fresh])
    assert starts(events) == [(1, 0)]
    assert "batch" not in receipt(fresh)["attempts"][-1]["decided"]


def test_bad_inputs_and_settings_are_refused_and_the_others_run(
    orders: list[Order], pictures: Path
) -> None:
    bad = pictures / "bad.jpg"
    bad.write_text("this is no picture")
    wrong = [replace(orders[1], content=bad), with_settings(orders[1], steps=0)]
    first, second, third, fourth = together([orders[0], wrong[0], orders[2], wrong[1]])
    assert isinstance(second[-1], Refused)
    assert isinstance(fourth[-1], Refused)
    assert "only measures" in fourth[-1].reason
    assert isinstance(third[-1], Done)
    assert receipt(orders[0])["attempts"][-1]["decided"]["batch"] == 2
    fresh = replace(orders[0], checkpoint=None)
    first, _ = together([fresh, wrong[0]])
    assert starts(first) == [(1, 0)]
    assert isinstance(first[-1], Done)


def test_a_stopped_order_ends_at_its_step_and_continues_alone(
    orders: list[Order], tmp_path: Path
) -> None:
    wishes = iter(after(3, Wish.STOP))
    asks: list[Ask] = [lambda: next(wishes, Wish.GO_ON), *[lambda: Wish.GO_ON] * 2]
    events = list(batch.work(orders, asks))
    at = events.index((0, Stopped(3)))
    assert sum(isinstance(event, Done) for _, event in events[at:]) == 2
    again, _ = together([orders[0], orders[1]])
    assert starts(again) == [(1, 0)]
    assert isinstance(again[0], Started) and again[0].step == 3
    assert isinstance(again[-1], Done)
    assert left_by(orders[0]) == alone(orders[0], tmp_path / "alone")


def in_bunches(self: Sketch, tasks: Sequence[Task], wishes: Sequence[Ask]) -> Steps:
    """Make steps, and ask for wishes, ahead of what is yielded, as a GPU does."""

    def bunched(steps: Iterator[Step]) -> Iterator[Step]:
        bunch = list[Step]()
        for step in steps:
            bunch.append(step)
            if isinstance(step, Stage) or step.checkpoint is not None:
                yield from bunch
                bunch.clear()

    return numpy_loop.by_turns([bunched(steps) for steps in map(self.paint, tasks, wishes)])


def test_an_order_whose_steps_come_in_bunches_stops_after_the_last_of_them(
    orders: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sketch, "paint_many", in_bunches)
    events = together(orders[::-1], after(5, Wish.STOP))  # after a stage at step 3
    assert events[0][-1] == Stopped(5)
    assert run_job.load_snapshot(orders[2]).record["step"] == 5
    assert all(isinstance(own[-1], Done) for own in events[1:])


def test_an_order_that_is_finished_early_does_not_end_the_others(orders: list[Order]) -> None:
    events = together(orders, after(4, Wish.FINISH))
    assert [receipt(given)["state"] for given in orders] == ["finished", "done", "done"]
    assert len([event for event in events[0] if isinstance(event, Progress)]) == 4


def test_an_order_whose_files_cannot_be_written_ends_alone(orders: list[Order]) -> None:
    orders[1].staging.rmdir()
    events = together(orders)
    assert isinstance(events[1][-1], Failed)
    assert events[1][-1].exit_code == 73
    assert len([event for event in events[1] if isinstance(event, Progress)]) == 2
    assert isinstance(events[2][-1], Done)


def test_an_error_in_place_of_a_step_ends_that_order(
    orders: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    def paint_many(self: Sketch, tasks: Sequence[Task], wishes: Sequence[Ask]) -> Steps:
        yield 1, DivergedError("the loss was no longer a number")
        others = numpy_loop.by_turns([self.paint(tasks[n], wishes[n]) for n in (0, 2)])
        yield from ((2 * number, step) for number, step in others)

    monkeypatch.setattr(Sketch, "paint_many", paint_many)
    events = together(orders)
    assert events[1][-1] == Refused("the loss was no longer a number")
    assert [type(own[-1]) for own in events] == [Done, Refused, Done]


def test_an_error_of_the_backend_ends_all(
    orders: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    def paint_many(self: Sketch, tasks: Sequence[Task], wishes: Sequence[Ask]) -> Steps:
        yield 0, next(self.paint(tasks[0], wishes[0]))
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Sketch, "paint_many", paint_many)
    for events in together(orders):
        assert isinstance(events[-1], Failed)
        assert "ZeroDivisionError" in events[-1].trace


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
    of_all: bool, orders: list[Order], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sketch, "paint_many", runs_out(of_all))
    events = together(orders)
    assert all(isinstance(own[-1], Done) for own in events)
    expected = [[(3, 0), *[(1, 3)] * (of_all or number == 2)] for number in range(3)]
    assert list(map(starts, events)) == expected
    for number, given in enumerate(orders):
        assert left_by(given) == alone(given, tmp_path / f"alone-{number}")


def test_an_order_whose_pictures_need_too_much_memory_runs_alone(
    orders: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    is_full = [True]

    def read(path: Path, *, max_pixels: int, enough: Enough) -> Picture:
        if path == orders[1].content and is_full:
            is_full.pop()
            raise MemoryError
        return image.read(path, max_pixels=max_pixels, enough=enough)

    orders[1] = replace(orders[1], content=orders[1].main.with_name("sea.jpg"))
    orders[0].main.with_name("sea.jpg").write_bytes(orders[0].main.read_bytes())
    monkeypatch.setattr(prepare, "read", read)
    events = together(orders)
    assert all(isinstance(own[-1], Done) for own in events)
    assert starts(events[1]) == [(1, 3)]


def test_an_order_that_is_to_stop_is_not_begun_again(
    orders: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sketch, "paint_many", runs_out(of_all=True))
    monkeypatch.setattr(run_job, "CHECKPOINT_COST", 0.0)
    events = together(orders, [], after(3, Wish.STOP))
    assert len(starts(events[1])) == 1
    assert events[1][-1] == Stopped(2)  # the step of its checkpoint
    assert isinstance(events[2][-1], Done)


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


def test_a_missing_backend_fails_each(orders: list[Order]) -> None:
    for (end,) in together([with_settings(given, backend="skech") for given in orders]):
        assert isinstance(end, Failed)
        assert "no backend 'skech'" in end.reason


def test_a_checkpoint_of_another_job_does_not_matter(orders: list[Order]) -> None:
    assert orders[0].checkpoint is not None
    checkpoint.save(orders[0].checkpoint, checkpoint.Snapshot({}, {"step": 3}))
    first, second, _ = together(orders)
    assert isinstance(first[-1], Done)
    assert starts(second) == [(2, 0)]


def test_stages_are_encoded_while_others_run(
    orders: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is encoded before all jobs are at their fourth step."""
    further, waited, encoded = threading.Event(), list[bool](), Recorder.encoded

    def slow(self: Recorder, stage: Stage) -> bytes:
        waited.append(further.wait(timeout=60.0))
        return encoded(self, stage)

    monkeypatch.setattr(Recorder, "encoded", slow)
    events = list[tuple[int, Event]]()
    without = [replace(given, checkpoint=None) for given in orders]
    for index, event in batch.work(without, [lambda: Wish.GO_ON] * 3):
        events.append((index, event))
        if isinstance(event, Progress) and (index, event.step) == (2, 4):
            further.set()
    assert waited and all(waited)
    assert [type(event) for _, event in events].count(Done) == 3
    paths = [event.path for index, event in events if index == 0 and isinstance(event, Staged)]
    assert paths[:-2:2] == [f"stages/000{step}.png" for step in (2, 4, 6, 8)]


def test_a_style_of_several_orders_is_in_memory_once(
    orders: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = list[int]()
    paint_many = Sketch.paint_many

    def count(self: Sketch, tasks: Sequence[Task], wishes: Sequence[Ask]) -> Steps:
        counts.append(len({id(style.picture) for task in tasks for style in task.styles}))
        return paint_many(self, tasks, wishes)

    monkeypatch.setattr(Sketch, "paint_many", count)
    together(orders)
    assert counts == [1]
