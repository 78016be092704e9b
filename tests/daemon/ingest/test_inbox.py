"""Inboxes give up what is complete and settled, and tell what waits."""

import errno
import os
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.disks import CAN_MOUNT, SAME, same_folder
from tests.daemon.faults import fill, tree, waiting
from tests.daemon.settings_made import make_inbox, make_settings

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.identity import look
from stylewatch_daemon.ingest.claim import Claimer
from stylewatch_daemon.ingest.inbox import NOTED, Inbox, library, new_id
from stylewatch_daemon.store.journal import Journal
from stylewatch_daemon.store.state import State


class Told(Reporter):
    """Notes what is left alone and what is in the way."""

    def __init__(self) -> None:
        self.left: list[str] = []
        self.trouble: list[str] = []

    def left_alone(self, path: Path, why: str) -> None:
        self.left.append(f"{path.name}: {why}")

    def paused(self, what: str, reason: str) -> None:
        self.trouble.append(what)


class Place:
    """An inbox, an outbox, and a clock that stands until it is moved."""

    def __init__(self, root: Path, after: Any = "archive", **settings: Any) -> None:
        self.path, self.outbox = root / "in", root / "out"
        self.state, self.told, self.now = State(root / "state"), Told(), 0.0
        self.state.make()
        fill(self.path, ".empty")
        own = make_inbox(self.path, self.outbox, after)
        self.settings = make_settings((own,), root / "state", quiet_s=2, rescan_s=60, **settings)
        self.start()

    def start(self) -> None:
        """A new start of the daemon."""
        self.claimer = Claimer(self.state)
        (own,) = self.settings.inboxes
        self.inbox = Inbox(own, self.settings, self.claimer, self.told, lambda: self.now)

    def settle(self) -> list[str]:
        """Look twice, long enough, and take; the names of the jobs."""
        self.inbox.look()
        self.now += 2
        assert self.inbox.look()
        return self.take()

    def take(self) -> list[str]:
        """Enter and claim what can be painted; the names of the jobs."""
        names = [job.name for job in self.claim()]
        for job in self.claimer.held.values():
            self.claimer.accept(job, ())
        self.claimer.held.clear()
        return names

    def claim(self) -> list[Journal]:
        """Enter and claim; the jobs, which are held."""
        return [job for job, _ in self.claimed()]

    def claimed(self) -> list[tuple[Journal, bool]]:
        """Enter and claim; the jobs, each with whether it is taken for good."""
        self.inbox.enter()
        return list(iter(self.inbox.claim, None))

    def look_twice(self) -> None:
        """Look, long enough that all has settled that does."""
        self.inbox.look()
        self.now += 2
        self.inbox.look()

    def cut_off(self, name: str) -> None:
        """Have found that a file ends too early."""
        seen = look(self.path / name)
        assert seen is not None
        self.inbox.await_rest(self.path / name, seen)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_pair_is_taken_once_it_has_settled(place: Place) -> None:
    fill(place.path, "a/content.jpg", "a/style.jpg")
    assert not place.inbox.look()
    assert place.take() == []
    assert place.settle() == ["a"]
    assert place.settle() == []


def test_a_file_that_still_grows_holds_its_pair(place: Place) -> None:
    fill(place.path, "a/content.jpg", "a/style.jpg")
    place.inbox.look()
    place.now += 2
    (place.path / "a/style.jpg").write_text("longer than before")
    assert not place.inbox.look()
    assert place.take() == []
    (waiting,) = place.inbox.incomplete
    assert "style.jpg to stand still" in waiting.waits_for


def test_what_is_kept_is_not_taken_again_until_it_is_dropped_again(tmp_path: Path) -> None:
    place = Place(tmp_path, "keep")
    fill(place.path, "b/content.jpg", "b/style.jpg")
    assert place.settle() == ["b"]
    assert place.settle() == []
    for name in ("content.jpg", "style.jpg"):
        fill(place.path, "b/new")
        (place.path / "b/new").rename(place.path / "b" / name)
    assert place.settle() == ["b"]


def test_an_outbox_that_cannot_be_written_leaves_the_pictures_where_they_are(place: Place) -> None:
    fill(place.path, "a/content.jpg", "a/style.jpg")
    place.outbox.write_text("in the way")
    assert place.settle() == []
    assert len(tree(place.path)) == 2
    assert "cannot be written" in place.inbox.trouble[str(place.path)]
    place.outbox.unlink()
    assert place.settle() == ["a"]
    assert place.inbox.trouble == {}


