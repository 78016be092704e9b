"""Requests of people: the daemon acts on each of them once, whatever happens in between."""

import logging
import shutil
from errno import EACCES
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import Disk, failing, fill, recorded_syncs, replaced, tree
from tests.daemon.world import DaemonWorld, LanesNow, done, run_jobs, scan, step
from tests.e2e.changes import Painter

from stylewatch_daemon.app import commands
from stylewatch_daemon.base.errors import FullError, OutputError, ShortageError, StateError
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.base.model import End, State
from stylewatch_daemon.client import operations, status_json
from stylewatch_daemon.files import atomic, disks, entries, identity
from stylewatch_daemon.files.identity import Writers
from stylewatch_daemon.jobs import lifecycle, retries
from stylewatch_daemon.jobs.jobs import Jobs
from stylewatch_daemon.jobs.lifecycle import Asked
from stylewatch_daemon.jobs.waits import PAUSE
from stylewatch_daemon.ledger import requests
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.outbox import inputs
from stylewatch_daemon.outbox.inputs import Account
from stylewatch_daemon.settings.job import JobFile
from stylewatch_daemon.settings.sections import PairingSettings

NEW = "20990101T000000.000000-abcdef"


@pytest.fixture
def world(tmp_path: Path) -> DaemonWorld:
    return DaemonWorld(tmp_path)


def test_a_pause_outlives_the_daemon_and_a_drain_does_not(world: DaemonWorld) -> None:
    world.queued("a")
    for verb in ("pause", "pause", "drain"):
        world.ask(verb)
    for _ in range(2):
        run_jobs(world.start())
        (said,) = world.record.of("requested")
        assert said[0].startswith("Paused"), "the drain was for another daemon"
        assert world.counts == {"waiting": 1}
    for verb in ("resume", "resume", "drain"):
        world.ask(verb)
    run_jobs(world.loop)
    assert (world.counts, world.loop.commands.draining) == ({"waiting": 1}, True)
    for leaving in (False, True):
        world.loop.update_status(leaving)
        health = status_json.read(world.state.root)["health"]
        assert (health["draining"], health["at_work"]) == (not leaving, not leaving)
    world.run()
    assert world.counts == {"done": 1}


def test_a_drain_that_comes_while_the_daemon_starts_anew_is_for_the_next_one(
    world: DaemonWorld,
) -> None:
    loop = world.started("a")
    loop.wakeup.restart()
    world.ask("drain")
    loop.stop()
    assert not loop.commands.draining
    (request,) = loop.jobs.ledger.requests()
    assert request.verb == "drain"


def test_thousands_of_requests_are_recorded_in_parts(
    world: DaemonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "COMMIT_EVERY", 4)
    world.start()
    commits = []
    for _ in range(9):
        world.ask("pause")
        world.ask("dismiss", jobs=["20260102T120000.000000-00000a"])
    commit = Jobs.commit

    def counting(jobs: Jobs) -> bool:
        commits.append(len(jobs.ledger.requests()))
        return commit(jobs)

    with replaced(Jobs, commit=counting):
        world.loop.commands.act()
    assert len(commits) > 4 and commits[-1] < commits[0]
    assert world.loop.jobs.ledger.requests() == []


