"""A worker process, its events one after the other, and its end."""

from collections.abc import Iterator
from multiprocessing.connection import wait
from pathlib import Path

import pytest
from tests.daemon.worker.listening import order
from tests.daemon.worker.works import WORK
from tests.daemon.world import child_pids

from stylewatch_daemon.executors import worker_process
from stylewatch_daemon.executors.worker_process import HangTimeout, WorkerProcess
from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.worker.messages import (
    AttemptEvent,
    Done,
    Event,
    Failed,
    Lost,
    Saving,
    Staged,
    Stopped,
    Wanted,
)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerProcess]:
    worker = WorkerProcess("gpu:1", tmp_path / "lock", WORK, most_memory=1 << 40)
    yield worker
    worker.end("the test is over")
    worker.stop()
    assert child_pids() == []


def events(worker: WorkerProcess, what: str, backend: str = "torch") -> list[Event]:
    """Make an attempt; return its events."""
    events = worker.begin({"1": order(what, backend=backend)})
    while worker.tickets:
        wait(worker.handles)
        events += worker.receive()
    return [event.event for event in events]


def received(worker: WorkerProcess) -> list[AttemptEvent]:
    """Wait for events; return them."""
    while not (events := worker.receive()):
        wait(worker.handles)
    return events


def begin(worker: WorkerProcess, *whats: str) -> list[AttemptEvent]:
    """Begin attempts together; return the first events."""
    assert worker.begin({str(number): order(what) for number, what in enumerate(whats)}) == []
    return received(worker)


def test_a_process_is_started_for_work_and_serves_one_backend(worker: WorkerProcess) -> None:
    """What a backend does to its process stays with its own jobs."""
    assert (worker.is_running, worker.handles, worker.receive()) == (False, [], [])
    pids = []
    for backend in ("one", "one", "other"):
        step, end = events(worker, "paint", backend)
        assert isinstance(step, Progress)
        assert isinstance(end, Done)
        assert end.receipt["device"] == "gpu:1"
        pids.append(end.receipt["pid"])
    assert pids[0] == pids[1] != pids[2]
    assert worker.end("there is nothing to end") == []
    assert worker.is_running


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("leave", "exit code 3"),
        ("close files", "the worker process "),  # it may find out by itself, and end
        ("close the line", "cut itself off"),
        ("write into the line", "an invalid message"),
    ],
)
def test_a_worker_that_dies_or_spoils_the_connection_is_lost(
    how: str, why: str, worker: WorkerProcess
) -> None:
    step, lost = events(worker, how)
    assert isinstance(step, Progress), "what it sent before comes first"
    assert isinstance(lost, Lost)
    assert why in lost.reason
    assert not worker.is_running


def test_a_worker_that_ends_before_it_begins_or_cannot_be_started_costs_no_attempt(
    worker: WorkerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no more processes")

    (tmp_path / "lock").symlink_to("lock")  # which no worker can hold
    (ended,) = events(worker, "paint")
    (tmp_path / "lock").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(worker_process, "Child", fail)
        (missing,) = events(worker, "paint")
    for end, reason in ((ended, "before it could begin"), (missing, "no more processes")):
        assert isinstance(end, Failed)
        assert end.exit_code == 75
        assert reason in end.reason
    assert isinstance(events(worker, "paint")[-1], Done)


def test_an_unusable_worker_is_replaced_once_all_its_attempts_have_ended(
    worker: WorkerProcess,
) -> None:
    new = begin(worker, "lost device", "until stopped")
    while not any(isinstance(event.event, Failed) for event in new):
        new = received(worker)
    assert worker.tickets == {"1"} and worker.is_running
    worker.ask("1", Wanted.STOP)
    while worker.tickets:
        new = received(worker)
    assert new[-1] == AttemptEvent("1", Stopped(1))
    assert not worker.is_running


def test_a_worker_hangs_once_all_its_attempts_are_silent_for_too_long(
    worker: WorkerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "MAX_EVENTS", 1)  # nor does a flood keep anybody busy
    begin(worker, "until stopped", "until stopped")
    for _ in range(9):
        assert len(received(worker)) == 1
        assert worker.add_silence(40.0) == []
    ends = [event for _ in range(99) for event in worker.add_silence(40.0)]
    assert [event.ticket for event in ends] == ["0", "1"]
    assert isinstance(ends[0].event, Lost)
    assert "hung" in ends[0].event.reason


STARTED = Started("torch", "cpu", ((4, 4), (8, 8)), steps_at=(3, 5))


def step(number: int, seconds: float) -> Progress:
    size = (4, 4) if number <= 3 else (8, 8)
    return Progress(number, 8, size, loss=1.0, seconds=seconds)


FAST = (STARTED, step(1, 0.5), step(2, 1.0))
SLOW = (STARTED, step(1, 50), step(2, 100))
SECOND_SIZE = (step(3, 70), step(4, 100), step(5, 120), step(6, 140), step(7, 1000))


@pytest.mark.parametrize(
    ("events", "timeout", "wanted", "limit"),
    [
        (FAST, None, Wanted.GO_ON, 60),
        ((*SLOW, *SECOND_SIZE), None, Wanted.GO_ON, 200),
        (SLOW, 7, Wanted.GO_ON, 7),
        # loading, another size, the final files and a checkpoint take ten times as long
        ((STARTED,), 3, Wanted.GO_ON, 30),
        ((*FAST, step(3, 1.5)), None, Wanted.GO_ON, 600),
        ((STARTED, step(7, 0.1), step(8, 0.2), Staged("final.png", "")), None, Wanted.GO_ON, 600),
        ((*FAST, Saving()), 3, Wanted.GO_ON, 30),
        # an attempt that began again loads again, and its earlier steps do not count
        ((*SLOW, STARTED), None, Wanted.GO_ON, 600),
        ((*SLOW, *FAST), None, Wanted.GO_ON, 60),
        # a request to stop leaves nothing to wait for but a checkpoint
        ((STARTED,), None, Wanted.STOP, 60),
        ((STARTED, Saving()), None, Wanted.STOP, 600),
        (FAST, None, Wanted.FINISH, 600),
    ],
)
def test_limit_of_silence(
    events: tuple[Event, ...], timeout: float | None, wanted: Wanted, limit: float
) -> None:
    hang = HangTimeout(timeout)
    for event in events:
        hang.note(event)
    hang.asked = wanted
    assert not hang.add_silence(limit - 1)
    assert hang.add_silence(2)
    hang.note(step(8, 0))
    assert hang.silent == 0
