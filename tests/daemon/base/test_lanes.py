"""Lanes work in threads, one for each folder, and the main loop gets the results (law 9)."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Event, get_ident

import pytest
from tests.daemon.faults import failing, replaced

from stylewatch_daemon.base.errors import OutputError, ShortageError
from stylewatch_daemon.base.lanes import LONG, SILENT_S, Lanes, Step, bounded
from stylewatch_daemon.base.wakeup import Wakeup

HERE, THERE = Path("/here"), Path("/there")


class World:
    """Lanes, the loop that they post to, and the results that came."""

    def __init__(self) -> None:
        self.wakeup = Wakeup()
        self.lanes = Lanes(self.wakeup.post)
        self.results: list[tuple[object, int]] = []

    def do(self, work: Callable[[Step], object], root: Path = HERE, size: int = 0) -> None:
        self.lanes.do(root, work, lambda result: self.results.append((result, get_ident())), size)

    def result(self) -> object:
        """Return the next result, which came in this thread."""
        while not self.results:
            assert self.wakeup.wait(60)
        result, thread = self.results.pop(0)
        assert thread == get_ident()
        return result


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    with closing(made.lanes):
        yield made


@pytest.fixture
def hang(world: World) -> Iterator[Event]:
    """Have work in HERE that goes on until this is set; the disk there does not answer."""
    begun, may_end = Event(), Event()

    def work(step: Step) -> str:
        begun.set()
        may_end.wait(60)
        return "late"

    world.do(work)
    assert begun.wait(60)
    yield may_end
    may_end.set()


def test_work_is_done_in_another_thread_in_the_order_it_came_and_an_error_is_a_result(
    world: World,
) -> None:
    error, order, threads = KeyError("x"), list[int](), set[int]()

    def work(number: int, step: Step) -> int:
        order.append(number)
        threads.add(get_ident())
        if number == 1:
            raise error
        return number

    for number in range(3):
        world.do(partial(work, number))
    assert [world.result() for _ in range(3)] == [0, error, 2]
    assert order == [0, 1, 2] and len(threads) == 1 and get_ident() not in threads


def test_small_files_do_not_wait_for_a_long_one(world: World) -> None:
    may_end = Event()
    world.do(lambda step: may_end.wait(60), size=LONG + 1)
    world.do(lambda step: "small", size=LONG)
    assert world.result() == "small"
    may_end.set()
    assert world.result() is True


def test_a_folder_that_hangs_holds_up_its_own_lane_alone_and_its_late_result_counts(
    world: World, hang: Event
) -> None:
    world.do(lambda step: "waits for the first")
    world.do(lambda step: "elsewhere", THERE)
    assert world.result() == "elsewhere"
    assert not world.results, "nothing else has begun there"
    hang.set()
    assert [world.result(), world.result()] == ["late", "waits for the first"]


def test_a_folder_without_a_sign_of_life_is_named_until_there_is_one(
    world: World, hang: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_step, stepped, may_end = Event(), Event(), Event()

    def work(step: Step) -> None:
        stepped.set()
        may_step.wait(60)
        step()
        stepped.set()
        may_end.wait(60)

    world.do(work, THERE)
    assert stepped.wait(60) and world.lanes.silent() == {}
    start = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: start + SILENT_S + 1)
    assert world.lanes.silent().keys() == {HERE, THERE}
    assert min(world.lanes.silent().values()) >= SILENT_S
    stepped.clear()
    may_step.set()
    assert stepped.wait(60)
    assert world.lanes.silent().keys() == {HERE}
    may_end.set()
    world.result()
    hang.set()
    assert world.result() == "late"
    assert world.lanes.silent() == {}, "an idle lane is not silent"


def test_lanes_rest_once_all_work_has_ended_or_go_on_if_a_folder_does_not_answer(
    world: World, hang: Event
) -> None:
    copied, may_step = Event(), Event()

    def copy(step: Step) -> None:
        copied.set()
        may_step.wait(60)
        step()

    world.do(copy, THERE)
    assert copied.wait(60) and not world.lanes.rest(within=0.05)
    wanted = iter([True, True])
    assert not world.lanes.rest(lambda: next(wanted, False)), "a signal may stop the daemon"
    may_step.set()
    assert world.result() is None, "the copy goes on"
    hang.set()
    assert world.lanes.rest(within=60)
    assert world.result() == "late"
    world.do(lambda step: step(), THERE)
    assert isinstance(world.result(), OutputError), "nothing long begins any more"


def test_without_a_thread_the_result_is_a_shortage(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = failing(RuntimeError("can't start new thread"))
    with replaced(threading.Thread, start=none):
        world.do(lambda step: "done")
    assert isinstance(world.result(), ShortageError)
    world.do(lambda step: "done")
    assert world.result() == "done"


def test_closing_ends_running_work_at_its_next_step_and_begins_no_other(world: World) -> None:
    running, ended = Event(), list[str]()

    def work(step: Step) -> None:
        running.set()
        try:
            while True:
                step()
        except OutputError as error:
            ended.append(str(error))

    world.do(work)
    world.do(lambda step: ended.append("begun after the end"))
    assert running.wait(60)
    assert world.lanes.close()
    assert ended == ["copying was stopped; the next start continues it"]
    assert not world.wakeup.wait(0) and world.results == [], "the daemon is gone"


def test_closing_leaves_a_folder_behind_that_does_not_answer(world: World, hang: Event) -> None:
    world.do(lambda step: "elsewhere", THERE)
    assert world.result() == "elsewhere"
    assert not world.lanes.close(within=0.05)
    hang.set()
    assert world.lanes.close(), "it has ended meanwhile"
    assert not world.wakeup.wait(0) and world.results == []


def test_a_first_look_has_its_result_or_error_or_takes_too_long() -> None:
    may_end = Event()
    assert bounded(lambda: "seen", 60) == "seen"
    with pytest.raises(OutputError, match="no"):
        bounded(failing(OutputError("no")), 60)
    assert bounded(lambda: may_end.wait(60), 0.01) is None
    may_end.set()
