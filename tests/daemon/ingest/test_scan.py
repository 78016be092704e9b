"""A scan sees what users drop, and neither links nor what programs leave about."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.disks import deep_tree
from tests.daemon.faults import fill

from stylewatch_daemon.files import mounts
from stylewatch_daemon.files.identity import DEPTH, identity, look
from stylewatch_daemon.ingest.scan import Listing, scan


def names(listing: Listing, inbox: Path) -> set[str]:
    return {path.relative_to(inbox).as_posix() for path in listing.files}


def test_files_are_found_in_folders_of_any_depth(tmp_path: Path) -> None:
    fill(tmp_path, "a.jpg", "job/content.jpg", "album/sub/deep/b.png")
    listing = scan(tmp_path)
    assert names(listing, tmp_path) == {"a.jpg", "job/content.jpg", "album/sub/deep/b.png"}
    assert listing.files[tmp_path / "a.jpg"] == look(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    "name",
    [
        ".hidden.jpg", ".a.jpg.Xy12Zq", "a.jpg~", "~$a.jpg", "~syncthing~a.jpg.tmp", "a.jpg.part",
        "a.jpg.partial", "a.jpg.filepart", "a.jpg.crdownload", "a.download", "a.TMP", "a.temp",
        "a.swp", "a.!ut", ".syncthing.a.jpg.tmp", ".~lock.a.jpg#", "._a.jpg", ".fuse_hidden01",
        ".nfs0001", "Thumbs.db", "desktop.ini", ".DS_Store", ".stfolder/a.jpg", "@eaDir/a.jpg",
        "__MACOSX/a.jpg", ".Trash-0/a.jpg", "lost+found/a.jpg", "_refused/job/a.jpg",
    ],
)  # fmt: skip
def test_temporary_and_hidden_names_do_not_count(name: str, tmp_path: Path) -> None:
    fill(tmp_path, name)
    assert scan(tmp_path) == Listing()


def test_more_names_can_be_ignored(tmp_path: Path) -> None:
    fill(tmp_path, "a.jpg", "a.BAK")
    assert names(scan(tmp_path, ["*.bak"]), tmp_path) == {"a.jpg"}


def test_links_and_pipes_are_left_alone_and_named(tmp_path: Path) -> None:
    inbox, outside = tmp_path / "in", tmp_path / "out"
    fill(inbox, "a.jpg")
    fill(outside, "secret.jpg")
    (inbox / "file.jpg").symlink_to(outside / "secret.jpg")
    (inbox / "folder").symlink_to(outside)
    os.mkfifo(inbox / "pipe.jpg")
    listing = scan(inbox)
    assert names(listing, inbox) == {"a.jpg"}
    assert {path.name: why for path, why in listing.left.items()} == {
        "file.jpg": "a link, and links are not followed",
        "folder": "a link, and links are not followed",
        "pipe.jpg": "a pipe",
    }


def test_an_inbox_that_is_gone_is_left_alone(tmp_path: Path) -> None:
    listing = scan(tmp_path / "gone")
    assert not listing.files
    assert list(listing.left) == [tmp_path / "gone"]


def test_names_may_hold_anything(tmp_path: Path) -> None:
    odd = [b"line\nbreak.jpg", b"-rf.jpg", b" space .jpg", b"latin\xe9.jpg", "e\u0301.jpg".encode()]
    for name in odd:
        (tmp_path / os.fsdecode(name)).write_text("x")
    assert {os.fsencode(path.name) for path in scan(tmp_path).files} == set(odd)


def test_a_link_or_nothing_has_no_look(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    assert look(tmp_path / "link") is None
    assert look(tmp_path / "gone") is None


def test_a_number_that_may_change_says_nothing_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def numbered(seen: os.stat_result, add: int) -> os.stat_result:
        return os.stat_result([seen[0], seen[1] + add, os.makedev(0, 42), *seen[3:]])

    fill(tmp_path, "a.jpg")
    seen = (tmp_path / "a.jpg").lstat()
    monkeypatch.setattr(mounts, "table", lambda: "42 27 0:42 / /net rw - fuse.sshfs host: rw")
    monkeypatch.setattr(Path, "lstat", lambda self: numbered(seen, 0))
    before = look(tmp_path / "a.jpg")
    monkeypatch.setattr(Path, "lstat", lambda self: numbered(seen, 1))
    assert look(tmp_path / "a.jpg") == before
    monkeypatch.setattr(mounts, "table", lambda: "42 27 0:42 / /net rw - nfs4 server:/ rw")
    assert look(tmp_path / "a.jpg") != before


def test_folders_are_scanned_down_to_a_depth_and_the_next_one_is_named(tmp_path: Path) -> None:
    deep = "/".join("d" * DEPTH)
    fill(tmp_path, f"{deep}/a.jpg", f"{deep}/d/b.jpg", f"{deep}/d/d/c.jpg")
    listing = scan(tmp_path)
    assert names(listing, tmp_path) == {f"{deep}/a.jpg"}
    assert listing.left == {tmp_path / deep / "d": "it is nested deeper than 32 folders"}
    assert len(listing.folders) == DEPTH


def test_a_tree_that_no_path_reaches_the_end_of_is_scanned(tmp_path: Path) -> None:
    fill(tmp_path, "a.jpg")
    with deep_tree(tmp_path / "deep", DEPTH, "d" * 200):
        listing = scan(tmp_path)
    assert names(listing, tmp_path) == {"a.jpg"}
    assert list(listing.left.values()) == ["not readable: File name too long"]


def test_one_entry_that_cannot_be_read_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    real = os.scandir

    @contextmanager
    def with_a_bad_one(folder: Path) -> Iterator[list[Any]]:
        with real(folder) as entries:
            yield [_Bad(entry) if entry.name == "a.jpg" else entry for entry in entries]

    monkeypatch.setattr(os, "scandir", with_a_bad_one)
    listing = scan(tmp_path)
    assert names(listing, tmp_path) == {"b.jpg", "c.jpg"}
    assert listing.left == {tmp_path / "a.jpg": "not readable: Input/output error"}


class _Bad:
    """An entry of a folder that cannot be looked at."""

    def __init__(self, entry: os.DirEntry[str]) -> None:
        self.name, self.path = entry.name, entry.path

    def stat(self, *, follow_symlinks: bool) -> os.stat_result:
        raise OSError(errno.EIO, "Input/output error", self.path)


def test_a_folder_with_a_receipt_is_left_alone_with_all_below_it(tmp_path: Path) -> None:
    fill(tmp_path, "sea/receipt.json", "sea/inputs/content.jpg", "sea/inputs/style.jpg")
    fill(tmp_path, "receipt.json", "a.jpg")  # directly in the inbox it stops nothing
    listing = scan(tmp_path)
    assert names(listing, tmp_path) == {"receipt.json", "a.jpg"}
    assert listing.left == {
        tmp_path / "sea": "it has a receipt.json, as the output of a finished job has"
    }


def test_folders_set_apart_are_left_alone_whatever_they_are_called(tmp_path: Path) -> None:
    fill(tmp_path, "out/job/content.jpg", "in/a.jpg")
    out, inbox = identity((tmp_path / "out").stat()), identity((tmp_path / "in").stat())
    (tmp_path / "out").rename(tmp_path / "in/other")
    listing = scan(tmp_path / "in", apart={out: "it is the outbox"})
    assert names(listing, tmp_path / "in") == {"a.jpg"}
    assert listing.left == {tmp_path / "in/other": "it is the outbox"}
    assert scan(tmp_path / "in", apart={inbox: "it is the outbox"}).left == {
        tmp_path / "in": "it is the outbox"
    }
