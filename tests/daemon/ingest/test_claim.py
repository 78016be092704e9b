"""A pair is taken as a whole or not at all, whatever goes wrong and whenever it is killed."""

import errno
import os
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from tests.daemon.claims import BOTH, JOB, TAKEN, Layout, Place, two_mounts
from tests.daemon.faults import fill, killed_at, place_of, tree

from stylewatch_daemon.errors import InputError, OutputError
from stylewatch_daemon.files.transfers import SMALL, Transfers
from stylewatch_daemon.ingest.claim import Claimer, too_large
from stylewatch_daemon.ingest.pairing import pair
from stylewatch_daemon.ingest.scan import scan
from stylewatch_daemon.model import Picture
from stylewatch_daemon.outbox.publish import Outbox


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@BOTH
def test_a_pair_goes_over_whole_and_its_empty_folder_goes(layout: Layout, place: Place) -> None:
    fill(place.inbox, *JOB)
    with layout(place):
        journal = place.take()
    assert place.held() == [TAKEN]
    assert list(place.inbox.iterdir()) == []
    assert journal.state == "queued"
    assert list(place.state.claims.iterdir()) == []


@BOTH
def test_the_style_of_an_album_stays_and_a_copy_goes_along(layout: Layout, place: Place) -> None:
    fill(place.inbox, "album/style.jpg", "album/photo.jpg")
    with layout(place):
        place.take()
    assert place.held() == [{"photo.jpg": "album/photo.jpg", "style.jpg": "album/style.jpg"}]
    assert tree(place.inbox) == {"album/style.jpg": "album/style.jpg"}


@pytest.mark.parametrize(("masks", "heard"), [((), [(4, 4), (4, 4)]), (("content.mask.png",), [])])
def test_one_with_masks_is_like_no_other(
    place: Place, masks: tuple[str, ...], heard: list[tuple[int, int]]
) -> None:
    """Nothing is told of its pictures, so that no shape is made of them."""
    fill(place.inbox, *(f"trip/{name}" for name in ("content.jpg", "style.jpg", *masks)))
    said: list[list[tuple[int, int]]] = []

    def wishes(job_file: Path | None, sizes: Sequence[tuple[int, int]]) -> dict[str, Any]:
        said.append([*sizes])
        return {}

    (one,), claimer = place.pairs(), Claimer(place.state, wishes)
    journal = claimer.take(one, scan(place.inbox).files, place.terms(), "1")
    assert journal is not None
    seen = [Picture(file.name, "0", (4, 4)) for file in journal.files]
    claimer.accept(journal, seen)
    assert said == [heard]


def test_what_is_kept_is_copied_and_known_again(place: Place) -> None:
    fill(place.inbox, *JOB)
    place.take(after="keep")
    assert place.held() == [TAKEN]
    assert set(tree(place.inbox)) == set(JOB)
    claimer = Claimer(place.state)
    (one,) = place.pairs()
    assert claimer.is_taken(one, scan(place.inbox).files)
    (place.inbox / "trip/job.yaml").write_text("seed: 2")
    assert not claimer.is_taken(one, scan(place.inbox).files)


def test_files_of_the_same_name_do_not_get_in_each_others_way(place: Place) -> None:
    fill(place.inbox, "photo.jpg")
    fill(place.state.root.parent / "styles", "photo.jpg")
    styles = {"photo": place.state.root.parent / "styles" / "photo.jpg"}
    files = scan(place.inbox).files
    (one,) = pair(place.inbox, files, styles).complete
    Claimer(place.state).take(one, files, place.terms(), "1")
    assert set(place.held()[0]) == {"photo.jpg", "photo-2.jpg"}


def test_odd_names_are_taken_under_safe_ones(place: Place) -> None:
    odd = os.fsdecode(b"-latin\xe9\n")
    fill(place.inbox, f"{odd}.content.jpg", f"{odd}.style.jpg")
    place.take()
    assert set(place.held()[0]) == {"_latin__.content.jpg", "_latin__.style.jpg"}


@BOTH
def test_a_pair_that_changed_since_it_was_seen_stays(layout: Layout, place: Place) -> None:
    fill(place.inbox, *JOB)
    files = scan(place.inbox).files
    (one,) = place.pairs()
    (place.inbox / "trip/style.jpg").write_text("another style")
    with layout(place), pytest.raises(InputError, match=r"style\.jpg changed"):
        Claimer(place.state).take(one, files, place.terms(), "1")
    assert set(tree(place.inbox)) == set(JOB)
    assert place.taken() == {}


