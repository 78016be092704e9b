"""Files that are far too large are refused, and never copied, however little they take on disk."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from shutil import copy

import pytest
from tests.daemon.disks import CAN_MOUNT, small_disk
from tests.daemon.ingest.inspection.files import made
from tests.e2e.daemon import Place, until

LITTLE = ("--set", "limits.free_bytes=0", "--set", "job.recipe=gatys", "--set", "job.size=24",
          "--set", "watch.rescan_s=0.2")  # fmt: skip
GIANT = 1 << 41
"""Bytes, most of them a hole."""

ROOM = 64 << 10
"""KiB of a disk of its own."""


def sparse(path: Path, content: bytes = b"", size: int = GIANT) -> Path:
    path.write_bytes(content)
    os.truncate(path, size)
    return path


def drop(place: Place, job: str) -> Path:
    folder = place.root / "inbox" / job
    folder.mkdir(parents=True)
    copy(place.root / "wave.jpg", folder / "style.jpg")
    (folder / "content.png").write_bytes(made("png"))
    return folder


def used(place: Place) -> int:
    """Bytes that all files there take, once the daemon is ended."""
    place.end()
    seen = (path.lstat() for path in place.root.rglob("*") if path.is_file())
    files = {(one.st_dev, one.st_ino): one.st_blocks for one in seen}
    return sum(files.values()) * 512


def reason(place: Place, job: str) -> str:
    try:
        return (place.root / "outbox/_refused" / job / "reason.txt").read_text()
    except FileNotFoundError:
        return ""


@pytest.fixture(params=["one mount", "three mounts"])
def is_far(request: pytest.FixtureRequest, place: Place) -> Iterator[bool]:
    """Inbox, outbox and state folder beside each other, or each on a disk of its own."""
    with ExitStack() as stack:
        is_far = request.param == "three mounts" and CAN_MOUNT
        if is_far:
            (place.root / "inbox").rmdir()
            for name in ("inbox", "outbox", "state"):
                stack.enter_context(small_disk(place.root / name, ROOM))
        yield is_far
        place.end()
        place.process = None


@pytest.mark.parametrize("name", ["content.png", "job.yaml"])
def test_a_giant_is_refused_and_named_and_the_pair_beside_it_is_painted(
    name: str, is_far: bool, place: Place
) -> None:
    giant = sparse(drop(place, "bad") / name, made("png"))
    inode = giant.stat().st_ino
    drop(place, "good")
    place.start(*LITTLE)
    until(lambda: reason(place, "bad"))
    limit = "100 kB" if name == "job.yaml" else "537 MB"
    assert reason(place, "bad").startswith(f"{name} is 2199 GB; the limit is {limit}")
    until(lambda: place.painted == ["good"])
    moved = place.root / "outbox/_refused/bad" / name
    assert (is_far, moved.exists()) == (giant.exists(), not is_far)
    assert (giant if is_far else moved).stat().st_ino == inode
    assert (f"It is still in {giant.parent}" in reason(place, "bad")) == is_far
    assert used(place) < 10 << 20
    others = {"content.png", "style.jpg"} - {name}
    assert {path.name for path in moved.parent.iterdir()} >= others


def test_a_giant_in_an_album_is_refused_once_until_it_changes(place: Place) -> None:
    """And what is kept in its inbox as well."""
    folder = place.root / "inbox/album"
    folder.mkdir(parents=True)
    copy(place.root / "wave.jpg", folder / "style.jpg")
    giant = sparse(folder / "giant.png", made("png"))
    place.start(*LITTLE, "--set", "inboxes=[{after: keep}]")
    until(lambda: reason(place, "album/giant"))
    copy(place.root / "sea.jpg", folder / "sea.jpg")
    until((place.root / "outbox/album/sea/receipt.json").exists)
    assert not reason(place, "album/giant-2")
    os.truncate(giant, GIANT + 1)
    until(lambda: reason(place, "album/giant-2"))


def test_refused_files_with_holes_are_copied_with_their_holes(place: Place) -> None:
    folder = drop(place, "bad")
    sparse(folder / "content.png", b"no picture", 300 << 20)
    with ExitStack() as stack:
        for name in ("outbox", "state") if CAN_MOUNT else ():
            stack.enter_context(small_disk(place.root / name, ROOM))
        place.start(*LITTLE)
        until(lambda: reason(place, "bad"))
        copied = place.root / "outbox/_refused/bad/content.png"
        assert copied.stat().st_size == 300 << 20
        assert used(place) < 10 << 20
        assert not folder.exists()
        place.end()
        place.process = None
