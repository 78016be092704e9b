"""Detect that a file is still open for writing, where the kernel can tell."""

import errno
import fcntl
import os
import signal
import sys
from contextlib import suppress


def is_being_written(name: str, folder: int) -> bool:
    """Return whether any process has the file `name` of an opened folder open for writing.

    A read lease is refused while that is so. It is given back at once, as it keeps whoever opens
    the file meanwhile waiting. False, too, where nothing is known: the file belongs to somebody
    else and we lack CAP_LEASE, the file system has no leases, or the system is not Linux. On a
    network file system only the programs of this machine are seen.
    """
    if sys.platform != "linux":
        return False
    try:
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(name, flags, dir_fd=folder)
    except OSError:
        return False
    try:
        # Somebody who opens the file while we hold the lease has the kernel send us a signal: this
        # one is ignored by default, while SIGIO would end the process.
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
