"""A scan lists what users drop; files are taken once they are stable and whole."""

import errno
import os
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.daemon.clock import Clock
from tests.daemon.faults import fill, replaced

from stylewatch_daemon.files import entries
from stylewatch_daemon.files.identity import DEPTH, Look, identity, look
from stylewatch_daemon.files.leftovers import Ignored
from stylewatch_daemon.intake.scan import InboxListing, Stability, Surroundings, scan

TEMPORARY = """
    .hidden.jpg .a.jpg.Xy12Zq a.jpg~ ~$a.jpg ~syncthing~a.jpg.tmp a.jpg.part a.jpg.partial
    a.jpg.filepart a.jpg.crdownload a.download a.TMP a.temp a.swp a.!ut .syncthing.a.jpg.tmp
    .~lock.a.jpg# ._a.jpg .fuse_hidden01 .nfs0001 Thumbs.db desktop.ini .DS_Store .stfolder/a.jpg
    @eaDir/a.jpg __MACOSX/a.jpg .Trash-0/a.jpg lost+found/a.jpg
"""


def names(listing: InboxListing, inbox: Path) -> set[str]:
    return {path.relative_to(inbox).as_posix() for path in listing.files}


def test_files_are_listed_with_their_looks_and_temporary_ones_ignored(tmp_path: Path) -> None:
    odd = [b"line\nbreak.jpg", b"-rf.jpg", b" space .jpg", b"latin\xe9.jpg", "e\u0301.jpg".encode()]
    some = {"job/content.jpg", "album/sub/deep/b.png"}
    files = {"a.jpg", *some, *map(os.fsdecode, odd)}
    fill(tmp_path, *files, *TEMPORARY.split())
    listing = scan(tmp_path)
    assert names(listing, tmp_path) == files
    assert listing.files == {path: look(path) for path in listing.files}
    assert not listing.skipped
    assert names(scan(tmp_path, ["*.PNG", "job"]), tmp_path) == files - some


def test_data_that_could_be_taken_for_input_is_ignored_and_named(tmp_path: Path) -> None:
    copy = "sea (conflicted copy 2024-01-02 030405).jpg"
    fill(tmp_path, "#recycle/old/content.jpg", "a/sea.jpg", f"a/{copy}", "e\u0301/b.jpg")
    listing = scan(tmp_path)
    assert names(listing, tmp_path) == {"a/sea.jpg", "e\u0301/b.jpg"}
    assert listing.skipped.keys() == {tmp_path / "#recycle", tmp_path / "a" / copy}
    assert listing.skipped[tmp_path / "#recycle"] == "it holds deleted files"
    listing = scan(tmp_path, ["#recycle", "*COPY*", "\u00c9"])
    assert (names(listing, tmp_path), listing.skipped) == ({"a/sea.jpg"}, {})


def test_some_paths_are_left_alone_with_the_reason(tmp_path: Path) -> None:
    inbox, outside, deep = tmp_path / "in", tmp_path / "out", "/".join("d" * DEPTH)
    fill(inbox, "receipt.json", "sea/receipt.json", "sea/inputs/content.jpg", "mounted/a.jpg")
    fill(inbox, "_Refused/job/a.jpg", f"{deep}/a.jpg", f"{deep}/e/b.jpg", f"{deep}/e/e/c.jpg")
    fill(outside, "secret.jpg")
    (inbox / "file.jpg").symlink_to(outside / "secret.jpg")
    (inbox / "folder").symlink_to(outside)
    os.mkfifo(inbox / "pipe.jpg")
    listing = scan(inbox, apart={identity((inbox / "mounted").stat()): "it is the outbox"})
    # a receipt stops nothing in the inbox itself
    assert names(listing, inbox) == {"receipt.json", f"{deep}/a.jpg"}
    assert {path.name: reason for path, reason in listing.skipped.items()} == {
        "file.jpg": "a link, and links are not followed",
        "folder": "a link, and links are not followed",
        "pipe.jpg": "not a regular file",
        "sea": "it has a receipt.json, like the output of a finished job",
        "mounted": "it is the outbox",
        "_Refused": "an outbox keeps refused jobs in a folder of this name; "
        "move their folders out of it to paint them again",
        "e": "it is nested deeper than 32 folders",
    }
    assert not listing.unread
    assert list(scan(tmp_path / "gone").skipped) == [tmp_path / "gone"]


