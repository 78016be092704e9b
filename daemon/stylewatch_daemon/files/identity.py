"""Detect that a file is still the same, whatever its path, and that it is still being written."""

import errno
import fcntl
import os
import signal
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stylewatch_daemon.files import disks

Identity = tuple[int, int]
"""Device and inode: a folder keeps it under every path and through bind mounts."""


@dataclass(frozen=True)
class Look:
    """Marks by which a file counts as unchanged: `size` in bytes, `mtime_ns` in nanoseconds.

    `inode` is 0 where a file may get another number while it is the same.
    """

    inode: int
    size: int
    mtime_ns: int


def identity(status: os.stat_result) -> Identity:
    """Return the identity of the folder with that `status`."""
    return status.st_dev, status.st_ino


def look(path: Path | str, folder: int | None = None) -> Look | None:
    """Return the look of the regular file `path`, in an opened `folder`; None if there is none."""
    try:
        if folder is None:
            status = Path(path).lstat()
        else:
            status = os.stat(path, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return None
    return look_of(status, {}) if stat.S_ISREG(status.st_mode) else None


def look_of(status: os.stat_result, lasting: dict[int, bool]) -> Look:
    """Return the look of the file with that `status`.

    `lasting` gets the devices that keep their inode numbers, for calls while nothing is mounted.
    """
    device, inode = status.st_dev, status.st_ino
    if not os.major(device):  # no disk: those of network file systems are not real
        if device not in lasting:
            lasting[device] = disks.keeps_inodes(device, disks.table())
        inode = inode if lasting[device] else 0
    return Look(inode, status.st_size, status.st_mtime_ns)


DEPTH = 32
"""Levels of folders below an inbox that are scanned and watched."""


def is_being_written(name: str, folder: int) -> bool:
    """Return whether any process has the file `name` of an opened folder open for writing.

    A read lease is refused meanwhile. It is released at once, as others who open the file wait for
    that. Returns False if nothing is known: the file belongs to another user and this process
    lacks CAP_LEASE, the file system has no leases, or the system is not Linux. On a network file
    system only the programs of this machine are seen.
    """
    if sys.platform != "linux":
        return False
    try:
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(name, flags, dir_fd=folder)
    except OSError:
        return False
    try:
        # When others open the file during the lease the kernel sends a signal: this one is ignored
        # by default, while SIGIO would end the process.
        fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    else:
        return False
    finally:
        with suppress(OSError):
            fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        os.close(handle)
