"""Messages cross processes unchanged; every executor keeps its contract."""

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

from stylewatch_daemon.executors.base import Executor
from stylewatch_daemon.executors.local import Local
from stylewatch_daemon.executors.ray.executor import Cluster
from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.settings.resources import Demand
from stylewatch_daemon.worker import messages
from stylewatch_daemon.worker.messages import (
    AttemptEvent,
    Done,
    Failed,
    Lost,
    Refused,
    Stopped,
    Wanted,
)

pytestmark = nodes.TIME_ENOUGH


@pytest.mark.parametrize("record", [ORDER, PART, *EVENTS], ids=lambda each: type(each).__name__)
def test_a_record_is_frozen_and_crosses_a_pipe(record: object) -> None:
    assert pickle.loads(pickle.dumps(record)) == record
    with pytest.raises(FrozenInstanceError):
        setattr(record, next(iter(vars(record)), "name"), None)


def test_every_record_is_in_this_test() -> None:
    known = {name for name, value in vars(messages).items() if is_dataclass(value)}
    assert known == {type(record).__name__ for record in (ORDER, PART, *EVENTS)} | {
        AttemptEvent.__name__
    }
    assert {type(event) for event in EVENTS} == set(get_args(messages.Event))
    assert set(get_args(messages.End)) == {Done, Stopped, Refused, Failed, Lost}


def test_defaults_and_sums() -> None:
    started = EVENTS[0]
    assert isinstance(started, Started)
    assert started.steps == 8
    assert Failed("it burnt").exit_code == 70


def on_two_machines(root: Path) -> Cluster:
    """An executor that knows both machines, and keeps none for long from others."""
    demand = Demand(nodes.shared().address)
    cluster = Cluster(root / "worker.lock", demand, WORK, idle_s=1.0)
    Listener(cluster).run("first", "paint")
    return cluster


Make = Callable[[Path], Executor]
EXECUTORS: dict[str, Make] = {
    "local": lambda root: Local(root / "worker.lock", WORK, devices=("one", "two")),
    "ray": on_two_machines,
}
"""The executors that the tests below are about, each with two places."""


@pytest.fixture(scope="module", params=EXECUTORS.values(), ids=list(EXECUTORS))
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Listener]:
    """One executor for all tests: its processes take a while to start."""
    executor = request.param(tmp_path_factory.mktemp("state"))
    yield Listener(executor)
    executor.close()


@pytest.fixture
def listener(shared: Listener) -> Iterator[Listener]:
    """The executor, idle before and after; each attempt has had one End, as its last event."""
    shared.events.clear()
    yield shared
    assert shared.executor.free() == 2
    assert all(len(shared.ends(ticket)) == 1 for ticket in shared.events)
    assert all(shared.ends(ticket) == events[-1:] for ticket, events in shared.events.items())


def last(listener: Listener, ticket: str) -> messages.Event:
    """The End of an attempt, once it has come."""
    listener.until_ended(ticket)
    return listener.events[ticket][-1]


def test_attempts_run_at_once_in_free_places_and_the_others_wait(listener: Listener) -> None:
    assert listener.executor.free() == 2
    for ticket, free in (("1", 1), ("2", 0), ("3", 0), ("4", 0)):
        listener.submit(ticket, "until stopped")
        assert listener.executor.free() == free
    listener.executor.ask("4", Wanted.FINISH)
    listener.until_begun("1", "2")
    assert not listener.events["3"]
    listener.executor.ask("1", Wanted.STOP)
    listener.until_begun("3")
    assert listener.ends("1") == [Stopped(1)]
    for ticket in "23":
        listener.executor.ask(ticket, Wanted.CANCEL)
    assert last(listener, "2") == Stopped(1)
    assert last(listener, "3") in (Stopped(0), Stopped(1))
    assert last(listener, "4") == Done({"state": "finished"}), "asked before it began"


def test_requests_are_followed_until_the_end(listener: Listener) -> None:
    listener.submit("1", "until stopped")
    listener.until_begun("1")
    listener.executor.ask("1", Wanted.FINISH)
    assert last(listener, "1") == Done({"state": "finished"})
    listener.executor.ask("1", Wanted.STOP)
    listener.executor.drop("1")
    step, end = listener.run("2", "paint")
    assert isinstance(step, Progress)
    assert isinstance(end, Done)


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
def test_a_lost_worker_loses_its_batch_and_no_other(how: str, listener: Listener) -> None:
    listener.submit("1", "until stopped")
    listener.submit_together(a=how, b=how)
    assert {type(last(listener, ticket)) for ticket in "ab"} == {Lost}
    assert listener.executor.free() == 1
    assert isinstance(listener.run("2", "paint")[-1], Done)
    assert not listener.ends("1")
    listener.executor.ask("1", Wanted.STOP)
    assert last(listener, "1") == Stopped(1)


def test_a_dropped_attempt_is_lost_at_once_unless_it_shares_its_worker(listener: Listener) -> None:
    listener.submit("1", "hang")
    listener.until_begun("1")
    listener.executor.drop("1")
    assert isinstance(last(listener, "1"), Lost)
    listener.submit_together(a="until stopped", b="until stopped")
    listener.until_begun("a", "b")
    listener.executor.drop("a")
    listener.until_ended("a")
    assert not listener.ends("b")
    listener.executor.drop("b")
    assert isinstance(last(listener, "b"), Lost)


@pytest.mark.parametrize("make", EXECUTORS.values(), ids=EXECUTORS)
def test_close_ends_all_attempts(make: Make, tmp_path: Path) -> None:
    listener = Listener(make(tmp_path))
    for ticket, what in (("1", "until stopped"), ("2", "hang"), ("3", "paint")):
        listener.submit(ticket, what)
    listener.until_begun("1", "2")
    listener.executor.close()
    assert {type(last(listener, ticket)) for ticket in "123"} == {Lost}


def test_orders_of_a_batch_share_a_worker_and_have_their_own_ends(listener: Listener) -> None:
    listener.submit_together(a="until stopped", b="bad picture", c="until stopped", d="paint")
    assert listener.executor.free() == 1
    assert last(listener, "b") == Refused("it is no picture")
    assert isinstance(last(listener, "d"), Done)
    listener.until_begun("a", "c")
    assert listener.executor.free() == 1
    listener.executor.ask("a", Wanted.FINISH)
    assert last(listener, "a") == Done({"state": "finished"})
    assert not listener.ends("c")
    listener.executor.ask("c", Wanted.CANCEL)
    assert last(listener, "c") == Stopped(1)
    assert listener.executor.free() == 2


def test_orders_of_a_batch_wait_together(listener: Listener) -> None:
    for ticket in "12":
        listener.submit(ticket, "until stopped")
    listener.submit_together(a="until stopped", b="until stopped", c="paint")
    listener.executor.ask("a", Wanted.CANCEL)
    listener.executor.ask("b", Wanted.FINISH)
    listener.until_ended("a")
    assert listener.events["a"] == [Stopped(0)]
    listener.executor.ask("1", Wanted.STOP)
    assert last(listener, "b") == Done({"state": "finished"})
    assert isinstance(last(listener, "c"), Done)
    listener.executor.ask("2", Wanted.STOP)
    listener.until_ended("1", "2")
