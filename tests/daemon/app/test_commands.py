"""Requests of people: the daemon acts on each of them once, whatever happens in between."""

from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill, tree
from tests.daemon.jobs.pairs import CRASH, JobsWorld, done, step
from tests.daemon.world import run_jobs, scan

from stylewatch_daemon.app.loop import Loop
from stylewatch_daemon.base.model import End
from stylewatch_daemon.jobs import retries
from stylewatch_daemon.jobs.waits import PAUSE
from stylewatch_daemon.ledger import requests, thumbs
from stylewatch_daemon.ledger.ledger import reading

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


def test_only_a_job_that_was_begun_can_be_finished(world: JobsWorld) -> None:
    world.executor.endings = [CRASH]
    loop = world.queued("a", "b")
    for name in ("b", "a"):
        leave(world, "finish", name)
        run_jobs(loop)
    assert (world.job("a").asked, world.job("b").asked) == (End.STOPPED_EARLY, None)


def test_jobs_that_have_ended_stay_as_they_are_but_can_be_dismissed(world: JobsWorld) -> None:
    world.inspector.says = {"bad": "no picture"}
    loop = ended(world, "a", "bad1", "bad2")
    before = world.job("a")
    for verb in ("cancel", "finish"):
        leave(world, verb, "a")
    for verb in ("cancel", "finish", "delete"):
        leave(world, verb, job="a")  # a name, which may be that of another job by now
    leave(world, "dismiss", jobs=[before.id, world.job("bad1").id, "a", "nothing"])
    run_jobs(loop)
    assert (world.job("a"), requests.waiting(world.state.root)) == (before, [])
    assert [world.job(name).dismissed for name in ("bad1", "bad2")] == [True, False]
    leave(world, "dismiss", until=world.job("bad2").finished)
    run_jobs(loop)
    assert counts(world) == {"done": 1}


# -- pause, resume, drain


def test_a_pause_outlives_the_daemon_and_a_drain_does_not(world: JobsWorld) -> None:
    world.queued("a")
    for verb in ("pause", "pause", "drain"):
        leave(world, verb)
    loop = world.start()
    run_jobs(loop)
    (said,) = world.record.of("requested")
    assert said[0].startswith("paused"), "the drain was for another daemon"
    loop = world.start()
    run_jobs(loop)
    assert (counts(world), len(world.record.of("requested"))) == ({"waiting": 1}, 1)
    for verb in ("resume", "resume", "drain"):
        leave(world, verb)
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
    assert (job.seen, job.name, job.place, job.retry_of) == ("done", "a-2", "a-2", "a")
    order = world.executor.orders[-1]
    assert (order.settings.steps, order.retry_of) == (7, "a")
    inputs = {"content.jpg", "style.jpg", "fog.jpg", "job.yaml"}
    assert {path.name for path in (world.outbox / "a-2/inputs").iterdir()} == inputs
    assert ("a is painted again, as " + NEW,) in world.record.of("requested")
    retry(world)  # the same request again
    run_jobs(loop)
    assert (counts(world), world.left) == ({"done": 2}, [])
    assert done("a").items() <= world.published.items()


def test_requests_wait_for_an_outbox(world: JobsWorld) -> None:
    loop = ended(world, "a", "b")
    retry(world)
    leave(world, "delete", "b")
    away = world.outbox.rename(world.root / "away")
    for _ in range(3):
        loop.commands.act()
        loop.wakeup.wait(0)
        world.clock.now += PAUSE.most
    assert (len(requests.waiting(world.state.root)), counts(world)) == (2, {"done": 2})
    away.rename(world.outbox)
    run_jobs(loop)
    assert (requests.waiting(world.state.root), counts(world)) == ([], {"done": 2})
    assert not (world.outbox / "b").exists()


def test_a_request_that_meets_a_full_disk_is_tried_again_when_due(
    world: JobsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = [True, True, False]

    def begin(pause: requests.Pause) -> None:
        if full.pop(0):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(requests.Pause, "begin", begin)
    loop = world.start()
    leave(world, "pause")
    assert loop.jobs.waits.soonest() is None
    for seconds, tries in ((0.0, 2), (PAUSE.first - 0.1, 2), (0.2, 1)):
        world.clock.now += seconds
        loop.round()
        assert len(full) == tries
    world.clock.now += 2 * PAUSE.first
    loop.round()
    assert (requests.waiting(world.state.root), loop.jobs.waits.soonest()) == ([], None)
    assert len(world.record.of("waits")) == 1, "it is told once"


# -- delete


def test_jobs_that_have_ended_are_deleted_but_for_what_others_put_there(world: JobsWorld) -> None:
    world.inspector.says = {"bad": "no picture"}
    loop = ended(world, "a", "b", "bad")
    fill(world.outbox, "a/note.txt", "a/stages/9.png")
    (world.outbox / "a/stages/2.png").write_text("changed by hand")
    digests = {name: world.job(name).inputs[1].sha256 for name in ("a", "b")}
    for digest in digests.values():
        fill(world.state.thumbs, f"{digest}.jpg")
        fill(world.state.previews, f"{digest}-512.jpg")
    world.drop("running")
    scan(loop)
    while not world.executor.going:
        step(loop)
    for name in ("a", "a", "bad", "running"):
        leave(world, "delete", name)
    run_jobs(loop)
    assert counts(world) == {"done": 2}
    left = {"a/note.txt": "a/note.txt", "a/stages/9.png": "a/stages/9.png",
            "a/stages/2.png": "changed by hand"}  # fmt: skip
    assert world.published == done("b", "running") | left
    assert not (world.outbox / "_refused").exists()
    assert tree(world.state.thumbs).keys() == {f"{digests['b']}.jpg"}
    assert tree(world.state.previews).keys() == {f"{digests['b']}-512.jpg"}


# -- requests that cannot be carried out


def test_a_request_that_cannot_be_carried_out_is_logged_and_the_next_one_is(
    world: JobsWorld, caplog: pytest.LogCaptureFixture
) -> None:
    loop = ended(world, "a")
    job, again = world.job("a").id, {"new": NEW, "settings": {}}
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("fly", {}, "there is no such request"),
        ("cancel", {}, "job"),
        ("cancel", {"job": "../../x"}, "no job has such an id"),
        ("cancel", {"job": "1", "now": True}, "now"),
        ("dismiss", {"jobs": "abc"}, "jobs"),
        ("retry", {**again, "job": "1"}, "no job 1 that has ended"),
        ("retry", {**again, "job": job, "new": "../x"}, "no job has such an id"),
        ("retry", {**again, "job": job, "from_stage": 99}, "stage"),
        ("retry", {**again, "job": job, "added": ["gone.jpg"]}, "gone.jpg"),
    ]
    for verb, arguments, _ in wrong:
        leave(world, verb, **arguments)
    leave(world, "drain")
    run_jobs(loop)
    for (verb, _, reason), record in zip(wrong, caplog.records, strict=True):
        before, _, after = record.getMessage().partition(" cannot be carried out: ")
        assert before == f"a request to {verb}" and reason in after and record.exc_info is None
    assert (requests.waiting(world.state.root), loop.commands.draining) == ([], True)
    assert (counts(world), world.published, world.left) == ({"done": 1}, done("a"), [])


@pytest.mark.parametrize(
    ("verb", "owner", "name"),
    [("pause", requests.Pause, "begin"), ("retry", retries, "make_retry"),
     ("delete", thumbs, "sweep")],
)  # fmt: skip
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
    (log,) = caplog.records
    assert "'odd'" in log.getMessage() and log.exc_info is not None
    assert requests.waiting(world.state.root) == []
