"""A pair is claimed as a whole or not at all, whatever goes wrong and whenever it is killed."""

import errno
import os
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any
from unittest.mock import Mock

import pytest
from pydantic import ByteSize
from tests.daemon.claim_world import BOTH, JOB, TAKEN, ClaimWorld, Layout
from tests.daemon.faults import fill, killed_at, place_of, tree

from stylewatch_daemon.errors import FullError, InputError
from stylewatch_daemon.files import atomic
from stylewatch_daemon.files.transfers import SMALL, Transfers
from stylewatch_daemon.ingest.claim import Claimer
from stylewatch_daemon.ingest.pairing import pair
from stylewatch_daemon.ingest.scan import scan
from stylewatch_daemon.model import Picture
from stylewatch_daemon.settings.sections import LARGEST_PICTURE, Limits
from stylewatch_daemon.store.journal import Journal

ALL = {name: name for name in JOB}


@pytest.fixture
def place(tmp_path: Path) -> ClaimWorld:
    place = ClaimWorld(tmp_path)
    fill(place.inbox, *JOB)
    return place


def claim(place: ClaimWorld, claimer: Claimer | None = None, **more: Any) -> Journal | None:
    files = more.get("files") or scan(place.inbox).files
    (job,) = pair(place.inbox, files, {}).complete
    return (claimer or Claimer(place.state)).claim(job, files, place.terms(), "1")


def is_claimed(place: ClaimWorld, claimer: Claimer | None = None) -> bool:
    (job,) = place.pairs()
    return (claimer or Claimer(place.state)).is_claimed(job, scan(place.inbox).files)


