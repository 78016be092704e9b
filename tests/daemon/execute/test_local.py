"""A worker process paints one order after the other, and every order has exactly one end."""

import os
import signal
from collections.abc import Iterator
from multiprocessing import active_children
from pathlib import Path

import pytest
from tests.daemon.execute.works import WORK

from stylewatch_daemon.execute.contract import (
    Alive,
    Done,
    Event,
    Failed,
    Order,
    Progress,
    Refused,
    Stopped,
    Wanted,
)
from stylewatch_daemon.execute.local import Local
from stylewatch_daemon.settings import JobSettings

STEP = Progress(1, 2, (1, 1), loss=1.0, seconds=0.0)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """One executor for all: a process takes a while to start."""
    local = Local(tmp_path_factory.mktemp("state") / "worker.lock", WORK)
    yield local
    local.close()


def order(what: str) -> Order:
    path = Path("nowhere")
    return Order(what, JobSettings(), content=path, styles=(path,), staging=path, step_timeout_s=2)


def run(local: Local, what: str, wanted: Wanted = "") -> list[Event]:
    """What a worker sent."""
    events = local.run(order(what), lambda: wanted)
    return [event for event in events if event != Alive()]


def pid(local: Local) -> int:
    end = run(local, "paint")[-1]
    assert isinstance(end, Done)
    return int(end.receipt["pid"])


def test_events_come_back_from_another_process(shared: Local) -> None:
    step, end = run(shared, "paint")
    assert step == STEP
    assert isinstance(end, Done)
    assert end.receipt["pid"] != os.getpid()


def test_the_same_process_paints_the_next_order(shared: Local) -> None:
    assert pid(shared) == pid(shared)


def test_bad_input_and_bugs_end_the_order_and_not_the_process(shared: Local) -> None:
    before = pid(shared)
    assert run(shared, "bad picture") == [STEP, Refused("it is no picture")]
    _, bug = run(shared, "bug")
    assert isinstance(bug, Failed)
    assert "ZeroDivisionError" in bug.trace
    _, unspeakable = run(shared, "unspeakable")
    assert isinstance(unspeakable, Failed)
    assert pid(shared) == before


def test_work_without_an_end_is_given_one(shared: Local) -> None:
    _, end = run(shared, "say nothing")
    assert isinstance(end, Failed)
    assert "without saying how" in end.reason


def test_told_to_stop_the_worker_stops_and_stays_for_the_next_order(shared: Local) -> None:
    before = pid(shared)
    assert run(shared, "until stopped", "stop") == [STEP, Stopped(1)]
    assert pid(shared) == before


@pytest.mark.parametrize(("what", "cause"), [("die", "signal 9"), ("leave", "exit code 3")])
def test_a_death_is_one_failure_and_the_next_order_has_a_new_process(
    what: str, cause: str, shared: Local
) -> None:
    before = pid(shared)
    *_, end = run(shared, what)
    assert isinstance(end, Failed)
    assert (end.exit_code, cause in end.reason) == (70, True)
    assert pid(shared) != before


def test_signals_to_the_process_do_not_end_it(shared: Local) -> None:
    before = pid(shared)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(before, number)
    assert pid(shared) == before


def test_giving_up_an_order_kills_its_worker(shared: Local) -> None:
    events = shared.run(order("until stopped"), lambda: "")
    assert next(event for event in events if event != Alive()) == STEP
    assert next(events) == Alive()
    events.close()
    assert active_children() == []


def test_a_closed_executor_has_no_process_and_may_go_on(shared: Local) -> None:
    before = pid(shared)
    shared.close()
    assert active_children() == []
    assert pid(shared) != before


def test_work_that_cannot_be_found_is_a_failure_in_words(tmp_path: Path) -> None:
    local = Local(tmp_path / "lock", "nowhere.at_all:work")
    (end,) = run(local, "paint")
    assert isinstance(end, Failed)
    assert "nowhere" in end.reason
    local.close()


@pytest.mark.parametrize("wanted", ["", "stop"])
def test_a_worker_that_hangs_is_ended_and_the_next_order_has_a_new_process(
    tmp_path: Path, wanted: Wanted
) -> None:
    local = Local(tmp_path / "lock", WORK)
    before = pid(local)
    *_, end = run(local, "hang", wanted)
    assert isinstance(end, Failed)
    assert (end.exit_code, "hung" in end.reason) == (70, True)
    assert pid(local) != before
    local.close()


def test_a_worker_that_has_grown_is_replaced_between_two_orders(tmp_path: Path) -> None:
    local = Local(tmp_path / "lock", WORK, most_memory=1)
    assert pid(local) != pid(local)
    local.close()
