"""The order of jobs, and the obstacles for which some of them wait and no others."""

import errno
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.clock import Clock
from tests.daemon.world import make_inbox, make_settings

from stylewatch_daemon.base.errors import FullError, OutputError, ShortageError, UnavailableError
from stylewatch_daemon.base.events import Reporter
from stylewatch_daemon.base.model import Cause, Job, State
from stylewatch_daemon.jobs.jobs import Jobs
from stylewatch_daemon.jobs.waits import LEEWAY, PAUSE, PUT_OFF, RETRY, cause_of
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.ledger.writer import LedgerWriter


class Queue:
    """Queued jobs; all waits are the longest possible."""

    def __init__(self, root: Path, ledger: LedgerWriter, **weights: float) -> None:
        self.root, self.ledger, self.clock = root, ledger, Clock()
        inboxes = [make_inbox(root / name, root, weight=by) for name, by in weights.items()]
        settings = make_settings(inboxes, root / "state")
        state = StateDir(root / "state")
        self.jobs = Jobs(state, ledger, Reporter(), settings, self.clock, lambda: 1.0)

    def add(self, job_id: str, inbox: str = "in", outbox: str = "out", **more: Any) -> Job:
        """Queue a job."""
        folders = str(self.root / inbox), str(self.root / outbox)
        job = Job(job_id, job_id, *folders, "then", State.QUEUED, **more)
        self.ledger.put(job)
        return job

    def run(self, count: int, retry: bool = True) -> list[str]:
        """Begin the next jobs; return their ids."""
        begun = []
        for _ in range(count):
            if (job := self.jobs.next(retry)) is not None:
                self.jobs.took_turn(job)
                self.ledger.put(replace(job, state=State.RUNNING))
                begun.append(job.id)
        return begun

    def again(self, job: Job) -> None:
        """Queue a job again that has run."""
        self.ledger.put(job)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[LedgerWriter]:
    StateDir(tmp_path / "state").make()
    with closing(LedgerWriter.open(tmp_path / "state/ledger.sqlite3")) as ledger:
        yield ledger


@pytest.fixture
def queue(tmp_path: Path, ledger: LedgerWriter) -> Queue:
    return Queue(tmp_path, ledger)


# -- turns


def test_jobs_run_by_priority_and_then_in_order(queue: Queue) -> None:
    for job_id, priority in (("1", 0), ("2", 9), ("3", 9), ("4", -1)):
        queue.add(job_id, priority=priority)
    assert queue.jobs.waits.soonest() is None
    assert queue.run(5) == ["2", "3", "1", "4"]


def test_inboxes_take_turns_by_weight_whatever_their_priorities(
    tmp_path: Path, ledger: LedgerWriter
) -> None:
    queue = Queue(tmp_path, ledger, hers=2.0, his=1.0)
    for number in range(6):
        queue.add(f"1{number}", "hers")
        queue.add(f"2{number}", "his", priority=100)
    assert [job[0] for job in queue.run(9)].count("1") == 6


def test_an_inbox_that_was_empty_is_owed_nothing(tmp_path: Path, ledger: LedgerWriter) -> None:
    queue = Queue(tmp_path, ledger, hers=1.0, his=1.0)
    for number in range(9):
        queue.add(f"1{number}", "hers")
    queue.run(5)
    for number in range(9):
        queue.add(f"2{number}", "his")
    assert sorted(job[0] for job in queue.run(4)) == ["1", "1", "2", "2"]


# -- obstacles


def test_a_job_that_crashed_waits_and_the_others_run(queue: Queue) -> None:
    first = queue.add("1")
    queue.add("2")
    for wait in (RETRY.first, 2 * RETRY.first, 4 * RETRY.first):
        queue.jobs.lost(first, Cause.WORKER, "it died", "", None)
        assert queue.jobs.waits.soonest() == wait
        assert queue.run(2) in (["2"], [])
        queue.clock.now += wait
        assert queue.run(2) == ["1"]
        queue.again(first)


OTHERS = ["alike", "needs", "needs, outbox", "outbox"]
"""Jobs that have other needs, another outbox, or both."""


def full(folder: Path, wanted: int = 900 << 20, reserve: int = 0) -> FullError:
    return FullError("the disk is full", folder, wanted, reserve)


