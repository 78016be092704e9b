"""Files where others may write: they are read only up to a limit of bytes and seconds (law 11).

Somebody may have replaced a file by a sparse one of terabytes, which takes no space, or by one on a
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
"""Maximum seconds for reading a file, and one more second for so many bytes: a slow share."""


def has_bytes(file: BufferedReader, sha256: str, size: int, step: Step = lambda: None) -> bool:
    """Return whether an opened file has exactly the bytes with this SHA-256.

    `size` is their number, and a file of another size is not read. It is 0 if it is unknown, as for
    some files in ledgers of version 1. Raises TimeoutError if reading takes too long.
    """
    length = length_of(file)
    if not may_have(length, size):
        return False
    return atomic.digest_of(file, in_time(length, step), most=length) == sha256


def is_taken(name: str, folder: int, own: OutputFile | None, step: Step = lambda: None) -> bool:
    """Return whether a name in an opened folder belongs to something else than the file `own`.

    What cannot be that file by its kind or its size is not opened, so that no unreadable file of
    somebody else is waited for. Whether another one is that file may be unknown (law 2): raises
    OSError, and whoever asks waits.
    """
    if not entries.exists(name, folder):
        return False
    found = identity.look(name, folder)
    if own is None or found is None or not may_have(found.size, own.size):
        return True
    with atomic.open_regular(name, folder) as file:
        return not has_bytes(file, own.sha256, own.size, step)


def may_have(length: int, size: int) -> bool:
    """Return whether a file of this length may be one of `size` bytes, which is 0 if unknown."""
    return length == size or (not size and length <= MAX_UNKNOWN)


def stored(path: Path) -> int:
    """Return the bytes that a file takes on its disk: few for a sparse one; 0 if it is not there.

    A disk that does not tell says 0; then it is the size.
    """
    found = entries.status(path)
    if found is None:
        return 0
    return min(found.st_size, found.st_blocks * 512) or found.st_size


def length_of(file: BufferedReader) -> int:
    """Return the size of an opened file in bytes."""
    return system.fstat(file.fileno()).st_size


def in_time(size: int, step: Step) -> Step:
    """Return `step` with a deadline, for a file of `size` bytes; later it raises TimeoutError."""
    seconds = PATIENCE_S + size / SLOWEST
    deadline = time.monotonic() + seconds

    def timely() -> None:
        step()
        if time.monotonic() > deadline:
            raise TimeoutError(f"reading it took longer than {seconds:.0f} s")

    return timely
