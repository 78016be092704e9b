"""Complete, settled pairs of inboxes are entered, claimed, inspected and queued."""

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from tests.daemon.disks import same_folder
from tests.daemon.faults import fill, mounts, tree, waiting
from tests.daemon.world import FakeInspector, changed_settings, make_inbox, make_settings

from stylewatch_daemon.errors import InProgressError, InputError, OutputError, SettingsError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.transfers import SMALL, Transfers
from stylewatch_daemon.ingest.inbox import MAX_NOTES, Inbox
from stylewatch_daemon.ingest.ingest import AHEAD, Ingest
from stylewatch_daemon.ingest.inspection.messages import CutOff
from stylewatch_daemon.model import Incomplete, Pair
from stylewatch_daemon.settings.style_library import check_default_style
from stylewatch_daemon.store import claim_files, ledger_writer
from stylewatch_daemon.store.state_dir import State


class HeldTransfers(Transfers):
    """Long copies end, or fail with an `error`, once they are no longer `held`."""

    held = True
    error: Exception | None = None

    def run(self, key: str, size: int, work: Callable[[], Any]) -> Any:
        if size >= SMALL and self.held:
            raise InProgressError(key)
        if size >= SMALL and self.error is not None:
            raise self.error
        return work()


class World(Reporter):
    """Inboxes with an Ingest, whose clock moves only when `now` is set."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.root, self.path, self.outbox = root, root / "in", root / "out"
        self.state, self.inspector, self.now = State(root / "state"), FakeInspector(), 0.0
        self.transfers = HeldTransfers()
        self.skipped: list[str] = []
        self.paused_names: list[str] = []
        self.claimed_names: list[str] = []
        self.waiting: list[list[str]] = []
        inboxes = [make_inbox(root / name, self.outbox) for name in ("in", "other")]
        for inbox in inboxes:
            inbox.path.mkdir()
        self.settings = make_settings(inboxes, root / "state", quiet_s=2, rescan_s=60, **settings)
        self.start()

    def start(self) -> None:
        """Start the daemon anew."""
        self.state.close()
        self.state.make()
        self.state.check_jobs()
        self.ingest = Ingest(
            self.settings, self.state, self.inspector, self, lambda: self.now, self.transfers
        )
        self.ingest.recover()

    @property
    def inbox(self) -> Inbox:
        return self.ingest.inboxes[0]

    def ignored(self, path: Path, why: str) -> None:
        self.skipped.append(f"{path.name}: {why}")

    def paused(self, what: str, reason: str) -> None:
        self.paused_names.append(what)

    def claimed(self, job: str) -> None:
        self.claimed_names.append(job)

    def incomplete(self, waiting: Sequence[Incomplete]) -> None:
        self.waiting.append([pair.name for pair in waiting])

    def drop(self, *jobs: str, inbox: str = "in") -> None:
        """Drop pairs."""
        names = [f"{job}/{half}.jpg" for job in jobs for half in ("content", "style")]
        fill(self.root / inbox, *names)

    def scan(self) -> None:
        """Scan twice, so that unchanged files have settled."""
        self.ingest.scan()
        self.now += 2
        self.ingest.scan()

    def enter_and_claim(self) -> list[str]:
        """Claim the complete pairs of the last scan; return the names of the jobs."""
        self.claimed_names.clear()
        self.ingest.enter()
        while self.ingest.has_more:
            self.ingest.claim()
        return list(self.claimed_names)

    def run(self) -> list[str]:
        """Scan, claim, and apply all verdicts; return the names of the claimed jobs."""
        self.scan()
        claimed = self.enter_and_claim()
        while self.ingest.apply_verdicts():
            pass
        return claimed

    @property
    def incomplete_pairs(self) -> dict[str, str]:
        return {pair.name: pair.waits_for for pair in self.ingest.incomplete}

    @property
    def states(self) -> dict[str, str]:
        """The states of the jobs that are queued or being refused, by name."""
        return {job.name: job.state for job in waiting(self.state)}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# Scan and enter


def test_a_pair_is_claimed_once_it_has_settled(world: World) -> None:
    world.drop("a")
    world.ingest.scan()
    assert (world.ingest.settled, world.enter_and_claim()) == (False, [])
    world.now += 2
    (world.path / "a/style.jpg").write_text("longer than before")
    world.ingest.scan()
    assert world.enter_and_claim() == []
    assert world.incomplete_pairs == {"a": "style.jpg to stop changing"}
    assert not world.ingest.is_final
    assert [world.run(), world.run()] == [["a"], []]
    assert world.waiting == [["a"], ["a"], []], "reported when something changes"
    assert world.ingest.settled
    world.now += 3
    assert (world.ingest.since_scan, world.ingest.scan_seconds) == (3.0, 0.0)


@pytest.mark.parametrize("vanishes", [False, True])
def test_pairs_are_in_the_ledger_before_they_are_claimed_also_after_a_start(
    vanishes: bool, world: World
) -> None:
    world.drop("a", "b")
    world.scan()
    world.ingest.enter()
    ids = world.state.ledger.ids("claimed")
    assert (world.ingest.not_queued, world.state.ledger.counts()["waiting"]) == (("a", "b"), 2)
    world.start()
    if vanishes:
        (world.path / "a/content.jpg").unlink()
    world.ingest.scan()
    assert world.enter_and_claim() == []  # nothing has settled in the first scan
    assert world.run() == (["b"] if vanishes else ["a", "b"])
    assert world.state.ledger.counts()["waiting"] == (1 if vanishes else 2)
    assert world.state.ledger.ids("claimed", "queued") <= ids


def test_an_inbox_that_left_the_settings_is_not_claimed(world: World) -> None:
    world.drop("a", inbox="other")
    world.scan()
    world.ingest.enter()
    inboxes = world.settings.inboxes[:1]
    world.ingest.apply_settings(changed_settings(world.settings, inboxes=inboxes))
    assert (world.state.ledger.counts()["waiting"], world.ingest.has_more) == (0, False)


def test_with_all_styles_a_lone_picture_is_a_job_for_each_every_time(tmp_path: Path) -> None:
    styles = tmp_path / "styles"
    fill(tmp_path, "far/picture.png", "styles/night.jpg", "styles/Makefile", "styles/x.mask.jpg")
    (styles / "wave.png").symlink_to(tmp_path / "far/picture.png")
    world = World(tmp_path, default_style="all", styles=styles)
    for _ in range(2):
        fill(world.path, "photo.jpg")
        assert world.run() == ["photo-night", "photo-wave"]
        assert tree(world.path) == {}
    world.inspector.says = {"styles/night": "cut off"}  # which is not waited for
    fill(world.path, "sea.jpg")
    world.run()
    assert [path.name for path in world.inspector.asked[-1].growing] == ["sea.jpg"]
    assert (world.states["sea-night"], world.ingest.awaits_rest) == ("refusing", False)


# Long copies


def long(path: Path) -> Path:
    """Make a file so long that it is copied in another thread."""
    os.truncate(path, SMALL + 1)
    return path


def test_the_last_job_with_a_long_picture_waits_until_the_others_have_copied_it(
    tmp_path: Path,
) -> None:
    fill(tmp_path, "styles/day.jpg", "styles/night.jpg", "styles/wave.jpg")
    world = World(tmp_path, default_style="all", styles=tmp_path / "styles")
    fill(world.path, "photo.jpg")
    photo = long(world.path / "photo.jpg")
    assert (world.run(), photo.exists(), world.ingest.is_inspecting) == ([], True, True)
    assert (world.run(), photo.exists()) == ([], True), "also after another scan"
    world.transfers.held = False
    assert world.run() == ["photo-day", "photo-night"] and not world.ingest.settled
    assert world.run() == ["photo-wave"]
    assert set(world.states) == {"photo-day", "photo-night", "photo-wave"}
    assert not photo.exists()


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "Input/output error"), InputError("content.jpg changed")]
)
def test_a_long_copy_that_fails_is_tried_again_later(error: Exception, world: World) -> None:
    """Until then the status names its pair."""
    world.drop("a")
    long(world.path / "a/content.jpg")
    with mounts(world.path, world.root / "state"):
        world.run()
        world.transfers.held, world.transfers.error = False, error
        world.ingest.claim()
        assert not world.ingest.settled
        reasons = [*world.inbox.trouble.values(), *world.incomplete_pairs.values()]
        assert [error.args[-1] in reason for reason in reasons] == [True]
        world.transfers.error = None
        world.now += 60
        assert world.run() == ["a"]


def test_few_long_copies_are_begun_at_a_time(world: World) -> None:
    jobs = [f"job-{n:02}" for n in range(AHEAD + 2)]
    world.drop(*jobs)
    for job in jobs:
        long(world.path / job / "content.jpg")
    with mounts(world.path, world.root / "state"):
        world.run()
        assert len(list(world.state.claims.iterdir())) == AHEAD
        assert len(world.ingest.not_queued) == AHEAD + 2 and not world.ingest.has_more
        world.transfers.held = False
        while world.ingest.is_inspecting or world.ingest.has_more:
            world.ingest.claim()
            world.ingest.apply_verdicts()
    assert sorted(world.states) == jobs


def test_after_each_long_copy_other_work_gets_its_turn(world: World) -> None:
    jobs = ["a", "b", "c"]
    world.drop(*jobs)
    for job in jobs:
        long(world.path / job / "content.jpg")
    world.scan()
    world.ingest.enter()
    real, passed = world.ingest._claim_next, []

    def slow(inbox: Inbox) -> bool:
        world.now += 1
        passed.append(inbox.path.name)
        return real(inbox)

    with mounts(world.path, world.root / "state"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.ingest, "_claim_next", slow)
        world.ingest.claim()
    assert len(list(world.state.claims.iterdir())) == len(passed) == 1


# Canceled incomplete pairs


@pytest.mark.parametrize("after", ["archive", "keep"])
def test_an_incomplete_pair_is_canceled_and_waits_no_longer(after: Any, world: World) -> None:
    inbox = make_inbox(world.path, world.outbox, after)
    world.ingest.apply_settings(changed_settings(world.settings, inboxes=(inbox,)))
    fill(world.path, "a/content.jpg", "b/content.jpg", "j/job.yaml")
    with pytest.raises(InProgressError, match="not scanned yet"):
        world.ingest.cancel("a")
    world.ingest.scan()
    world.ingest.enter()
    with pytest.raises(InProgressError, match="files that still change"):
        world.ingest.cancel("a")
    world.run()
    for name in ("a", "j", "other"):
        world.ingest.cancel(name)
    assert set(world.incomplete_pairs) == {"b"}
    assert world.run() == ["a", "j"]
    assert (world.states, world.inspector.asked) == ({"a": "refusing", "j": "refusing"}, [])
    assert (world.run(), set(world.incomplete_pairs)) == ([], {"b"})
    assert len(tree(world.path)) == (1 if after == "archive" else 3)
    world.drop("a")  # with its other half it is a new job
    assert world.run() == ["a"]


def test_a_canceled_incomplete_pair_is_claimed_after_a_start_or_once_it_can_be(
    world: World,
) -> None:
    fill(world.path, "a/content.jpg", "b/content.jpg", "c/content.jpg")
    world.run()
    world.outbox.write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        world.ingest.cancel("a")
    world.outbox.unlink()
    for name in ("a", "b", "c"):
        world.ingest.cancel(name)
    world.start()
    (world.path / "b/content.jpg").unlink()
    (world.path / "c/style.jpg").write_text("its other half")
    world.ingest.scan()
    assert world.enter_and_claim() == [], "nothing has settled in the first scan"
    assert sorted(world.run()) == ["a", "c"]
    assert world.states == {"a": "refusing", "c": "refusing"}
    assert world.state.ledger.find("b") is None


def test_a_pair_that_waits_for_the_rest_of_a_file_is_canceled_at_once(world: World) -> None:
    world.inspector.says = {"a/content": "cut off"}
    world.drop("a")
    world.run()
    assert (world.run(), set(world.incomplete_pairs)) == ([], {"a"})
    world.ingest.cancel("a")
    assert (world.run(), world.states) == (["a"], {"a": "refusing"})
    world.scan()
    assert (tree(world.path), world.ingest.awaits_rest) == ({}, False)


# Skipped paths


def test_skipped_paths_are_reported_once_and_noted_while_they_exist(world: World) -> None:
    fill(world.path, "old/receipt.json", "old/inputs/content.jpg", "old/inputs/style.jpg")
    (world.path / "photo.jpg").symlink_to("/etc/passwd")
    world.drop("a")
    assert [world.run(), world.run()] == [["a"], []]
    reasons = ["old: it has a receipt.json, as the output of a finished job has",
               "photo.jpg: a link, and links are not followed"]  # fmt: skip
    assert sorted(world.skipped) == reasons
    assert "photo.jpg is skipped: a link, and links are not followed" in world.inbox.notes
    (world.path / "photo.jpg").unlink()
    for number in range(100):
        (world.path / f"{number:03}.jpg").symlink_to("/etc/passwd")
    world.run()
    assert len(world.skipped) == 2 + len(world.inbox.notes) == 2 + MAX_NOTES + 1


def test_the_clip_of_a_live_photo_is_left_out_for_good_and_noted(world: World) -> None:
    fill(world.path, "al/style.jpg", "al/1.jpg", "al/1.mov", "al/film.mov")
    assert [sorted(world.run()), world.run()] == [["al/1", "al/film"], []]
    fill(world.path, "al/2.jpg")
    assert world.run() == ["al/2"]
    fill(world.path, "al/2.mov", "al/film.mov")  # comes later; is dropped again
    assert world.run() == ["al/film"]
    world.start()
    assert world.run() == []
    assert sorted(path.name for path in (world.path / "al").iterdir()) == [
        "1.mov", "2.mov", "style.jpg",
    ]  # fmt: skip
    assert [note.partition(" ")[0] for note in world.inbox.notes] == ["al/1.mov", "al/2.mov"]


def test_what_a_job_leaves_in_its_folder_does_not_become_part_of_the_album(world: World) -> None:
    fill(world.path, "al/style.jpg", "al/j/other.png", "al/j-2/1.png")
    world.drop("al/j")
    assert sorted(world.run()) == ["al/j", "al/j-2/1"]
    for _ in range(2):
        assert world.run() == []
        assert world.incomplete_pairs == {"al/j": "a style picture (style.jpg)"}
        world.start()


def test_an_inbox_that_is_gone_or_becomes_the_outbox_is_reported(world: World) -> None:
    fill(world.outbox, "old/content.jpg", "old/style.jpg")
    shutil.rmtree(world.path)
    assert world.run() == []
    assert "not readable" in world.inbox.trouble[str(world.path)]
    with same_folder(world.outbox, world.path):
        assert world.run() == []
        reason = f"the inbox is skipped: it is the outbox {world.outbox}"
        assert world.inbox.trouble == {str(world.path): reason}
        assert world.inbox.notes == []


# Faults of the disk


def test_pairs_stay_while_the_outbox_cannot_be_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.drop("a")
    world.outbox.write_text("in the way")
    assert world.run() == []
    assert "cannot be written" in world.inbox.trouble[str(world.path)]
    world.outbox.unlink()
    with monkeypatch.context() as patch:
        gone = Mock(side_effect=OutputError("its disk is not mounted"))
        patch.setattr(world.state.mount_guard, "check", gone)
        assert world.run() == []
    assert "is not mounted" in world.inbox.trouble[str(world.path)]
    assert (len(tree(world.path)), world.outbox.exists()) == (2, False)
    assert (world.run(), world.inbox.trouble) == (["a"], {})


def test_a_style_library_that_cannot_be_read_stops_only_the_pairs_that_need_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, default_style="wave", styles=tmp_path / "styles")
    fill(tmp_path, "styles/wave.jpg")
    world.drop("a")
    fill(world.path, "photo.jpg")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", Mock(side_effect=PermissionError(13, "Permission denied")))
        with pytest.raises(SettingsError, match=r"styles cannot be read: Permission denied"):
            check_default_style(world.settings.pairing)
        assert world.run() == ["a"]
        (reason,) = world.inbox.trouble.values()
        assert "Permission denied" in reason
    assert (world.run(), world.inbox.trouble) == (["photo"], {})


def test_a_pair_that_cannot_be_claimed_stops_no_other_and_is_tried_again_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.drop("a", "b")
    open_regular = atomic.open_regular

    def unreadable(path: Path) -> Any:
        if path.read_text() == "a/content.jpg":
            raise PermissionError(errno.EACCES, "Permission denied")
        return open_regular(path)

    monkeypatch.setattr(atomic, "open_regular", unreadable)
    assert world.run() == ["b"]
    assert "Permission denied" in world.inbox.trouble["a"]
    assert (world.run(), world.paused_names) == ([], ["a"])
    monkeypatch.undo()
    world.now += 60
    assert world.run() == ["a"]


def test_a_job_whose_claim_was_complete_but_not_synced_is_inspected(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut may undo the last rename, and the next start makes it again."""
    world.drop("a")
    rename_folder = atomic.rename_folder

    def unsynced(source: Path, target: Path) -> None:
        rename_folder(source, target)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(atomic, "rename_folder", unsynced)
    assert world.run() == ["a"]
    assert (world.states, world.ingest.not_queued) == ({"a": "queued"}, ())