@pytest.mark.parametrize(
    ("error", "room", "runs"),
    [
        (UnavailableError("no such device"), 1 << 40, ["needs", "needs, outbox"]),
        (ShortageError("no file descriptor"), 1 << 40, []),
        (OutputError("odd"), 1 << 40, OTHERS),
        (OutputError("outbox"), 1 << 40, ["needs, outbox", "outbox"]),
        (OutputError("state"), 1 << 40, []),
        ("its disk", 500 << 20, OTHERS),
        ("its disk", 1 << 10, ["needs, outbox", "outbox"]),
        ("another disk", 1 << 10, []),
    ],
)
def test_all_that_depends_on_an_obstacle_waits_and_nothing_else(
    error: Any, room: int, runs: list[str], queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stylewatch_daemon.files.disks.free", lambda folder: room)
    if str(error) == "outbox":
        (queue.root / "out").write_text("in its place")
    if str(error) == "state":
        (queue.root / "state/.probe").mkdir()
    if isinstance(error, str):
        error = full(queue.root / ("out" if error == "its disk" else "state"))
    job = queue.add("1", needs="gpu")
    for other in OTHERS:
        queue.add(
            other,
            outbox="out2" if "outbox" in other else "out",
            needs="cpu" if "needs" in other else "gpu",
        )
    queue.jobs.block(job, error, cause=getattr(error, "cause", None))
    assert queue.run(5) == runs
    queue.clock.now += PUT_OFF.most
    assert {*runs, *queue.run(5)} == {job.id, *OTHERS}


def test_a_disk_has_no_room_for_any_job_if_less_is_free_than_it_must_keep(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve = 256 << 20
    job = queue.add("1")
    queue.add("2")
    for free, runs in ((reserve + LEEWAY, ["2"]), (reserve + LEEWAY - 1, [])):
        monkeypatch.setattr("stylewatch_daemon.files.disks.free", lambda _, free=free: free)
        queue.jobs.block(job, full(queue.root / "out", reserve=reserve))
        assert queue.run(1) == runs
        queue.clock.now += PUT_OFF.most


def test_waits_become_longer_until_something_gets_past_the_obstacle(queue: Queue) -> None:
    job = queue.add("1", needs="gpu")
    waits = queue.jobs.waits
    for seconds in (5, 10, 20, 40, 60, 60, 0, 5, 10):
        if not seconds:
            waits.passed(job, "gpu")
            assert waits.soonest() is None
            continue
        for _ in range(2):  # of two jobs at once
            queue.jobs.block(job, OutputError("no such device"), cause=Cause.DEVICE)
        queue.clock.now += seconds - 1
        assert "gpu" in waits.held()
        queue.clock.now += 1
        assert "gpu" not in waits.held()


def test_another_job_tries_before_the_one_that_met_the_obstacle(queue: Queue) -> None:
    job, other = queue.add("1", needs="gpu"), queue.add("2", needs="gpu")
    queue.jobs.block(job, OutputError("no such device"), cause=Cause.DEVICE)
    queue.clock.now += PAUSE.first
    assert queue.run(2) == ["2"]
    queue.jobs.waits.passed(other, "gpu")
    assert queue.run(1) == [], "that does not help this one"
    queue.clock.now += PUT_OFF.first
    assert queue.run(1) == ["1"]


def test_without_retries_what_had_to_wait_waits_on_and_what_crashed_does_not(queue: Queue) -> None:
    blocked, crashed = queue.add("1", needs="gpu"), queue.add("2")
    queue.jobs.block(blocked, OutputError("no such device"), cause=Cause.DEVICE)
    queue.jobs.lost(crashed, Cause.BUG, "it broke", "", None)
    queue.clock.now += PUT_OFF.most
    assert queue.run(2, retry=False) == ["2"]
    assert queue.run(2) == ["1"]


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (UnavailableError("no device"), Cause.DEVICE),
        (ShortageError("no process"), Cause.MACHINE),
        (OSError(errno.EMFILE, "Too many open files"), Cause.MACHINE),
        (OSError(errno.ENOSPC, "No space left on device"), Cause.DISK),
        (OutputError("it is not mounted"), Cause.DISK),
    ],
)
def test_an_error_has_its_cause(error: Exception, cause: Cause) -> None:
    assert cause_of(error) is cause
