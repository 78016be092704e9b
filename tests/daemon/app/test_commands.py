"""Requests of people: the daemon acts on each of them once, whatever happens in between."""

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill, tree
from tests.daemon.jobs.pairs import CRASH, JobsWorld, done, refused, step
from tests.daemon.world import run_jobs, scan

from stylewatch_daemon.app.commands import AGAIN_S
from stylewatch_daemon.app.loop import Loop
from stylewatch_daemon.base.model import End, State
from stylewatch_daemon.jobs import actions
from stylewatch_daemon.ledger import requests, thumbs
from stylewatch_daemon.ledger.ledger import reading
from stylewatch_daemon.outbox import removal

NEW = "20990101T000000.000000-abcdef"


@pytest.fixture
def world(tmp_path: Path) -> JobsWorld:
    return JobsWorld(tmp_path)


def leave(world: JobsWorld, verb: str, title: str = "", /, **arguments: Any) -> None:
    """Leave a request, for the job with that title if one is given."""
    job = {"job": world.job(title).id} if title else {}
    requests.leave(world.state.root, verb, **job, **arguments)


def counts(world: JobsWorld) -> dict[str, int]:
    """How many jobs are in each state, without zeros."""
    with reading(world.state.ledger) as ledger:
        return {state: number for state, number in ledger.counts().items() if number}


def ended(world: JobsWorld, *names: str) -> Loop:
    """Run these pairs."""
    loop = world.started(*names)
    run_jobs(loop)
    return loop


# -- cancel, finish


def test_a_waiting_job_is_canceled_at_once_even_while_no_job_may_start(world: JobsWorld) -> None:
    loop = world.queued("a", "b")
    leave(world, "pause")
    leave(world, "cancel", "a")
    run_jobs(loop)
    assert world.published == refused("a", "canceled")
    assert counts(world) == {"waiting": 1, "canceled": 1}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["cancel", "finish", "cancel"], ["asked to cancel a"]),
        (["finish", "finish", "cancel"], ["asked to finish a", "asked to cancel a"]),
    ],
)
def test_a_running_job_is_canceled_by_its_worker_and_nothing_takes_that_back(
    asked: list[str], said: list[str], world: JobsWorld
) -> None:
    loop = world.queued("a")
    step(loop)
    for verb in asked:
        leave(world, verb, "a")
        loop.commands.act()
    run_jobs(loop)
    assert world.job("a").end is End.CANCELED
    assert [what for (what,) in world.record.of("requested")] == said


@pytest.mark.parametrize("reason", ["", "no picture"])
def test_a_job_that_is_canceled_during_its_inspection_ends_once(
    reason: str, world: JobsWorld
) -> None:
    world.inspector.says = {"a/": reason} if reason else {}
    loop = world.started("a")
    world.inspector.silent = True
    run_jobs(loop)
    leave(world, "cancel", "a")
    run_jobs(loop)
    assert world.job("a").state is State.CLAIMED
    world.inspector.silent = False
    run_jobs(loop)
    assert (world.published, tree(world.inbox)) == (refused("a", "canceled"), {})
    assert counts(world) == {"canceled": 1}


def test_only_a_job_that_was_begun_can_be_finished(world: JobsWorld) -> None:
    world.executor.endings = [CRASH]
    loop = world.queued("a", "b")
    leave(world, "finish", "b")
    run_jobs(loop)
    leave(world, "finish", "a")
    run_jobs(loop)
    assert (world.job("a").asked, world.job("b").asked) == (End.STOPPED_EARLY, None)


def test_a_job_that_has_ended_or_is_not_there_stays_as_it_is(world: JobsWorld) -> None:
    loop = ended(world, "a")
    before = world.job("a")
    for verb in ("cancel", "finish"):
        leave(world, verb, "a")
    for verb in ("cancel", "finish", "delete"):
        leave(world, verb, job="a")  # a name, which may be that of another job by now
    leave(world, "dismiss", jobs=[before.id, "a", "nothing"])
    run_jobs(loop)
    assert (world.job("a"), world.published) == (before, done("a"))
    assert requests.waiting(world.state.root) == []


# -- dismiss


