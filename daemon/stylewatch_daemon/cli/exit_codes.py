"""Output of the commands, and the exit code (as in sysexits.h) and message of each error."""

import atexit
import errno
import json
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import NoReturn

from stylewatch_daemon.base.errors import LACKS, DaemonError, Exit
from stylewatch_daemon.base.shortages import FULL
from stylewatch_painter.errors import PainterError
from stylewatch_painter.installation import unloadable
from stylewatch_plugins.errors import BackendError, error_kind

NOT_RUNNING = 3
"""Exit code if no daemon is running, as `systemctl status` has it."""

BY_SIGNAL, INTERRUPTED = 128, 130
"""Exit codes as in shells: the base to which the number of a signal is added, and the code of
SIGINT."""

BROKEN_PIPE = 141
"""Exit code of a program whose reader closed the pipe, as in shells."""


def explain(error: Exception) -> tuple[int, str]:
    """Return the exit code and the message for `error`.

    An unexpected error is a fault of stylewatch, or of the package whose code raised it.
    """
    if isinstance(error, ImportError):
        error = unloadable(error)
    if isinstance(error, DaemonError | PainterError | BackendError):
        return error.exit_code, str(error)
    if isinstance(error, OSError) and error.errno in FULL | {errno.EROFS}:
        path = error.filename or "the output"
        return Exit.CANNOT_WRITE, f"{path} cannot be written: {error.strerror}"
    kind = error_kind(error)
    if kind is not None:
        reason = str(error).partition("\n")[0] or type(error).__name__
        return Exit.UNAVAILABLE, LACKS[kind].format(reason)
    from stylewatch_plugins import registry  # only here: it reads what is installed

    author = registry.author(error) or "stylewatch's own"
    return Exit.FAULT, (
        f"a fault of {author}, {type(error).__name__}: {error}; "
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


def echo_result(plain: object, text: str, *, json: bool) -> None:
    """Print a result: `plain` as JSON if `json` is set, else `text`."""
    if json:
        echo_json(plain)
    else:
        echo(text)


def note(text: str) -> None:
    """Print a remark on stderr, each line after the program's name; ignore write errors."""
    with suppress(OSError):
        for line in text.splitlines():
            print(f"stylewatch: {line}", file=sys.stderr, flush=True)


def exit_process(code: int) -> NoReturn:
    """Exit with `code`, if possible without destroying torch's modules.

    Destroying them takes longer than loading the network's weights. They are left only if torch is
    loaded, no other thread runs, and no profiler has results to write. Ctrl-C is ignored during the
    exit. Output that a stream did not take is dropped, because its error was reported.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    alone = threading.active_count() == 1 and sys.getprofile() is None
    if "torch" in sys.modules and alone:
        atexit._run_exitfuncs()
        os._exit(code)
    sys.exit(code)
