"""The operating system's calls on files, as methods of one object.

This package makes all such calls through that object. A test replaces a method of `system` to see
how every part of the daemon behaves when a disk fails (docs/testing.md).
"""

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from io import BufferedReader, BufferedWriter
from pathlib import Path, PurePath

MOUNTS = Path("/proc/self/mountinfo")


class System:
    """Calls of the operating system; all raise OSError."""

    # by name
    open = staticmethod(os.open)
    stat = staticmethod(os.stat)
    access = staticmethod(os.access)
    readlink = staticmethod(os.readlink)
    statvfs = staticmethod(os.statvfs)
    mkdir = staticmethod(os.mkdir)
    mkfifo = staticmethod(os.mkfifo)
    link = staticmethod(os.link)
    rename = staticmethod(os.rename)
    unlink = staticmethod(os.unlink)
    rmdir = staticmethod(os.rmdir)
    chmod = staticmethod(os.chmod)
    utime = staticmethod(os.utime)
    # by handle
    close = staticmethod(os.close)
    fstat = staticmethod(os.fstat)
    fchmod = staticmethod(os.fchmod)
    fsync = staticmethod(os.fsync)
    write = staticmethod(os.write)

    @staticmethod
    def scandir(folder: PurePath | str | int) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """Return an iterator over the entries of a folder, given its path or its handle."""
        return os.scandir(folder) if isinstance(folder, int) else os.scandir(str(folder))

    @staticmethod
    def reader(handle: int) -> BufferedReader:
        """Return a file object that reads from an opened `handle`, and closes it."""
        return os.fdopen(handle, "rb")

    @staticmethod
    def writer(handle: int) -> BufferedWriter:
        """Return a file object that writes to an opened `handle`, and closes it."""
        return os.fdopen(handle, "wb")

    @staticmethod
    def lease(handle: int) -> None:
        """Take a read lease on an opened file; raises EAGAIN if others have it open for writing.

        If others open the file for writing during the lease, the kernel sends SIGURG, which is
        ignored by default; its usual signal, SIGIO, would end the process.
        """
        fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)

    @staticmethod
    def release(handle: int) -> None:
        """Release the lease on an opened file."""
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)

    @staticmethod
    def flock(handle: int, operation: int) -> None:
        """Lock or unlock an opened file by the flags of `fcntl.flock`."""
        fcntl.flock(handle, operation)

    @staticmethod
    def mounts() -> str:
        """Return the kernel's table of mounts."""
        return MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")


system = System()
"""The object through which this package reaches the disks of this process."""
