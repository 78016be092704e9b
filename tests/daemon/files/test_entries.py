"""Only ENOENT and ENOTDIR are an absence: every other error of every call is raised (law 2)."""

import errno
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import failing_call, fill, mounts, replaced, tree

from stylewatch_daemon.files import disks, entries, identity
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.system import system

Question = Callable[[Path], object]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a file, an empty folder, and a folder with another one."""
    fill(tmp_path, "file", "full/inner/file", "full/file")
    (tmp_path / "empty").mkdir()
    return tmp_path


ANSWERS: dict[str, tuple[str, Question, object]] = {
    "status": ("file", entries.status, None),
    "target_status": ("file", entries.target_status, None),
    "exists": ("file", entries.exists, False),
    "is_folder": ("empty", entries.is_folder, False),
    "is_file": ("file", entries.is_file, False),
    "is_own_folder": ("empty", entries.is_own_folder, False),
    "names": ("full", entries.names, []),
    "unlink": ("file", entries.unlink, False),
    "remove_empty": ("empty", entries.remove_empty, False),
    "look": ("file", identity.look, None),
}
"""Functions with one call: the entry that is asked about, and the answer if it is absent."""

MORE = {
    "remove_empty": (errno.ENOTEMPTY, errno.EEXIST),
}
"""Further errors that are an answer: the folder stays."""


@pytest.mark.parametrize("name", ANSWERS)
def test_every_error_but_an_absence_is_raised(name: str, root: Path) -> None:
    entry, ask, absent = ANSWERS[name]
    for number in errno.errorcode:
        with failing_call(1, number) as called:
            if number in (errno.ENOENT, errno.ENOTDIR, *MORE.get(name, ())):
                assert ask(root / entry) == absent
            else:
                with pytest.raises(OSError) as caught:
                    ask(root / entry)
                assert caught.value.errno == number
        assert len(called) == 1
    assert ask(root / entry) != absent, "without an error"
    assert ask(root / "nothing") == ask(root / "file/in a file") == absent


SEVERAL: dict[str, Question] = {
    "remove": lambda root: entries.remove(root / "full"),
    "remove a file": lambda root: entries.remove(root / "file"),
    "make_folder": lambda root: entries.make_folder(root / "new"),
    "rename": lambda root: entries.rename(root / "file", root / "full/file"),
    "link": lambda root: entries.link(root / "file", root / "full/new"),
    "mount_root": lambda root: disks.mount_root(root / "file"),
    "MountGuard": lambda root: MountGuard().check(root / "empty"),
    "disk_of": disks.disk_of,
    "writers": lambda root: identity.writers(root / "file"),
    "is_same_file": lambda root: _is_same_file(root / "file"),
}
"""Functions with several calls, each of which may fail."""

CHANGING = ("remove", "remove a file", "make_folder", "rename", "link")
"""Those that change the folder."""

UNKNOWN = {("writers", "lease"), ("writers", "release")}
"""Calls whose errors have an answer that means that nothing is known."""

ALLOWED = {
    ("make_folder", errno.EEXIST),
    ("remove", errno.EXDEV),  # a folder is removed where it is
    ("rename", errno.EXDEV),
    *(("link", number) for number in errno.errorcode if number != errno.EEXIST),  # a copy follows
    ("disk_of", errno.EACCES),  # the mark of another user
    ("disk_of", errno.EPERM),
    ("disk_of", errno.ELOOP),  # another file in the place of its mark
    ("disk_of", errno.ENXIO),
}
"""Further errors that are an answer."""


def _is_same_file(path: Path) -> bool:
    with path.open("rb") as file:
        return identity.is_same_file(file, path)


@pytest.mark.parametrize("name", SEVERAL)
def test_every_error_of_each_of_several_calls_is_raised(name: str, tmp_path: Path) -> None:
    root = tmp_path / "root"

    def attempt(nth: int, number: int = 0) -> tuple[list[str], int]:
        """Return the calls up to the n-th and the errno that was raised, in a whole folder."""
        if name in CHANGING or not root.exists():
            shutil.rmtree(root, ignore_errors=True)
            fill(root, "file", "full/inner/file", "full/file", ".stylewatch/disk")
            (root / "empty").mkdir()
        with failing_call(nth, number) as called:
            try:
                SEVERAL[name](root)
            except OSError as error:
                return called[:nth], error.errno or -1
        return called, 0

    calls, error = attempt(0)
    assert calls and not error
    for nth, call in enumerate(calls, start=1):
        if (name, call) not in UNKNOWN:
            for number in sorted({*errno.errorcode} - entries.ABSENT):
                if (name, number) not in ALLOWED:
                    assert attempt(nth, number) == (calls[:nth], number)


def test_a_listed_name_is_taken_whatever_else_of_it_is_unknown(root: Path) -> None:
    with failing_call(1, errno.EIO):
        assert entries.is_taken(root / "file")
    with entries.opened(root) as folder, failing_call(1, errno.EIO):
        assert entries.is_taken("file", folder)
    for nth, path in [(1, root / "nothing"), (1, root / "empty/nothing")]:
        with failing_call(nth, errno.EIO), pytest.raises(OSError):
            entries.is_taken(path)
    assert not entries.is_taken(root / "nothing")


def test_a_removal_needs_no_rename(root: Path) -> None:
    with mounts(root / "full"):
        entries.remove(root / "full")
    assert not (root / "full").exists()


@pytest.mark.parametrize(
    "attempt",
    [
        lambda root: entries.attempt_removal(root / "full"),
        lambda root: entries.attempt_emptying(root / "full"),
        lambda root: entries.attempt_folder_removal(root / "empty"),
        lambda root: entries.attempt_mode(root / "file", 0o600),
        lambda root: entries.attempt_touch(root / "file"),
        lambda root: _private(root / "empty"),
        lambda root: entries.attempt_removal_if_old(root / "full", time.time()),
        lambda root: entries.attempt_removal_if_old(root / "missing", 0.0),
        lambda root: entries.attempt_removal_of_old(root, time.time(), None),
    ],
)
def test_what_costs_nothing_while_it_fails_is_only_attempted(attempt: Question, root: Path) -> None:
    for number in errno.errorcode:
        for nth in (1, 2, 3):
            with failing_call(nth, number):
                attempt(root)


def test_what_cannot_be_removed_keeps_nothing_else_in_a_folder(root: Path) -> None:
    fill(root, "full/a", "full/b/c", "full/d")
    remove = entries.remove

    def removed(name: Path, folder: int | None = None) -> None:
        if name.name == "a":
            raise OSError(errno.EIO, "Input/output error")
        remove(name, folder)

    with replaced(entries, remove=removed):
        entries.attempt_emptying(root / "full")
    assert [path.name for path in (root / "full").iterdir()] == ["a"]


def _private(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        entries.attempt_privacy(handle)
    finally:
        os.close(handle)


def test_a_removal_follows_no_link_and_reaches_any_depth(root: Path) -> None:
    fill(root, "theirs/file")
    (root / "full/inner/link").symlink_to(root / "theirs")
    (root / "link").symlink_to(root / "theirs")
    deep = os.open(root / "full", os.O_RDONLY)
    for _ in range(600):  # far longer than a path may be
        os.mkdir("folder with a name", dir_fd=deep)
        deeper = os.open("folder with a name", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = deeper
    os.close(deep)
    for name in ("full", "link", "nothing"):
        entries.remove(root / name)
    assert {path.name for path in root.iterdir()} == {"file", "empty", "theirs"}
    assert (root / "theirs/file").exists()


def test_a_removal_says_so_if_others_write_into_the_folder_meanwhile(root: Path) -> None:
    rmdir = system.rmdir

    def written(name: Any, **more: Any) -> None:
        (root / "full/new").write_text("theirs")
        rmdir(name, **more)

    with replaced(system, rmdir=written):
        assert not entries.attempt_removal(root / "full")
        with pytest.raises(OSError, match="Directory not empty"):
            entries.remove(root / "full")
    assert (root / "full/new").read_text() == "theirs"


def test_renames_and_links_over_mounts_are_refused_with_an_answer(root: Path) -> None:
    with mounts(root / "full"):
        assert not entries.rename(root / "file", root / "full/file")
        assert not entries.link(root / "file", root / "full/new")
        assert entries.link(root / "file", root / "second")
        with pytest.raises(FileExistsError):
            entries.link(root / "file", root / "second")
        assert entries.rename(root / "second", root / "third")
    (root / "link").symlink_to(root / "file")
    assert entries.link(root / "link", root / "other link"), "a link gets a second name itself"
    assert (root / "other link").is_symlink()
    assert tree(root) | {"other link": ""} == {
        "file": "file", "third": "file", "link": "file", "other link": "",
        "full/file": "full/file", "full/inner/file": "full/inner/file",
    }  # fmt: skip


def test_names_are_of_all_kinds_of_entries_and_links_are_entries(root: Path) -> None:
    (root / "broken").symlink_to(root / "nothing")
    (root / "to a folder").symlink_to(root / "empty")
    entries.make_pipe(root / "pipe")
    entries.make_pipe(root / "pipe")  # made before
    assert entries.names(root) == ["broken", "empty", "file", "full", "pipe", "to a folder"]
    handle = os.open(root, os.O_RDONLY)
    assert entries.names(handle) == entries.names(root)
    kinds = {
        name: (entries.is_folder(name, handle), entries.is_file(name, handle))
        for name in entries.names(handle)
        if entries.exists(name, handle)
    }
    os.close(handle)
    assert kinds == {
        "broken": (False, False), "empty": (True, False), "file": (False, True),
        "full": (True, False), "pipe": (False, False), "to a folder": (True, False),
    }  # fmt: skip
