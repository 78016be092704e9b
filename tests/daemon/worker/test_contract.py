"""Every executor keeps the contract; what goes to a worker and comes back can cross processes."""

import pickle
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, is_dataclass
from pathlib import Path
from typing import get_args

import pytest
from tests import nodes
from tests.daemon.worker.listening import Listener
from tests.daemon.worker.records import EVENTS, ORDER, PART
from tests.daemon.worker.works import WORK

from stylewatch_daemon.executors.local import Local
from stylewatch_daemon.executors.ray.executor import Cluster
from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.settings.resources import Demand
from stylewatch_daemon.worker import contract
from stylewatch_daemon.worker.contract import (
    Done,
    Executor,
    Failed,
    Heard,
    Lost,
    Refused,
    Stopped,
    Wanted,
)

pytestmark = nodes.TIME_ENOUGH
EACH = pytest.mark.parametrize("record", [ORDER, PART, *EVENTS], ids=lambda one: type(one).__name__)


@EACH
def test_it_comes_through_a_pipe_as_it_was(record: object) -> None:
    assert pickle.loads(pickle.dumps(record)) == record


@EACH
def test_it_is_frozen(record: object) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(record, next(iter(vars(record)), "name"), None)


def test_every_record_is_in_this_test() -> None:
    """And every event is one that a worker may send."""
    known = {name for name, value in vars(contract).items() if is_dataclass(value)}
    assert known == {type(record).__name__ for record in (ORDER, PART, *EVENTS)} | {Heard.__name__}
    assert {type(event) for event in EVENTS} == set(get_args(contract.Event))
    assert set(get_args(contract.End)) == {Done, Stopped, Refused, Failed, Lost}


def test_the_steps_of_all_sizes_are_counted() -> None:
    started = EVENTS[0]
    assert isinstance(started, Started)
    assert started.steps == 8


def test_a_failure_is_our_own_unless_it_is_said_otherwise() -> None:
    assert Failed("it burnt").exit_code == 70


def on_two_machines(root: Path) -> Cluster:
    """Once its first attempt ended, it knows of both; it keeps none for long from others."""
    demand = Demand(nodes.shared().address)
    cluster = Cluster(root / "worker.lock", demand, WORK, idle_s=1.0, cache=str(root))
    Listener(cluster).run("first", "paint")
    return cluster


Make = Callable[[Path], Executor]
EXECUTORS: dict[str, Make] = {
    "local": lambda root: Local(root / "worker.lock", WORK, devices=("one", "two")),
    "ray": on_two_machines,
}
"""Those that the tests below are about, each with room for two attempts."""


@pytest.fixture(scope="module", params=EXECUTORS.values(), ids=list(EXECUTORS))
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Listener]:
    """One executor for all: its processes take a while to start."""
    executor = request.param(tmp_path_factory.mktemp("state"))
    yield Listener(executor)
    executor.close()


@pytest.fixture
def listener(shared: Listener) -> Iterator[Listener]:
    """The executor at rest, before and after."""
    shared.events.clear()
    yield shared
    assert shared.executor.free() == 2
    assert all(len(shared.ends(ticket)) == 1 for ticket in shared.events)
    assert all(shared.ends(ticket) == events[-1:] for ticket, events in shared.events.items())


def test_an_attempt_is_heard_of_in_order_and_to_its_end(listener: Listener) -> None:
    step, end = listener.run("1", "paint")
    assert isinstance(step, Progress)
    assert isinstance(end, Done)


def test_several_are_made_at_once_and_no_more_than_there_is_room_for(listener: Listener) -> None:
    assert listener.executor.free() == 2
    listener.submit("1", "until stopped")
    assert listener.executor.free() == 1
    listener.submit("2", "until stopped")
    assert listener.executor.free() == 0
    listener.until_begun("1", "2")
    for ticket in ("1", "2"):
        listener.executor.ask(ticket, Wanted.STOP)
    listener.until_ended("1", "2")
    assert listener.events["1"][-1] == listener.events["2"][-1] == Stopped(1)


def test_one_that_is_submitted_without_room_waits_for_it(listener: Listener) -> None:
    for ticket in "1234":
        listener.submit(ticket, "until stopped")
    listener.until_begun("1", "2")
    assert not listener.events["3"]
    listener.executor.ask("1", Wanted.STOP)
    listener.until_begun("3")
    assert listener.ends("1")
    for ticket in "234":
        listener.executor.ask(ticket, Wanted.CANCEL)
    listener.until_ended(*"1234")
    assert listener.events["4"][-1] in (Stopped(0), Stopped(1))


def test_what_is_asked_is_done_and_an_end_is_deaf_to_it(listener: Listener) -> None:
    listener.submit("1", "until stopped")
    listener.until_begun("1")
    listener.executor.ask("1", Wanted.FINISH)
    listener.until_ended("1")
    assert listener.events["1"][-1] == Done({"state": "finished"})
    listener.executor.ask("1", Wanted.STOP)
    listener.executor.drop("1")
    assert isinstance(listener.run("2", "paint")[-1], Done)
    assert len(listener.ends("1")) == 1


