"""Locks on files, which are released when the process that holds them ends."""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from stylewatch_daemon.files import entries
from stylewatch_daemon.files.system import system

LOOK_EVERY = 0.05
"""Interval in seconds between two attempts to acquire a lock."""


class HeldError(Exception):
    """Another process holds a lock file.

    It is not a TimeoutError, because a share that does not answer raises that (ETIMEDOUT).
    """


@contextmanager
def held(path: Path, seconds: float = 0.0, inherited: int | None = None) -> Iterator[int]:
    """Hold the lock file `path` exclusively, creating it if necessary; yield its descriptor.

    Wait for the lock at most `seconds`. `inherited` is a descriptor with which this process held
    the lock before an exec; if it still leads to `path`, it keeps the lock, and is not closed.
    Raises HeldError if another process holds the lock, OSError if the file cannot be opened.
    """
    if inherited is not None and entries.leads_to(path, inherited):
        system.flock(inherited, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield inherited
        return
    with _made(path) as handle:
        until = time.monotonic() + seconds
        while not _try_lock(handle, fcntl.LOCK_EX):
            if time.monotonic() >= until:
                raise HeldError(f"{path} is held by another process")
            time.sleep(LOOK_EVERY)
        yield handle


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Hold a shared lock on the file `path`, creating it if necessary.

    Wait while another process holds the file exclusively.
    """
    with _made(path) as handle:
        system.flock(handle, fcntl.LOCK_SH)
        yield


def is_held(path: Path) -> bool:
    """Return whether a process holds `path` exclusively; raises OSError if it cannot be opened."""
    with entries.opened(path, follow=True, flags=os.O_RDONLY | os.O_NONBLOCK) as handle:
        return not _try_lock(handle, fcntl.LOCK_SH)


def _made(path: Path) -> AbstractContextManager[int]:
    """Open the lock file, creating it if necessary."""
    return entries.opened(path, follow=True, flags=os.O_RDONLY | os.O_CREAT | os.O_NONBLOCK)


def _try_lock(handle: int, kind: int) -> bool:
    return entries.done_unless({errno.EAGAIN}, system.flock, handle, kind | fcntl.LOCK_NB)
