"""A scan lists what users drop, and neither links nor temporary files of programs."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.daemon.clock import Clock
from tests.daemon.faults import fill

from stylewatch_daemon.files import mounts
from stylewatch_daemon.files.identity import DEPTH, Look, identity, look
from stylewatch_daemon.ingest.scan import Listing, SettleTracker, scan

TEMPORARY = """
    .hidden.jpg .a.jpg.Xy12Zq a.jpg~ ~$a.jpg ~syncthing~a.jpg.tmp a.jpg.part a.jpg.partial
    a.jpg.filepart a.jpg.crdownload a.download a.TMP a.temp a.swp a.!ut .syncthing.a.jpg.tmp
    .~lock.a.jpg# ._a.jpg .fuse_hidden01 .nfs0001 Thumbs.db desktop.ini .DS_Store .stfolder/a.jpg
    @eaDir/a.jpg __MACOSX/a.jpg .Trash-0/a.jpg lost+found/a.jpg
"""


def names(listing: Listing, inbox: Path) -> set[str]:
    return {path.relative_to(inbox).as_posix() for path in listing.files}


def test_files_are_listed_with_their_looks_and_temporary_ones_ignored(tmp_path: Path) -> None:
    odd = [b"line\nbreak.jpg", b"-rf.jpg", b" space .jpg", b"latin\xe9.jpg", "e\u0301.jpg".encode()]
    some = {"job/content.jpg", "album/sub/deep/b.png"}
    files = {"a.jpg", *some, *map(os.fsdecode, odd)}
    fill(tmp_path, *files, *TEMPORARY.split())
    listing = scan(tmp_path)
    assert names(listing, tmp_path) == files
    assert listing.files == {path: look(path) for path in listing.files}
    assert names(scan(tmp_path, ["*.PNG", "job"]), tmp_path) == files - some


def test_some_paths_are_left_alone_with_the_reason(tmp_path: Path) -> None:
    inbox, outside = tmp_path / "in", tmp_path / "out"
    fill(inbox, "receipt.json", "sea/receipt.json", "sea/inputs/content.jpg", "mounted/a.jpg")
    fill(inbox, "_Refused/job/a.jpg")
    fill(outside, "secret.jpg")
    (inbox / "file.jpg").symlink_to(outside / "secret.jpg")
    (inbox / "folder").symlink_to(outside)
    os.mkfifo(inbox / "pipe.jpg")
    apart = {identity((inbox / "mounted").stat()): "it is the outbox"}
    listing = scan(inbox, apart=apart)
    assert names(listing, inbox) == {"receipt.json"}  # which stops nothing in the inbox itself
    assert {path.name: reason for path, reason in listing.skipped.items()} == {
        "file.jpg": "a link, and links are not followed",
        "folder": "a link, and links are not followed",
        "pipe.jpg": "a pipe",
        "sea": "it has a receipt.json, as the output of a finished job has",
        "mounted": "it is the outbox",
        "_Refused": "an outbox keeps refused jobs in a folder of this name; "
        "move their folders out of it to paint them again",
    }
    assert names(scan(inbox / "_Refused"), inbox) == {"_Refused/job/a.jpg"}
    assert list(scan(tmp_path / "gone").skipped) == [tmp_path / "gone"]


@pytest.mark.parametrize(("kind", "is_same"), [("fuse.sshfs host:", True), ("nfs4 srv:/", False)])
def test_an_inode_that_may_change_is_not_part_of_a_look(
    kind: str, is_same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, "a.jpg")
    status = (tmp_path / "a.jpg").lstat()
    looks = []
    for inode in (1, 2):
        other = os.stat_result([status[0], inode, os.makedev(0, 42), *status[3:]])
        monkeypatch.setattr(mounts, "table", lambda: f"42 27 0:42 / /net rw - {kind} rw")
        monkeypatch.setattr(Path, "lstat", lambda self, other=other: other)
        looks.append(look(tmp_path / "a.jpg"))
    assert (looks[0] == looks[1]) == is_same


def test_folders_are_scanned_down_to_a_depth_and_the_next_one_is_named(tmp_path: Path) -> None:
    deep = "/".join("d" * DEPTH)
    fill(tmp_path, f"{deep}/a.jpg", f"{deep}/d/b.jpg", f"{deep}/d/d/c.jpg")
    listing = scan(tmp_path)
    assert names(listing, tmp_path) == {f"{deep}/a.jpg"}
    assert listing.skipped == {tmp_path / deep / "d": "it is nested deeper than 32 folders"}
    assert len(listing.folders) == DEPTH


A, B = Path("in/a\n.jpg"), Path("in/b.jpg")
LOOK = Look(inode=1, size=2, mtime_ns=3)
CHANGED = [replace(LOOK, **{part: 9}) for part in ("inode", "size", "mtime_ns")]


@pytest.mark.parametrize("look", [*CHANGED, None])
def test_a_file_settles_after_two_scans_and_the_quiet_time_without_a_change(
    look: Look | None,
) -> None:
    clock = Clock()
    tracker = SettleTracker(clock, quiet_s=2)
    seen = {A: look or LOOK}
    tracker.settled({A: LOOK})
    if look is None:
        tracker.settled({})  # a file that comes back is new
    for seconds in (2, 1.9):
        clock.now += seconds
        assert tracker.settled(seen) == set()
    clock.now += 0.1
    assert tracker.settled({**seen, B: LOOK}) == {A}
