"""Shortages of the machine: file descriptors, processes, threads, folders for temporary files.

Work that meets a shortage waits, with the reason; it does not count as an attempt of the job.
"""

import errno
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from stylewatch_daemon.base.errors import DaemonError, OutputError, SettingsError, ShortageError

MINIMUM = 40
"""Minimum number of file descriptors to start the daemon. It needs 24 to run jobs on one device;
watching, and each further inbox, device or page, needs a few more."""

WANTED = 65_536
"""Maximum number of file descriptors that the daemon requests; some libraries iterate over all of
them."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Error numbers of a full disk."""

DISK = FULL | frozenset(
    getattr(errno, name)
    for name in (  # full, read-only or removed, or a share whose server is unreachable
        *("EROFS", "EACCES", "EPERM", "EIO", "EFBIG"),
        *("ENOENT", "ENOTDIR", "ENODEV", "ENXIO"),
        *("ESTALE", "ENOTCONN", "ENETDOWN", "ENETUNREACH", "EHOSTDOWN", "EHOSTUNREACH",
          "ETIMEDOUT", "EREMOTEIO", "ECONNABORTED", "ECONNREFUSED", "ECONNRESET"),
    )
    if hasattr(errno, name)
)  # fmt: skip
"""Error numbers of a disk or a share that fails, for a path that was valid before."""

_DESCRIPTORS, _PROCESSES = "too many open files", "can't start new thread"
"""Ends of the messages of libraries about shortages, in lowercase."""


def raise_limit() -> None:
    """Raise the soft limit of file descriptors to WANTED, or as far as allowed.

    A higher limit stays. Raises SettingsError if the result is below MINIMUM.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors() < highest():
        with suppress(OSError, ValueError):  # a sandbox may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest(), hard))
    if descriptors() < MINIMUM:
        raise SettingsError(
            f"this process may have {descriptors()} file descriptors and needs {MINIMUM}: raise "
            "the limit with LimitNOFILE= in the unit or with ulimit -n"
        )


def descriptors() -> int:
    """Return the number of file descriptors that this process may have; WANTED if unlimited."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return WANTED if soft == resource.RLIM_INFINITY else soft


def highest() -> int:
    """Return the number of file descriptors to request: WANTED, or as many as are allowed.

    If this process may already have more, return that number.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(descriptors(), WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED))


def shortage(error: BaseException | None) -> ShortageError | None:
    """Return a ShortageError if `error`, or an error that caused it, is a shortage; else None."""
    for link in _chain(error):
        if isinstance(link, ShortageError):
            return link
        number = link.errno if isinstance(link, OSError) else None
        text = str(link).lower() if isinstance(link, RuntimeError | ImportError) else ""
        if number == errno.ENFILE:
            return ShortageError(
                "this machine is out of file descriptors (`sysctl fs.file-max` raises its limit)"
            )
        if number == errno.EMFILE or text.endswith(_DESCRIPTORS):
            return ShortageError(
                f"out of file descriptors (the limit is {descriptors()}; raise it with "
                "LimitNOFILE= or ulimit -n)"
            )
        if text.endswith(_PROCESSES):
            return _out_of_processes(_PROCESSES)
    return None


def no_process(error: Exception) -> ShortageError:
    """Return `error`, which prevented the start of a process or a thread, as a ShortageError."""
    shortage_error = shortage(error)
    if shortage_error is not None:
        return shortage_error
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return ShortageError("this machine has no memory left for another process")
    if isinstance(error, OSError) and error.errno != errno.EAGAIN:
        program = error.filename or "a process"
        return ShortageError(f"{program} cannot be started: {error.strerror or error}")
    return _out_of_processes(getattr(error, "strerror", None) or str(error))


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Translate an OSError of the block: a shortage into a ShortageError, else into an OutputError.

    The message of the OutputError begins with `what`. A DaemonError is raised as it is.
    """
    try:
        yield
    except DaemonError:
        raise
    except OSError as error:
        shortage_error = shortage(error)
        if shortage_error is not None:
            raise shortage_error from error
        raise OutputError(f"{what}: {in_words(error)}") from error


def in_words(error: OSError | DaemonError) -> str:
    """Return `error` as text: a shortage, the message of a DaemonError, or a path and a reason."""
    shortage_error = shortage(error)
    if shortage_error is not None:
        return str(shortage_error)
    if isinstance(error, DaemonError) or error.errno is None:  # it is a sentence of ours
        return str(error)
    return f"{error.filename or 'the disk'}: {error.strerror or error}"


def temporary_folder() -> str:
    """Return the folder for temporary files; raises OutputError if none can be written."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        raise OutputError(
            "none of the folders for temporary files, such as /tmp, can be written: "
            "set TMPDIR to a folder that can"
        ) from None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and its causes."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _out_of_processes(why: str) -> ShortageError:
    return ShortageError(
        f"no process or thread can be started ({why}; raise the limit with TasksMax= or ulimit -u)"
    )
