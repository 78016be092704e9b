"""Events change jobs whole or not at all; an error fails one job; a start goes on after a kill."""

import errno
import logging
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import failing, fill, replaced, tree
from tests.daemon.world import (
    DaemonWorld,
    FakeExecutor,
    FakeInspector,
    done,
    refused,
    run_jobs,
    step,
)

from stylewatch_daemon.app.loop import Loop
from stylewatch_daemon.base.model import Cause, End, State
from stylewatch_daemon.intake import intake
from stylewatch_daemon.jobs.jobs import LEDGER_RETRY_S
from stylewatch_daemon.jobs.lifecycle import Asked
from stylewatch_daemon.jobs.waits import PAUSE
from stylewatch_daemon.ledger import claim as claims
from stylewatch_daemon.ledger import schema
from stylewatch_daemon.ledger.ledger import reading
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.outbox import ending
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.worker.messages import AttemptRequest, Event, Failed, Order


@pytest.fixture
def world(tmp_path: Path) -> DaemonWorld:
    return DaemonWorld(tmp_path)


# -- the ledger


def check_nothing_followed(world: DaemonWorld) -> None:
    """Check that the disk shows nothing that the ledger does not have."""
    with reading(world.state.ledger) as ledger:
        job = ledger.find("a")
        attempts = ledger.attempts(job.id) if job else ()
        listed = {file.path for file in ledger.files(job.id)} if job else set()
    folders = (world.state.claims, world.state.jobs)
    held = {path.name for folder in folders for path in folder.iterdir()}
    assert held == (set() if job is None or job.has_ended else {job.id})
    assert len(world.executor.orders) == len(attempts)
    assert {name for name in world.published if "stages" in name} <= listed
    if job is None or job.state is not State.RUNNING:
        assert world.executor.going == {}


def step_by_step(world: DaemonWorld) -> bool:
    for _ in range(20):
        step(world.loop)
    check_nothing_followed(world)
    assert len(world.record.of("waits")) == bool(world.loop.jobs.trouble), "it is told once"
    return False


def all_at_once(world: DaemonWorld) -> bool:
    world.executor.is_fast = True
    return step_by_step(world)


def run_once(world: DaemonWorld) -> bool:
    """Run with --once, without pauses; fail if that does not end."""
    left, wait = iter(range(200)), world.loop.wakeup.wait

    def looked(seconds: float) -> bool:
        next(left)
        return wait(0)

    with replaced(world.loop.wakeup, wait=looked):
        world.loop.run_once(0, 0)
    return True