def test_refused_and_failed_jobs_are_dismissed_by_id_or_by_time(world: JobsWorld) -> None:
    world.inspector.says = {"bad": "no picture"}
    loop = ended(world, "a", "bad1", "bad2")
    leave(world, "dismiss", jobs=[world.job("a").id, world.job("bad1").id])
    run_jobs(loop)
    assert [world.job(name).dismissed for name in ("a", "bad1", "bad2")] == [False, True, False]
    leave(world, "dismiss", until=world.job("bad2").finished)
    run_jobs(loop)
    assert counts(world) == {"done": 1}


# -- pause, resume, drain


def test_a_pause_outlives_the_daemon_and_a_drain_does_not(world: JobsWorld) -> None:
    world.queued("a")
    leave(world, "pause")
    leave(world, "pause")
    leave(world, "drain")
    loop = world.start()
    run_jobs(loop)
    said = [what for (what,) in world.record.of("requested")]
    assert [text.split(":")[0] for text in said] == ["paused"], "the drain was for another daemon"
    assert (counts(world), loop.commands.draining) == ({"waiting": 1}, False)
    loop = world.start()
    assert len(world.record.of("requested")) == 1
    run_jobs(loop)
    assert counts(world) == {"waiting": 1}
    leave(world, "resume")
    leave(world, "resume")
    leave(world, "drain")
    run_jobs(loop)
    assert (counts(world), loop.commands.draining) == ({"waiting": 1}, True)
    world.run()
    assert counts(world) == {"done": 1}


# -- retry


def retry(world: JobsWorld, name: str = "a", new: str = NEW, **more: Any) -> None:
    leave(world, "retry", name, new=new, settings={"steps": 7}, **more)


def test_a_job_runs_again_with_other_settings_as_a_new_one(world: JobsWorld) -> None:
    loop = ended(world, "a")
    fill(world.state.uploads, f"{NEW}/fog.jpg")
    retry(world, added=["fog.jpg"])
    loop.commands.act()
    loop.commands.act()  # the mover is at work
    run_jobs(loop)
    job = world.job(NEW)
    assert (job.seen, job.name, job.place, job.retry_of) == ("done", "a", "a-2", "a")
    order = world.executor.orders[-1]
    assert (order.settings.steps, order.retry_of) == (7, "a")
    inputs = {"content.jpg", "style.jpg", "fog.jpg", "job.yaml"}
    assert {path.name for path in (world.outbox / "a-2/inputs").iterdir()} == inputs
    assert ("a is painted again, as " + NEW,) in world.record.of("requested")
    retry(world)  # the same request again
    run_jobs(loop)
    assert (counts(world), world.left) == ({"done": 2}, [])
    assert done("a").items() <= world.published.items()


def test_a_retry_waits_for_its_outbox_and_can_be_canceled_until_then(world: JobsWorld) -> None:
    loop = ended(world, "a")
    retry(world)
    leave(world, "cancel", job=NEW)
    away = world.outbox.rename(world.root / "away")
    for _ in range(3):
        loop.commands.act()
        loop.wakeup.wait(0)
        world.clock.now += AGAIN_S
    assert len(requests.waiting(world.state.root)) == 2
    away.rename(world.outbox)
    run_jobs(loop)
    assert (requests.waiting(world.state.root), counts(world)) == ([], {"done": 1, "canceled": 1})
    assert (len(world.executor.orders), world.job(NEW).end) == (1, End.CANCELED)


