"""Only complete files get into the outbox, in folders that were free."""

import errno
import os
import stat
from pathlib import Path

import pytest
from tests.daemon.faults import fill, recorded_syncs, tree

from stylewatch_daemon.base.errors import OutputError
from stylewatch_daemon.files.permissions import Sharing
from stylewatch_daemon.outbox.publish import RECEIPT, Outbox, keep_staged, stage


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "out")


def reserve(outbox: Outbox, name: str = "job") -> Path:
    return outbox.reserve(name, lambda place: None)


def bits(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):04o}"


def test_a_probe_makes_the_outbox_leaves_nothing_and_notices_a_full_disk(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox.probe()
    assert [path.name for path in outbox.root.rglob("*")] == [".staging"]

    def full(path: str, flags: int, *more: int, dir_fd: int | None = None) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(path, flags, *more, dir_fd=dir_fd)

    opened = os.open
    monkeypatch.setattr(os, "open", full)
    with pytest.raises(OutputError, match="No space left"):
        outbox.probe()


def test_a_job_gets_a_free_folder_in_the_outbox_that_is_remembered_before_it_is_made(
    outbox: Outbox, tmp_path: Path
) -> None:
    remembered: list[tuple[str, bool]] = []

    def remember(place: str) -> None:
        remembered.append((place, (outbox.root / place).exists()))

    folders = [outbox.reserve("album/job", remember) for _ in range(2)]
    assert folders == [outbox.root / "album/job", outbox.root / "album/job-2"]
    assert remembered == [("album/job", False), ("album/job-2", False)]
    outbox.drop_empty("album/job")
    assert [path.name for path in (outbox.root / "album").iterdir()] == ["job-2"]
    outbox.drop_empty("album/job-2")
    assert not (outbox.root / "album").exists() and outbox.root.exists()
    (outbox.root / "album").symlink_to(tmp_path)
    with pytest.raises(OutputError, match="leads out of the outbox"):
        reserve(outbox, "album/job")


def test_a_folder_that_is_reserved_or_was_made_meanwhile_is_not_chosen(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "out", is_reserved=lambda place: place == "job")
    remembered: list[str] = []
    assert outbox.choose("job") == "job-2"
    fill(outbox.root, "job-2/mine.txt")
    assert outbox.reserve("job", remembered.append, "job-2") == outbox.root / "job-3"
    assert remembered == ["job-3"]
    (outbox.root / "job-3").rmdir()
    assert outbox.reserve("job", remembered.append, "job-3") == outbox.root / "job-3"
    (outbox.root / "job-3").rmdir()
    assert outbox.reopen("job-3").is_dir() and remembered == ["job-3"]


def test_publishing_replaces_an_older_file_and_may_be_repeated(outbox: Outbox) -> None:
    folder = reserve(outbox)
    for content in ("old", "new"):
        (outbox.staging("1") / "losses.csv").write_text(content)
        for _ in range(2):
            assert outbox.publish("1", folder, "losses.csv") == folder / "losses.csv"
    assert tree(outbox.root) == {"job/losses.csv": "new"}
    with pytest.raises(OutputError, match="No such file"):
        outbox.publish("1", folder, "never-staged.png")
    for path in ("../escaped", "/escaped", "a/../../escaped"):
        with pytest.raises(OutputError, match="outside of its folder"):
            outbox.publish("1", folder, path)


def test_staged_files_are_the_complete_ones_without_the_receipt(outbox: Outbox) -> None:
    staging = outbox.staging("1")
    fill(staging, "stages/1.png", ".abc.tmp", "receipt.json", ".hidden/1.png")
    assert (outbox.staged("1"), outbox.has_receipt("1")) == (["stages/1.png"], True)
    assert bits(outbox.root / ".staging") == "0700"
    for _ in range(2):
        outbox.clear("1")
    assert not staging.exists()
    with pytest.raises(OutputError, match="gone; is its disk still mounted"):
        stage(staging, "final.png", b"painted")


def test_what_a_kill_left_is_swept_and_nothing_through_a_link(
    outbox: Outbox, tmp_path: Path
) -> None:
    outbox.sweep()
    assert not outbox.root.exists()
    kept = [".mine", ".staging/1/final.png", ".staging/trash/link"]
    fill(outbox.root, *kept[:2], ".probe-12", ".staging/probe-12", ".staging/.1.tmp")
    fill(outbox.root, ".staging/trash/left/final.png")
    fill(tmp_path, "mine/photo.jpg")
    (outbox.root / kept[2]).symlink_to(tmp_path / "mine")
    outbox.sweep()
    left = [path.relative_to(outbox.root).as_posix() for path in outbox.root.rglob("*")]
    assert sorted(left) == [".mine", ".staging", ".staging/1", kept[1], ".staging/trash"]
    (outbox.root / ".staging").rename(outbox.root / "elsewhere")
    (outbox.root / ".staging").symlink_to(tmp_path / "mine")
    outbox.sweep()
    assert (tmp_path / "mine/photo.jpg").exists()


def test_all_files_are_synced_before_the_receipt_gets_its_name(
    outbox: Outbox, tmp_path: Path
) -> None:
    fill(tmp_path, "photo.jpg", "painting.jpg")
    inputs = [tmp_path / "photo.jpg", tmp_path / "painting.jpg"]
    staging, made = outbox.staging("1"), ("stages/1.png", "losses.csv", "final.png", RECEIPT)
    with recorded_syncs() as events:
        folder = reserve(outbox)
        for name in made:
            stage(staging, name, b"x")
        keep_staged(staging, made)
        kept = events[-2:]
        for name in made[:-1]:
            outbox.publish("1", folder, name)
        outbox.archive("1", folder, inputs)
        before = len(events)
        outbox.publish("1", folder, RECEIPT)
    names = [*made[:-1], "inputs/photo.jpg", "inputs/painting.jpg"]
    for path in (folder, *(folder / name for name in names)):
        renamed = ("rename", str(path))
        since = events.index(renamed) if renamed in events else 0
        assert ("sync", str(path.parent)) in events[since:before]
    written = [path for what, path in events if what == "sync"]
    assert sum(path.endswith(".tmp") for path in written) == 4
    assert sum(path.endswith("/.input") for path in written) == 2  # which are linked
    assert events[before:] == [("rename", str(folder / RECEIPT)), ("sync", str(folder))]
    assert ("sync", str(folder / "inputs")) in events
    assert sorted(kept) == [("sync", str(staging)), ("sync", str(staging / "stages"))]


def test_everything_that_is_published_has_the_wanted_mode(tmp_path: Path) -> None:
    fill(tmp_path, "photo.jpg")
    (tmp_path / "photo.jpg").chmod(0o600)
    outbox = Outbox(tmp_path / "out", Sharing(mode=0o664))
    outbox.probe()
    folder = reserve(outbox, "album/job")
    fill(outbox.staging("1"), "stages/1.png")
    outbox.publish("1", folder, "stages/1.png")
    outbox.archive("1", folder, [tmp_path / "photo.jpg"])
    outbox.refuse("2", "_refused/bad", [tmp_path / "photo.jpg"], "It is no picture.")
    seen = {
        path.relative_to(outbox.root).as_posix(): bits(path)
        for path in (outbox.root, *outbox.root.rglob("*"))
        if ".staging" not in path.parts
    }
    files = {"album/job/stages/1.png", "album/job/inputs/photo.jpg", "_refused/bad/photo.jpg",
             "_refused/bad/reason.txt"}  # fmt: skip
    assert {name for name, mode in seen.items() if mode == "0664"} == files
    assert {mode for name, mode in seen.items() if name not in files} == {"0775"}
