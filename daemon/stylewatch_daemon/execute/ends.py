"""What an exception of a worker means for its job: an End of the right kind, with a sentence."""

import errno
import traceback

from stylewatch_daemon.errors import InputError, OutputError, SettingsError, UnavailableError
from stylewatch_daemon.execute.contract import Failed, Refused
from stylewatch_painter.errors import (
    DivergedError,
    PictureError,
    RecipeError,
    SaveError,
    WeightsError,
)
from stylewatch_plugins.errors import BackendError

NOT_THERE, OUR_FAULT, CANNOT_WRITE = 69, 70, 73

_REFUSED = (PictureError, RecipeError, DivergedError, SettingsError, InputError)
_MISSING = (WeightsError, BackendError, UnavailableError)
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO,
                   errno.EFBIG})  # fmt: skip


def as_end(error: Exception) -> Refused | Failed:
    """The End that `error` makes of a job: again and again the same, or to be tried again."""
    if isinstance(error, _REFUSED):
        return Refused(str(error))
    if isinstance(error, _MISSING):
        return Failed(str(error), NOT_THERE)
    if isinstance(error, SaveError | OutputError):
        return Failed(str(error), CANNOT_WRITE)
    if isinstance(error, OSError) and error.errno in _DISK:
        return Failed(
            f"{error.filename or 'a file'} cannot be written: {error.strerror}", CANNOT_WRITE
        )
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, MemoryError):
        return Failed("the memory did not suffice; a smaller size needs less", OUR_FAULT, trace)
    return Failed(f"a fault of our own, {type(error).__name__}: {error}", OUR_FAULT, trace)
