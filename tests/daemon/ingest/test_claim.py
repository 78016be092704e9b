"""A pair is claimed as a whole or not at all, whatever goes wrong and whenever it is killed."""

import errno
import os
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any
from unittest.mock import Mock

import pytest
from tests.daemon.faults import fill, killed_at, mounts, no_threads, place_of, tree
from tests.daemon.world import make_inbox, make_settings

from stylewatch_daemon.errors import FullError, InputError
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.transfers import SMALL, Transfers
from stylewatch_daemon.ingest.claim import Claimer
from stylewatch_daemon.ingest.pairing import pair
from stylewatch_daemon.ingest.scan import scan
from stylewatch_daemon.model import Picture
from stylewatch_daemon.settings import sections
from stylewatch_daemon.settings.sections import LARGEST_PICTURE
from stylewatch_daemon.settings.sections import Inbox as InboxSettings
from stylewatch_daemon.store import claim_files
from stylewatch_daemon.store.journal import Journal
from stylewatch_daemon.store.state_dir import State

JOB = ("trip/content.jpg", "trip/style.jpg", "trip/job.yaml")
ALL = {name: name for name in JOB}
TAKEN = {name.removeprefix("trip/"): name for name in JOB}

BOTH = pytest.mark.parametrize("apart", [False, True], ids=["one_mount", "two_mounts"])


class World:
    """An inbox with `files`, and a state folder."""

    def __init__(self, root: Path, *files: str) -> None:
        self.inbox, self.outbox, self.state = root / "in", root / "out", State(root / "state")
        self.state.make()
        fill(self.inbox, *files)

    def terms(self, after: Any = "archive") -> InboxSettings:
        return make_inbox(self.inbox, self.outbox, after)

    def claim(
        self, claimer: Claimer | None = None, after: Any = "archive", job_id: str = "1"
    ) -> Journal | None:
        looks = scan(self.inbox).files
        (job,) = pair(self.inbox, looks, {}).complete
        return (claimer or Claimer(self.state)).claim(job, looks, self.terms(after), job_id)

    def take(self, after: Any = "archive", job_id: str = "1") -> None:
        """Claim and accept the pair."""
        claimer = Claimer(self.state)
        journal = self.claim(claimer, after, job_id)
        assert journal is not None
        claimer.accept(journal, ())

    def is_claimed(self, claimer: Claimer | None = None) -> bool:
        looks = scan(self.inbox).files
        (job,) = pair(self.inbox, looks, {}).complete
        return (claimer or Claimer(self.state)).is_claimed(job, looks)

    def start(self) -> None:
        """Start the daemon anew; it accepts what was claimed."""
        self.state.close()
        self.state.check_jobs()
        claimer = Claimer(self.state)
        claimer.recover()
        for job in claimer.claimed.values():
            claimer.accept(job, ())

    def held(self) -> list[dict[str, str]]:
        """Return the files of each claimed job."""
        return [tree(folder / "files") for folder in sorted(self.state.jobs.iterdir())]

    def taken(self) -> dict[str, str]:
        """Return all claimed files, wherever they are."""
        return tree(self.state.claims) | tree(self.state.jobs) | tree(self.state.trash)

    def mounts(self, apart: bool = True) -> AbstractContextManager[None]:
        return mounts(*([self.inbox, self.state.root] if apart else []))


@pytest.fixture
def place(tmp_path: Path) -> World:
    return World(tmp_path, *JOB)


