"""Locks on files, which go with the process that holds them, however it ends."""

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOOK_EVERY = 0.05
"""Seconds between two tries, while a lock is waited for."""


@contextmanager
def held(path: Path, seconds: float = 0.0) -> Iterator[None]:
    """Hold the lock of the file `path`, which is made, alone; waits for it so long.

    Raises TimeoutError where others hold it, OSError where the file cannot be had.
    """
    handle = _made(path)
    try:
        _wait(handle, path, fcntl.LOCK_EX, seconds)
        yield
    finally:
        os.close(handle)


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Hold the lock of the file `path`, which is made, together with whoever else does so.

    Waits while somebody holds it alone.
    """
    handle = _made(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def is_held(path: Path) -> bool:
    """Return True if a process holds `path` exclusively; raises OSError as `open` does."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _made(path: Path) -> int:
    """Open the lock file, or make it; a folder or a pipe in its place can be locked as well."""
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        is_folder = False
    kind = os.O_RDONLY if is_folder else os.O_RDWR | os.O_CREAT | os.O_NONBLOCK
    return os.open(path, kind | os.O_CLOEXEC, 0o600)


def _wait(handle: int, path: Path, kind: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= until:
                raise TimeoutError(f"{path} is held by another process") from error
        time.sleep(LOOK_EVERY)