def test_entries_that_came_after_a_scan_are_new(tmp_path: Path) -> None:
    fill(tmp_path, "b/a.jpg", "b/c.jpg", "b/#recycle/d.jpg")
    (tmp_path / "b/link").symlink_to("a.jpg")
    listing = scan(tmp_path, ["*.bak"])
    fill(tmp_path, *(f"b/{name}" for name in ("e.jpg", ".f", "g/h.jpg", "h.bak")))
    fill(tmp_path, "b/i (conflicted copy 1).jpg", "x.jpg")
    around = Surroundings(tmp_path, Ignored(["*.bak"])).of(tmp_path / "b/a.jpg", tmp_path / "b")
    new = {path for path in around if not listing.has(path)}
    assert new == {tmp_path / "b/e.jpg", tmp_path / "b/g"}


def test_only_what_the_folder_above_was_listed_without_is_certainly_not_there(
    tmp_path: Path,
) -> None:
    fill(tmp_path, "a.jpg", "b/c.jpg", "d/receipt.json", "e/f.jpg")
    (tmp_path / "link").symlink_to("a.jpg")
    real = entries.names

    def names_in(folder: Any) -> list[str]:
        if folder == tmp_path / "e":
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return real(folder)

    with replaced(entries, names=names_in):
        listing = scan(tmp_path, ["*.bak"])
    lacked = {"x.jpg", "b/x.jpg", "b/x/y.jpg", "x/y/z.jpg"}
    unknown = {"a.jpg", "b/c.jpg", "link", "x.bak", "x.bak/y.jpg", "d/x.jpg", "e", "e/f.jpg",
               ".x.jpg", "#recycle/x.jpg", "b/@eaDir/x.jpg", "../x.jpg"}  # fmt: skip
    assert {path for path in lacked | unknown if listing.lacks(tmp_path / path)} == lacked
    assert {*listing.unread} == {tmp_path / "e"}
    assert listing.skipped[tmp_path / "e"] == "not readable: Permission denied"
    assert not scan(tmp_path / "gone").lacks(tmp_path / "gone/x.jpg")


A = Path("in/a.jpg")
LOOK = Look(size=2, mtime_ns=3)
OTHERS = (Look(9, 3), Look(2, 9))


@given(
    st.lists(
        st.tuples(st.sampled_from([LOOK, LOOK, *OTHERS, None]), st.sampled_from([0, 0.5, 1, 2])),
        max_size=9,
    ),
    st.sampled_from([0, 2]),
)
def test_a_file_is_stable_if_nothing_changed_over_scans_of_the_quiet_time(
    seen: list[tuple[Look | None, float]], quiet_s: float
) -> None:
    """A file that is missing in a scan counts as changed."""
    clock, times = Clock(), list[float]()
    stability = Stability(clock, quiet_s, truncated_s=60)
    for number, (now, after_s) in enumerate(seen):
        clock.now += after_s
        stable = stability.update({} if now is None else {A: now}, lambda path: False)
        times.append(clock.now)
        first = number
        while first and seen[first - 1][0] == now:
            first -= 1
        is_stable = now is not None and first < number and times[-1] - times[first] >= quiet_s
        assert stable == ({A} if is_stable else set())


def test_an_unfinished_file_is_waited_for_a_while_and_an_empty_one_for_ever() -> None:
    clock, empty = Clock(), Path("in/b.jpg")
    stability = Stability(clock, quiet_s=0, truncated_s=60)
    files = {A: LOOK, empty: Look(0, 3)}
    for now, waits_for in (
        (0, "the rest of a.jpg: it ends too early, and may still be arriving; "
            "the content of b.jpg: it is empty so far"),
        (60, "the content of b.jpg: it is empty so far"),
        (10**6, "the content of b.jpg: it is empty so far"),
    ):  # fmt: skip
        clock.now = 100.0 + now
        stability.update(files, lambda path: False)
        for path, seen in files.items():
            stability.add(path, seen)
        assert stability.waits_for([*files, Path("in/c.jpg")]) == waits_for
        assert [stability.gave_up(path) for path in files] == [now > 0, False]
        assert stability.any_awaited == (now == 0), "no early scan looks for the content"
    stability.update({empty: LOOK}, lambda path: False)
    assert not stability.waits_for([empty])