@BOTH
def test_the_style_of_an_album_stays_and_is_copied_first(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy_checked(name: str, *args: Any) -> str:
        assert (place.inbox / "album/photo.jpg").exists()  # a copy may fail, a rename does not
        return copy(name, *args)

    copy, place = atomic.copy, ClaimWorld(tmp_path)
    monkeypatch.setattr(atomic, "copy", copy_checked)
    fill(place.inbox, "album/style.jpg", "album/photo.jpg")
    with layout(place):
        place.take()
    assert place.held() == [{"photo.jpg": "album/photo.jpg", "style.jpg": "album/style.jpg"}]
    assert tree(place.inbox) == {"album/style.jpg": "album/style.jpg"}


@pytest.mark.parametrize(("mask", "frames"), [([], 1), (["trip/content.mask.png"], 1), ([], 2)])
def test_a_job_with_masks_or_a_clip_has_no_sizes_to_be_batched_by(
    place: ClaimWorld, mask: list[str], frames: int
) -> None:
    fill(place.inbox, *mask)
    columns_of = Mock(return_value={})
    claimer = Claimer(place.state, columns_of)
    journal = claim(place, claimer)
    assert journal is not None
    names = [file.name for file in journal.files if file.role != "job"]
    claimer.accept(journal, [Picture(name, "0", (4, 4), frames) for name in names])
    is_batched = not mask and frames == 1
    assert columns_of.call_args.args[1] == ([(4, 4), (4, 4)] if is_batched else [])


def test_files_get_unique_safe_names(tmp_path: Path) -> None:
    place, odd = ClaimWorld(tmp_path), os.fsdecode(b"-latin\xe9\n.jpg")
    fill(tmp_path, "styles/Photo.JPG", "in/photo.jpg")
    fill(place.inbox, odd)
    files = scan(place.inbox).files
    pairs = pair(place.inbox, files, {"wave": tmp_path / "styles/Photo.JPG"}).complete
    for number, job in enumerate(sorted(pairs, key=lambda job: job.name)):
        assert Claimer(place.state).claim(job, files, place.terms(), str(number)) is not None
    held = [set(files) for files in place.held()]
    assert held == [{"_latin__.jpg", "Photo.JPG"}, {"photo.jpg", "Photo-2.JPG"}]


def test_a_pair_that_changed_since_the_scan_stays(place: ClaimWorld) -> None:
    files, path = scan(place.inbox).files, place.inbox / "trip/style.jpg"
    path.unlink()
    path.symlink_to("/etc/passwd")
    with pytest.raises(InputError, match=r"style\.jpg changed"):
        claim(place, files=files)
    assert (set(tree(place.inbox)), place.taken()) == (set(JOB), {})


def test_originals_that_cannot_be_removed_are_remembered(
    place: ClaimWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = os.unlink

    def refuse(path: Path, **more: int) -> None:
        if more and place.inbox in place_of(more["dir_fd"]).parents:
            raise PermissionError(errno.EACCES, "Permission denied")
        unlink(path, **more)

    with place.mounts():
        monkeypatch.setattr(os, "unlink", refuse)
        place.take()
    assert is_claimed(place)
    (place.inbox / "trip/content.jpg").write_text("a new photograph")
    assert not is_claimed(place)


# Inputs that are kept


@pytest.mark.parametrize(
    ("change", "is_known"),
    [("nothing", True), ("time", True), ("bytes", False), ("inode", False), ("new file", False),
     ("name", False)],
)  # fmt: skip
def test_a_kept_pair_is_the_same_while_its_files_are(
    change: str, is_known: bool, place: ClaimWorld
) -> None:
    path = place.inbox / "trip/content.jpg"
    claimer, journal = place.hold("keep")
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
    assert is_claimed(place) == is_known


def test_a_file_that_was_moved_and_comes_back_is_new(place: ClaimWorld) -> None:
    place.take(after="keep")
    place.take(after="archive", job_id="2")
    (place.state.jobs / "2/files").rename(place.inbox / "trip")
    assert not is_claimed(place)


# Kills


@pytest.mark.parametrize("after", ["archive", "keep"])
@BOTH
def test_killed_at_any_change_nothing_is_lost_or_doubled(
    layout: Layout, after: str, tmp_path: Path
) -> None:
    for change in count(1):
        place = ClaimWorld(tmp_path / str(change))
        fill(place.inbox, *JOB)
        with layout(place):
            with killed_at(change) as died:
                place.take(after)
            place.start()
        in_inbox, jobs = tree(place.inbox), place.held()
        if after == "archive":
            assert (in_inbox, jobs) in [(ALL, []), ({}, [TAKEN])], f"killed at change {change}"
        else:
            assert jobs in ([], [TAKEN])
            assert is_claimed(place) == bool(jobs), f"killed at change {change}"
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
    moved: bool, place: ClaimWorld
) -> None:
    for name in ("content.jpg", "style.jpg"):
        os.truncate(place.inbox / "trip" / name, 2 * LARGEST_PICTURE)
    claimer = Claimer(place.state)
    with nullcontext() if moved else place.mounts():
        claim(place, claimer)
        job = finished(claimer)
    held = {file.name for file in (place.state.jobs / "1/files").iterdir()}
    assert "content.jpg" in held and "style.jpg" not in held
    reason = claimer.too_large(job)
    assert reason.startswith("style.jpg is 1.1 GB; the limit is 537 MB")
    lower = Claimer(place.state, limits=lambda: Limits(max_bytes=ByteSize(10**9)))
    reason = f"content.jpg is 1.1 GB; the limit is 1.0 GB (limits.max_bytes); {reason}"
    assert lower.too_large(job) == reason


def test_the_copy_of_a_long_clip_leaves_space_on_the_disk(place: ClaimWorld) -> None:
    os.truncate(place.inbox / "trip/content.jpg", LARGEST_PICTURE + 1)
    claimer = Claimer(place.state, limits=lambda: Limits(free_bytes=10**15))
    with place.mounts(), pytest.raises(FullError, match=r"limits\.free_bytes keeps"):
        claim(place, claimer)
    assert (set(tree(place.inbox)), place.taken(), claimer.jobs) == (set(JOB), {}, ())


@pytest.mark.parametrize("killed", [False, True])
def test_a_long_copy_is_finished_later_also_after_a_kill(killed: bool, place: ClaimWorld) -> None:
    os.truncate(place.inbox / "trip/content.jpg", SMALL + 1)
    woken = Event()
    transfers = Transfers(woken.set)
    copying = Claimer(place.state, transfers=transfers)
    with place.mounts():
        if killed:
            with killed_at(12):
                claim(place)
            copying.recover()
        elif claim(place, copying) is None:  # else it was quick
            assert is_claimed(place, copying)
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