@BOTH
def test_the_style_of_an_album_stays_and_is_copied_first(
    apart: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy_checked(name: str, *args: Any) -> str:
        assert (place.inbox / "album/photo.jpg").exists()  # a copy may fail, a rename does not
        return copy(name, *args)

    copy, place = atomic.copy, World(tmp_path, "album/style.jpg", "album/photo.jpg")
    monkeypatch.setattr(atomic, "copy", copy_checked)
    with place.mounts(apart):
        place.take()
    assert place.held() == [{"photo.jpg": "album/photo.jpg", "style.jpg": "album/style.jpg"}]
    assert tree(place.inbox) == {"album/style.jpg": "album/style.jpg"}


@pytest.mark.parametrize(("mask", "frames"), [([], 1), (["trip/content.mask.png"], 1), ([], 2)])
def test_a_job_with_masks_or_a_clip_has_no_sizes_to_be_batched_by(
    place: World, mask: list[str], frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(place.inbox, *mask)
    queue_entry, claimer = Mock(return_value={}), Claimer(place.state)
    monkeypatch.setattr("stylewatch_daemon.ingest.claim.queue_entry", queue_entry)
    journal = place.claim(claimer)
    assert journal is not None
    names = [file.name for file in journal.files if file.role != "job"]
    claimer.accept(journal, [Picture(name, "0", (4, 4), frames) for name in names])
    is_batched = not mask and frames == 1
    assert queue_entry.call_args.args[2] == ([(4, 4), (4, 4)] if is_batched else [])


def test_files_get_unique_safe_names(tmp_path: Path) -> None:
    place = World(tmp_path, "photo.jpg", os.fsdecode(b"-latin\xe9\n.jpg"))
    fill(tmp_path, "styles/Photo.JPG")
    files = scan(place.inbox).files
    pairs = pair(place.inbox, files, {"wave": tmp_path / "styles/Photo.JPG"}).complete
    for number, job in enumerate(sorted(pairs, key=lambda job: job.name)):
        assert Claimer(place.state).claim(job, files, place.terms(), str(number)) is not None
    held = [set(files) for files in place.held()]
    assert held == [{"_latin__.jpg", "Photo.JPG"}, {"photo.jpg", "Photo-2.JPG"}]


def test_a_pair_that_changed_since_the_scan_stays(place: World) -> None:
    files, path = scan(place.inbox).files, place.inbox / "trip/style.jpg"
    path.unlink()
    path.symlink_to("/etc/passwd")
    (job,) = pair(place.inbox, files, {}).complete
    with pytest.raises(InputError, match=r"style\.jpg changed"):
        Claimer(place.state).claim(job, files, place.terms(), "1")
    assert (set(tree(place.inbox)), place.taken()) == (set(JOB), {})


def test_originals_that_cannot_be_removed_are_remembered(
    place: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = os.unlink

    def refuse(path: Path, **more: int) -> None:
        if more and place.inbox in place_of(more["dir_fd"]).parents:
            raise PermissionError(errno.EACCES, "Permission denied")
        unlink(path, **more)

    with place.mounts():
        monkeypatch.setattr(os, "unlink", refuse)
        place.take()
    assert place.is_claimed()
    (place.inbox / "trip/content.jpg").write_text("a new photograph")
    assert not place.is_claimed()


# Inputs that are kept


@pytest.mark.parametrize(
    ("change", "is_known"),
    [("nothing", True), ("time", True), ("bytes", False), ("inode", False), ("new file", False),
     ("name", False)],
)  # fmt: skip
def test_a_kept_pair_is_the_same_while_its_files_are(
    change: str, is_known: bool, place: World
) -> None:
    path = place.inbox / "trip/content.jpg"
    claimer = Claimer(place.state)
    journal = place.claim(claimer, "keep")
    assert journal is not None
    claimer.refuse(journal, "no picture")
    if change == "bytes":
        path.write_text(path.read_text().upper())
    if change in ("time", "bytes"):
        os.utime(path, ns=(1, 1))
    if change == "inode":
        (place.inbox / "new").write_text(path.read_text())
        (place.inbox / "new").replace(path)
    if change == "new file":
        fill(place.inbox, "trip/init.png")
    if change == "name":
        (place.inbox / "trip").rename(place.inbox / "trap")
    assert place.is_claimed() == is_known


def test_a_long_kept_file_is_the_same_while_no_thread_can_read_it(
    place: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, claimer = place.inbox / "trip/content.jpg", Claimer(place.state)
    journal = place.claim(claimer, "keep")
    assert journal is not None
    claimer.accept(journal, [Picture(path.name, atomic.digest(path), (4, 4))])
    os.utime(path, ns=(1, 1))
    monkeypatch.setattr("stylewatch_daemon.files.transfers.SMALL", 0)
    with no_threads():
        assert place.is_claimed()


def test_a_file_that_was_moved_and_comes_back_is_new(place: World) -> None:
    place.take(after="keep")
    place.take(after="archive", job_id="2")
    (place.state.jobs / "2/files").rename(place.inbox / "trip")
    assert not place.is_claimed()


# Kills


@pytest.mark.parametrize("after", ["archive", "keep"])
@BOTH
def test_killed_at_any_change_nothing_is_lost_or_doubled(
    apart: bool, after: str, tmp_path: Path
) -> None:
    for change in count(1):
        place = World(tmp_path / str(change), *JOB)
        with place.mounts(apart):
            with killed_at(change) as died:
                place.take(after)
            place.start()
        in_inbox, jobs = tree(place.inbox), place.held()
        if after == "archive":
            assert (in_inbox, jobs) in [(ALL, []), ({}, [TAKEN])], f"killed at change {change}"
        else:
            assert jobs in ([], [TAKEN])
            assert place.is_claimed() == bool(jobs), f"killed at change {change}"
        assert list(place.state.claims.iterdir()) == []
        if not died():
            break


# Long files


def finished(claimer: Claimer) -> Journal:
    """Wait until the only claim is complete."""
    while claimer.copying:
        assert all(error is None for _, error in claimer.finish_copies())
    (job,) = claimer.claimed.values()
    return job


@pytest.mark.parametrize("moved", [True, False])
def test_a_content_may_be_a_long_clip_and_other_files_may_not(
    moved: bool, place: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (sections, claim_files):
        monkeypatch.setattr(module, "LARGEST_PICTURE", 1_000_000)
    for name in ("content.jpg", "style.jpg"):
        os.truncate(place.inbox / "trip" / name, 2_000_000)
    claimer = Claimer(place.state)
    with place.mounts(not moved):
        place.claim(claimer)
        job = finished(claimer)
    held = {file.name for file in (place.state.jobs / "1/files").iterdir()}
    assert "content.jpg" in held and "style.jpg" not in held
    reason = claimer.too_large(job)
    assert reason.startswith("style.jpg is 2.0 MB; the limit is 1.0 MB")
    lower = Claimer(place.state, lambda: make_settings((), tmp_path, max_bytes=1_500_000))
    reason = f"content.jpg is 2.0 MB; the limit is 1.5 MB (limits.max_bytes); {reason}"
    assert lower.too_large(job) == reason


def test_the_copy_of_a_long_clip_leaves_space_on_the_disk(place: World, tmp_path: Path) -> None:
    os.truncate(place.inbox / "trip/content.jpg", LARGEST_PICTURE + 1)
    claimer = Claimer(place.state, lambda: make_settings((), tmp_path, free_bytes=10**15))
    with place.mounts(), pytest.raises(FullError, match=r"limits\.free_bytes keeps"):
        place.claim(claimer)
    assert (set(tree(place.inbox)), place.taken(), claimer.jobs) == (set(JOB), {}, ())


@pytest.mark.parametrize("killed", [False, True])
def test_a_long_copy_is_finished_later_also_after_a_kill(killed: bool, place: World) -> None:
    os.truncate(place.inbox / "trip/content.jpg", SMALL + 1)
    woken = Event()
    transfers = Transfers(woken.set)
    copying = Claimer(place.state, transfers=transfers)
    with place.mounts():
        if killed:
            with killed_at(12):
                place.claim()
            copying.recover()
        elif place.claim(copying) is None:  # else it was quick
            assert place.is_claimed(copying)
            assert list(place.state.jobs.iterdir()) == []
        while copying.copying:
            woken.wait()
            woken.clear()
            assert all(error is None for _, error in copying.finish_copies())
        (job,) = copying.claimed.values()
        copying.accept(job, ())
    transfers.close()
    assert (place.state.jobs / "1/files/content.jpg").stat().st_size == SMALL + 1
    assert (tree(place.inbox), list(place.state.claims.iterdir())) == ({}, [])
