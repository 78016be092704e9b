"""Errors that concern backends rather than pictures.

  BackendError
  ├── BackendMissingError    the backend does not exist, is broken or cannot run here
  ├── BackendOptionError     the backend does not have this option or accept this value
  ├── BackendFaultError      the backend broke its contract while it painted
  └── GraphError             a network's graph is damaged, or is not the one that is needed

Each message is one sentence that says what happened and what to do about it. `error_kind`
recognizes a lack of memory and a lost device in errors of torch, ONNX Runtime and drivers.
"""

import errno
import re
from enum import StrEnum


class BackendError(Exception):
    """Base class of errors that concern a backend rather than a picture.

    `exit_code` is the exit code of a command that fails with the error, as in sysexits.h.
    """

    exit_code = 70


class BackendMissingError(BackendError):
    """The backend does not exist, is broken, or cannot run on this machine."""

    exit_code = 69


class BackendOptionError(BackendError, ValueError):
    """The backend does not have this option, or does not accept this value."""

    exit_code = 78


class BackendFaultError(BackendError):
    """The backend broke its contract while it painted; the message names its package."""


class GraphError(BackendError):
    """A network's graph is damaged, or has other weights, layers or pools than are needed."""

    exit_code = 65


class ErrorKind(StrEnum):
    """The cause of an error, as far as `error_kind` recognizes it."""

    MEMORY = "memory"
    """The device or the machine did not have enough memory."""
    DEVICE = "device"
    """The device is lost; this process cannot use it any more."""


_NO_MEMORY = re.compile(
    r"out of memory|can't allocate memory|cannot allocate memory|not enough memory"
    r"|failed to allocate memory|_alloc_failed"
    # oneDNN reports a failure to allocate memory for its primitives only in these words
    r"|could not create a memory|could not (create|execute) a primitive(?! descriptor)"
)
_NO_DEVICE = re.compile(
    r"cuda error|cuda failure|cuda driver|no cuda gpus are available|no nvidia driver"
    r"|cudnn error|cublas_status_|hip error|level_zero backend failed"
)


def error_kind(error: BaseException) -> ErrorKind | None:
    """Classify `error`; return None if it is neither a lack of memory nor a lost device.

    Classes of torch and ONNX Runtime are recognized by name, so that neither must be imported.
    """
    classes = {cls.__name__ for cls in type(error).__mro__}
    if isinstance(error, MemoryError) or "OutOfMemoryError" in classes:
        return ErrorKind.MEMORY
    if isinstance(error, OSError):
        return ErrorKind.MEMORY if error.errno == errno.ENOMEM else None
    if not classes & {"RuntimeError", "RuntimeException"}:
        return None
    message = str(error).lower()
    if _NO_MEMORY.search(message):
        return ErrorKind.MEMORY
    if "AcceleratorError" in classes or _NO_DEVICE.search(message):
        return ErrorKind.DEVICE
    return None
