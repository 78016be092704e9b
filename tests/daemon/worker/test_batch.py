"""Orders that come together: each with its own files and its own end, as if it were alone."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.worker.batches import Ask, Yielded, alone, in_bunches, left_by, runs_out, together
from tests.daemon.worker.orders import order, receipt

from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.worker import batch, checkpoint, prepare, run_job
from stylewatch_daemon.worker.contract import Done, Event, Failed, Order, Refused, Staged, Stopped
from stylewatch_daemon.worker.recorder import Recorder
from stylewatch_painter.errors import DivergedError
from stylewatch_painter.images import read as image
from stylewatch_painter.images.read import Picture
from stylewatch_painter.images.reduced import Enough
from stylewatch_plugins import numpy_loop, registry
from stylewatch_plugins.contract import Stage, Task, Wish
from stylewatch_plugins.sketch import Sketch
from stylewatch_plugins.testing.tasks import after


@pytest.fixture
def orders(tmp_path: Path, pictures: Path) -> list[Order]:
    """Three of one size, each with its own strength, seed and stages."""
    each: list[dict[str, Any]] = [{"strength": 0.8}, {"seed": 7}, {"save_every": 3}]
    return [order(tmp_path / f"job-{n}", pictures, **own) for n, own in enumerate(each)]


def test_each_leaves_what_it_leaves_alone_and_says_how_many_there_were(
    orders: list[Order], tmp_path: Path
) -> None:
    said = together(orders)
    for number, (given, (started, *_, end)) in enumerate(zip(orders, said, strict=True)):
        assert isinstance(started, Started)
        assert (started.together, started.paints_many, started.too_many) == (3, True, 0)
        assert isinstance(end, Done)
        assert receipt(given)["attempts"][-1]["decided"]["batch"] == 3
        assert left_by(given) == alone(given, tmp_path / f"alone-{number}")


def test_they_are_painted_at_once(orders: list[Order]) -> None:
    steps = [
        (event.step, index)
        for index, event in batch.work(orders, [lambda: Wish.GO_ON] * 3)
        if isinstance(event, Progress)
    ]
    assert steps == sorted(steps)


def test_one_alone_says_nothing_of_others(orders: list[Order]) -> None:
    ((started, *_),) = together(orders[:1])
    assert isinstance(started, Started)
    assert (started.together, started.paints_many) == (1, True)
    assert "batch" not in receipt(orders[0])["attempts"][-1]["decided"]


def test_what_cannot_be_painted_is_refused_and_the_others_are_painted(
    orders: list[Order], pictures: Path
) -> None:
    bad = pictures / "bad.jpg"
    bad.write_text("this is no picture")
    none = orders[1].settings.model_copy(update={"steps": 0})
    given = [
        orders[0],
        replace(orders[1], content=bad),
        orders[2],
        replace(orders[1], settings=none),
    ]
    *_, third, fourth = said = together(given)
    assert isinstance(said[1][-1], Refused)
    assert isinstance(fourth[-1], Refused)
    assert "only measures" in fourth[-1].reason
    assert isinstance(third[-1], Done)
    assert receipt(orders[0])["attempts"][-1]["decided"]["batch"] == 2


def test_where_only_one_can_be_painted_it_is_painted_alone(orders: list[Order]) -> None:
    absent = replace(orders[1], content=orders[1].main.with_name("absent.jpg"))
    (started, *_, end), _ = together([orders[0], absent])
    assert isinstance(started, Started)
    assert started.together == 1
    assert isinstance(end, Done)


def test_one_that_is_stopped_ends_at_that_step_and_goes_on_from_there_alone(
    orders: list[Order], tmp_path: Path
) -> None:
    seen = list[tuple[int, Event]]()
    wishes = [iter(after(3, Wish.STOP))]
    asks: list[Ask] = [lambda: next(wishes[0], Wish.GO_ON), *[lambda: Wish.GO_ON] * 2]
    seen += batch.work(orders, asks)
    at = seen.index((0, Stopped(3)))
    assert sum(isinstance(event, Done) for _, event in seen[at:]) == 2
    (started, *_, end), _ = together([orders[0], orders[1]])
    assert isinstance(started, Started)
    assert (started.step, started.together) == (3, 1)
    assert isinstance(end, Done)
    assert left_by(orders[0]) == alone(orders[0], tmp_path / "alone")


def test_one_whose_steps_are_told_several_at_a_time_is_stopped_after_the_last_of_them(
    orders: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sketch, "paint_many", in_bunches)
    said = together(orders[::-1], after(5, Wish.STOP))  # after a stage at step 3
    assert said[0][-1] == Stopped(5)
    assert run_job.load_snapshot(orders[2]).record["step"] == 5
    assert all(isinstance(events[-1], Done) for events in said[1:])


def test_one_that_is_finished_early_leaves_the_others_going(orders: list[Order]) -> None:
    said = together(orders, after(4, Wish.FINISH))
    assert [receipt(one)["state"] for one in orders] == ["finished", "done", "done"]
    assert len([event for event in said[0] if isinstance(event, Progress)]) == 4


def test_one_whose_files_cannot_be_written_is_told_to_stop_and_the_others_go_on(
    orders: list[Order],
) -> None:
    orders[1].staging.rmdir()
    said = together(orders)
    assert isinstance(said[1][-1], Failed)
    assert said[1][-1].exit_code == 73
    assert len([event for event in said[1] if isinstance(event, Progress)]) == 2
    assert isinstance(said[2][-1], Done)


def test_what_goes_wrong_with_one_is_the_end_of_that_one(
    orders: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    def paint_many(self: Sketch, tasks: Sequence[Task], wishes: Sequence[Ask]) -> Yielded:
        yield 1, DivergedError("the loss was no longer a number")
        rest = numpy_loop.by_turns([self.paint(tasks[n], wishes[n]) for n in (0, 2)])
        yield from ((2 * which, said) for which, said in rest)

    monkeypatch.setattr(Sketch, "paint_many", paint_many)
    said = together(orders)
    assert said[1][-1] == Refused("the loss was no longer a number")
    assert [type(events[-1]) for events in said] == [Done, Refused, Done]


def test_what_goes_wrong_with_all_is_told_of_each(
    orders: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    def paint_many(self: Sketch, tasks: Sequence[Task], wishes: Sequence[Ask]) -> Yielded:
        yield 0, next(self.paint(tasks[0], wishes[0]))
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Sketch, "paint_many", paint_many)
    for events in together(orders):
        assert isinstance(events[-1], Failed)
        assert "ZeroDivisionError" in events[-1].trace


@pytest.mark.parametrize("of_all", [True, False])
def test_those_that_memory_does_not_suffice_for_at_once_are_painted_alone(
    of_all: bool, orders: list[Order], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sketch, "paint_many", runs_out(of_all))
    said = together(orders)
    assert all(isinstance(events[-1], Done) for events in said)
    again = [
        [(event.together, event.too_many) for event in events if isinstance(event, Started)]
        for events in said
    ]
    assert again == [[(3, 0), *[(1, 3)] * (of_all or number == 2)] for number in range(3)]
    for number, given in enumerate(orders):
        assert left_by(given) == alone(given, tmp_path / f"alone-{number}")


def test_one_whose_pictures_memory_did_not_suffice_for_beside_others_is_painted_alone(
    orders: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    full = [True]

    def read(path: Path, *, max_pixels: int, enough: Enough) -> Picture:
        if path == orders[1].content and full:
            full.pop()
            raise MemoryError
        return image.read(path, max_pixels=max_pixels, enough=enough)

    orders[1] = replace(orders[1], content=orders[1].main.with_name("sea.jpg"))
    orders[0].main.with_name("sea.jpg").write_bytes(orders[0].main.read_bytes())
    monkeypatch.setattr(prepare, "read", read)
    said = together(orders)
    assert all(isinstance(events[-1], Done) for events in said)
    begun = [event for event in said[1] if isinstance(event, Started)]
    assert [(event.together, event.too_many) for event in begun] == [(1, 3)]


def test_one_that_waits_to_be_painted_alone_and_is_to_stop_is_not_begun(
    orders: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sketch, "paint_many", runs_out(of_all=True))
    monkeypatch.setattr(run_job, "CHECKPOINT_COST", 0.0)
    said = together(orders, [], after(3, Wish.STOP))
    assert [type(event) for event in said[1]].count(Started) == 1
    assert said[1][-1] == Stopped(2)  # where its checkpoint stands
    assert isinstance(said[2][-1], Done)


def test_a_backend_that_paints_one_at_a_time_paints_them_in_turn(
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
    bad = replace(orders[1], settings=orders[1].settings.model_copy(update={"steps": 0}))
    said = [
        (index, type(event))
        for index, event in batch.work([orders[0], bad, orders[2]], [lambda: Wish.GO_ON] * 3)
        if isinstance(event, Started | Refused | Done)
    ]
    assert said == [(0, Started), (0, Done), (1, Refused), (2, Started), (2, Done)]


def test_without_a_backend_each_is_told_so(orders: list[Order]) -> None:
    strange = [
        replace(one, settings=one.settings.model_copy(update={"backend": "skech"}))
        for one in orders
    ]
    for (end,) in together(strange):
        assert isinstance(end, Failed)
        assert "no backend 'skech'" in end.reason


def test_what_is_a_checkpoint_of_another_painting_is_no_hindrance(orders: list[Order]) -> None:
    given = orders[0]
    assert given.checkpoint is not None
    checkpoint.save(given.checkpoint, checkpoint.Snapshot({}, {"step": 3}))
    (_, *_, first), (started, *_), _ = together(orders)
    assert isinstance(first, Done)
    assert isinstance(started, Started)
    assert started.together == 2


def test_files_are_made_of_pictures_while_others_are_painted(
    orders: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is made before all of them are at their fourth step."""
    further, waited, encoded = threading.Event(), list[bool](), Recorder.encoded

    def slow(self: Recorder, stage: Stage) -> bytes:
        waited.append(further.wait(timeout=60.0))
        return encoded(self, stage)

    monkeypatch.setattr(Recorder, "encoded", slow)
    without = [replace(one, checkpoint=None) for one in orders]
    said = list[tuple[int, Event]]()
    for index, event in batch.work(without, [lambda: Wish.GO_ON] * 3):
        said.append((index, event))
        if isinstance(event, Progress) and (index, event.step) == (2, 4):
            further.set()
    assert waited and all(waited)
    assert [type(event) for _, event in said].count(Done) == 3
    paths = [event.path for index, event in said if index == 0 and isinstance(event, Staged)]
    assert paths[:-2:2] == [f"stages/000{step}.png" for step in (2, 4, 6, 8)]


def test_a_style_that_several_bring_is_held_once(
    orders: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = list[int]()
    paint_many = Sketch.paint_many

    def counted(self: Sketch, tasks: Sequence[Task], wishes: Sequence[Ask]) -> Yielded:
        held.append(len({id(style.picture) for task in tasks for style in task.styles}))
        return paint_many(self, tasks, wishes)

    monkeypatch.setattr(Sketch, "paint_many", counted)
    together(orders)
    assert held == [1]
