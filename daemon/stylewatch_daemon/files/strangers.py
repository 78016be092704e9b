"""Reading of files in folders of other people, up to a limit of bytes and seconds (law 11).

Somebody may replace a file by a sparse file of terabytes, which takes no space, or by a file on a
disk that answers slowly.
"""

import time
from io import BufferedReader
from pathlib import Path

from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.base.model import OutputFile
from stylewatch_daemon.files import atomic, entries, identity
from stylewatch_daemon.files.system import system

MAX_UNKNOWN = 64 << 20
"""Maximum bytes of a file of unknown size that are read."""

PATIENCE_S, SLOWEST = 60.0, 100_000
"""Seconds allowed for reading any file, and the number of bytes that adds one second to them."""


def has_bytes(file: BufferedReader, sha256: str, size: int, step: Step = lambda: None) -> bool:
    """Return whether an opened file has this SHA-256, and the size `size` in bytes.

    `size` is 0 if it is unknown, as for some files in ledgers of version 1. A file of another size,
    or a file above MAX_UNKNOWN bytes if `size` is unknown, is not read. Raises TimeoutError if
    reading takes too long.
    """
    length = length_of(file)
    if not may_have(length, size):
        return False
    return atomic.digest_of(file, in_time(length, step), most=length) == sha256


def is_taken(name: str, folder: int, own: OutputFile | None, step: Step = lambda: None) -> bool:
    """Return whether a name in an opened folder belongs to an entry that is not the file `own`.

    An entry of another kind or size is not opened, so that nobody waits for an unreadable file of
    somebody else. Raises OSError if it is unknown whether a file is `own` (law 2): then the caller
    has to wait.
    """
    if not entries.exists(name, folder):
        return False
    look = identity.look(name, folder)
    if own is None or look is None or not may_have(look.size, own.size):
        return True
    with atomic.open_regular(name, folder) as file:
        return not has_bytes(file, own.sha256, own.size, step)


def may_have(length: int, size: int) -> bool:
    """Return whether a file of this length may have `size` bytes; a `size` of 0 is unknown."""
    return length == size or (not size and length <= MAX_UNKNOWN)


def stored(path: Path) -> int:
    """Return the bytes that a file takes on its disk, few for a sparse file; 0 without a file.

    If the disk reports 0 blocks, the result is the size of the file.
    """
    status = entries.status(path)
    if status is None:
        return 0
    return min(status.st_size, status.st_blocks * 512) or status.st_size


def length_of(file: BufferedReader) -> int:
    """Return the size of an opened file in bytes."""
    return system.fstat(file.fileno()).st_size


def in_time(size: int, step: Step) -> Step:
    """Return `step` with a deadline: it raises TimeoutError after the time for `size` bytes."""
    seconds = PATIENCE_S + size / SLOWEST
    deadline = time.monotonic() + seconds

    def timely() -> None:
        step()
        if time.monotonic() > deadline:
            raise TimeoutError(f"reading it took longer than {seconds:.0f} s")

    return timely
