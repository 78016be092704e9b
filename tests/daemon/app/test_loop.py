"""The main loop scans, runs jobs, and sleeps until something is due; by a clock set by hand."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.daemon.jobs.pairs import CRASH, JobsWorld, done, step
from tests.daemon.world import FakeExecutor, MoverNow, changed_settings, run_jobs

from stylewatch_daemon.app.loop import (
    LEAVE_WITHIN,
    MIN_INTERVAL,
    NEWS_EVERY,
    Loop,
)
from stylewatch_daemon.app.monitoring import SystemdNotifier
from stylewatch_daemon.base.errors import DamagedError, OutputError, ShortageError
from stylewatch_daemon.base.model import Cause, End, State
from stylewatch_daemon.intake.watch import LEAST_PAUSE, SCAN_S, Watch
from stylewatch_daemon.jobs.jobs import LEDGER_RETRY_S
from stylewatch_daemon.jobs.waits import PAUSE, RETRY
from stylewatch_daemon.ledger import requests, writer
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.worker.messages import Failed


@pytest.fixture
def world(tmp_path: Path) -> JobsWorld:
    return JobsWorld(tmp_path)


def sleeping(
    world: JobsWorld, loop: Loop, wake: Callable[[int], object] = lambda count: None
) -> list[float]:
    """Let time pass only while the loop sleeps; return how long it slept each time.

    `wake` is called with the number of each sleep, from 1.
    """
    slept, wait = list[float](), loop.wakeup.wait

    def sleep(seconds: float) -> bool:
        if came := wait(0):
            return came
        slept.append(round(seconds, 3))
        world.clock.now += seconds
        wake(len(slept))
        return wait(0)

    vars(loop.wakeup)["wait"] = sleep
    return slept


def watch(
    loop: Loop, systemd: SystemdNotifier | None = None, may_reload: Callable[[], bool] = bool
) -> bool:
    """Run the loop without file events."""
    return loop.watch(Watch([], print, "no"), systemd or SystemdNotifier({}), may_reload)


class EnoughError(Exception):
    """The loop has slept often enough for a test."""


def enough(at: int) -> Callable[[int], None]:
    """Leave the loop at this sleep."""

    def wake(count: int) -> None:
        if count == at:
            raise EnoughError

    return wake


# -- watching


def test_a_pair_is_scanned_until_it_is_stable_and_then_painted(world: JobsWorld) -> None:
    world.settings = changed_settings(world.settings, quiet_s=2)
    loop = world.start()
    sleeping(world, loop, lambda count: loop.wakeup.stop() if world.record.of("done") else None)
    world.drop("a")
    began = world.clock.now
    assert not watch(loop)
    assert world.published == done("a")
    assert 2 <= world.clock.now - began < 2 + 6 * NEWS_EVERY


def test_scans_that_take_long_leave_most_of_the_time_to_other_work(world: JobsWorld) -> None:
    loop, began = world.start(), list[float]()
    scan = loop.intake.scan

    def slow() -> None:
        began.append(world.clock.now)
        scan()
        loop.intake.scan_seconds = 30.0

    vars(loop.intake)["scan"] = slow
    world.drop("a")
    sleeping(world, loop, lambda count: loop.wakeup.stop() if len(began) > 1 else None)
    watch(loop)
    assert began[1] - began[0] >= LEAST_PAUSE * 30


@pytest.mark.parametrize(
    ("due", "seconds"),
    [
        ("a scan", 1000),
        ("a scan without file events", SCAN_S),
        ("a ping", 10),
        ("a job that crashed", RETRY.first),
        ("a request that was put off", PAUSE.first),
        ("another try to write the ledger", LEDGER_RETRY_S),
        ("news of a running job", NEWS_EVERY),
    ],
)
def test_the_loop_sleeps_until_something_is_due(
    due: str, seconds: float, world: JobsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.executor.endings = [CRASH] if "crashed" in due else []
    loop = world.queued("a")
    if "news" in due:
        step(loop)
        monkeypatch.setattr(FakeExecutor, "events", lambda self: iter(()))
    elif "request" in due:
        (world.state.root / "paused").mkdir()  # so that it cannot be removed
        requests.leave(world.state.root, "resume")
        loop.round()
    elif "ledger" in due:
        loop.jobs.note_trouble(OutputError("the disk is full"))
    else:
        run_jobs(loop)
    slept = sleeping(world, loop, enough(2))
    monkeypatch.setattr(Watch, "works", "without" not in due)
    environment = {"NOTIFY_SOCKET": "@nobody", "WATCHDOG_USEC": "20000000"}
    with pytest.raises(EnoughError):
        watch(loop, SystemdNotifier(environment if due == "a ping" else {}))
    assert seconds - 2 * MIN_INTERVAL < slept[1] <= seconds, slept


def test_a_running_job_keeps_a_checkpoint_when_the_daemon_starts_again(world: JobsWorld) -> None:
    loop = world.queued("a")
    step(loop)
    loop.wakeup.reload()
    sleeping(world, loop, enough(50))
    assert watch(loop, may_reload=lambda: True)
    assert (world.job("a").state, world.job("a").interruptions) == (State.QUEUED, 0)
    world.run()
    assert world.published == done("a")


def test_changed_settings_are_read_again_and_mistakes_are_found_once(world: JobsWorld) -> None:
    loop, changes, answers = world.start(), [False, True, False, True], [False, True]
    sleeping(world, loop, enough(50))
    watched = Watch([], print, "no")
    assert loop.watch(watched, SystemdNotifier({}), lambda: answers.pop(0), lambda: changes.pop(0))
    assert (changes, answers) == ([], [])


def test_a_ledger_that_cannot_be_read_for_a_while_only_delays(
    world: JobsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = world.started("a")

    def wake(count: int) -> None:
        if count == 3:
            monkeypatch.undo()
        elif world.record.of("done"):
            loop.wakeup.stop()

    for question in ("requests", "get", "waiting", "next_of_inboxes", "outlived", "doomed"):
        monkeypatch.setattr(LedgerWriter, question, lambda *_: raise_(OutputError("locked")))
    sleeping(world, loop, wake)
    assert not watch(loop)
    assert world.published == done("a")
    assert world.record.of("waits") == [("the ledger", "locked")]


def test_a_drained_loop_stops_once_the_running_jobs_have_ended(world: JobsWorld) -> None:
    loop = world.queued("a", "b")
    step(loop)
    requests.leave(world.state.root, "drain")
    sleeping(world, loop, enough(50))
    assert not watch(loop)
    assert (world.job("a").end, world.job("b").state) == (End.DONE, State.QUEUED)


def test_a_damaged_ledger_ends_the_daemon(
    world: JobsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = world.started("a")
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    monkeypatch.setattr(writer, "commit", lambda *_: raise_(error))
    with pytest.raises(DamagedError):
        run_jobs(loop)


def raise_(error: Exception) -> None:
    raise error


# -- stopping


def test_a_stop_acts_on_requests_and_publishes_ends_for_some_seconds(
    world: JobsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = world.queued("a")
    monkeypatch.setattr(MoverNow, "do", lambda *_: None)
    requests.leave(world.state.root, "cancel", job=world.job("a").id)
    step(loop)
    began, _, told = world.clock.now, sleeping(world, loop), list[float]()
    loop.stop(lambda: told.append(world.clock.now))
    assert LEAVE_WITHIN < world.clock.now - began < LEAVE_WITHIN + 2
    assert max(told) - began > LEAVE_WITHIN - 2, "more time is asked for until the end"
    monkeypatch.undo()
    world.run()
    assert world.job("a").end is End.CANCELED


# -- once


PATIENCE = 20.0


def test_one_run_waits_for_crashed_jobs_and_not_for_obstacles(world: JobsWorld) -> None:
    world.executor.endings = [CRASH, CRASH, Failed("no device", Cause.DEVICE)]
    world.drop("a", "b")
    loop = world.start()
    sleeping(world, loop)
    loop.run_once(2, PATIENCE)
    assert {world.job(name).seen for name in "ab"} == {"waiting"}
    assert len(world.executor.orders) == 3
    assert set(loop.blocked.values()) == {"no device"}


def test_one_run_waits_for_changing_files_for_a_while_and_does_the_others(
    world: JobsWorld,
) -> None:
    world.drop("a", "b")
    loop = world.start()

    def write(count: int) -> None:
        with (world.inbox / "b/content.jpg").open("a") as file:
            file.write("more")

    sleeping(world, loop, write)
    began = world.clock.now
    loop.run_once(2, PATIENCE)
    assert world.published == done("a")
    assert [pair.name for pair in loop.intake.incomplete] == ["b"]
    assert PATIENCE <= world.clock.now - began < 3 * PATIENCE


@pytest.mark.parametrize("lacks", ["a", "the ledger"])
def test_one_run_ends_though_pictures_cannot_be_inspected_or_the_ledger_not_written(
    lacks: str, world: JobsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.drop("a")
    loop = world.start()
    requests.leave(world.state.root, "dismiss", jobs=[])
    if lacks == "a":
        world.inspector.error = ShortageError("no process can be started")
    else:
        error = sqlite3.OperationalError("database or disk is full")
        monkeypatch.setattr(writer, "commit", lambda *_: raise_(error))
    sleeping(world, loop)
    began = world.clock.now
    loop.run_once(2, PATIENCE)
    assert world.clock.now - began < 2 * PATIENCE
    assert set(loop.blocked) == {lacks}
    assert world.published == {} and not world.executor.orders