def test_what_is_wanted_of_one_that_waits_holds_when_it_begins(listener: Listener) -> None:
    for ticket in "123":
        listener.submit(ticket, "until stopped")
    listener.executor.ask("3", Wanted.FINISH)
    for ticket in "12":
        listener.executor.ask(ticket, Wanted.STOP)
    listener.until_ended(*"123")
    assert listener.events["3"][-1] == Done({"state": "finished"})


def test_bad_input_and_bugs_end_the_attempt(listener: Listener) -> None:
    assert listener.run("1", "bad picture")[-1] == Refused("it is no picture")
    bug = listener.run("2", "bug")[-1]
    assert isinstance(bug, Failed)
    assert "ZeroDivisionError" in bug.trace
    assert isinstance(listener.run("3", "unspeakable")[-1], Failed)
    silent = listener.run("4", "say nothing")[-1]
    assert isinstance(silent, Failed)
    assert "without saying how" in silent.reason


@pytest.mark.parametrize("how", ["die", "leave", "hang"])
def test_one_whose_process_dies_or_hangs_is_lost_and_the_next_is_not(
    how: str, listener: Listener
) -> None:
    listener.submit("1", "until stopped")
    lost = listener.run("2", how)[-1]
    assert isinstance(lost, Lost)
    assert isinstance(listener.run("3", "paint")[-1], Done)
    listener.executor.ask("1", Wanted.STOP)
    listener.until_ended("1")
    assert listener.events["1"][-1] == Stopped(1)


def test_one_that_is_dropped_is_lost_at_once(listener: Listener) -> None:
    listener.submit("1", "hang")
    listener.until_begun("1")
    listener.executor.drop("1")
    listener.until_ended("1")
    assert isinstance(listener.events["1"][-1], Lost)


@pytest.mark.parametrize("make", EXECUTORS.values(), ids=EXECUTORS)
def test_closing_ends_whatever_goes_on(make: Make, tmp_path: Path) -> None:
    listener = Listener(make(tmp_path))
    listener.submit("1", "until stopped")
    listener.submit("2", "hang")
    listener.submit("3", "paint")
    listener.until_begun("1", "2")
    listener.executor.close()
    listener.until_ended("1", "2", "3")
    assert {type(listener.events[ticket][-1]) for ticket in "123"} == {Lost}


def test_those_that_come_together_share_a_worker_and_each_has_its_own_end(
    listener: Listener,
) -> None:
    listener.submit_together(a="until stopped", b="bad picture", c="until stopped", d="paint")
    assert listener.executor.free() == 1
    listener.until_ended("b", "d")
    listener.until_begun("a", "c")
    assert listener.events["b"][-1] == Refused("it is no picture")
    assert isinstance(listener.events["d"][-1], Done)
    assert listener.executor.free() == 1
    listener.executor.ask("a", Wanted.FINISH)
    listener.until_ended("a")
    assert listener.events["a"][-1] == Done({"state": "finished"})
    assert not listener.ends("c")
    listener.executor.ask("c", Wanted.CANCEL)
    listener.until_ended("c")
    assert listener.events["c"][-1] == Stopped(1)
    assert listener.executor.free() == 2


def test_several_that_came_together_wait_together(listener: Listener) -> None:
    for ticket in "12":
        listener.submit(ticket, "until stopped")
    listener.submit_together(a="until stopped", b="until stopped", c="paint")
    assert listener.executor.free() == 0
    listener.executor.ask("a", Wanted.CANCEL)
    listener.executor.ask("b", Wanted.FINISH)
    listener.until_ended("a")
    assert listener.events["a"] == [Stopped(0)]
    listener.executor.ask("1", Wanted.STOP)
    listener.until_ended("b", "c")
    assert listener.events["b"][-1] == Done({"state": "finished"})
    listener.executor.ask("2", Wanted.STOP)
    listener.until_ended("1", "2")


@pytest.mark.parametrize("how", ["die", "leave", "hang"])
def test_with_their_worker_all_that_came_together_are_lost_once(
    how: str, listener: Listener
) -> None:
    listener.submit("1", "until stopped")
    listener.submit_together(a=how, b=how, c=how)
    listener.until_ended("a", "b", "c")
    assert {type(listener.events[ticket][-1]) for ticket in "abc"} == {Lost}
    assert listener.executor.free() == 1
    assert isinstance(listener.run("2", "paint")[-1], Done)
    assert not listener.ends("1")
    listener.executor.ask("1", Wanted.STOP)
    listener.until_ended("1")


def test_one_of_several_that_is_dropped_takes_no_other_with_it(listener: Listener) -> None:
    listener.submit_together(a="until stopped", b="until stopped")
    listener.until_begun("a", "b")
    listener.executor.drop("a")
    listener.until_ended("a")
    assert not listener.ends("b")
    listener.executor.drop("b")
    listener.until_ended("b")
    assert isinstance(listener.events["b"][-1], Lost)
