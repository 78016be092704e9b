"""Conversion of an exception to the end of an attempt: refused or failed, with a sentence."""

import traceback
from collections.abc import Mapping

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import (
    LACKS,
    InputError,
    MemoryShortError,
    OutputError,
    SettingsError,
    UnavailableError,
)
from stylewatch_daemon.base.model import Cause
from stylewatch_daemon.worker.messages import Failed, Refused
from stylewatch_painter.errors import (
    DivergedError,
    LibraryError,
    NotLearnedError,
    PictureError,
    RecipeError,
    SaveError,
    WeightsError,
)
from stylewatch_painter.installation import unloadable
from stylewatch_plugins import registry
from stylewatch_plugins.errors import BackendError, BackendFaultError, ErrorKind, error_kind

_REFUSED: Mapping[type[Exception], Cause] = {
    PictureError: Cause.PICTURE,
    DivergedError: Cause.PICTURE,
    InputError: Cause.PICTURE,
    RecipeError: Cause.SETTINGS,
    SettingsError: Cause.SETTINGS,
    SaveError: Cause.SETTINGS,
}
_FAILED: Mapping[type[Exception], Cause] = {
    LibraryError: Cause.DEVICE,
    BackendFaultError: Cause.BUG,  # before its base class: the device is not the cause
    NotLearnedError: Cause.LEARNING,  # before its base class
    WeightsError: Cause.DEVICE,
    BackendError: Cause.DEVICE,
    MemoryShortError: Cause.MEMORY,
    UnavailableError: Cause.DEVICE,
    OutputError: Cause.DISK,
}
_MAX_CHARACTERS = 200  # maximum length of a library's message


def as_end(error: Exception) -> Refused | Failed:
    """Return the end of an attempt that raised `error`, with its cause.

    Pictures and settings that cannot be used are refused. Failures of memory, devices, libraries
    and disks are retried, and so are shortages of the machine, which may underlie any other error.
    All other errors are faults of stylewatch or of a backend's package.
    """
    shortage = shortages.shortage(error)
    if shortage is not None:
        return Failed(str(shortage), shortage.cause, recycle=True)
    return _own_end(error)


def _own_end(error: Exception) -> Refused | Failed:
    # a picture that was decoded before and can no longer be read is not a bad picture
    if isinstance(error, PictureError) and _is_of_disk(error.__cause__):
        return Failed(str(error), Cause.DISK)
    cause = _cause(error, _REFUSED)
    if cause is not None:
        return Refused(str(error), cause)
    if isinstance(error, ImportError) and registry.author(error) is None:
        error = unloadable(error)
    cause = _cause(error, _FAILED)
    if cause is not None:
        # a library that was repaired is loaded by a new process alone
        return Failed(str(error), cause, recycle=isinstance(error, LibraryError))
    if isinstance(error, OSError) and _is_of_disk(error):
        reason = f"{error.filename or 'a file'} cannot be written: {error.strerror}"
        return Failed(reason, Cause.DISK)
    kind = error_kind(error)
    if kind is not None:
        message = str(error).strip().partition("\n")[0][:_MAX_CHARACTERS] or type(error).__name__
        reason = LACKS[kind].format(message)
        cause = Cause.MEMORY if kind is ErrorKind.MEMORY else Cause.DEVICE
        return Failed(reason, cause, recycle=True)
    trace = "".join(traceback.format_exception(error))
    author = registry.author(error) or "stylewatch"
    return Failed(f"a fault of {author}, {type(error).__name__}: {error}", trace=trace)


def _cause(error: Exception, causes: Mapping[type[Exception], Cause]) -> Cause | None:
    for kind, cause in causes.items():
        if isinstance(error, kind):
            return cause
    return None


def _is_of_disk(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in shortages.DISK
