"""Exit code, as in sysexits, and message for each error."""

import errno

from stylewatch_daemon.errors import DaemonError
from stylewatch_painter.errors import (
    DivergedError,
    PainterError,
    PictureError,
    RecipeError,
    SaveError,
    WeightsError,
)
from stylewatch_plugins.errors import (
    BackendError,
    BackendMissingError,
    BackendOptionError,
    error_kind,
)

USAGE, UNAVAILABLE, OUR_FAULT, CANNOT_WRITE = 64, 69, 70, 73
BY_SIGNAL, INTERRUPTED = 128, 130
"""As shells know the ends by a signal, whose number is added, and by SIGINT."""

_CODES: tuple[tuple[type[Exception], int], ...] = (
    (PictureError, 65),
    (RecipeError, USAGE),
    (WeightsError, 69),
    (SaveError, CANNOT_WRITE),
    (DivergedError, OUR_FAULT),
    (BackendMissingError, 69),
    (BackendOptionError, 78),
)
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})

_TROUBLE = {
    "memory": "there is not enough memory for this ({}); a smaller --size needs less, and "
    "--set limits.out_of_memory=smaller finds one",
    "device": "the device is lost ({}); `stylewatch doctor` tells whether it works",
}


def code_of(error: BaseException) -> int:
    """The exit code that `error` ends a command with."""
    if isinstance(error, DaemonError):
        return error.exit_code
    if isinstance(error, OSError) and error.errno in _DISK:
        return CANNOT_WRITE
    if error_kind(error) is not None:
        return UNAVAILABLE
    return next((code for kind, code in _CODES if isinstance(error, kind)), OUR_FAULT)


def sentence_of(error: BaseException) -> str:
    """Return the message for `error`; an unforeseen error is reported as a fault of stylewatch."""
    if isinstance(error, DaemonError | PainterError | BackendError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _DISK:
        return f"{error.filename or 'the output'} cannot be written: {error.strerror}"
    if (found := error_kind(error)) is not None:
        return _TROUBLE[found].format(str(error).partition("\n")[0] or type(error).__name__)
    return (
        f"a fault of stylewatch's own, {type(error).__name__}: {error}; "
        "`stylewatch --debug ...` shows where"
    )
