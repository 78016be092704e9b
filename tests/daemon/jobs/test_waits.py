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
from stylewatch_daemon.files import disks
from stylewatch_daemon.jobs.jobs import Jobs
from stylewatch_daemon.jobs.waits import LEEWAY, MACHINE, PAUSE
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.ledger.writer import LedgerWriter

RESERVE = 256 << 20
NO_DEVICE = UnavailableError("no such device")


class Queue:
    """Queued jobs of two inboxes; all waits are the longest possible."""

    def __init__(self, root: Path, ledger: LedgerWriter) -> None:
        self.root, self.ledger, self.clock = root, ledger, Clock()
        inboxes = [make_inbox(root / name, root) for name in ("hers", "his")]
        settings = make_settings(inboxes, root / "state")
        state = StateDir(root / "state")
        self.jobs = Jobs(state, ledger, Reporter(), settings, self.clock)

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


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[LedgerWriter]:
    StateDir(tmp_path / "state").make()
    with closing(LedgerWriter.open(tmp_path / "state/ledger.sqlite3")) as ledger:
        yield ledger


@pytest.fixture
def queue(tmp_path: Path, ledger: LedgerWriter) -> Queue:
    return Queue(tmp_path, ledger)


# -- turns


def test_jobs_run_by_priority_and_inboxes_take_turns(queue: Queue) -> None:
    for number in range(6):
        queue.add(f"1{number}", "hers", priority=number % 2)
        queue.add(f"2{number}", "his", priority=100)
    begun = queue.run(9)
    assert [job[0] for job in begun] == list("121212121")
    assert [job for job in begun if job[0] == "1"] == ["11", "13", "15", "10", "12"]


def test_an_inbox_that_was_empty_is_owed_nothing(queue: Queue) -> None:
    for number in range(9):
        queue.add(f"1{number}", "his")
    queue.run(5)
    for number in range(9):
        queue.add(f"2{number}", "in")
    assert sorted(job[0] for job in queue.run(4)) == ["1", "1", "2", "2"]


# -- obstacles


OTHERS = ["alike", "needs", "needs, outbox", "outbox"]
"""Jobs that have other needs, another outbox, or both."""


def full(queue: Queue, folder: str) -> FullError:
    return FullError("the disk is full", queue.root / folder, RESERVE)


@pytest.mark.parametrize(
    ("obstacle", "room", "runs"),
    [
        (NO_DEVICE, 1 << 40, ["needs", "needs, outbox"]),
        (ShortageError("no file descriptor"), 1 << 40, []),
        (OSError(errno.EMFILE, "Too many open files"), 1 << 40, []),
        (OSError(errno.EIO, "odd"), 1 << 40, OTHERS),
        (OutputError("outbox"), 1 << 40, ["needs, outbox", "outbox"]),
        (OutputError("state"), 1 << 40, []),
        ("a crash", 1 << 40, OTHERS),
        ("out", RESERVE + LEEWAY, OTHERS),
        ("out", RESERVE + LEEWAY - 1, ["needs, outbox", "outbox"]),
        ("state", RESERVE, []),
    ],
)
def test_all_that_depends_on_an_obstacle_waits_and_nothing_else(
    obstacle: Any, room: int, runs: list[str], queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "free", lambda folder: room)
    if str(obstacle) == "outbox":
        (queue.root / "out").write_text("in its place")
    if isinstance(obstacle, OutputError) and str(obstacle) == "state":
        (queue.root / "state/.probe").mkdir()
    job = queue.add("1", needs="gpu")
    for other in OTHERS:
        queue.add(
            other,
            outbox="out2" if "outbox" in other else "out",
            needs="cpu" if "needs" in other else "gpu",
        )
    if obstacle == "a crash":
        queue.jobs.lost(job, Cause.WORKER, "it died", "", None)
    else:
        queue.jobs.block(job, full(queue, obstacle) if isinstance(obstacle, str) else obstacle)
    assert queue.run(5) == runs
    queue.clock.now += 2 * PAUSE.most
    assert {*runs, *queue.run(5)} == {job.id, *OTHERS}


def test_of_many_jobs_that_wait_for_one_obstacle_a_single_one_tries_at_a_time(
    queue: Queue,
) -> None:
    jobs = {str(number): queue.add(str(number), needs="gpu") for number in range(1000, 1099)}
    tried, until = list[str](), queue.clock.now + 600
    while queue.clock.now < until:
        while begun := queue.run(1):
            tried += begun
            queue.jobs.block(jobs[begun[0]], NO_DEVICE)
            queue.ledger.put(jobs[begun[0]])
        queue.clock.now += 1
    assert len(tried) == 13, "after 5, 10, 20, 40 and 60 seconds, then every 60"


def test_a_job_that_keeps_failing_does_not_block_the_others(queue: Queue) -> None:
    bad, good = queue.add("1", needs="gpu"), queue.add("2", needs="gpu")
    queue.jobs.block(bad, NO_DEVICE)
    queue.clock.now += PAUSE.first
    assert queue.run(2) == ["2"], "another job finds out whether the obstacle is gone"
    queue.jobs.waits.passed(good, "gpu", MACHINE)
    queue.clock.now += PAUSE.first
    assert queue.run(2) == ["1"]
    queue.ledger.put(bad)
    queue.add("3", needs="gpu")
    queue.jobs.block(bad, NO_DEVICE)
    assert queue.run(2) == ["3"], "it is the trouble of that job alone"
    queue.clock.now += 2 * PAUSE.first
    assert queue.run(2) == ["1"]
