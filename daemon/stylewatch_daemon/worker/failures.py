"""What an exception of a worker means for its job: an End of the right kind, with a sentence."""

import traceback

from stylewatch_daemon.errors import InputError, OutputError, SettingsError, UnavailableError
from stylewatch_daemon.files import shortages
from stylewatch_daemon.worker.contract import Failed, Refused
from stylewatch_painter.errors import (
    DivergedError,
    PictureError,
    RecipeError,
    SaveError,
    WeightsError,
)
from stylewatch_plugins import registry
from stylewatch_plugins.errors import BackendError, error_kind

NOT_THERE, OUR_FAULT, CANNOT_WRITE = 69, 70, 73

_REFUSED = (PictureError, RecipeError, DivergedError, SettingsError, InputError)
_MISSING = (WeightsError, BackendError, UnavailableError)
_TOLD = {
    "memory": "memory did not suffice ({}): it is tried again by itself; a smaller size needs "
    "less, and limits.out_of_memory can choose one",
    "device": "the device is lost ({}): it is tried again by itself; `stylewatch doctor` tells "
    "whether it works",
}
_LONGEST = 200  # characters of what a library says


def as_end(error: Exception) -> Refused | Failed:
    """The End that `error` makes of a job: again and again the same, or to be tried again.

    Pictures and settings that cannot be painted are refused. Memory, devices and disks are
    waited for, and so is what the machine is short of, which may stand behind any other error. What
    is left is a fault of ours.
    """
    shortage = shortages.shortage(error)
    if shortage is not None:
        return Failed(str(shortage), shortage.exit_code, recycle=True)
    return _own_end(error)


def _own_end(error: Exception) -> Refused | Failed:
    """The End that fits the kind of `error`."""
    # a picture that was looked at and cannot be read any more is no bad picture
    if isinstance(error, _MISSING) or (
        isinstance(error, PictureError) and _of_the_disk(error.__cause__)
    ):
        return Failed(str(error), NOT_THERE)
    if isinstance(error, _REFUSED):
        return Refused(str(error))
    if isinstance(error, SaveError | OutputError):
        return Failed(str(error), CANNOT_WRITE)
    if isinstance(error, OSError) and _of_the_disk(error):
        return Failed(
            f"{error.filename or 'a file'} cannot be written: {error.strerror}", CANNOT_WRITE
        )
    if (found := error_kind(error)) is not None:
        return Failed(_TOLD[found].format(_brief(error)), NOT_THERE, recycle=True)
    trace = "".join(traceback.format_exception(error))
    whose = registry.author(error) or "our own"
    return Failed(f"a fault of {whose}, {type(error).__name__}: {error}", OUR_FAULT, trace)


def _of_the_disk(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in shortages.DISK


def _brief(error: Exception) -> str:
    """The first line of what a library says, or its kind where it says nothing."""
    said = str(error).strip().partition("\n")[0]
    return said[:_LONGEST] or type(error).__name__
