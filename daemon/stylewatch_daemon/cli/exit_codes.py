"""Output of the commands, and the exit code (as in sysexits) and message of each error."""

import atexit
import errno
import json
import os
import sys
import threading
from typing import NoReturn

from stylewatch_daemon.errors import DaemonError
from stylewatch_painter.errors import (
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

USAGE, UNAVAILABLE, INTERNAL_FAULT, CANNOT_WRITE, CONFIG = 64, 69, 70, 73, 78
NOT_RUNNING = 3
"""As `systemctl status`: there is no daemon."""

BY_SIGNAL, INTERRUPTED = 128, 130
"""As in shells: the number of the signal is added; the code of SIGINT."""

BROKEN_PIPE = 141
"""Exit code of a program whose reader closed the pipe, as in shells."""

_CODES: dict[type[Exception], int] = {
    PictureError: 65,
    RecipeError: USAGE,
    WeightsError: UNAVAILABLE,
    SaveError: CANNOT_WRITE,
    BackendMissingError: UNAVAILABLE,
    BackendOptionError: CONFIG,
}
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})

_RESOURCE_MESSAGES = {
    "memory": "there is not enough memory for this ({}); a smaller --size needs less, and "
    "--set limits.out_of_memory=smaller finds one",
    "device": "the device is lost ({}); `stylewatch doctor` checks whether it works",
}


def code_of(error: BaseException) -> int:
    """Return the exit code for `error`."""
    if isinstance(error, DaemonError):
        return error.exit_code
    if isinstance(error, OSError) and error.errno in _DISK:
        return CANNOT_WRITE
    if error_kind(error) is not None:
        return UNAVAILABLE
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), INTERNAL_FAULT)


def sentence_of(error: BaseException) -> str:
    """Return the message for `error`; an unforeseen error is reported as a fault of stylewatch."""
    if isinstance(error, DaemonError | PainterError | BackendError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _DISK:
        return f"{error.filename or 'the output'} cannot be written: {error.strerror}"
    if (kind := error_kind(error)) is not None:
        return _RESOURCE_MESSAGES[kind].format(
            str(error).partition("\n")[0] or type(error).__name__
        )
    return (
        f"a fault of stylewatch's own, {type(error).__name__}: {error}; "
        "`stylewatch --debug ...` shows where"
    )


def echo(text: str) -> None:
    """Print a result on stdout; exit silently if the reader has closed the pipe."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise SystemExit(BROKEN_PIPE) from None


def echo_json(plain: object) -> None:
    """Print a result as JSON on one line."""
    echo(json.dumps(plain, ensure_ascii=False, default=str))


def note(text: str) -> None:
    """Print a remark on stderr, each line with the program's name."""
    try:
        for line in text.splitlines():
            print(f"stylewatch: {line}", file=sys.stderr, flush=True)
    except BrokenPipeError:
        return


def exit_process(code: int) -> NoReturn:
    """Exit with `code`, without destroying torch's modules.

    That takes longer than loading the network's weights. The shortcut is taken only if torch is
    loaded, no other thread runs, and no profiler has results to write.
    """
    alone = threading.active_count() == 1 and sys.getprofile() is None
    if "torch" in sys.modules and alone:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # raises on a broken pipe, as a normal exit does
        os._exit(code)
    sys.exit(code)