def test_while_the_disk_of_the_outbox_is_gone_the_pictures_stay_where_they_are(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(folder: Path) -> None:
        raise OutputError(f"{folder} lies on a disk that is not mounted")

    fill(place.path, "a/content.jpg", "a/style.jpg")
    monkeypatch.setattr(place.state.moorings, "check", gone)
    assert place.settle() == []
    assert "is not mounted" in place.inbox.trouble[str(place.path)]
    assert not place.outbox.exists()
    monkeypatch.undo()
    assert place.settle() == ["a"]


def test_a_pair_that_cannot_be_taken_stops_no_other_and_is_tried_again_later(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(place.path, "a/content.jpg", "a/style.jpg", "b/content.jpg", "b/style.jpg")
    opened = atomic.open_regular

    def unreadable(path: Path) -> Any:
        if path.read_text() == "a/content.jpg":
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path)

    monkeypatch.setattr(atomic, "open_regular", unreadable)
    assert place.settle() == ["b"]
    assert "Permission denied" in place.inbox.trouble["a"]
    assert place.settle() == []
    assert place.told.trouble == ["a"]
    monkeypatch.undo()
    place.now += 60
    assert place.settle() == ["a"]


def test_an_inbox_that_is_gone_is_in_the_way(place: Place) -> None:
    place.path.rename(place.outbox)
    assert place.settle() == []
    assert "not readable" in place.inbox.trouble[str(place.path)]


def test_pairs_are_in_the_ledger_before_they_are_claimed(place: Place) -> None:
    fill(place.path, *(f"{job}/{half}.jpg" for job in "ab" for half in ("content", "style")))
    place.inbox.look()
    place.now += 2
    place.inbox.look()
    place.inbox.enter()
    assert place.inbox.unclaimed() == ["a", "b"]
    assert place.state.ledger.ids("claimed") == set(place.state.ledger.ids("claimed", "queued"))
    assert place.state.ledger.counts()["waiting"] == 2
    (place.path / "a/style.jpg").unlink()
    place.inbox.look()
    assert place.take() == ["b"]
    assert place.state.ledger.counts()["waiting"] == 1


def test_what_is_being_looked_at_is_neither_taken_again_nor_incomplete(tmp_path: Path) -> None:
    place = Place(tmp_path, "keep")
    fill(place.path, "a/content.jpg", "a/style.jpg")
    place.look_twice()
    assert [job.name for job in place.claim()] == ["a"]
    place.look_twice()
    assert place.claim() == []
    (place.path / "a/style.jpg").unlink()  # as where only half of it lay on another disk
    place.inbox.look()
    assert (place.claim(), place.inbox.incomplete) == ([], [])
    place.claimer.held.clear()
    assert (place.claim(), len(place.inbox.incomplete)) == ([], 1)


def test_what_is_cut_off_waits_until_it_grows(place: Place) -> None:
    fill(place.path, "a/content.jpg", "a/style.jpg")
    place.cut_off("a/content.jpg")
    place.look_twice()
    assert not place.inbox.look()
    assert place.inbox.awaits_rest
    assert place.take() == []
    (waits,) = place.inbox.incomplete
    assert waits.waits_for == (
        "the rest of content.jpg: it ends too early, and may still be on its way"
    )
    assert place.state.ledger.counts()["waiting"] == 0
    (place.path / "a/content.jpg").write_text("longer than it was before")
    assert place.settle() == ["a"]


def test_what_stays_cut_off_is_taken_for_good(place: Place) -> None:
    fill(place.path, "a/content.jpg", "a/style.jpg", "b/content.jpg", "b/style.jpg")
    place.cut_off("a/content.jpg")
    place.look_twice()
    assert [(job.name, for_good) for job, for_good in place.claimed()] == [("b", False)]
    place.now += 60
    place.look_twice()
    assert [(job.name, for_good) for job, for_good in place.claimed()] == [("a", True)]
    assert not place.inbox.awaits_rest


def test_an_album_waits_for_pictures_until_some_were_painted_whatever_is_started_anew(
    place: Place,
) -> None:
    fill(place.path, "album/style.jpg", "style.jpg")
    assert place.settle() == []
    assert {one.name for one in place.inbox.incomplete} == {"album", "in"}
    fill(place.path, "album/1.jpg")
    assert place.settle() == ["album/1"]
    place.settle()
    assert [one.name for one in place.inbox.incomplete] == ["in"]
    place.start()
    place.settle()
    assert [one.name for one in place.inbox.incomplete] == ["in"]


def test_links_are_named_once(place: Place) -> None:
    (place.path / "photo.jpg").symlink_to("/etc/passwd")
    place.settle()
    assert place.told.left == ["photo.jpg: a link, and links are not followed"]


def test_what_is_left_alone_is_noted_as_long_as_it_lies_there(place: Place) -> None:
    (place.path / "photo.jpg").symlink_to("/etc/passwd")
    place.settle()
    assert place.inbox.notes == ["photo.jpg is left alone: a link, and links are not followed"]
    (place.path / "photo.jpg").unlink()
    place.settle()
    assert place.inbox.notes == []


def test_of_much_that_is_left_alone_the_first_is_named_and_the_rest_counted(place: Place) -> None:
    for number in range(1000):
        (place.path / f"{number:03}.jpg").symlink_to("/etc/passwd")
    place.settle()
    place.settle()
    assert len(place.told.left) == NOTED + 1
    assert place.told.left[-1] == "in: 980 more of what is in it"
    assert len(place.inbox.notes) == NOTED + 1
    assert place.inbox.notes[-1] == f"980 more are left alone in {place.path}"


def test_nothing_is_paired_in_the_output_of_a_job(place: Place) -> None:
    fill(place.path, "old/receipt.json", "old/inputs/content.jpg", "old/inputs/style.jpg")
    fill(place.path, "a/content.jpg", "a/style.jpg")
    assert place.settle() == ["a"]
    assert place.told.left == ["old: it has a receipt.json, as the output of a finished job has"]


@pytest.mark.parametrize("how", [SAME])
def test_an_outbox_that_is_mounted_in_the_inbox_later_is_left_alone(how: str, place: Place) -> None:
    fill(place.outbox, "old/content.jpg", "old/style.jpg")
    fill(place.path, "a/content.jpg", "a/style.jpg")
    with same_folder(place.outbox, place.path / "mounted"):
        assert place.settle() == ["a"]
    if CAN_MOUNT:
        assert place.told.left == [f"mounted: it is the outbox {place.outbox}"]


@pytest.mark.parametrize("how", [SAME])
def test_an_inbox_that_becomes_the_outbox_is_in_the_way_and_nothing_is_taken(
    how: str, place: Place
) -> None:
    fill(place.outbox, "old/content.jpg", "old/style.jpg")
    shutil.rmtree(place.path)
    with same_folder(place.outbox, place.path):
        assert place.settle() == []
        assert place.inbox.trouble == {
            str(place.path): f"the inbox is left alone: it is the outbox {place.outbox}"
        }
        assert place.inbox.notes == []


def test_with_all_styles_a_lone_picture_is_a_job_for_each_and_goes_with_the_last(
    tmp_path: Path,
) -> None:
    fill(tmp_path / "styles", "night.jpg", "wave.png", "notes.txt")
    place = Place(tmp_path, default_style="all", styles=tmp_path / "styles")
    fill(place.path, "photo.jpg")
    assert place.settle() == ["photo-night", "photo-wave"]
    assert tree(place.path) == {}
    jobs = waiting(place.state)
    assert [len(place.state.moved(job)) for job in jobs] == [0, 1]


def test_the_same_picture_dropped_again_is_painted_in_all_styles_again(tmp_path: Path) -> None:
    fill(tmp_path / "styles", "night.jpg", "wave.png")
    place = Place(tmp_path, default_style="all", styles=tmp_path / "styles")
    fill(place.path, "photo.jpg")
    place.settle()
    last = waiting(place.state)[1]
    place.state.job(last).main.rename(place.path / "photo.jpg")
    assert place.settle() == ["photo-night", "photo-wave"]


def test_a_style_is_found_by_stem_or_name_and_may_be_a_link(tmp_path: Path) -> None:
    fill(tmp_path / "far", "picture.png")
    fill(tmp_path / "styles", "night.jpg", "Makefile")
    (tmp_path / "styles/wave.png").symlink_to(tmp_path / "far/picture.png")
    assert list(library(tmp_path / "styles", "all")) == ["night", "wave"]
    assert library(tmp_path / "styles", "wave") == {"wave": tmp_path / "far/picture.png"}
    assert list(library(tmp_path / "styles", "night.jpg")) == ["night"]
    assert library(tmp_path / "styles", "day") == {}
    (tmp_path / "styles/night.mask.jpg").write_text("a mask is no style")
    assert list(library(tmp_path / "styles", "all")) == ["night", "wave"]
    assert library(tmp_path / "gone", "all") == {}


def test_ids_sort_by_their_time() -> None:
    ids = [new_id() for _ in range(100)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 100


def test_an_inbox_that_cannot_be_listed_for_want_of_descriptors_keeps_what_was_entered(
    place: Place,
) -> None:
    fill(place.path / "trip", "content.jpg", "style.jpg")
    place.look_twice()
    place.inbox.enter()
    (entered,) = place.state.ledger.claimed(str(place.path))
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        for _ in range(3):
            assert not place.inbox.look()
            place.inbox.enter()
        assert "out of file descriptors" in str(place.inbox.trouble)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert place.told.trouble == [str(place.path)]
    assert [one.id for one in place.state.ledger.claimed(str(place.path))] == [entered.id]
    assert place.settle() == ["trip"]


def test_an_inbox_that_fails_in_an_unforeseen_way_is_named_and_logged_once(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise KeyError("no such part")

    inbox = place.inbox
    monkeypatch.setattr("stylewatch_daemon.ingest.inbox.pair", fail)
    for _ in range(3):
        inbox.look()
        inbox.enter()
    (trouble,) = inbox.trouble.values()
    assert trouble == "a fault of stylewatch stops this inbox (KeyError: 'no such part')"
    assert [record.exc_info is not None for record in caplog.records] == [True]
    monkeypatch.undo()
    inbox.look()
    inbox.enter()
    assert inbox.trouble == {}
