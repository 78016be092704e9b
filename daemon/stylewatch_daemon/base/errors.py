"""Errors that the daemon raises on purpose, grouped by what a caller can do about them.

  DaemonError
  ├── SettingsError      config.yaml or job.yaml is wrong: correct it (exit 78)
  ├── UsageError         the command line is wrong (exit 64)
  ├── InputError         the input cannot be processed: refuse it (exit 65)
  │   └── StateError     the state of a job does not allow an operation (exit 65)
  ├── UnavailableError   a backend, a device, the weights or a library are missing (exit 69)
  │   ├── UnlearnedError    a backend must learn a style first (exit 69)
  │   └── MemoryShortError  a device or the machine has too little memory (exit 69)
  ├── OutputError        a file or a folder cannot be written, or read, now (exit 73)
  │   ├── TakenError     somebody else has files in the folder of a job (exit 73)
  │   ├── FullError      a disk is full (exit 73)
  │   ├── LedgerError    the ledger cannot be read or written now (exit 73)
  │   │   ├── LockedError  another program has locked the ledger: try again later (exit 75)
  │   │   └── OldLedgerError  the daemon has not upgraded the ledger yet (exit 75)
  │   └── DamagedError   the ledger is damaged, or of a newer version (exit 78)
  ├── ShortageError      no file descriptor or process is available: try again later (exit 75)
  └── WorkerError        a worker failed by a fault of stylewatch (exit 70)

Each message is one sentence that says what happened and what helps; a SettingsError may have one
line for each mistake.

Every `except` relies on these rules (law 14):

- The class of a foreseen error says what is at fault: the picture, the settings, the disk, the
  device, the machine or the worker. The code that first meets an error of a library chooses the
  class, because only that code knows what the error means.
- DamagedError ends the daemon. No code treats it as the problem of one job or request.
- OSError means that a disk or a share failed. The code that catches it assumes nothing about the
  files there, and tries again later; this does not count as an attempt. Errors of `files` are
  OSErrors. An error of a library must not become an OSError by chance.
- Any other exception is a fault of stylewatch, wherever it appears, also in an effect, a request or
  a thread. It is logged with its traceback, ends at most the one job or request during which it
  appeared, and is never treated as one of the above. `except Exception` stands only where such work
  begins (tests/test_house.py lists the places). A fault while a job's files are moved out of an
  inbox does not even end the job, because its files are in two places then: the job waits
  (Cause.BUG), and the move is tried again.
- A worker reports an error as a `Cause`. If the backend raised the error, the reason names the
  backend and its package (`worker/failures.py`).
- An error of an executor's package becomes an UnavailableError that names the kind of executor and
  the package. Only `settings/executors.py:asking` converts it.
"""

from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path

from stylewatch_daemon.base.model import Cause, End


class Exit(IntEnum):
    """Exit codes, those of sysexits.h."""

    USAGE = 64
    INPUT = 65
    UNAVAILABLE = 69
    FAULT = 70
    CANNOT_WRITE = 73
    LATER = 75
    """An external cause prevents the work: another try may succeed."""
    SETTINGS = 78


EXIT_OF_END: Mapping[End, int] = {
    End.DONE: 0,
    End.STOPPED_EARLY: 0,
    End.REFUSED: Exit.INPUT,
    End.FAILED: Exit.FAULT,
    End.CANCELED: Exit.LATER,
}
"""The exit code for each way in which a job can end."""

LACKS: Mapping[str, str] = {
    "memory": "there is not enough memory ({}): a smaller size needs less, and "
    "limits.out_of_memory=smaller finds one",
    "device": "the device is lost ({}): `stylewatch doctor` checks whether it works",
}
"""Sentences on errors of libraries, by their kind: too little memory, or a lost device; `{}` is the
library's message."""


class DaemonError(Exception):
    """Base class: has an exit code of sysexits.h, and the cause for which a blocked job waits."""

    exit_code: int = Exit.FAULT
    cause = Cause.BUG


class SettingsError(DaemonError, ValueError):
    """The settings are wrong, or the daemon cannot run with them.

    The message about a config.yaml or a job.yaml has a line for every mistake.
    """

    exit_code = Exit.SETTINGS
    cause = Cause.SETTINGS


class UsageError(DaemonError, ValueError):
    """The command line, including `--set`, is wrong."""

    exit_code = Exit.USAGE
    cause = Cause.SETTINGS


class InputError(DaemonError, ValueError):
    """An input cannot be processed: a picture, another file, or a request of a person."""

    exit_code = Exit.INPUT
    cause = Cause.PICTURE


class StateError(InputError):
    """The state of a job, or of a try, does not allow the requested operation."""


class UnavailableError(DaemonError):
    """A backend, a device, the weights, a library or the like is missing or cannot be used now."""

    exit_code = Exit.UNAVAILABLE
    cause = Cause.DEVICE


class UnlearnedError(UnavailableError):
    """A backend has to learn a style before it can paint in it."""

    cause = Cause.LEARNING


class MemoryShortError(UnavailableError):
    """A device or the machine has too little memory for a job."""

    cause = Cause.MEMORY


class OutputError(DaemonError, OSError):
    """A file or a folder, such as the outbox, cannot be written or read now, or is not there."""

    exit_code = Exit.CANNOT_WRITE
    cause = Cause.DISK


class TakenError(OutputError):
    """Somebody else has files in the folder of a job."""


class FullError(OutputError):
    """The disk of `folder` lacks space; `limits.free_bytes` reserves `reserve` bytes of it."""

    def __init__(self, message: str, folder: Path, reserve: int) -> None:
        super().__init__(message)
        self.folder = folder
        self.reserve = reserve


class LedgerError(OutputError):
    """The ledger cannot be read or written now; work that needs it is done later."""


class LockedError(LedgerError):
    """Another program has locked the ledger."""

    exit_code = Exit.LATER


class OldLedgerError(LedgerError):
    """The ledger is of an earlier version, and only the daemon upgrades it."""

    exit_code = Exit.LATER


class DamagedError(OutputError):
    """The ledger is damaged, or a newer version wrote it, and no job can continue."""

    exit_code = Exit.SETTINGS


class ShortageError(DaemonError, OSError):
    """The machine cannot provide what every job needs at the moment.

    That is a file descriptor, a process, a thread or, after it was moved away, the state folder.
    """

    exit_code = Exit.LATER
    cause = Cause.MACHINE


class WorkerError(DaemonError):
    """A worker failed by a fault of stylewatch."""

    cause = Cause.WORKER
