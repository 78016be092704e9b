"""The main loop scans, runs jobs, and sleeps until something is due; by a clock set by hand."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.app.conftest import File
from tests.daemon.faults import failing
from tests.daemon.world import (
    CRASH,
    DaemonWorld,
    FakeExecutor,
    LanesNow,
    changed_settings,
    done,
    run_jobs,
    scan,
    step,
)

from stylewatch_daemon.app.commands import Commands
from stylewatch_daemon.app.loop import LEAVE_WITHIN, MIN_INTERVAL, NEWS_EVERY
from stylewatch_daemon.app.monitoring import SystemdNotifier
from stylewatch_daemon.app.settings_file import LOOK_EVERY
from stylewatch_daemon.base.errors import DamagedError, LedgerError, OutputError
from stylewatch_daemon.base.lanes import Lanes, Step
from stylewatch_daemon.base.model import Cause, End, Job
from stylewatch_daemon.base.wakeup import Intent
from stylewatch_daemon.intake.scanner import Scan
from stylewatch_daemon.intake.watch import LEAST_PAUSE, SCAN_S, Watch
from stylewatch_daemon.jobs.attempts import Attempts
from stylewatch_daemon.jobs.jobs import LEDGER_RETRY_S
from stylewatch_daemon.jobs.waits import PAUSE, RETRY
from stylewatch_daemon.ledger import schema
from stylewatch_daemon.ledger.claim import Claim
from stylewatch_daemon.ledger.ledger import Ledger
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.worker.messages import Failed

PATIENCE = 20.0


class World(DaemonWorld):
    """A daemon whose time passes only while it sleeps."""

    def sleeping(self, wake: Callable[[int], object] = lambda count: None) -> list[float]:
        """Call `wake` with the number of each sleep, from 1; return how long each one took."""
        slept, wait = list[float](), self.loop.wakeup.wait

        def sleep(seconds: float) -> bool:
            if came := wait(0):
                return came
            slept.append(round(seconds, 3))
            self.wait(seconds)
            wake(len(slept))
            return wait(0)

        vars(self.loop.wakeup)["wait"] = sleep
        return slept

    def watch(self, systemd: SystemdNotifier | None = None, file: Any = None) -> bool:
        """Run the loop without file events; return whether the daemon starts anew."""
        self.loop.watch(Watch(print, "no"), systemd or SystemdNotifier({}), file)
        return self.loop.wakeup.intent is Intent.RESTART


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# -- watching


def test_scans_that_take_long_leave_most_of_the_time_to_other_work(world: World) -> None:
    loop, began = world.start(), list[float]()
    (inbox,) = loop.intake.inboxes
    scan = inbox.scanner.scan

    def slow(claims: Sequence[Claim], step: Step) -> Scan:
        began.append(world.clock.now)
        return replace(scan(claims, step), seconds=30.0)

    vars(inbox.scanner)["scan"] = slow
    world.drop("a")
    world.sleeping(lambda count: loop.wakeup.stop() if len(began) > 1 else None)
    world.watch()
    assert began[1] - began[0] >= LEAST_PAUSE * 30


def test_the_upkeep_does_not_wait_for_an_inbox_that_does_not_answer(world: World) -> None:
    loop = world.start()
    loop.intake.inboxes[0].is_checking = True
    world.wait(world.settings.watch.rescan_s)
    world.sleeping(lambda count: loop.wakeup.stop())
    world.watch()
    assert loop.jobs.ledger.sight() is not None


@pytest.mark.parametrize(
    ("due", "seconds"),
    [
        ("a scan", 4),
        ("a look at the settings", LOOK_EVERY),
        ("a scan without file events", SCAN_S),
        ("a ping", 6),
        ("a job that crashed", RETRY.first),
        ("a request that was put off", PAUSE.first),
        ("another try to write the ledger", LEDGER_RETRY_S),
        ("news of a running job", NEWS_EVERY),
        ("the end of a look at an inbox", NEWS_EVERY),
    ],
)
def test_the_loop_sleeps_until_something_is_due(
    due: str, seconds: float, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(count: int) -> None:
        if count == 2:
            raise KeyboardInterrupt

    world.executor.endings = [CRASH] if "crashed" in due else []
    if due == "a scan":
        world.settings = changed_settings(world.settings, rescan_s=seconds)
    if "request" in due:
        (world.state.root / "paused").mkdir(parents=True)  # so that it cannot be removed
    loop = world.queued("a")
    if "news" in due:
        step(loop)
        monkeypatch.setattr(FakeExecutor, "events", lambda self: iter(()))
    elif "request" in due:
        world.ask("resume")
        loop.round()
    elif "ledger" in due:
        loop.jobs.note_trouble(OutputError("the disk is full"))
    else:
        run_jobs(loop)
    slept = world.sleeping(leave)
    loop.intake.inboxes[0].is_checking = "look at an inbox" in due
    world.wait(3600 if "look at an inbox" in due else 0)
    monkeypatch.setattr(Watch, "works", lambda self, folder: "without" not in due)
    environment = {"NOTIFY_SOCKET": "@nobody", "WATCHDOG_USEC": "12000000"}
    with pytest.raises(KeyboardInterrupt):
        world.watch(SystemdNotifier(environment if due == "a ping" else {}))
    assert seconds - 2 * MIN_INTERVAL < slept[0] <= seconds, slept


def test_settings_that_are_refused_or_wait_for_a_folder_stop_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, file = world.start(), File(repeat(False), clock=world.clock)
    world.sleeping(lambda count: loop.wakeup.stop() if count == 9 else None)
    loop.wakeup.reload()
    assert not world.watch(file=file) and file.judged
    loop, file = world.start(), File(clock=world.clock)
    silent = {Path("/share"): 12.0}
    monkeypatch.setattr(Lanes, "silent", lambda self, least_s=None: silent)

    def answer(count: int) -> None:
        if count == 2:
            assert loop.blocked["the settings"] == file.trouble != "" and not file.judged
            silent.clear()

    world.sleeping(answer)
    loop.wakeup.reload()
    assert world.watch(file=file), "it waits until the folder answers, and is not forgotten"


def test_a_ledger_that_cannot_be_read_for_a_while_only_delays_and_a_damaged_one_ends_the_daemon(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = world.started("a")

    def wake(count: int) -> None:
        if count == 3:
            monkeypatch.undo()
        elif world.record.of("ended"):
            loop.wakeup.stop()

    for question in ("requests", "get", "waiting", "next_of_inboxes", "sight", "reserved"):
        monkeypatch.setattr(LedgerWriter, question, failing(LedgerError("locked")))
    for question in ("version", "memory"):
        monkeypatch.setattr(Ledger, question, property(failing(LedgerError("locked"))))
    world.sleeping(wake)
    assert not world.watch()
    assert world.published == done("a")
    waits = [("the ledger", "locked"), (str(world.inbox), "locked")]
    assert world.record.of("waits") == waits, "each is told once"
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    loop = world.started("b")
    monkeypatch.setattr(schema, "commit", failing(error))
    with pytest.raises(DamagedError):
        run_jobs(loop)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Attempts, "_preparation"),
        (Attempts, "_handle"),
        (Attempts, "_follow_end"),
        (Commands, "_act"),
        (Commands, "_deleted"),
    ],
)
def test_a_damaged_ledger_is_nowhere_taken_for_the_trouble_of_one_job_or_request(
    owner: type, name: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.drop("a")
    world.run()
    world.ask("delete", "a")
    world.drop("b")
    scan(world.loop)
    monkeypatch.setattr(owner, name, failing(DamagedError("the ledger is damaged")))
    with pytest.raises(DamagedError):
        run_jobs(world.loop)


def test_a_result_that_meets_a_locked_ledger_is_handled_later_and_a_fault_of_ours_is_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    loop, calls = world.queued("a"), list[str]()
    errors: list[Exception] = [LedgerError("locked"), KeyError("a fault")]

    def call() -> None:
        calls.append("called")
        if errors:
            raise errors.pop(0)

    loop.wakeup.post(call)
    loop.wakeup.wait(0)
    for seconds, number in ((0.0, 1), (LEDGER_RETRY_S, 2), (LEDGER_RETRY_S, 2)):
        world.wait(seconds)
        loop.round()
        assert len(calls) == number
    assert world.record.of("waits") == [("the ledger", "locked")] and not loop.jobs.trouble
    assert [record.getMessage() for record in caplog.records] == [
        "a fault of stylewatch; please report it"
    ]


def test_a_stop_acts_on_requests_and_publishes_ends_for_some_seconds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = world.queued("a")
    monkeypatch.setattr(LanesNow, "do", lambda *_: None)
    world.ask("cancel", "a")
    step(loop)
    began, _, told = world.clock.now, world.sleeping(), list[float]()
    loop.stop(lambda: told.append(world.clock.now))
    assert LEAVE_WITHIN < world.clock.now - began < LEAVE_WITHIN + 2
    assert max(told) - began > LEAVE_WITHIN - 2, "more time is asked for until the end"
    monkeypatch.undo()
    world.run()
    assert world.job("a").end is End.CANCELED


@pytest.mark.parametrize("holds_up", ["the worker", "the end of the attempt"])
def test_a_stop_leaves_an_attempt_whose_outbox_does_not_answer(
    holds_up: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = world.started("a")
    while not world.record.of("progress"):
        step(loop)
    monkeypatch.setattr(LanesNow, "silent", lambda *_: {world.outbox: LEAVE_WITHIN})
    monkeypatch.setattr(LanesNow, "do", lambda *_: None)
    if holds_up == "the worker":
        monkeypatch.setattr(FakeExecutor, "events", lambda self: iter(()))
    loop.wakeup.stop()
    began = world.clock.now
    world.sleeping()
    loop.stop()
    assert LEAVE_WITHIN < world.clock.now - began < LEAVE_WITHIN + 2
    assert (world.states, world.attempts("a")[-1].how) == ({"a": "queued"}, Cause.DAEMON)
    monkeypatch.undo()
    world.run()
    assert (world.published, world.job("a").faults) == (done("a"), 0)


# -- once


def test_one_run_waits_for_crashed_jobs_and_not_for_obstacles(world: World) -> None:
    no_device = Failed("no device", Cause.DEVICE)
    world.executor.endings = [CRASH, CRASH, no_device, no_device]
    world.drop("a", "b")
    loop = world.start()
    world.sleeping()
    loop.run_once(2, PATIENCE)
    assert world.counts == {"waiting": 2}
    assert world.executor.endings == [], "the second job begins before the first end is handled"
    assert set(loop.blocked.values()) == {"no device"}


def test_one_run_waits_as_long_as_the_scan_of_a_slow_share_goes_on(world: World) -> None:
    world.drop("a")
    loop = world.start()
    (inbox,) = loop.intake.inboxes
    scan = inbox.scanner.scan

    def slow(claims: Sequence[Claim], step: Step) -> Scan:
        world.wait(2 * PATIENCE)
        result = scan(claims, step)
        if arriving:
            (world.inbox / "a/content.jpg").write_text(arriving.pop())
        return result

    arriving = ["longer than before"]
    vars(inbox.scanner)["scan"] = slow
    world.sleeping()
    loop.run_once(2, PATIENCE)
    assert world.states == {"a": "done"}


def test_one_run_ends_though_the_ledger_cannot_be_read_any_more_when_an_attempt_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_patient(count: int) -> None:
        assert count < 200, "it does not end"

    def broken(job_id: str) -> Job | None:
        if world.executor.orders and not world.executor.going:
            raise LedgerError("the ledger cannot be used (disk I/O error)")
        return get(job_id)

    world.drop("a")
    loop = world.start()
    get = loop.jobs.ledger.get
    monkeypatch.setattr(loop.jobs.ledger, "get", broken)
    world.sleeping(is_patient)
    loop.run_once(2, PATIENCE)
    assert world.states == {"a": "running"}
    world.run()
    assert world.published == done("a")


def test_one_run_waits_for_a_slow_outbox_in_which_an_attempt_has_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, do = list[Callable[[], object]](), LanesNow.do

    def slow(self: LanesNow, root: Path, work: Any, done: Any, size: int = 0) -> None:
        call = partial(do, self, root, work, done, size)
        is_at_end = len(world.executor.orders) == 1 and not world.executor.going
        if root == world.outbox and is_at_end:
            late.append(call)
        else:
            call()

    def answer(count: int) -> None:
        if late and count % 20 == 0:
            late.pop(0)()

    monkeypatch.setattr(LanesNow, "do", slow)
    world.executor.endings = [CRASH]
    world.drop("a")
    loop = world.start()
    world.sleeping(answer)
    loop.run_once(2, PATIENCE)
    assert world.states == {"a": "done"}
