"""Worker processes on this machine: long-lived, one for each device, replaced when unusable."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.worker.listening import Listener
from tests.daemon.worker.works import WORK
from tests.daemon.world import child_pids

from stylewatch_daemon.base import child
from stylewatch_daemon.base.model import Cause, Progress, Started
from stylewatch_daemon.executors import worker_process
from stylewatch_daemon.executors.local import Local
from stylewatch_daemon.executors.worker_process import HangTimeout
from stylewatch_daemon.worker.messages import (
    AttemptLost,
    AttemptRequest,
    Done,
    Event,
    Failed,
)

Make = Callable[..., Listener]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes executors that are closed at the end of the test."""
    made: list[Local] = []

    def make(**options: Any) -> Listener:
        made.append(Local(tmp_path / "worker.lock", WORK, **options))
        return Listener(made[-1])

    yield make
    for each in made:
        each.close()


def receipt(listener: Listener, ticket: str, **more: str) -> dict[str, Any]:
    end = listener.run(ticket, "paint", **more)[-1]
    assert isinstance(end, Done)
    return dict(end.receipt)


def test_a_process_is_started_for_work_and_serves_one_backend_until_it_is_lost(make: Make) -> None:
    """Changes of a backend to its process do not reach the jobs of another backend."""
    listener = make()
    assert child_pids() == []
    first = receipt(listener, "1")["pid"]
    listener.run("2", "bug")
    assert receipt(listener, "3")["pid"] == first
    other = receipt(listener, "4", backend="other")["pid"]
    assert child_pids() == [other] != [first]
    os.kill(other, signal.SIGKILL)  # while it is idle
    while Path(f"/proc/{other}").exists():  # until its end was noticed
        time.sleep(0.01)
    assert receipt(listener, "5", backend="other")["pid"] != other


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("leave", "exit code 3"),
        ("close the line", "cut itself off"),
        ("write into the line", "an invalid message"),
        ("write half a message", "sent half a message"),
    ],
)
def test_a_worker_that_leaves_or_spoils_the_connection_is_lost(
    how: str, why: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "HALF_MESSAGE_S", 1)
    step, lost = make().run("1", how)
    assert isinstance(step, Progress), "what it sent before comes first"
    assert isinstance(lost, AttemptLost)
    assert why in lost.reason
    assert child_pids() == []


def test_a_worker_that_ends_before_it_begins_or_cannot_be_started_costs_no_attempt(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no more processes")

    listener = make()
    (tmp_path / "worker.lock").symlink_to("worker.lock")  # which no worker can hold
    (ended,) = listener.run("1", "paint")
    (tmp_path / "worker.lock").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(worker_process, "Child", fail)
        (missing,) = listener.run("2", "paint")
    for end, reason in ((ended, "before it could begin"), (missing, "no more processes")):
        assert isinstance(end, Failed)
        assert end.cause is Cause.MACHINE
        assert reason in end.reason
    receipt(listener, "3")


def test_several_workers_share_a_device(make: Make) -> None:
    listener = make(workers=2)
    assert listener.executor.free() == 2
    for ticket in "12":
        listener.submit(ticket, "until stopped")
    listener.until_begun("1", "2")
    for ticket in "12":
        listener.executor.ask(ticket, AttemptRequest.STOP)
    listener.until_ended("1", "2")
    listener.run("gpu", "find gpus")
    assert listener.executor.free() == 6
    devices = [receipt(listener, str(number), device="gpu:2")["device"] for number in range(3, 5)]
    assert devices == ["gpu:2", "gpu:2"]


STARTED = Started("torch", "cpu", ((4, 4), (8, 8)), steps_at=(3, 5))


def step(number: int, seconds: float) -> Progress:
    size = (4, 4) if number <= 3 else (8, 8)
    return Progress(number, 8, size, loss=1.0, seconds=seconds)


FAST = (STARTED, step(1, 0.5), step(2, 1.0))
SLOW = (STARTED, step(1, 50), step(2, 100))


@pytest.mark.parametrize(
    ("events", "timeout", "wanted", "limit"),
    [
        (FAST, None, "", 60),
        (SLOW, None, "", 500),
        (SLOW, 7, "", 7),
        # loading, another size, the final files and a checkpoint take ten times as long
        ((STARTED,), 3, "", 30),
        ((*FAST, step(3, 1.5)), None, "", 600),
        # as do steps of unknown length
        ((*FAST, step(3, 1.5), step(4, 70)), None, "", 600),
        ((STARTED, step(1, 50)), 7, "", 7),
        # a request to stop leaves nothing to wait for but a checkpoint
        ((STARTED,), None, "stop", 60),
    ],
)
def test_limit_of_silence(
    events: tuple[Event, ...], timeout: float | None, wanted: str, limit: float
) -> None:
    hang = HangTimeout(timeout)
    for event in events:
        hang.note(event)
    hang.asked = AttemptRequest(wanted)
    assert not hang.add_silence(limit - 1)
    assert hang.add_silence(2)
    hang.note(step(8, 0))
    assert hang.silent == 0
