"""Detection of whether a file is unchanged, whatever its path, or still being written."""

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
"""Device and inode, which a folder keeps under every path and through bind mounts."""


@dataclass(frozen=True)
class Look:
    """Properties by which a file counts as unchanged: `size` in bytes, `mtime_ns` in nanoseconds.

    `inode` is 0 if the number may change while the file stays the same.
    """

    inode: int
    size: int
    mtime_ns: int


def identity(status: os.stat_result) -> Identity:
    """Return the identity of the folder with this `status`."""
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
    """Return the look of the file with this `status`.

    `lasting` caches which devices keep their inode numbers, for calls during which nothing is
    mounted.
    """
    device, inode = status.st_dev, status.st_ino
    if not os.major(device):  # not a disk: inode numbers of network file systems may change
        if device not in lasting:
            lasting[device] = disks.keeps_inodes(device, disks.table())
        inode = inode if lasting[device] else 0
    return Look(inode, status.st_size, status.st_mtime_ns)


DEPTH = 32
"""Maximum number of levels of folders below an inbox that are scanned and watched."""


def is_being_written(name: str, folder: int) -> bool:
    """Return whether any process has the file `name` of an opened folder open for writing.

    In that case a read lease is refused. A lease is released at once, because others who open the
    file wait for that. Returns False if this cannot be determined: the file belongs to another user
    and this process lacks CAP_LEASE, the file system has no leases, or the system is not Linux. On
    a network file system only programs of this machine are detected.
    """
    if sys.platform != "linux":
        return False
    try:
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(name, flags, dir_fd=folder)
    except OSError:
        return False
    try:
        # If others open the file during the lease, the kernel sends a signal. This one is ignored
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
