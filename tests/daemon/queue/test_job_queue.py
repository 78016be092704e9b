"""The order of jobs, and the obstacles that make some of them wait and no others."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill

from stylewatch_daemon.errors import FullError
from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.model import BEST_BATCH, AttemptEnd, JobState, Started
from stylewatch_daemon.queue.job_queue import (
    PAUSE,
    PROBE_EVERY,
    PUT_OFF,
    RETRY,
    ROOM,
    BatchSizes,
    JobQueue,
)
from stylewatch_daemon.queue.states import Outcome, OutcomeKind
from stylewatch_daemon.store import journal
from stylewatch_daemon.store.journal import Attempt, File, Journal
from stylewatch_daemon.store.state_dir import State, entry_of


class World:
    """A queue with a clock that is set by hand; all waits are the longest possible."""

    def __init__(self, root: Path, **weights: float) -> None:
        self.root, self.state, self.now = root, State(root / "state"), 0.0
        self.state.make()
        by_path = {str(root / name): weight for name, weight in weights.items()}
        self.queue = JobQueue(self.state, by_path, lambda: self.now, lambda: 1.0)

    def add(self, job_id: str, inbox: str = "in", outbox: str = "out", **more: Any) -> Journal:
        """Queue a job with its id as its name."""
        look, folder = Look(1, 2, 3), self.root / inbox
        content = File("content", "a.jpg", folder / "a.jpg", look, own=True)
        job = Journal(
            job_id, job_id, folder, self.root / outbox, "archive", (content,), state=JobState.QUEUED
        )
        fill(self.state.jobs / job_id / "files", "a.jpg")
        journal.save(job, self.state.jobs / job_id)
        self.state.ledger.enter([entry_of(job, **more)])
        return self.state.load(job_id)

    def end(
        self, job: Journal, kind: OutcomeKind, code: int = 0, full: FullError | None = None
    ) -> None:
        self.queue.ended(job, Outcome(kind, job.id, "", code, full))

    def run(self, count: int) -> list[str]:
        """Begin and finish the next jobs, and return their ids."""
        done = []
        for _ in range(count):
            self.queue.refresh()
            job = self.queue.next(retry=True)
            if job is not None:
                self.queue.begun(job)
                self.end(job, OutcomeKind.DONE)
                self.state.ledger.change(job.id, state="done")
                done.append(job.id)
        return done


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Let this process open no further file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_jobs_run_by_priority_and_then_in_order(world: World) -> None:
    for job_id, priority in (("1", 0), ("2", 9), ("3", 9), ("4", -1)):
        stopped = world.add(job_id, priority=priority)
    world.end(stopped, OutcomeKind.STOPPED)
    assert world.queue.soonest() is None
    assert world.run(5) == ["2", "3", "1", "4"]


def test_inboxes_take_turns_by_weight_whatever_their_priorities(tmp_path: Path) -> None:
    world = World(tmp_path, hers=2.0, his=1.0)
    for number in range(6):
        world.add(f"1{number}", "hers")
        world.add(f"2{number}", "his", priority=100)
    begun = world.run(6)
    assert len([job_id for job_id in begun if job_id < "2"]) == 4


def test_a_job_that_crashed_waits_and_the_others_run(world: World) -> None:
    first = world.add("1")
    world.add("2")
    world.end(first, OutcomeKind.RETRY, 70)
    assert world.queue.seconds_to_retry() == RETRY.first
    assert world.run(2) == ["2"]
    world.now += RETRY.first
    assert world.run(1) == ["1"]


def test_jobs_with_the_same_needs_wait_and_then_another_job_tries(world: World) -> None:
    gone = world.add("1", needs="gpu")
    for job_id, needs in (("2", "gpu"), ("3", "cpu"), ("4", "gpu")):
        world.add(job_id, needs=needs)
    world.end(gone, OutcomeKind.PAUSED, 69)
    assert world.run(2) == ["3"]
    assert world.queue.next(retry=False) is None
    assert world.queue.soonest() == PAUSE.first
    world.now += PAUSE.first
    assert world.run(1) == ["2"], "its success releases the others"
    world.end(gone, OutcomeKind.PAUSED, 69)  # which does not help this one
    world.now += PAUSE.first * 2
    assert world.run(2) == ["4"]
    world.now += PUT_OFF.first * 2
    assert world.run(1) == ["1"]


@pytest.mark.parametrize(("in_its_place", "runs"), [(True, ["3"]), (False, ["2", "3"])])
def test_an_outbox_that_cannot_be_written_holds_its_jobs_and_no_others(
    in_its_place: bool, runs: list[str], world: World
) -> None:
    if in_its_place:
        fill(world.root, "out")
    first = world.add("1")
    world.add("2")
    world.add("3", outbox="other")
    world.end(first, OutcomeKind.PAUSED, 73)
    assert world.run(3) == runs


def test_a_job_of_a_batch_is_chosen_once_and_does_not_wait(world: World) -> None:
    for number in range(7):
        world.add(str(number), shape="s", needs="gpu" if number == 5 else "")
    world.end(world.state.load("5"), OutcomeKind.PAUSED, 69)
    world.end(world.state.load("6"), OutcomeKind.RETRY, 70)
    first = world.queue.next(retry=True)
    assert first is not None
    world.queue.begun(first)
    assert [job.id for job in world.queue.companions(first, 2, 1, retry=True)] == ["1", "2"]
    second = world.queue.next(retry=True)
    assert second is not None
    assert second.id == "3"
    assert [job.id for job in world.queue.companions(second, 7, 1, retry=True)] == ["4"]


def test_an_inbox_whose_jobs_do_not_fit_is_owed_as_many(tmp_path: Path) -> None:
    world = World(tmp_path, hers=1.0, his=1.0)
    for number in range(9):
        world.add(f"1{number}", "hers", shape="s")
        world.add(f"2{number}", "his")
    world.add("0", "another", shape="s")
    first = world.state.load("0")
    begun = [job.id for job in world.queue.companions(first, 4, 1, retry=True)]
    for job_id in ("0", *begun):
        world.state.ledger.change(job_id, state="done")
    assert begun == ["10", "11", "12", "13"]
    assert [job_id[0] for job_id in world.run(4)] == ["2"] * 4


def test_after_a_restart_jobs_that_were_begun_go_on_and_running_ones_do_not(
    world: World,
) -> None:
    for job_id, state in (("1", "ending"), ("2", "refusing"), ("3", "running"), ("4", "done")):
        world.add(job_id)
        world.state.ledger.change(job_id, state=state)
    world.queue = JobQueue(world.state, {}, lambda: world.now, lambda: 1.0, busy=["3"])
    assert world.run(3) == ["1", "2"]


def test_jobs_that_lack_room_go_on_once_there_is_enough(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 10 << 20
    monkeypatch.setattr("stylewatch_daemon.files.disk_space.free", lambda folder: room)
    jobs = [world.add(str(number)) for number in range(4)]
    for _ in range(6):  # by now each waits for minutes
        world.now += PUT_OFF.most
        for job in jobs:
            full = FullError("", world.root, 900 << 20, 0) if job is jobs[3] else None
            world.end(job, OutcomeKind.PAUSED, 73, full)
    world.now += PAUSE.first
    assert world.run(4) == []
    room = 500 << 20
    world.now += PROBE_EVERY
    assert world.run(4) == ["0", "1", "2"]
    room = 1 << 30
    world.now += PROBE_EVERY
    assert world.run(1) == ["3"]


def test_a_disk_with_less_than_it_must_keep_free_stops_all_jobs_for_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, reserve = 200 << 20, 256 << 20
    monkeypatch.setattr("stylewatch_daemon.files.disk_space.free", lambda folder: room)
    first, _, _ = world.add("1"), world.add("2"), world.add("3", outbox="other")
    in_outbox = FullError("", world.root / "out", reserve + (90 << 20), reserve)
    world.end(first, OutcomeKind.PAUSED, 73, in_outbox)
    assert world.run(2) == ["3"]
    room = reserve + ROOM
    world.now += PROBE_EVERY
    assert world.run(3) == ["1", "2"]
    room, job = 0, world.add("4", outbox="other")
    world.end(job, OutcomeKind.PAUSED, 73, FullError("", world.state.root, reserve, reserve))
    world.add("5")
    assert world.run(2) == []


def test_an_obstacle_is_looked_at_every_few_seconds_and_not_after_its_job_was_canceled(
    world: World,
) -> None:
    job = world.add("1")
    world.end(job, OutcomeKind.PAUSED, 73, FullError("", world.root, sys.maxsize, 0))
    for _ in range(2):  # no worker is free
        world.now += PROBE_EVERY
        world.queue.check_probes()
        assert world.queue.soonest() == PROBE_EVERY
    world.end(job, OutcomeKind.CANCELED)
    assert world.queue.soonest() is None


def test_jobs_wait_while_their_records_cannot_be_opened(world: World) -> None:
    decided = world.add("1")
    first, *_ = [world.add(job_id, shape="s") for job_id in ("2", "3")]
    world.state.ledger.change("1", state="refusing")
    world.queue = JobQueue(world.state, {}, lambda: world.now, lambda: 1.0)
    with no_descriptors():
        assert world.queue.decided(retry=True) == []
        assert world.queue.companions(first, 1, 1, retry=True) == []
        world.now += PAUSE.first
        assert world.queue.next(retry=True) is None
    assert world.queue.next(retry=True) is None
    assert world.queue.soonest() == PROBE_EVERY
    world.now += PROBE_EVERY
    assert world.queue.next(retry=True) is not None
    assert [job.id for job in world.queue.decided(retry=True)] == [decided.id]
    assert world.run(2) == ["2", "3"]
    assert world.state.set_aside() == []


def test_a_job_that_runs_alone_waits_while_its_record_cannot_be_opened(world: World) -> None:
    cut_off = Attempt("2026-01-01T00:00:00+00:00", how=AttemptEnd.CUT_OFF)
    world.state.save(world.add("1"), attempts=(cut_off,) * 3)
    assert world.queue.next(retry=True) is None
    with no_descriptors():
        assert world.queue.next_alone(retry=True) is None
    world.now += PAUSE.first
    assert world.run(1) == []
    alone = world.queue.next_alone(retry=True)
    assert alone is not None
    assert alone.id == "1"


@pytest.mark.parametrize(
    ("batch", "backend", "device", "most"),
    [
        ("auto", "torch", "cuda:0", BEST_BATCH),
        ("auto", "torch", "cpu", 1),
        (3, "torch", "cpu", 3),
        (3, "onnx", "cuda:0", 1),
    ],
)
def test_the_size_of_a_batch_goes_by_settings_device_and_memory(
    batch: Any, backend: str, device: str, most: int
) -> None:
    sizes = BatchSizes(batch)
    assert sizes.most("torch  12ab") == 1, "nothing is known before a first job has begun"
    started = Started(backend, device, ((4, 4),), (2,), paints_many=backend == "torch")
    sizes.learn("torch  12ab", started)
    assert sizes.most("torch  12ab") == sizes.most("torch  34cd") == most
    assert sizes.most("torch cpu 12ab") == sizes.most("sketch  12ab") == sizes.most("") == 1
    for too_many in (most, most, 0):
        sizes.learn("torch  12ab", replace(started, too_many=too_many))
    assert (sizes.most("torch  12ab"), sizes.most("torch  34cd")) == (max(1, most // 2), most)