def test_what_is_known_of_files_is_forgotten_with_them(world: World) -> None:
    world.drop("a")
    (world.path / "a/job.yaml").write_text("only: style\n")
    world.ingest.scan()
    world.ingest.enter()
    world.inbox.not_claimed(Pair("a", world.path / "a/content.jpg", ()), OSError(errno.EIO, "x"))
    assert world.path / "a/job.yaml" in world.inbox._sides and world.inbox._retry_at
    shutil.rmtree(world.path / "a")
    world.run()
    assert not (world.inbox._sides or world.inbox._retry_at)
    fill(world.path, "al/style.jpg", "al/film.mov")
    world.run()
    assert [*world.inbox._taken] == [world.path / "al"]
    shutil.rmtree(world.path / "al")
    world.run()
    assert not world.inbox._taken


def test_an_unexpected_error_stops_one_inbox_and_is_logged_once(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        failing = Mock(side_effect=KeyError("no such part"))
        patch.setattr("stylewatch_daemon.ingest.inbox.pair", failing)
        for _ in range(3):
            world.inbox.scan()
            world.inbox.enter()
    fault = "a fault of stylewatch stops this inbox (KeyError: 'no such part')"
    assert world.inbox.trouble == {str(world.path): fault}
    assert [record.exc_info is not None for record in caplog.records] == [True]
    world.run()
    assert world.inbox.trouble == {}


# Inspection


def test_a_claimed_job_queues_after_inspection(world: World) -> None:
    fill(world.path, "a/init.png", "a/content.mask.png")
    (world.path / "a/job.yaml").write_text("seed: 1")
    world.drop("a")
    world.inspector.silent = True
    world.run()
    assert (world.ingest.is_inspecting, world.ingest.not_queued) == (True, ("a",))
    assert (world.incomplete_pairs, world.states) == ({}, {})
    (question,) = world.inspector.asked
    assert question.roles == ("content", "style", "init", "content-mask")
    assert question.max_pixels == world.settings.limits.max_pixels
    assert (question.thumbs, question.growing) == (world.state.thumbs, question.files)
    assert world.run() == [], "it is not claimed again"
    world.inspector = FakeInspector()
    world.start()  # a start repeats the inspection
    assert "a" in world.ingest.not_queued
    world.ingest.apply_verdicts()
    (job_id,) = world.ingest.apply_verdicts()
    assert (world.ingest.is_inspecting, world.ingest.not_queued) == (False, ())
    entry = world.state.ledger.find(job_id)
    assert entry is not None
    inputs = [(file["name"], file["pixels"], len(file["sha256"])) for file in entry.inputs[:2]]
    assert inputs == [("content.jpg", [4, 4], 64), ("style.jpg", [4, 4], 64)]


def test_few_questions_are_asked_at_a_time_and_inboxes_take_turns(world: World) -> None:
    def names() -> list[Any]:
        entries = [world.state.ledger.find(question.job) for question in world.inspector.asked]
        return [entry and entry.name for entry in entries]

    world.inspector.silent = True
    world.drop(*(f"{number:02}" for number in range(AHEAD + 5)))
    world.drop("mine", "too", inbox="other")
    world.scan()
    world.ingest.enter()
    world.ingest.claim()
    assert (len(names()), names()[:4]) == (AHEAD, ["00", "mine", "01", "too"])
    world.inspector = FakeInspector(silent=True)
    world.start()  # after which all that was claimed waits at once
    world.ingest.apply_verdicts()
    assert names()[:4] == ["00", "mine", "01", "too"]
    world.inspector.silent = False
    for _ in range(5):
        world.run()
    assert len(world.states) == AHEAD + 7


@pytest.mark.parametrize("apart", [False, True], ids=["one_mount", "two_mounts"])
def test_a_truncated_pair_is_given_back_until_it_grows_or_its_time_is_over(
    apart: bool, world: World
) -> None:
    world.inspector.says = {"a/content": "cut off", "b/content": "cut off"}
    world.drop("a", "b")
    with mounts(*([world.path, world.state.root] if apart else [])):
        world.run()
    assert len(tree(world.path)) == 4
    assert list(world.state.jobs.iterdir()) == list(world.state.claims.iterdir()) == []
    assert (world.ingest.settled, world.ingest.awaits_rest) == (False, True)
    assert world.run() == []
    waits_for = "the rest of content.jpg: it ends too early, and may still be on its way"
    assert world.incomplete_pairs == {"a": waits_for, "b": waits_for}
    assert world.state.ledger.counts()["waiting"] == 0
    (world.path / "a/content.jpg").write_text("longer than it was before")
    assert (world.run(), world.states) == (["a"], {"a": "queued"})
    world.now += 60
    assert (world.run(), world.states["b"]) == (["b"], "refusing")
    assert (world.inspector.asked[-1].growing, world.ingest.awaits_rest) == ((), False)


@pytest.mark.parametrize("is_canceled", [True, False])
def test_a_truncated_pair_is_refused_at_once_if_it_was_canceled_or_has_no_such_file(
    is_canceled: bool, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.drop("a")
    world.inspector.silent = True
    world.run()
    (job_id,) = world.state.ledger.ids("claimed")
    if is_canceled:
        world.state.ledger.change(job_id, wish="cancel")
    # a hijacked inspection process may make up a file
    name = "content.jpg" if is_canceled else "made up.jpg"
    cut_off = CutOff(job_id, name, "content.jpg is cut off")
    monkeypatch.setattr(world.inspector, "verdicts", lambda: [cut_off])
    world.ingest.apply_verdicts()
    assert (world.states, world.ingest.awaits_rest) == ({"a": "refusing"}, False)
    assert world.state.load(job_id).reason == "content.jpg is cut off"


def test_a_pair_that_cannot_be_given_back_now_is_later_and_stops_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.inspector.says = {"a/content": "cut off"}
    world.drop("a", "b")
    with monkeypatch.context() as patch:
        patch.setattr(claim_files, "put_back", Mock(side_effect=OSError(errno.EIO, "I/O error")))
        world.run()
        assert (world.states, world.ingest.not_queued) == ({"b": "queued"}, ("a",))
        assert (world.paused_names, world.ingest.is_inspecting) == (["a"], False)
    world.run()
    assert (world.ingest.not_queued, world.ingest.awaits_rest) == ((), True)


def test_a_full_ledger_delays_verdicts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.drop("a")
    world.scan()
    world.ingest.enter()
    world.ingest.claim()
    with monkeypatch.context() as patch:
        full = sqlite3.OperationalError("database or disk is full")
        patch.setattr(ledger_writer, "commit", Mock(side_effect=full))
        assert [world.ingest.apply_verdicts() for _ in range(2)] == [[], []]
        assert world.paused_names == ["the ledger"] * 2
        assert (world.ingest.is_inspecting, world.ingest.not_queued) == (False, ("a",))
    world.ingest.apply_verdicts()
    assert world.states == {"a": "queued"}


def test_a_job_that_must_run_alone_waits_until_nothing_changes(world: World) -> None:
    assert not world.ingest.is_quiet  # nothing was scanned
    world.scan()
    assert world.ingest.is_quiet
    fill(world.path, "y/content.jpg")
    world.ingest.scan()
    assert not world.ingest.is_quiet
    world.now += 60
    assert world.ingest.is_quiet