def test_a_round_has_a_bound_and_the_next_one_goes_on_with_the_other_requests(
    world: DaemonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.start()
    for _ in range(5):
        world.ask("dismiss", jobs=["20260102T120000.000000-00000a"])
    monkeypatch.setattr(commands, "ROUND_S", 0.0)
    left = []
    while world.loop.commands.act():
        left.append(len(world.loop.jobs.ledger.requests()))
    assert left == [4, 3, 2, 1, 0], "and at last there is nothing more"
    assert not world.loop.commands.act()


def test_a_request_that_meets_a_full_disk_is_tried_again_when_due(
    world: DaemonWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    full = [True, True, False]

    def write(path: Path, content: bytes) -> None:
        if full.pop(0):
            raise OSError(28, "No space left on device")
        path.write_bytes(content)

    loop = world.start()
    monkeypatch.setattr(atomic, "write", write)
    caplog.set_level(logging.DEBUG, logger="stylewatch_daemon")
    world.ask("pause")
    assert loop.jobs.waits.soonest() is None
    for seconds, tries in ((0.0, 2), (PAUSE.first - 0.1, 2), (0.2, 1), (2 * PAUSE.first, 0)):
        world.wait(seconds)
        loop.round()
        assert len(full) == tries
        blocked = {"request 1 to pause": "the disk: No space left on device"} if tries else {}
        assert loop.blocked == blocked
    assert (requests.waiting(world.state.root), loop.jobs.waits.soonest()) == ([], None)
    assert len(world.record.of("waits")) == 1, "it is told once"
    name = "request 1 to pause {}"
    assert set(caplog.messages) >= {
        f"{name}: waits: the disk: No space left on device",
        f"{name}: carried out",
    }


def test_a_pause_that_waited_does_not_undo_a_later_resume(world: DaemonWorld) -> None:
    loop = world.start()
    world.ask("pause")
    with replaced(atomic, sync_folder=failing(OSError(28, "No space left on device"))):
        loop.round()
    world.ask("resume")
    for _ in range(2):
        loop.round()
        world.wait(2 * PAUSE.first)
    assert (loop.commands.paused, loop.blocked) == (False, {})
    assert not (world.state.root / "paused").exists() and not requests.waiting(world.state.root)


def test_jobs_that_have_ended_are_deleted_but_for_what_others_put_there(
    world: DaemonWorld,
) -> None:
    world.inspector.says = {"bad": "no picture"}
    world.drop("a", "b", "bad")
    loop = world.run()
    fill(world.outbox, "a/note.txt", "a/stages/9.png")
    (world.outbox / "a/stages/2.png").write_text("changed by hand")
    digests = {name: world.job(name).inputs[1].sha256 for name in ("a", "b")}
    fill(world.state.thumbs, *(f"{digest}.jpg" for digest in digests.values()))
    files = loop.jobs.ledger.files(world.job("a").id)
    outputs = [file.sha256 for file in files if file.part in ("stages", "final")]
    fill(world.state.previews, *(f"{each}-512.jpg" for each in (*digests.values(), *outputs)))
    world.drop("running")
    scan(loop)
    while not world.executor.going:
        step(loop)
    for name in ("a", "a", "bad", "running"):
        world.ask("delete", name)
    run_jobs(loop)
    assert world.counts == {"done": 2}
    left = {"a/note.txt": "a/note.txt", "a/stages/9.png": "a/stages/9.png",
            "a/stages/2.png": "changed by hand"}  # fmt: skip
    assert world.published == done("b", "running") | left
    assert not (world.outbox / "_refused").exists()
    assert tree(world.state.thumbs).keys() == {f"{digests['b']}.jpg"}
    assert tree(world.state.previews).keys() == {f"{digests['b']}-512.jpg"}


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("fly", {}, "there is no such request"),
    ("cancel", {"job": "../../x"}, "no job has such an id"),
    ("cancel", {"job": NEW}, f"there is no job {NEW}"),
    ("dismiss", {"jobs": "abc"}, "jobs"),
    ("retry", {"job": "1", "new": NEW, "settings": {}}, "no job 1 that has ended"),
    ("retry", {"job": "1", "new": "../x", "settings": {}}, "no job has such an id"),
]


def test_a_job_without_a_picture_is_not_finished(world: DaemonWorld) -> None:
    vars(world.executor)["submit"] = failing(ShortageError("out of file descriptors"))
    run_jobs(world.started("a"))
    assert len(world.attempts("a")) == 1
    world.ask("finish", "a")
    run_jobs(world.loop)
    assert (world.job("a").asked, requests.waiting(world.state.root)) == (None, [])


def test_a_retry_is_canceled_before_its_job_exists(world: DaemonWorld) -> None:
    world.drop("a")
    loop = world.run()
    world.ask("retry", "a", new=NEW, settings={})
    world.ask("cancel", job=NEW)
    run_jobs(loop)
    assert (world.counts, requests.waiting(world.state.root)) == ({"done": 1, "canceled": 1}, [])


@pytest.mark.parametrize("is_withdrawn", [True, False])
def test_nothing_is_left_of_a_retry_that_has_waited_and_is_not_made(
    is_withdrawn: bool, world: DaemonWorld
) -> None:
    fill(world.state.uploads / NEW, "style.jpg")
    world.drop("a")
    loop = world.run()
    fill(world.outbox, "a/stages/0005.png")
    full = FullError("the disk is full", world.state.root, 0)
    with replaced(retries, _write_job_file=failing(full)):
        world.ask("retry", "a", new=NEW, settings={}, added=["style.jpg"], from_stage=5)
        run_jobs(loop)
    shutil.rmtree(world.outbox / "a")
    if is_withdrawn:
        world.ask("cancel", job=NEW)
        with replaced(entries, remove=failing(PermissionError(EACCES, "denied"))):
            run_jobs(loop)
    world.wait(2 * PAUSE.most)
    run_jobs(loop)
    assert (world.counts, requests.waiting(world.state.root)) == ({"done": 1}, [])
    assert (loop.blocked, world.left) == ({}, [])


def test_no_job_begins_in_an_outbox_that_was_prepared_before_a_pause(world: DaemonWorld) -> None:
    loop = world.queued("a")
    loop.attempts.begin(world.job("a"))
    world.ask("pause")
    loop.commands.act()
    run_jobs(loop)
    assert world.states == {"a": "queued"}
    world.ask("resume")
    run_jobs(loop)
    assert world.states == {"a": "done"}


def test_retries_that_are_requested_at_once_have_names_of_their_own(world: DaemonWorld) -> None:
    world.drop("a")
    loop = world.run()
    news = [NEW.replace("2099", f"210{number}") for number in range(4)]
    for names in (("a", "a"), ("a", "a-2")):
        for name in names:
            world.ask("retry", name, new=news.pop(), settings={})
        run_jobs(loop)
    assert sorted(world.states) == ["a", "a-2", "a-3", "a-4", "a-5"]


def test_a_job_is_deleted_only_after_the_retry_that_needs_its_pictures(world: DaemonWorld) -> None:
    world.drop("a")
    loop = world.run()
    no_room = FullError("the disk is full", world.state.root, 0)
    with replaced(disks, check=failing(no_room)):
        world.ask("retry", "a", new=NEW, settings={})
        world.ask("delete", "a")
        run_jobs(loop)
    assert world.counts == {"done": 1}
    world.wait(PAUSE.most)
    run_jobs(loop)
    assert (world.states, requests.waiting(world.state.root)) == ({"a-2": "done"}, [])


def test_a_deletion_that_waits_for_a_disk_is_asked_once_and_given_up_by_cancel(
    world: DaemonWorld,
) -> None:
    world.drop("a")
    loop = world.run()
    world.outbox.rename(world.root / "lost")
    world.outbox.mkdir()
    ids = {operations.ask("delete", world.state.root, world.job("a")) for _ in range(3)}
    run_jobs(loop)
    assert len(ids) == 1
    assert "on another disk" in str(world.trouble)
    operations.ask("cancel", world.state.root, world.job("a"))
    run_jobs(loop)
    assert (world.states, world.trouble) == ({"a": "done"}, {})
    with pytest.raises(StateError, match="there is nothing to cancel"):
        operations.ask("cancel", world.state.root, world.job("a"))


def test_originals_that_are_held_in_the_inbox_go_with_the_job_by_the_lane_of_the_inbox(
    world: DaemonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "writers", lambda *args: Writers.UNKNOWN)
    with world.apart():
        world.drop("a")
        loop = world.run()
        held = [path for path in world.inbox.rglob("*") if path.is_file()]
        assert {path.name for path in held} == {"content.jpg", "style.jpg"}
        roots, do = list[Path](), LanesNow.do

        def note(lanes: LanesNow, root: Path, *args: Any) -> None:
            roots.append(root)
            do(lanes, root, *args)

        monkeypatch.setattr(LanesNow, "do", note)
        world.ask("delete", "a")
        run_jobs(loop)
    assert (world.jobs, world.left, tree(world.inbox), world.published) == ([], [], {}, {})
    assert not any(path.exists() for path in held)
    assert roots.index(world.inbox) < roots.index(world.outbox)


def test_originals_on_a_disk_that_was_away_at_the_start_are_not_taken_for_gone(
    world: DaemonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mount_root(folder: Path) -> Path:
        return next(
            (roots[each] for each in (folder, *folder.parents) if each in roots), world.root
        )

    roots = {world.inbox: world.inbox}
    monkeypatch.setattr(identity, "writers", lambda *args: Writers.UNKNOWN)
    monkeypatch.setattr(disks, "mount_root", mount_root)
    away = world.root / "away"
    with world.apart():
        world.drop("a")
        world.run()
        world.inbox.rename(away)
        roots.clear()
        fill(world.inbox, "notes.txt")  # in its mount point, which is used without other jobs
        loop = world.start()
        world.ask("delete", "a")
        run_jobs(loop)
        assert (world.states, len(world.trouble)) == ({"a": "done"}, 2), world.trouble
        assert "another disk than the files of this job" in world.trouble["request 1 to delete a"]
        shutil.rmtree(world.inbox)
        away.rename(world.inbox)
        roots[world.inbox] = world.inbox
        world.wait(60)
        world.work(again=True)
    assert (world.jobs, world.left, tree(world.inbox)) == ([], [], {})
    mark = world.inbox.joinpath(*disks.MARK)
    assert [path for path in world.inbox.rglob("*") if path.is_file()] == [mark]


def test_a_power_cut_brings_nothing_back_of_a_job_that_is_forgotten(world: DaemonWorld) -> None:
    world.drop("a")
    loop = world.run()
    job, forget = world.job("a").id, loop.jobs.ledger.delete
    folders = [world.outbox / "a", world.outbox / "a/stages", world.outbox / ".staging"]

    def delete(job_id: str) -> None:
        synced = {path for what, path in events if what == "sync"}
        assert {*map(str, (*folders, world.state.jobs))} <= synced
        forget(job_id)

    with recorded_syncs() as events, replaced(loop.jobs.ledger, delete=delete):
        world.ask("delete", job=job)
        run_jobs(loop)
    assert (world.jobs, world.published) == ([], {})


@pytest.mark.parametrize("starts", [False, True])
@pytest.mark.parametrize("folder", ["out", "finals", "former finals"])
@pytest.mark.parametrize("verb", ["delete", "retry"])
def test_a_request_waits_while_the_disk_of_the_outbox_or_the_finals_is_not_mounted(
    verb: str, folder: str, starts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(tmp_path / folder.removeprefix("former "), monkeypatch)
    world = DaemonWorld(tmp_path, has_finals=True)
    world.executor = Painter()
    world.drop("a")
    world.run()
    if folder == "former finals":
        inboxes = [each.model_copy(update={"finals": None}) for each in world.settings.inboxes]
        world.settings = world.settings.model_copy(update={"inboxes": inboxes})
        world.start()
    with disk.unplugged():
        if starts:
            world.start()
        world.ask(verb, "a", **({"new": NEW, "settings": {}} if verb == "retry" else {}))
        run_jobs(world.loop)
        assert world.states["a"] == "done"
    world.wait(2 * PAUSE.most)
    run_jobs(world.loop)
    assert world.states == ({} if verb == "delete" else {"a": "done", "a-2": "done"})
    linked = ["a.png"] if folder == "former finals" else ["a-2.png", "a.png"]
    assert [*tree(tmp_path / "finals")] == ([] if verb == "delete" else linked)
    assert bool(world.published) == (verb == "retry")


@pytest.mark.parametrize("folder", ["in", "out/_refused"])
def test_a_retry_waits_for_the_disk_with_its_pictures_and_nobody_hears_that_they_are_gone(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / folder).mkdir(parents=True)
    disk = Disk(tmp_path / folder, monkeypatch)
    world = DaemonWorld(tmp_path, "keep" if folder == "in" else "archive")
    world.inspector.says = {"a/": "no picture"} if folder != "in" else {}
    world.drop("a")
    world.run()
    with disk.unplugged():
        run_jobs(world.start())
        with pytest.raises(OutputError, match="not mounted now"):
            operations.retry(world.state.root, world.job("a"), NEW, JobFile())
        world.ask("retry", "a", new=NEW, settings={})
        run_jobs(world.loop)
        assert len(world.jobs) == 1 and world.loop.commands.trouble
    world.wait(2 * PAUSE.most)
    run_jobs(world.loop)
    assert [job.name for job in world.jobs] == ["a", "a-2"]


@pytest.mark.parametrize("folder", ["in", "out", "styles"])
def test_commands_and_the_page_know_which_disks_a_daemon_has_used(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / folder).mkdir()
    library = PairingSettings(styles=tmp_path / "styles")
    disk, world = Disk(tmp_path / folder, monkeypatch), DaemonWorld(tmp_path, pairing=library)
    run_jobs(world.start())
    with disk.unplugged(), pytest.raises(OutputError, match=f"{folder}, which is not mounted now"):
        operations.disks_of(world.state.root).check(disk.folder)


def test_what_is_deleted_while_late_bytes_are_found_is_published_once_more_and_then_gone(
    world: DaemonWorld,
) -> None:
    remove_all, found = inputs.remove_all, list[str]()

    def found_late(state: StateDir, account: Account, step: Step) -> Any:
        if not found:
            found.append("late bytes")
            (state.files(account.claim.id) / "content.jpg").write_text("later")
            world.ask("delete", "a")
        return remove_all(state, account, step)

    world.executor = Painter()
    world.drop("a")
    with replaced(inputs, remove_all=found_late):
        world.run()
    assert found and (world.states, world.published) == ({}, {})
    assert [*world.state.jobs.iterdir()] == [] and world.loop.jobs.live == {}


def test_a_request_that_cannot_be_carried_out_is_logged_and_the_next_one_is(
    world: DaemonWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world.drop("a")
    loop = world.run()
    for verb, arguments, _ in WRONG:
        world.ask(verb, **arguments)
    world.ask("drain")
    run_jobs(loop)
    for (verb, _, reason), record in zip(WRONG, caplog.records, strict=True):
        before, _, after = record.getMessage().partition(" cannot be carried out: ")
        assert before == f"a request to {verb}" and reason in after and record.exc_info is None
    assert (requests.waiting(world.state.root), loop.commands.draining) == ([], True)
    assert (world.counts, world.published, world.left) == ({"done": 1}, done("a"), [])


def test_a_request_whose_event_breaks_fails_its_job_and_is_removed(
    world: DaemonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = world.queued("a")
    table = {**lifecycle.TABLE, (State.QUEUED, Asked): failing(KeyError("odd"))}
    monkeypatch.setattr(lifecycle, "TABLE", table)
    world.ask("cancel", "a")
    step(loop)
    assert world.job("a").end is End.FAILED
    assert (loop.jobs.ledger.requests(), loop.commands.act()) == ([], False)
    assert not loop.commands.in_work
