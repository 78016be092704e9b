"""Identities of files, and checks whether a file is unchanged or still being written."""

import errno
import os
import stat
import sys
from dataclasses import dataclass
from enum import StrEnum
from io import BufferedReader
from pathlib import Path

from stylewatch_daemon.files import entries
from stylewatch_daemon.files.system import system

Identity = tuple[int, int]
"""Device and inode of a file or folder, the same under all its paths and through bind mounts."""

_NEARBY_NS = 2 * 10**9
"""Difference in nanoseconds up to which times count as equal: FAT rounds them to two seconds."""

HOUR_NS = 3600 * 10**9


@dataclass(frozen=True)
class Look:
    """Size in bytes and mtime in nanoseconds; a file counts as unchanged while both stay the same.

    The inode number does not count: many file systems give a file another number after a while.
    """

    size: int
    mtime_ns: int

    def resembles(self, other: "Look", *, local_time: bool = False) -> bool:
        """Return whether both looks may be of the same file, also on different disks.

        Times may differ by rounding and, with `local_time`, for disks that store local time, also
        by whole hours.
        """
        apart = abs(self.mtime_ns - other.mtime_ns)
        if local_time:
            apart = min(apart % HOUR_NS, -apart % HOUR_NS)
        return self.size == other.size and apart <= _NEARBY_NS


@dataclass(frozen=True)
class Version:
    """Properties of an opened file, of which any change of its bytes changes at least one."""

    size: int
    mtime_ns: int
    ctime_ns: int


class Writers(StrEnum):
    """Answer to the question whether a program has a file open for writing."""

    NONE = "none"
    SOME = "some"
    UNKNOWN = "unknown"
    """The file belongs to another user, or its file system or this operating system cannot tell."""


def identity(status: os.stat_result) -> Identity:
    """Return the identity of the folder or file with this `status`."""
    return status.st_dev, status.st_ino


def look(path: Path | str, folder: int | None = None) -> Look | None:
    """Return the look of the regular file `path`, which may be a name in an opened `folder`.

    Returns None if there is no regular file; raises OSError if that is unknown.
    """
    status = entries.status(path, folder)
    return None if status is None or not stat.S_ISREG(status.st_mode) else look_of(status)


def look_of(status: os.stat_result) -> Look:
    """Return the look of the file with this `status`.

    A time beyond 2262 becomes the last time that 64 bits can hold, so that a look from the ledger
    equals a new look.
    """
    return Look(status.st_size, min(status.st_mtime_ns, (1 << 63) - 1))


def version(file: BufferedReader) -> Version:
    """Return the present version of an opened file."""
    status = system.fstat(file.fileno())
    return Version(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def is_same_file(file: BufferedReader, name: Path | str, folder: int | None = None) -> bool:
    """Return whether `name` still names an opened file itself, not a link to it."""
    status = entries.status(name, folder)
    return status is not None and identity(status) == identity(system.fstat(file.fileno()))


def has_both_names(
    name: Path | str, other: Path | str, folder: int | None = None, inside: int | None = None
) -> bool:
    """Return whether one file has the `name` in `folder` and the name `other` in `inside`.

    Both folders are opened. Returns False if the file has a single link: then its disk ignores
    case, and `name` and `other` are the same name.
    """
    first, second = entries.status(name, folder), entries.status(other, inside)
    if first is None or second is None or first.st_nlink == 1:
        return False
    return identity(first) == identity(second)


DEPTH = 32
"""Maximum number of levels of folders below an inbox that are scanned."""


def writers(name: Path | str, folder: int | None = None) -> Writers:
    """Return whether any process has a file open for writing.

    `name` may be relative to an opened `folder`. The kernel refuses a read lease on a file that is
    open for writing. A granted lease is released at once, because programs that open the file for
    writing wait for the release. On a network file system only the programs of this machine count.
    Raises OSError if the file cannot be opened.
    """
    with entries.opened(name, folder, flags=os.O_RDONLY | os.O_NONBLOCK) as handle:
        if sys.platform != "linux":
            return Writers.UNKNOWN
        try:
            system.lease(handle)
            system.release(handle)
        except OSError as error:
            return Writers.SOME if error.errno == errno.EAGAIN else Writers.UNKNOWN
        return Writers.NONE
