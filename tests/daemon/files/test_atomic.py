"""Files are whole or absent, and made to last in the right order."""

import errno
import os
import stat
from pathlib import Path

import pytest
from tests.daemon.faults import killed_at, mounts, tree

from stylewatch_daemon.errors import InputError
from stylewatch_daemon.files import atomic, safe_dirs


def test_a_file_is_written_beside_synced_renamed_and_its_folder_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, os.replace

    def fsync(handle: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        sync(handle)

    def renamed(source: str, target: str) -> None:
        done.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", renamed)
    atomic.write(tmp_path / "a", b"text")
    assert done == ["file", "rename", "folder"]
    assert tree(tmp_path) == {"a": "text"}


@pytest.mark.parametrize("change", range(1, 5))
def test_whoever_is_killed_while_writing_leaves_the_old_file_or_the_new(
    change: int, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("old")
    with killed_at(change):
        atomic.write(tmp_path / "a", b"new")
    assert tree(tmp_path)["a"] == ("old" if change <= 2 else "new")


def test_a_failed_write_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        atomic.write(tmp_path / "a", b"text")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("code", "tolerated"), [(errno.EINVAL, True), (errno.EIO, False)])
def test_a_folder_that_cannot_be_synced_is_borne_and_one_that_fails_is_not(
    code: int, tolerated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(handle: int) -> None:
        raise OSError(code, "no")

    monkeypatch.setattr(os, "fsync", fsync)
    if tolerated:
        atomic.sync_folder(tmp_path)
    else:
        with pytest.raises(OSError, match="no"):
            atomic.sync_folder(tmp_path)


@pytest.mark.parametrize("by", ["path", "folder"])
def test_where_times_may_not_be_set_a_copy_has_its_own(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    (tmp_path / "a").write_text("text")
    monkeypatch.setattr(os, "utime", refused)
    if by == "path":
        atomic.copy(tmp_path / "a", tmp_path / "b")
    else:
        with safe_dirs.opened(tmp_path) as folder:
            safe_dirs.copy(tmp_path / "a", folder, "b")
    assert tree(tmp_path) == {"a": "text", "b": "text"}


def test_a_copy_tells_the_digest_of_what_it_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * (atomic.CHUNK + 1))
    digest = atomic.copy(tmp_path / "a", tmp_path / "b")
    assert digest == atomic.digest(tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()


def test_neither_links_nor_pipes_nor_folders_are_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("secret")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("link", "pipe", "folder"):
        with pytest.raises(InputError, match="regular file"):
            atomic.digest(tmp_path / name)


def test_a_move_over_mounts_is_a_copy_and_a_removal(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    atomic.make_folder(one)
    atomic.make_folder(two / "deep")
    (one / "a").write_text("text")
    with mounts(one, two):
        atomic.move(one / "a", two / "deep" / "a")
    assert tree(tmp_path) == {"two/deep/a": "text"}


def test_a_copy_that_reads_back_otherwise_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    (one / "a").write_text("text")
    monkeypatch.setattr(atomic, "digest", lambda path: "something else")
    with mounts(one, two), pytest.raises(OSError, match="reads back otherwise"):
        atomic.move(one / "a", two / "a")
    assert tree(one) == {"a": "text"}


def test_what_is_discarded_goes_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "a").write_text("a")
    atomic.discard(folder, tmp_path / "trash")
    assert tree(tmp_path) == {}
    assert not folder.exists()


def test_a_copy_keeps_holes_and_has_the_digest_of_all(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.seek(50 << 20)
        file.write(b"in the midst")
        file.truncate(100 << 20)
    read = atomic.copy(tmp_path / "a", tmp_path / "b")
    assert read == atomic.digest(tmp_path / "a") == atomic.digest(tmp_path / "b")
    assert (tmp_path / "b").stat().st_blocks * 512 < 1 << 20
    assert (tmp_path / "b").stat().st_mtime_ns == (tmp_path / "a").stat().st_mtime_ns


def test_copying_can_be_ended_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(100))

    def leave() -> None:
        raise OSError("we are leaving")

    with pytest.raises(OSError, match="leaving"):
        atomic.copy(tmp_path / "a", tmp_path / "b", step=leave)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