@pytest.mark.parametrize("run", [step_by_step, all_at_once, run_once])
def test_while_the_ledger_cannot_be_written_nothing_follows_and_later_all_does(
    run: Callable[[DaemonWorld], bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From whichever commit on; `run` returns whether the daemon has ended."""
    commit = schema.commit
    for works in count():
        world, made = DaemonWorld(tmp_path / str(works)), count(1)

        def fails(connection: sqlite3.Connection, made: Any = made, works: int = works) -> None:
            if next(made) > works:
                raise sqlite3.OperationalError("database or disk is full")
            commit(connection)

        world.started("a")
        with monkeypatch.context() as patch:
            patch.setattr(schema, "commit", fails)
            has_ended = run(world)
        has_failed = next(made) > works + 1
        assert bool(world.loop.jobs.trouble) == has_failed
        world.wait(LEDGER_RETRY_S)
        if has_ended:
            world.start()
        for _ in range(2):
            world.work(again=True)
        assert (world.published, tree(world.inbox)) == (done("a"), {}), works
        jobs = world.loop.jobs
        assert (world.left, jobs.live, jobs.trouble) == ([], {}, ""), works
        world.close()
        if not has_failed:
            break
    assert works > 6


# -- errors that nobody foresaw


FAULTS: dict[str, tuple[Any, str]] = {
    "asking for an inspection": (FakeInspector, "ask"),
    "applying a verdict": (intake, "Inspected"),
    "entering an attempt": (LedgerWriter, "put_attempt"),
    "entering a stage": (LedgerWriter, "put_files"),
    "publishing a stage": (Outbox, "publish"),
    "ordering": (FakeExecutor, "submit"),
    "publishing the end": (ending, "publish_output"),
    "publishing a refusal": (ending, "publish_refusal"),
}


@pytest.mark.parametrize("where", FAULTS)
def test_an_error_that_nobody_foresaw_fails_one_job_and_leaves_a_trace(
    where: str,
    world: DaemonWorld,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    owner, name = FAULTS[where]
    monkeypatch.setattr(owner, name, failing(KeyError("odd"), 1, getattr(owner, name)))
    if where == "publishing a refusal":
        world.inspector.says = {"a/": "no picture"}
    loop = world.started("a", "b")
    run_jobs(loop)
    world.wait(PAUSE.most)
    run_jobs(loop)
    (log,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "KeyError: 'odd'" in log.__dict__["trace"]
    files = {name: text for name, text in world.published.items() if not name.startswith("a/")}
    job = world.job("a")
    assert (job.end, job.cause) == (End.FAILED, Cause.BUG)
    assert "a fault of stylewatch: " in job.reason and "'odd'; please report it" in job.reason
    assert files == refused("a", job.reason) | done("b")
    assert (world.left, loop.jobs.live, tree(world.inbox)) == ([], {}, {})
    assert world.executor.going == {}


def test_an_event_that_breaks_fails_its_job_and_the_others_of_that_commit_are_applied(
    world: DaemonWorld,
) -> None:
    loop = world.queued("a", "b")
    breaks = failing(KeyError("odd"))
    loop.jobs.post(world.job("a").id, Asked(End.STOPPED_EARLY), breaks)
    loop.jobs.post(world.job("b").id, Asked(End.CANCELED))
    loop.jobs.commit()
    assert [world.job(name).end for name in "ab"] == [End.FAILED, End.CANCELED]


# -- ends that wait


def test_of_ends_that_wait_for_one_disk_a_single_one_finds_out_whether_it_is_there_again(
    world: DaemonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        tried.append(world.clock.now)
        raise OSError(errno.ENOTDIR, "Not a directory")

    loop, tried = world.queued("a", "b", "c"), list[float]()
    shutil.rmtree(world.outbox)
    world.outbox.write_text("in the way")
    for name in "abc":
        loop.jobs.post(world.job(name).id, Asked(End.CANCELED))
    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "probe", fails)
        run_jobs(loop)
        for _ in range(2):
            tried.clear()
            world.wait(PAUSE.most)
            run_jobs(loop)
            assert len(tried) == 2, "one tries, and then looks which disk is the obstacle"
    world.outbox.unlink()
    world.wait(PAUSE.most)
    run_jobs(loop)
    assert world.states == dict.fromkeys("abc", "canceled")
    assert (loop.blocked, loop.jobs.live) == ({}, {})


# -- starts after a kill


def rewrite(world: DaemonWorld, change: Callable[[LedgerWriter], object]) -> None:
    """Change the ledger while no daemon runs."""
    world.close()
    with closing(LedgerWriter.open(world.state.ledger)) as ledger:
        change(ledger)


@pytest.mark.parametrize("where", ["jobs", "claims"])
def test_a_claimed_job_goes_on_though_the_ledger_lacks_it(where: str, world: DaemonWorld) -> None:
    world.queued("a", "b")
    job_id = world.job("a").id
    folder = world.state.jobs / job_id
    if where == "claims":
        folder.rename(world.state.claims / job_id)
    rewrite(world, lambda ledger: ledger.delete(job_id))
    world.run()
    assert (world.published, world.left) == (done("a", "b"), [])
    assert world.job("a").id == job_id


@pytest.mark.parametrize("folder", ["jobs", "claims", ""])
def test_a_job_whose_claim_is_damaged_or_gone_fails_with_the_inputs_that_are_left(
    folder: str, world: DaemonWorld
) -> None:
    world.queued("a", "b")
    job_id = world.job("a").id
    (world.state.jobs / job_id / claims.FILE_NAME).write_text("[" * 10_000)
    if folder == "claims":
        (world.state.jobs / job_id).rename(world.state.claims / job_id)
        rewrite(world, lambda ledger: ledger.put(replace(world.job("a"), state=State.CLAIMED)))
    elif not folder:
        shutil.rmtree(world.state.jobs / job_id)
    loop = world.run()
    job = world.job("a")
    assert (job.end, job.cause) == (End.FAILED, Cause.DISK)
    assert ("claim.json" if folder else f"no longer in {world.state.jobs}") in job.reason
    files = refused("a", job.reason)
    left = files if folder else {name: files[name] for name in files if "reason" in name}
    assert (world.published, world.left) == (left | done("b"), [])
    assert loop.jobs.live == {}


def test_a_job_that_was_running_at_three_kills_in_a_row_runs_last(world: DaemonWorld) -> None:
    world.queued("a", "b")
    for kills in range(3):
        step(world.start())  # its outbox is prepared
        world.loop.round()
        assert world.job("a").state is State.RUNNING, kills
    world.run()
    titles = [order.name for order in world.executor.orders]
    assert titles == ["b", "a"], "the others were killed before their first step"


# -- the state folder


@pytest.mark.parametrize("rounds", range(12))
@pytest.mark.parametrize("is_replaced", [False, True])
def test_jobs_wait_while_the_state_folder_is_away(
    rounds: int, is_replaced: bool, tmp_path: Path
) -> None:
    """On the same mount, at any moment; in its place is nothing, or an older copy."""
    world = DaemonWorld(tmp_path)
    world.executor = OfADisk()
    fill(world.inbox, "b/job.yaml")
    (world.inbox / "b/job.yaml").write_text("steps: 7")
    state, elsewhere = world.state.root, tmp_path / "elsewhere"
    loop = world.started("a", "b")
    copy = shutil.copytree(state, tmp_path / "copy", ignore=shutil.ignore_patterns("wake"))
    for _ in range(rounds):
        step(loop)
    state.rename(elsewhere)
    if is_replaced:
        copy.rename(state)
    there = tree(state) if is_replaced else None
    go_on(world, loop)
    assert "was moved away or replaced" in loop.jobs.trouble
    assert (tree(state) if state.exists() else None) == there, "nothing is made in its place"
    if is_replaced:
        shutil.rmtree(state)
    elsewhere.rename(state)
    go_on(world, loop)
    assert world.states == {"a": "done", "b": "done"}
    assert [job.faults for job in world.jobs] == [0, 0]


class OfADisk(FakeExecutor):
    """Fails like a worker that cannot read an input or write a checkpoint."""

    def paint(self, order: Order, wanted: Callable[[], AttemptRequest]) -> Iterator[Event]:
        try:
            yield from super().paint(order, wanted)
        except OSError as error:
            yield Failed(str(error), Cause.DISK)


def go_on(world: DaemonWorld, loop: Loop) -> None:
    """Let some minutes pass."""
    for _ in range(60):
        world.wait(5.0)
        step(loop)