def test_a_request_that_meets_a_full_disk_is_tried_again_when_due_or_by_new_settings(
    world: JobsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = [True, True, False]

    def begin(pause: requests.Pause) -> None:
        if full.pop(0):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(requests.Pause, "begin", begin)
    loop = world.start()
    leave(world, "pause")
    assert loop.commands.put_off.soonest() is None
    for seconds, tries in ((0.0, 2), (AGAIN_S - 0.1, 2), (0.2, 1)):
        world.clock.now += seconds
        loop.round()
        assert len(full) == tries
    assert loop.commands.put_off.soonest() == AGAIN_S
    loop.apply_settings(world.settings)
    loop.round()
    assert (requests.waiting(world.state.root), loop.commands.put_off.soonest()) == ([], None)
    assert len(world.record.of("waits")) == 1, "it is told once"


# -- delete


def test_a_deleted_job_leaves_only_what_others_put_there(world: JobsWorld) -> None:
    loop = ended(world, "a", "b")
    fill(world.outbox, "a/note.txt", "a/stages/9.png")
    (world.outbox / "a/stages/2.png").write_text("changed by hand")
    digests = {name: world.job(name).inputs[1].sha256 for name in ("a", "b")}
    for digest in digests.values():
        fill(world.state.thumbs, f"{digest}.jpg")
        fill(world.state.previews, f"{digest}-512.jpg")
    leave(world, "delete", "a")
    leave(world, "delete", "a")
    run_jobs(loop)
    assert counts(world) == {"done": 1}
    left = {"a/note.txt": "a/note.txt", "a/stages/9.png": "a/stages/9.png",
            "a/stages/2.png": "changed by hand"}  # fmt: skip
    assert world.published == done("b") | left
    assert tree(world.state.thumbs).keys() == {f"{digests['b']}.jpg"}
    assert tree(world.state.previews).keys() == {f"{digests['b']}-512.jpg"}


def test_a_refused_job_is_deleted_with_its_folder_and_a_running_one_is_not(
    world: JobsWorld,
) -> None:
    world.inspector.says = {"bad": "no picture"}
    loop = ended(world, "bad")
    world.drop("a")
    scan(loop)
    while not world.executor.going:
        step(loop)
    leave(world, "delete", "bad")
    leave(world, "delete", "a")
    run_jobs(loop)
    assert (world.published, counts(world)) == (done("a"), {"done": 1})
    assert not (world.outbox / "_refused").exists()


def test_a_job_is_forgotten_only_once_its_files_are_gone(world: JobsWorld) -> None:
    loop = ended(world, "a")
    away = world.outbox.rename(world.root / "away")
    leave(world, "delete", "a")
    run_jobs(loop)
    assert counts(world) == {"done": 1}
    shutil.rmtree(world.outbox, ignore_errors=True)
    away.rename(world.outbox)
    world.clock.now += AGAIN_S
    run_jobs(loop)
    assert (counts(world), world.published) == ({}, {})


# -- requests that cannot be carried out


@pytest.mark.parametrize(
    ("verb", "arguments", "reason"),
    [
        ("fly", {}, "there is no such request"),
        ("cancel", {}, "job"),
        ("cancel", {"job": 7}, "job"),
        ("cancel", {"job": "../../x"}, "no job has such an id"),
        ("cancel", {"job": "1", "now": True}, "now"),
        ("dismiss", {"jobs": "abc"}, "jobs"),
        ("pause", {"for": 5}, "for"),
        ("delete", {"job": [1]}, "job"),
        ("retry", {"job": "1", "new": NEW, "settings": {}}, "no job 1 that has ended"),
        ("retry", {"job": "a", "new": "../x", "settings": {}}, "no job has such an id"),
        ("retry", {"job": "a", "new": NEW, "settings": {}, "from_stage": 99}, "stage"),
        ("retry", {"job": "a", "new": NEW, "settings": {}, "added": ["gone.jpg"]}, "gone.jpg"),
    ],
)
def test_a_request_that_cannot_be_carried_out_is_logged_and_removed(
    verb: str,
    arguments: dict[str, Any],
    reason: str,
    world: JobsWorld,
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = ended(world, "a")
    if arguments.get("job") == "a":
        arguments = {**arguments, "job": world.job("a").id}
    leave(world, verb, **arguments)
    leave(world, "drain")
    run_jobs(loop)
    (log,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert f"a request to {verb} cannot be carried out: " in log.getMessage()
    assert reason in log.getMessage() and log.exc_info is None
    assert requests.waiting(world.state.root) == []
    assert loop.commands.draining, "the next one is carried out"
    assert (counts(world), world.published, world.left) == ({"done": 1}, done("a"), [])


@pytest.mark.parametrize(
    ("verb", "owner", "name"),
    [
        ("pause", requests.Pause, "begin"),
        ("retry", actions, "make_retry"),
        ("delete", removal, "remove"),
        ("delete", thumbs, "sweep"),
    ],
)
def test_a_request_that_meets_a_bug_is_logged_with_its_trace_and_removed(
    verb: str,
    owner: Any,
    name: str,
    world: JobsWorld,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(*_: object) -> None:
        raise KeyError("odd")

    loop = ended(world, "a")
    monkeypatch.setattr(owner, name, fails)
    arguments = {"new": NEW, "settings": {}} if verb == "retry" else {}
    leave(world, verb, "" if verb == "pause" else "a", **arguments)
    run_jobs(loop)
    (log,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "'odd'" in log.getMessage() and log.exc_info is not None
    assert requests.waiting(world.state.root) == []