@BOTH
def test_a_link_that_was_put_in_a_files_place_is_not_followed(layout: Layout, place: Place) -> None:
    fill(place.inbox, *JOB)
    fill(place.outbox, "secret")
    files = scan(place.inbox).files
    (one,) = place.pairs()
    (place.inbox / "trip/content.jpg").unlink()
    (place.inbox / "trip/content.jpg").symlink_to(place.outbox / "secret")
    with layout(place), pytest.raises(InputError):
        Claimer(place.state).take(one, files, place.terms(), "1")
    assert place.taken() == {}
    assert (place.inbox / "trip/content.jpg").is_symlink()


@BOTH
def test_a_full_disk_leaves_everything_in_the_inbox(
    layout: Layout, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(place.inbox, *JOB)
    left = 6

    def fsync(handle: int) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with layout(place), pytest.raises(OutputError, match=r"trip cannot be taken.*No space left"):
        place.take()
    assert set(tree(place.inbox)) == set(JOB)
    assert place.taken() == {}


def test_where_an_original_changed_after_it_was_copied_all_stay_and_are_a_new_pair(
    place: Place,
) -> None:
    fill(place.inbox, *JOB)
    with place.mounts():
        claimer, journal = place.hold()
        (place.inbox / "trip/content.jpg").write_text("a new photograph")
        (changed,) = claimer.accept(journal, ())
    assert changed.name == "content.jpg"
    assert place.state.load("1").changed == {"content.jpg"}
    assert place.held() == [TAKEN]
    names = {name: name for name in JOB}
    assert tree(place.inbox) == {**names, "trip/content.jpg": "a new photograph"}
    (one,) = place.pairs()
    assert not Claimer(place.state).is_taken(one, scan(place.inbox).files)


def test_an_original_that_is_still_being_written_stays_and_is_taken_once_it_changes(
    place: Place,
) -> None:
    fill(place.inbox, *JOB)
    with (place.inbox / "trip/content.jpg").open("a") as writer, place.mounts():
        claimer, journal = place.hold()
        assert [one.name for one in claimer.refuse(journal, "no picture")] == ["content.jpg"]
        (one,) = place.pairs()
        assert claimer.is_taken(one, scan(place.inbox).files)
        writer.write(" and its rest")
    assert not claimer.is_taken(one, scan(place.inbox).files)
    assert set(tree(place.inbox)) == set(JOB)


def test_originals_that_cannot_be_removed_are_not_taken_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(place.inbox, *JOB)
    unlink = os.unlink

    def refused(path: Path, **more: int) -> None:
        if more and place.inbox in place_of(more["dir_fd"]).parents:
            raise PermissionError(errno.EACCES, "Permission denied")
        unlink(path, **more)

    with place.mounts():
        monkeypatch.setattr(os, "unlink", refused)
        place.take()
    (one,) = place.pairs()
    assert Claimer(place.state).is_taken(one, scan(place.inbox).files)


@pytest.mark.parametrize("after", ["archive", "keep"])
@BOTH
def test_killed_at_any_change_nothing_is_lost_or_doubled(
    layout: Layout, after: str, tmp_path: Path
) -> None:
    for change in count(1):
        place = Place(tmp_path / str(change))
        fill(place.inbox, *JOB)
        with layout(place):
            with killed_at(change) as died:
                place.take(after)
            place.start()
        in_inbox, jobs = tree(place.inbox), place.held()
        if after == "archive":
            whole = {name: name for name in JOB}
            assert (in_inbox, jobs) in [(whole, []), ({}, [TAKEN])], f"killed at change {change}"
        else:
            (one,) = place.pairs()
            assert jobs in ([], [TAKEN])
            kept = Claimer(place.state).is_taken(one, scan(place.inbox).files)
            assert kept == bool(jobs), f"killed at change {change}"
        assert list(place.state.claims.iterdir()) == []
        if not died():
            break


def test_what_cannot_be_finished_after_a_kill_is_given_back_beside_what_came_since(
    place: Place,
) -> None:
    fill(place.inbox, *JOB)
    taken = place.inbox / "trip/content.jpg"
    with killed_at(9):
        place.take()
    assert not taken.exists()
    fill(place.inbox, "trip/content.jpg")
    taken.write_text("a new photograph")
    (place.inbox / "trip/style.jpg").unlink()
    Claimer(place.state).recover()
    assert tree(place.inbox)["trip/content-2.jpg"] == "trip/content.jpg"
    assert tree(place.inbox)["trip/content.jpg"] == "a new photograph"
    assert place.held() == []


BIG = SMALL + 1


def big(place: Place) -> None:
    fill(place.inbox, *JOB)
    os.truncate(place.inbox / "trip/content.jpg", BIG)


def finished(claimer: Claimer, woken: Event) -> list[Exception | None]:
    """What came of the claims, once all copies are made."""
    found: list[Exception | None] = []
    while claimer.copying:
        woken.wait()
        woken.clear()
        found += [error for _, error in claimer.go_on()]
    return found


@pytest.fixture
def woken() -> Event:
    return Event()


@pytest.fixture
def beside(place: Place, woken: Event) -> Iterator[Claimer]:
    """A claimer that copies what is long beside us."""
    transfers = Transfers(woken.set)
    yield Claimer(place.state, transfers=transfers)
    transfers.close()


def test_a_long_copy_is_made_beside_us_and_the_claim_finished_after_it(
    place: Place, beside: Claimer, woken: Event
) -> None:
    big(place)
    (one,), files = place.pairs(), scan(place.inbox).files
    with place.mounts():
        journal = beside.take(one, files, place.terms(), "1")
        if journal is None:  # else it was quick
            assert beside.is_taken(one, files)
            assert list(place.state.jobs.iterdir()) == []
            assert finished(beside, woken) == [None]
        (held,) = beside.held.values()
        beside.accept(held, ())
    assert (place.state.jobs / "1/files/content.jpg").stat().st_size == BIG
    assert tree(place.inbox) == {}
    assert list(place.state.claims.iterdir()) == []


def test_what_changes_while_it_is_copied_is_given_back_and_forgotten(
    place: Place, beside: Claimer, woken: Event
) -> None:
    big(place)
    (one,), files = place.pairs(), scan(place.inbox).files
    (place.inbox / "trip/content.jpg").write_bytes(bytes(BIG))
    with place.mounts():
        try:
            assert beside.take(one, files, place.terms(), "1") is None
            (error,) = finished(beside, woken)
            assert isinstance(error, InputError)
        except InputError:  # it was quick
            pass
    assert place.taken() == {}
    assert set(tree(place.inbox)) == set(JOB)
    assert place.state.ledger.find("1") is None


def test_a_start_after_a_kill_goes_on_with_a_long_copy(
    place: Place, beside: Claimer, woken: Event
) -> None:
    big(place)
    (one,), files = place.pairs(), scan(place.inbox).files
    with place.mounts():
        with killed_at(12):
            Claimer(place.state).take(one, files, place.terms(), "1")
        beside.recover()
        finished(beside, woken)
        (held,) = beside.held.values()
        beside.accept(held, ())
    assert place.state.load("1").state == "queued"
    assert tree(place.inbox) == {}


@BOTH
def test_a_giant_moves_by_rename_or_stays_and_is_never_copied(layout: Layout, place: Place) -> None:
    fill(place.inbox, *JOB)
    os.truncate(place.inbox / "trip/job.yaml", 1 << 40)
    Outbox(place.outbox).probe()
    with layout(place):
        claimer, journal = place.hold()
        (giant,) = [file for file in journal.files if file.role == "job"]
        assert giant.stays == (layout is two_mounts)
        assert too_large(journal).startswith("job.yaml is 1100 GB; the limit is 100 kB")
        claimer.refuse(journal, too_large(journal))
    assert (place.inbox / "trip/job.yaml").exists() == giant.stays
    assert not (place.inbox / "trip/content.jpg").exists()
    assert not list(place.state.claims.iterdir())
    assert not list((place.outbox / ".staging").glob("*"))


def test_a_giant_that_would_only_be_copied_stays_and_is_known_again(place: Place) -> None:
    fill(place.inbox, "album/style.jpg", "album/photo.jpg")
    os.truncate(place.inbox / "album/photo.jpg", 1 << 40)
    claimer, journal = place.hold("keep")
    claimer.refuse(journal, too_large(journal))
    (one,) = place.pairs()
    assert Claimer(place.state).is_taken(one, scan(place.inbox).files)
    os.utime(place.inbox / "album/photo.jpg", ns=(1, 1))
    assert not Claimer(place.state).is_taken(one, scan(place.inbox).files)
