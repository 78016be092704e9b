"""A pair is claimed as a whole or not at all, whatever goes wrong on the way."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import failing, fill, place_of, replaced, tree
from tests.daemon.world import DaemonWorld, claiming_world, run_jobs, scan

from stylewatch_daemon.files import atomic, disks, identity
from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.intake import scan as scanning
from stylewatch_daemon.intake.intake import AHEAD, MAX_WAITING, REMOVE_EVERY_S
from stylewatch_daemon.jobs.waits import PAUSE

CLAIMED = {"content.jpg": "trip/content.jpg", "job.yaml": "{}", "style.jpg": "trip/style.jpg"}
IN_INBOX = {f"trip/{name}": text for name, text in CLAIMED.items()}
RENAME, COPY, RENAME_FOLDER = os.rename, atomic.copy, atomic.rename_folder
LOOK_OF = identity.look_of
BROKEN = OSError(errno.EIO, "Input/output error")
BOTH = pytest.mark.parametrize("apart", [False, True], ids=["one_mount", "several_mounts"])


def trip(root: Path, **settings: Any) -> DaemonWorld:
    """Make a world with a pair and its job.yaml in a folder."""
    world = claiming_world(root, **settings)
    fill(world.inbox, *IN_INBOX)
    (world.inbox / "trip/job.yaml").write_text("{}")
    return world


# -- the order of changes


@BOTH
def test_an_album_keeps_its_style_which_is_copied_before_anything_leaves_the_inbox(
    apart: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copied(name: str, *args: Any) -> str:
        # a copy may fail, a rename does not
        assert (world.inbox / "album/photo.jpg").exists()
        return COPY(name, *args)

    world = claiming_world(tmp_path)
    fill(world.inbox, "album/style.jpg", "album/photo.jpg")
    monkeypatch.setattr(atomic, "copy", copied)
    with world.apart(apart):
        assert world.work() == ["album/photo"]
    assert world.held == [{"photo.jpg": "album/photo.jpg", "style.jpg": "album/style.jpg"}]
    assert tree(world.inbox) == {"album/style.jpg": "album/style.jpg"}


# -- files that change meanwhile


CHANGES: dict[str, Callable[[Path], object]] = {
    "grows": lambda path: path.write_text("longer than it was before"),
    "is gone": Path.unlink,
    "is replaced": lambda path: (path.rename(path.with_name("x")), path.write_text(path.name)),
}


@pytest.mark.parametrize("change", CHANGES)
@BOTH
def test_a_pair_that_changed_since_the_scan_stays(apart: bool, change: str, tmp_path: Path) -> None:
    world = trip(tmp_path)
    with world.apart(apart):
        scan(world.loop)
        CHANGES[change](world.inbox / "trip/style.jpg")
        before = tree(world.inbox)
        run_jobs(world.loop, again=False)
    assert (tree(world.inbox), world.states, world.left) == (before, {}, [])
    assert "its files to stop changing" in world.waiting_for["trip"]
    assert not world.loop.intake.is_final


@pytest.mark.parametrize("change", ["grows", "is replaced"])
def test_originals_that_change_after_they_were_copied_stay_and_are_said_to(
    change: str, tmp_path: Path
) -> None:
    world = trip(tmp_path)
    style = world.inbox / "trip/style.jpg"
    world.inspector.silent = True
    with world.apart():
        world.work()
        world.wait(REMOVE_EVERY_S)
        world.work()
        assert tree(world.inbox) == IN_INBOX, "until the copies are inspected"
        CHANGES[change](style)
        world.inspector.silent = False
        run_jobs(world.loop, again=False)
        assert set(tree(world.inbox)) >= set(IN_INBOX)
        ((job, what),) = world.record.of("input_changed")
        assert (job, what.startswith("style.jpg changed after")) == ("trip", True)
        assert [file.name for file in world.job("trip").inputs if file.changed] == ["style.jpg"]
        (world.inbox / "trip/x").unlink(missing_ok=True)
        assert world.work() == ["trip"], "together they are a new pair"
    assert (tree(world.inbox), len(world.held)) == ({}, 2)


def test_what_is_written_into_a_file_while_it_is_copied_makes_it_another(tmp_path: Path) -> None:
    def copied(name: str, *args: Any) -> str:
        digest = COPY(name, *args)
        if name == "style.jpg":
            (world.inbox / "trip/style.jpg").write_text("written since")
        return digest

    world = trip(tmp_path)
    with world.apart():
        with replaced(atomic, copy=copied):
            assert world.work() == []
        assert set(tree(world.inbox)) == set(IN_INBOX)
        assert world.work() == ["trip"]
    assert world.held[0]["style.jpg"] == "written since"


def test_a_file_that_changes_once_another_is_moved_refuses_the_job(tmp_path: Path) -> None:
    def renamed(source: Any, target: Any, **more: Any) -> None:
        RENAME(source, target, **more)
        if source == "content.jpg":
            (world.inbox / "trip/style.jpg").write_text("another")

    world = trip(tmp_path)
    with replaced(os, rename=renamed):
        world.work()
    job = world.job("trip")
    assert job.reason == "style.jpg changed while it was being claimed: drop the pair again"
    refused = tree(world.outbox / "_refused/trip")
    assert (refused["content.jpg"], refused["style.jpg"]) == ("trip/content.jpg", "another")
    assert tree(world.inbox) == {"trip/job.yaml": "{}"}, "no copy of it was made"


def test_a_file_that_replaces_another_in_the_moment_of_its_move_is_kept(tmp_path: Path) -> None:
    def renamed(source: Any, target: Any, **more: Any) -> None:
        if source == "content.jpg":
            CHANGES["is replaced"](world.inbox / "trip/content.jpg")
            (world.inbox / "trip/content.jpg").write_text("another")
        RENAME(source, target, **more)

    world = trip(tmp_path)
    with replaced(os, rename=renamed):
        world.work()
    assert world.job("trip").reason.startswith("content.jpg changed while it was being claimed")
    assert tree(world.outbox / "_refused/trip")["content.jpg"] == "another"


def test_moved_files_are_known_where_inodes_have_no_lasting_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def renamed(source: Any, target: Any, **more: Any) -> None:
        RENAME(source, target, **more)
        if source == "content.jpg":
            (world.inbox / "trip/style.jpg").unlink()

    def numberless(*args: Any) -> Look:
        return replace(LOOK_OF(*args), inode=0)

    for module in (identity, scanning):
        monkeypatch.setattr(module, "look_of", numberless)
    world = trip(tmp_path)
    with replaced(os, rename=renamed):
        world.work()
    assert world.job("trip").reason.startswith("style.jpg changed while it was being claimed")
    assert tree(world.outbox / "_refused/trip")["content.jpg"] == "trip/content.jpg"


# -- files that are too large


@BOTH
def test_a_pair_with_a_file_that_is_too_large_stays_until_it_is_smaller(
    apart: bool, tmp_path: Path
) -> None:
    world = trip(tmp_path, max_bytes=10)
    with world.apart(apart):
        for _ in range(2):
            assert (world.work(), world.states, tree(world.inbox)) == ([], {}, IN_INBOX)
            reason = "it is 16 bytes; the limit is 10 bytes (limits.max_bytes)"
            assert world.waiting_for == {"trip": f"a smaller content.jpg: {reason}"}
            assert world.loop.intake.is_final, "nobody waits for it"
            world.start()
        (world.inbox / "trip/content.jpg").write_text("short")
        assert world.work() == ["trip"]
    assert (world.states, tree(world.inbox)) == ({"trip": "queued"}, {})


# -- claims that cannot go on


@BOTH
def test_a_claim_that_fails_is_completed_later_and_stops_no_other(
    apart: bool, tmp_path: Path
) -> None:
    def unfinished(source: Path, target: Path) -> None:
        if source.parent.name == "claims":  # and all files are moved
            raise BROKEN
        RENAME_FOLDER(source, target)

    world = trip(tmp_path)
    with world.apart(apart):
        with replaced(atomic, rename_folder=unfinished):
            assert world.work() == []
            for _ in range(2):  # also after a start
                assert world.states == {"trip": "claimed"}
                assert "Input/output error" in world.trouble["trip"]
                world.start()
                run_jobs(world.loop, again=False)
        world.drop("z")
        assert world.work() == ["z"]
        world.wait(600)
        world.work(again=True)
    assert (world.states, tree(world.inbox)) == ({"trip": "queued", "z": "queued"}, {})
    assert CLAIMED in world.held


def test_files_that_cannot_be_read_hold_up_others_only_if_there_are_many(tmp_path: Path) -> None:
    def copied(name: str, *args: Any) -> str:
        if place_of(args[1]).name.startswith("bad"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return COPY(name, *args)

    world = claiming_world(tmp_path)
    world.drop(*(f"bad-{number}" for number in range(AHEAD)), "good")
    with world.apart(), replaced(atomic, copy=copied):
        assert world.work() == ["good"]
        world.drop(*(f"bad-{number}" for number in range(AHEAD, 2 * MAX_WAITING)))
        world.work()
    assert len(world.jobs) == MAX_WAITING + 1


def test_every_copy_leaves_twice_what_is_to_stay_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = trip(tmp_path, free_bytes=1000)
    needed = 2000 + max(map(len, IN_INBOX.values()))
    with world.apart():
        for free in (needed - 1, needed):
            monkeypatch.setattr(disks, "free", lambda folder, free=free: free)
            world.work(again=True)
            assert (tree(world.inbox) == {}) == (free == needed)
            assert ("1 bytes more must be free" in world.trouble.get("trip", "")) == (free < needed)
            world.wait(2 * PAUSE.most)


@BOTH
def test_a_claim_waits_while_the_inbox_is_not_mounted(apart: bool, tmp_path: Path) -> None:
    def then_unplug(*args: Any, **more: Any) -> Any:
        digest = COPY(*args, **more)
        if not unplugged.exists():
            RENAME(world.inbox, unplugged)
            world.inbox.mkdir()
        return digest

    world, unplugged = claiming_world(tmp_path), tmp_path / "unplugged"
    fill(world.inbox, "al/style.jpg", "al/1.jpg")
    with world.apart(apart):
        with replaced(atomic, copy=then_unplug):
            world.work()
        assert world.states == {}, "only copies were made"
        world.inbox.rmdir()
        RENAME(unplugged, world.inbox)
        assert (world.work(), world.states) == (["al/1"], {"al/1": "queued"})
    assert set(tree(world.inbox)) == {"al/style.jpg"}


def test_a_file_that_cannot_be_read_stays_in_the_inbox_until_it_can(tmp_path: Path) -> None:
    world = trip(tmp_path)
    with replaced(atomic, open_regular=failing(PermissionError(errno.EACCES, "Permission denied"))):
        world.work()
    assert tree(world.inbox) == IN_INBOX
    assert "Permission denied" in world.trouble["trip"]
    world.wait(2 * PAUSE.most)
    run_jobs(world.loop)
    assert world.states == {"trip": "queued"}, world.trouble
