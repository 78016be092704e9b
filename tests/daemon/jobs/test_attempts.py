"""An attempt: entered before it begins, ordered, followed, and ended, wherever it runs."""

import errno
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import Disk, failing, fill, replaced, tree
from tests.daemon.world import (
    CRASH,
    DaemonWorld,
    Ending,
    FakeExecutor,
    LanesNow,
    changed_settings,
    done,
    make_inbox,
    refused,
    run_jobs,
    scan,
    step,
)

from stylewatch_daemon.app.loop import Loop
from stylewatch_daemon.base.errors import LedgerError
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.base.model import Cause, End, Job, State
from stylewatch_daemon.files import disks
from stylewatch_daemon.jobs.jobs import LEDGER_RETRY_S, Jobs
from stylewatch_daemon.jobs.lifecycle import Effect, Kind, Obstacle
from stylewatch_daemon.jobs.waits import PAUSE
from stylewatch_daemon.ledger.ledger import reading
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.worker.messages import (
    AttemptLost,
    AttemptRequest,
    Done,
    Event,
    Failed,
    Order,
    Refused,
)

LOST = AttemptLost("the worker hung: there was no sign of life for 61 s")
GONE = Failed("no such backend", Cause.DEVICE)


@pytest.fixture
def world(tmp_path: Path) -> DaemonWorld:
    return DaemonWorld(tmp_path)


def when(world: DaemonWorld, hook: str, act: Callable[[], object]) -> None:
    """Do something at the first call of a hook of the reporter."""
    left = [act]
    setattr(world.record, hook, lambda *_, **__: left.pop()() if left else None)


def finish(world: DaemonWorld, loop: Loop) -> None:
    """Run everything, however long it has to wait."""
    for _ in range(12):
        run_jobs(loop)
        world.wait(2 * PAUSE.most)


def test_the_order_has_what_the_job_and_the_settings_say(world: DaemonWorld) -> None:
    sketch = {"sketch": {"seconds_per_step": 1}}
    world.settings = changed_settings(
        world.settings, backends=sketch, out_of_memory="smaller", memory=5
    )
    fill(world.inbox, "a/content.jpg", "a/content.mask.png", "a/style.jpg", "a/style.mask.png")
    (world.inbox / "a/job.yaml").write_text(
        "{name: '{name}-{seed}', seed: 7, final: '{content}-{style}', backend: sketch}"
    )
    world.executor.endings = [CRASH]
    loop = world.start()
    scan(loop)
    finish(world, loop)
    first, second = world.executor.orders
    files = world.state.files(world.job("a-7").id)
    assert (second.name, second.final) == ("a-7", "content-style")
    assert second.place == world.outbox / "a-7" and second.content == files / "content.jpg"
    masks = ("content-mask", "content.mask.png"), ("style-1-mask", "style.mask.png")
    assert [*second.masks.items()] == [(role, files / name) for role, name in masks], "in order"
    assert second.backend_options == sketch["sketch"]
    assert (second.out_of_memory, second.memory) == ("smaller", 5)
    record = {"backend": "fake", "device": "cpu", "ended": "bug: it broke"}
    assert (first.attempts, second.attempts) == ((), (record,))


