"""The contract of executors, kept by each of them."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import nodes
from tests.daemon.worker.listening import TIMEOUT_S, Listener
from tests.daemon.worker.works import WORK

from stylewatch_command.executor import ByCommand
from stylewatch_daemon.executors.base import Executor
from stylewatch_daemon.executors.local import Local
from stylewatch_daemon.worker import messages
from stylewatch_daemon.worker.messages import (
    AttemptLost,
    AttemptRequest,
    AttemptStopped,
    Done,
    Failed,
    Refused,
)
from stylewatch_ray.demand import Demand
from stylewatch_ray.driver_client import Cluster

pytestmark = nodes.TIME_ENOUGH


def on_two_machines(root: Path) -> Cluster:
    """An executor that knows both machines, and keeps none for long from others.

    A third one that an earlier test has killed is alive to Ray for some seconds more.
    """
    cluster = Cluster(root / "worker.lock", Demand(nodes.shared().address), WORK, idle_s=1.0)
    listener = Listener(cluster)
    listener.run("0", "paint")
    deadline = time.monotonic() + TIMEOUT_S
    while cluster.free() != 2:
        assert time.monotonic() < deadline, f"{cluster.free()} machines"
        listener.run(f"{len(listener.events)}", "paint")
    return cluster


def by_command(root: Path) -> ByCommand:
    """The executor of the example, with processes that find the tests."""
    path = f"PYTHONPATH={nodes.installed()['PYTHONPATH']}"
    return ByCommand(("env", path, sys.executable), 2, lambda: None, WORK)


EXECUTORS: dict[str, Callable[[Path], Executor]] = {
    "local": lambda root: Local(root / "worker.lock", WORK, devices=("one", "two")),
    "ray": on_two_machines,
    "example": by_command,
}
"""Each with two places."""


@pytest.fixture(scope="module", params=EXECUTORS.values(), ids=list(EXECUTORS))
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Listener]:
    """One executor for all tests: its processes take a while to start. The last test closes it."""
    listener = Listener(request.param(tmp_path_factory.mktemp("state")))
    yield listener
    listener.events.clear()
    for ticket, what in (("1", "until stopped"), ("2", "hang"), ("3", "paint")):
        listener.submit(ticket, what)
    listener.until_begun("1", "2")
    listener.executor.close()
    assert {type(last(listener, ticket)) for ticket in "123"} == {AttemptLost}


@pytest.fixture
def listener(shared: Listener) -> Iterator[Listener]:
    """The executor, idle before and after; each attempt has had one End, as its last event."""
    shared.events.clear()
    yield shared
    assert shared.executor.free() == 2
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
    listener.executor.ask("4", AttemptRequest.FINISH)
    listener.until_begun("1", "2")
    assert not listener.events["3"]
    listener.executor.ask("1", AttemptRequest.STOP)
    listener.until_begun("3")
    assert listener.ends("1") == [AttemptStopped(1)]
    for ticket in "23":
        listener.executor.ask(ticket, AttemptRequest.CANCEL)
    assert last(listener, "2") == AttemptStopped(1)
    assert last(listener, "3") in (AttemptStopped(0), AttemptStopped(1))
    assert last(listener, "4") == Done({"state": "stopped early"}), "asked before it began"
    listener.executor.ask("4", AttemptRequest.STOP)
    listener.executor.drop("4")


def test_bad_input_and_bugs_end_the_attempt(listener: Listener) -> None:
    assert listener.run("1", "bad picture")[-1] == Refused("it is no picture")
    for ticket, what, where in (
        ("2", "bug", "ZeroDivisionError"),
        ("3", "unspeakable", "TypeError"),
        ("4", "say nothing", "without saying how"),
    ):
        failed = listener.run(ticket, what)[-1]
        assert isinstance(failed, Failed)
        assert where in failed.reason


@pytest.mark.parametrize("how", ["die", "hang"])
def test_a_lost_worker_loses_its_attempt_and_no_other(how: str, listener: Listener) -> None:
    listener.submit("1", "until stopped")
    listener.submit("a", how)
    assert isinstance(last(listener, "a"), AttemptLost)
    assert listener.executor.free() == 1
    assert isinstance(listener.run("2", "paint")[-1], Done)
    assert not listener.ends("1")
    listener.executor.ask("1", AttemptRequest.STOP)
    assert last(listener, "1") == AttemptStopped(1)


def test_an_attempt_is_given_up_whether_it_waits_or_runs(listener: Listener) -> None:
    for ticket in "123":
        listener.submit(ticket, "until stopped")
    listener.until_begun("1", "2")
    for ticket in "312":
        listener.executor.drop(ticket)
        assert last(listener, ticket) == AttemptLost("it was given up")
    assert isinstance(listener.run("4", "paint")[-1], Done)
