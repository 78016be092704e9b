"""Errors that the daemon raises on purpose, as one tree, by what a caller can do about them.

    DaemonError
    ├── SettingsError      config.yaml or job.yaml is wrong: correct it (exit 78)
    ├── UsageError         the command line is wrong (exit 64)
    ├── InputError         the input cannot be processed: refuse it (exit 65)
    │   └── StateError     the state of a job does not allow an operation (exit 65)
    ├── UnavailableError   a backend, a device or the weights are missing (exit 69)
    ├── OutputError        the outbox or the output cannot be written (exit 73)
    │   ├── FullError      a disk is full (exit 73)
    │   └── DamagedError   the ledger is damaged (exit 78)
    ├── ShortageError      no file descriptor or process is available: try again later (exit 75)
    └── WorkerError        a worker failed by a fault of stylewatch (exit 70)

Messages say in one sentence what happened and what helps.
"""

from pathlib import Path

from stylewatch_daemon.base.model import Cause


class DaemonError(Exception):
    """Root of the tree; `exit_code` is as in sysexits, `cause` what a job that met it waits for."""

    exit_code = 70
    cause = Cause.BUG


class SettingsError(DaemonError, ValueError):
    """A config.yaml or a job.yaml is wrong; the message names every mistake."""

    exit_code = 78
    cause = Cause.SETTINGS


class UsageError(DaemonError, ValueError):
    """The command line is wrong, `--set` included."""

    exit_code = 64
    cause = Cause.SETTINGS


class InputError(DaemonError, ValueError):
    """Input that cannot be painted."""

    exit_code = 65
    cause = Cause.PICTURE


class StateError(InputError):
    """The state of a job does not allow what was asked."""


class UnavailableError(DaemonError):
    """A backend, a device or the weights are not there."""

    exit_code = 69
    cause = Cause.DEVICE


class OutputError(DaemonError, OSError):
    """The outbox or the output cannot be written."""

    exit_code = 73
    cause = Cause.DISK


class FullError(OutputError):
    """The disk of `folder` is full; `reserve` is what `limits.free_bytes` keeps of it."""

    def __init__(self, message: str, folder: Path, reserve: int) -> None:
        super().__init__(message)
        self.folder, self.reserve = folder, reserve


class DamagedError(OutputError):
    """The ledger is damaged: no job can continue."""

    exit_code = 78


class ShortageError(DaemonError, OSError):
    """This machine has no file descriptor, process or thread to spare now."""

    exit_code = 75
    cause = Cause.MACHINE


class WorkerError(DaemonError):
    """A worker failed by a fault of stylewatch."""

    cause = Cause.WORKER
