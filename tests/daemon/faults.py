"""Faults for tests: kills at the n-th change of the disk, and separate mounts."""

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.planted import CHANGES

import stylewatch_daemon.ledger.writer as ledger
from stylewatch_daemon.worker.messages import Staged


class Killed(BaseException):
    """Raised instead of a kill."""


@contextmanager
def killed_at(change: int) -> Iterator[Callable[[], bool]]:
    """Let all changes of files raise Killed from number `change` on; yield whether that occurred.

    A commit of the ledger is a change as well. Clean-up code fails too. Nothing is really synced.
    """
    made = 0

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*args: Any, **more: Any) -> Any:
            nonlocal made
            made += 1
            if made >= change:
                raise Killed
            return real(*args, **more)

        return changed

    with pytest.MonkeyPatch.context() as patch:
        for name in CHANGES:
            real = getattr(os, name) if name != "fsync" else lambda handle: None
            patch.setattr(os, name, dying(real))
        patch.setattr(ledger, "commit", dying(ledger.commit))
        with suppress(Killed):
            yield lambda: made >= change


@contextmanager
def mounts(*roots: Path) -> Iterator[None]:
    """Make each of `roots` a separate mount: renames and links between them fail."""

    def mount(path: Any, folder: int | None) -> Path | None:
        path = path if folder is None else place_of(folder) / path
        return next((root for root in roots if Path(path).is_relative_to(root)), None)

    def apart(real: Callable[..., None]) -> Callable[..., None]:
        def renamed(source: Any, target: Any, **more: Any) -> None:
            if mount(source, more.get("src_dir_fd")) != mount(target, more.get("dst_dir_fd")):
                raise OSError(errno.EXDEV, "Invalid cross-device link", source, None, target)
            real(source, target, **more)

        return renamed

    with pytest.MonkeyPatch.context() as patch:
        for name in ("rename", "replace", "link"):
            patch.setattr(os, name, apart(getattr(os, name)))
        yield


@contextmanager
def no_threads() -> Iterator[None]:
    """Let no thread be started: each would need more memory than there is."""
    before = threading.stack_size(1 << 46)
    try:
        yield
    finally:
        threading.stack_size(before)


@contextmanager
def recorded_syncs() -> Iterator[list[tuple[str, str]]]:
    """Record renames (`rename`, target) and syncs (`sync`, path) in their order."""
    events: list[tuple[str, str]] = []
    rename, fsync = os.rename, os.fsync

    def renamed(source: Any, target: Any, **more: Any) -> None:
        folder = more.get("dst_dir_fd")
        events.append(("rename", str(target if folder is None else place_of(folder) / target)))
        rename(source, target, **more)

    def synced(handle: int) -> None:
        events.append(("sync", str(place_of(handle))))
        fsync(handle)

    with pytest.MonkeyPatch.context() as patch:
        for name, changed in (("rename", renamed), ("replace", renamed), ("fsync", synced)):
            patch.setattr(os, name, changed)
        yield events


def place_of(handle: int) -> Path:
    """Return the path of an opened file."""
    return Path(f"/proc/self/fd/{handle}").readlink()


def fill(root: Path, *names: str) -> None:
    """Make files under `root` that contain their names."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(name))


def announced(name: str, step: int = 0) -> Staged:
    """Return the event of a file that `fill` made."""
    return Staged(name, hashlib.sha256(os.fsencode(name)).hexdigest(), step)


def tree(root: Path) -> dict[str, str]:
    """Return the files under `root` that are not hidden, with their text."""
    return {
        path.relative_to(root).as_posix(): path.read_text(errors="replace")
        for path in sorted(root.rglob("*"))
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(root).parts)
    }