def test_a_worker_that_dies_while_its_outbox_does_not_answer_is_not_blamed(
    world: DaemonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.executor.endings = [AttemptLost("it did not answer")]
    loop = world.started("a")
    with monkeypatch.context() as patch:
        patch.setattr(LanesNow, "silent", lambda *_: {world.outbox: 20.0})
        run_jobs(loop, again=False)
    (attempt,) = world.attempts("a")
    assert (attempt.how, world.job("a").faults) == (Cause.DISK, 0)
    assert f"the outbox {world.outbox} does not answer" in attempt.reason
    finish(world, loop)
    assert world.published == done("a")


def test_a_file_that_cannot_be_published_is_no_end_though_the_end_comes_with_it(
    world: DaemonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.executor.is_fast = True
    publish, full = Outbox.publish, [OSError(errno.ENOSPC, "the disk is full")]

    def fails(self: Outbox, at: str, place: str, path: str, *step: Step, **more: Any) -> None:
        if path == "final.png" and full:
            raise full.pop()
        publish(self, at, place, path, *step, **more)

    loop = world.started("a")
    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "publish", fails)
        run_jobs(loop, again=False)
    assert (world.states, full) == ({"a": "queued"}, [])
    finish(world, loop)
    assert world.published == done("a")


# -- attempts that go wrong


@pytest.mark.parametrize("end", [LOST, CRASH])
def test_a_worker_that_was_asked_to_stop_is_not_at_fault_however_it_ends(
    world: DaemonWorld, end: Event
) -> None:
    """As the hours end, or for a preview; a worker that loads is killed after a minute."""
    world.settings = changed_settings(world.settings, attempts=1)
    loop = world.started("a")
    while not world.executor.going:
        step(loop)
    loop.attempts.stop_workers("the hours in executor.hours ended")
    world.executor.going = dict.fromkeys(world.executor.going, iter([end]))
    run_jobs(loop)
    first, *_ = world.attempts("a")
    assert (first.how, first.reason) == (Cause.DAEMON, "the hours in executor.hours ended")
    assert world.record.of("attempt_failed") == []
    finish(world, loop)
    assert world.published == done("a")


def test_a_job_fails_for_good_after_three_crashes_in_a_row_without_a_new_stage(
    world: DaemonWorld,
) -> None:
    world.executor.endings = [CRASH, CRASH, Done({}), CRASH]  # the second has a new stage
    loop = world.started("a")
    run_jobs(loop)
    assert (world.job("a").state, world.job("a").faults) == (State.QUEUED, 1)
    finish(world, loop)
    assert world.executor.started_at == [0, 1, 1, 0], "the last attempt begins at the beginning"
    assert len(world.record.of("attempt_failed")) == 4
    assert "without a receipt" in world.attempts("a")[2].reason
    job = world.job("a")
    assert (job.end, job.reason) == (End.FAILED, "tried 3 times, the last time: it broke")
    assert refused("a", job.reason).items() <= world.published.items()
    assert world.left == []


def test_obstacles_cost_no_attempt_however_often_they_are_met(world: DaemonWorld) -> None:
    full = failing(OSError(errno.ENOSPC, "No space left on device", "out"))
    loop = world.queued("a")
    shutil.rmtree(world.outbox)
    world.outbox.write_text("in the way")
    run_jobs(loop)
    assert world.executor.orders == [], "noticed before the first step"
    assert "cannot be written" in loop.blocked["a"]
    world.outbox.unlink()
    world.executor.endings = [GONE] * 3
    for _ in range(3):
        world.wait(2 * PAUSE.most)
        run_jobs(loop)
        assert loop.blocked == {"a": "no such backend"}
    for method in ("publish", "staging") * 3:
        world.wait(2 * PAUSE.most)
        with replaced(Outbox, **{method: full}):
            run_jobs(loop)
        assert (world.executor.going, world.job("a").cause) == ({}, Cause.DISK)
        assert "No space left on device" in loop.blocked["a"]
    assert [attempt.how for attempt in world.attempts("a")] == ["device", "disk"]
    finish(world, loop)
    assert (world.published, loop.blocked) == (done("a"), {})


def test_no_worker_starts_in_the_place_of_a_disk_that_goes_as_its_folder_is_made(
    world: DaemonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, staging = Disk(world.outbox, monkeypatch), Outbox.staging

    def goes(outbox: Outbox, job_id: str) -> Path:
        disk.is_there = False
        return staging(outbox, job_id)

    loop = world.queued("a")
    with replaced(Outbox, staging=goes):
        run_jobs(loop)
    assert (world.executor.orders, world.states) == ([], {"a": "queued"})
    assert "which is not mounted now" in loop.blocked["a"]
    disk.is_there = True
    finish(world, loop)
    assert (world.published, loop.blocked) == (done("a"), {})


def test_a_job_begins_only_if_its_inputs_can_be_archived_beside_what_is_to_stay_free(
    world: DaemonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.settings = changed_settings(world.settings, free_bytes=1000)
    loop = world.queued("a")
    needed = 1000 + world.job("a").bytes
    for free in (needed - 1, needed):
        monkeypatch.setattr(disks, "free", lambda folder, free=free: free)
        run_jobs(loop)
        assert (world.published == done("a")) == (free == needed)
        assert ("1 bytes more must be free" in loop.blocked.get("a", "")) == (free < needed)
        world.wait(2 * PAUSE.most)


def test_a_job_whose_ledger_is_lost_starts_again_in_another_folder(world: DaemonWorld) -> None:
    world.executor.endings = [GONE]
    run_jobs(world.started("a"), again=False)
    assert set(world.published) == {"a/stages/1.png"}
    world.close()
    world.state.ledger.unlink()
    run_jobs(world.start())
    assert world.executor.started_at == [0, 0]
    assert set(world.published) == {"a/stages/1.png"} | {f"a-2{path[1:]}" for path in done("a")}


@pytest.mark.parametrize("then", ["it runs", "the daemon starts", "it is killed as it begins"])
def test_a_job_starts_over_elsewhere_if_another_has_ended_in_its_folder(
    then: str, world: DaemonWorld
) -> None:
    world.queued("a")
    while not world.published:
        step(world.loop)
    if then != "it runs":
        world.start()
    shutil.rmtree(world.outbox / "a")
    fill(world.outbox / "a", "receipt.json", "final.png", "stages/1.png", "stages/2.png")
    theirs = tree(world.outbox / "a")
    if then == "it is killed as it begins":
        world.loop.jobs.handlers[Effect.ORDER] = lambda job, event: None
        while world.job("a").place != "a-2":
            step(world.loop)
        world.start()
    run_jobs(world.loop)
    world.wait(2 * PAUSE.most)
    run_jobs(world.loop)
    assert (world.job("a").end, world.job("a").place) == ("done", "a-2")
    assert (tree(world.outbox / "a"), world.executor.started_at) == (theirs, [0, 0])
    with reading(world.state.ledger) as ledger:
        listed = {file.path for file in ledger.files(world.job("a").id)}
    assert listed == {path for path in world.published if path.startswith("a-2/")}


def test_each_end_is_reported_with_its_folder(world: DaemonWorld) -> None:
    world.settings = changed_settings(world.settings, attempts=1)
    world.executor.endings = [Refused("no picture"), CRASH]
    loop = world.queued("bad", "broken", "good", "stopped")
    world.ask("cancel", "stopped")
    run_jobs(loop)
    folder = world.outbox / "_refused"
    ended = {job.title: (job.end, job.reason, path) for job, path, _ in world.record.of("ended")}
    assert ended == {
        "bad": (End.REFUSED, "no picture", folder / "bad"),
        "broken": (End.FAILED, "it broke", folder / "broken"),
        "stopped": (End.CANCELED, "canceled", world.outbox / "_canceled/stopped"),
        "good": (End.DONE, "", world.outbox / "good"),
    }


def test_a_job_that_loses_its_folder_as_it_begins_holds_up_no_job_with_the_same_needs(
    world: DaemonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.executor.endings = [GONE]
    loop = world.queued("a")
    run_jobs(loop, again=False)
    world.drop("b")
    scan(loop)
    run_jobs(loop, again=False)
    assert world.states == {"a": "queued", "b": "queued"}
    reserved, outboxes = Jobs.reserved, list[str]()

    def taken(jobs: Jobs, outbox: str) -> frozenset[str]:
        """Return the reserved folders; another job takes that of `b` while it is prepared."""
        outboxes.append(outbox)
        return reserved(jobs, outbox) | ({"b"} if len(outboxes) == 2 else set())

    monkeypatch.setattr(Jobs, "reserved", taken)
    world.wait(PAUSE.first)  # the job that met the obstacle waits longer
    finish(world, loop)
    assert world.states == {"a": "done", "b": "done"}


# -- requests while it runs


@pytest.mark.parametrize(
    "ending", [None, AttemptLost("it died"), Refused("no picture"), GONE, CRASH]
)
def test_a_job_that_is_canceled_while_it_runs_gives_back_its_inputs_however_it_ends(
    ending: Ending, world: DaemonWorld
) -> None:
    world.executor.endings = [ending]
    loop = world.started("a")
    when(world, "progress", lambda: world.ask("cancel", "a"))
    finish(world, loop)
    assert world.job("a").end is End.CANCELED
    stage = {"a/stages/1.png": done("a")["a/stages/1.png"]}
    assert world.published == refused("a", "canceled") | stage
    assert (len(world.executor.orders), world.left, loop.jobs.live) == (1, [], {})
    assert world.record.of("attempt_failed") == []


@pytest.mark.parametrize("ends", ["it stops", "it is lost", "the daemon leaves at once"])
def test_an_attempt_that_ends_while_the_daemon_stops_is_no_fault_of_the_job(
    ends: str, world: DaemonWorld
) -> None:
    loop = world.started("a")
    when(world, "progress", loop.wakeup.stop)
    while not loop.wakeup.stopping:
        step(loop)
    if ends == "the daemon leaves at once":
        loop.attempts.leave()
    else:
        if ends == "it is lost":  # before the stage of its step
            world.executor.going = dict.fromkeys(world.executor.going, iter([AttemptLost("x")]))
        loop.stop()
        assert world.record.of("stopped") == [("a", int(ends == "it stops"), "step")]
    job = world.job("a")
    assert (job.state, job.faults, job.interruptions) == (State.QUEUED, 0, 0)
    assert (world.attempts("a")[-1].how, world.record.of("ended")) == ("daemon", [])
    world.run()
    assert world.published == done("a")


# -- attempts on other machines


class Cut(FakeExecutor):
    """Its final picture does not reach the disk whole in the first attempt."""

    def paint(self, order: Order, wanted: Callable[[], AttemptRequest]) -> Iterator[Event]:
        for event in super().paint(order, wanted):
            if getattr(event, "path", "") == "final.png" and len(self.orders) == 1:
                (order.staging / "final.png").write_text("half")
            yield event


def test_a_file_that_is_not_the_announced_one_is_not_published_and_costs_the_checkpoint(
    tmp_path: Path,
) -> None:
    cluster = DaemonWorld(tmp_path, cluster={})
    cluster.executor = Cut()
    loop = cluster.started("a")
    run_jobs(loop)
    assert "a/final.png" not in cluster.published
    assert cluster.attempts("a")[0].reason.endswith("differ from what was announced: final.png")
    finish(cluster, loop)
    assert (cluster.executor.started_at, cluster.published) == ([0, 0], done("a"))
    assert len({order.staging for order in cluster.executor.orders}) == 2, "one for each attempt"
    assert cluster.left == []


def test_a_job_that_began_keeps_its_settings_when_others_are_read(world: DaemonWorld) -> None:
    world.started("a")
    while not world.record.of("job_started"):
        step(world.loop)
    step(world.loop)
    world.loop.wakeup.stop()
    world.loop.stop()
    job = world.settings.job.model_copy(update={"seed": 5, "format": "jpg"})
    world.settings = changed_settings(world.settings, job=job)
    run_jobs(world.start())
    first, second = world.executor.orders
    assert (second.settings, world.states) == (first.settings, {"a": "done"})


def test_a_job_that_has_not_begun_needs_what_the_settings_of_now_say(world: DaemonWorld) -> None:
    world.queued("a", "b")
    assert {job.needs for job in world.jobs} == {world.settings.job.needs(())}
    world.close()
    job = world.settings.job.model_copy(update={"backend": "sketch", "priority": 7})
    world.settings = changed_settings(world.settings, job=job)
    world.executor.endings = [Failed("no device", Cause.DEVICE)]
    loop = world.start()
    run_jobs(loop, again=False)
    first = world.job("a")
    assert (first.needs, first.priority) == (job.needs(()), 7)
    obstacle = loop.jobs.live[first.id].doing.obstacle
    assert obstacle == Obstacle(Kind.NEEDS, job.needs(())), (
        "it blocks no job that needs another one"
    )
    world.wait(100)
    run_jobs(loop)
    assert world.states == {"a": "done", "b": "done"}


def test_the_end_of_an_attempt_waits_until_the_ledger_can_be_read(
    world: DaemonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = world.started("a")
    get, once = loop.jobs.ledger.get, [True]

    def broken(job_id: str) -> Job | None:
        at_end = not world.executor.going and world.executor.orders
        if at_end and once:
            once.clear()
            raise LedgerError("the ledger cannot be used (disk I/O error)")
        return get(job_id)

    monkeypatch.setattr(loop.jobs.ledger, "get", broken)
    for _ in range(20):
        step(loop)
    assert (once, world.states) == ([], {"a": "running"})
    world.wait(LEDGER_RETRY_S)
    finish(world, loop)
    assert (world.states, len(world.executor.orders)) == ({"a": "done"}, 1)


def test_an_inbox_with_a_slow_outbox_gets_its_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = DaemonWorld(tmp_path, inboxes=("hers", "his"))
    sections = [make_inbox(tmp_path / "hers", tmp_path / "slow", "archive", None),
                make_inbox(tmp_path / "his", tmp_path / "out", "archive", None)]  # fmt: skip
    world.settings = world.settings.model_copy(update={"inboxes": tuple(sections)})
    world.executor.is_fast = True
    at_once, late = LanesNow.do, list[tuple[int, Callable[[], None]]]()
    rounds = 0

    def do(lanes: LanesNow, root: Path, work: Any, done: Any, size: int = 0) -> None:
        """Let the slow outbox need three rounds for everything."""
        act = partial(at_once, lanes, root, work, done, size)
        if root == tmp_path / "slow":
            late.append((rounds + 3, act))
        else:
            act()

    monkeypatch.setattr(LanesNow, "do", do)
    loop = world.start()
    world.drop("a", "b", inbox="hers")
    world.drop(*"cdefghijklmnop", inbox="his")
    scan(loop)
    world.executor.at_once = 0
    for rounds in range(90):
        if {"a", "b"} <= world.states.keys():  # to claim them took looks at the slow outbox
            world.executor.at_once = 1
        step(loop)
        for item in [item for item in late if item[0] <= rounds]:
            late.remove(item)
            item[1]()
    begun = [order.name for order in world.executor.orders]
    assert len(begun) == 16
    assert begun.index("a") <= 4 and begun.index("b") <= 10, begun
