"""A restart of the daemon within its process, with the same steps as after a reboot (law 15).

`execve` replaces the program of the process, which keeps its id, arguments and environment. A
variable of the environment passes a `Handover` to the new daemon.
"""

import json
import os
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from stylewatch_daemon.app.hooks import LeftHook
from stylewatch_daemon.app.page import Listening
from stylewatch_daemon.base.errors import UnavailableError
from stylewatch_daemon.base.wakeup import release_signals

VARIABLE = "STYLEWATCH_RESTART"
"""Name of the variable of the environment that holds the handover; it is no setting."""

Version = tuple[int, ...] | None
"""Mode, inode, size, mtime and ctime of a file, both times in nanoseconds. A change of its owner
changes the ctime. None if the file does not exist, or if its status cannot be read."""


@dataclass(frozen=True)
class Handover:
    """Data that a daemon hands to the next one in its process.

    All fields have their defaults if the daemon was not started by `begin_anew`.
    """

    pid: int = 0
    """Id of the process. A process with another id ignores the handover: it was left by mistake."""
    lock: int | None = None
    """Descriptor of the lock of the state folder."""
    page: Listening | None = None
    """The socket at which the page listens."""
    terminals: tuple[int, ...] | None = None
    """Standard streams that were terminals at the start of the first daemon."""
    mounts: tuple[Path, ...] = ()
    """Mounts on which folders were used: only a start by a person forgets them (law 2)."""
    hook: LeftHook | None = None
    file: Path | None = None
    """File of the settings, so that the next daemon does not search for it again."""
    settings: Path | None = None
    """Copy of the settings to start with."""
    earlier: Path | None = None
    """Copy of the settings that worked last, to which the daemon can go back once."""
    versions: tuple[Version, ...] = ()
    """Versions of the files of the settings when they were read."""
    problem: str = ""
    """Why the daemon went back to earlier settings."""

    @property
    def is_restart(self) -> bool:
        """True if the daemon takes the place of an earlier one."""
        return bool(self.pid)


def received(environment: MutableMapping[str, str]) -> Handover:
    """Remove the handover of an earlier image of this process from `environment`, and return it.

    Returns an empty Handover if there is none, or if it is invalid or that of another process.
    """
    try:
        plain = json.loads(environment.pop(VARIABLE, "null"))
        handover = TypeAdapter(Handover).validate_python(plain)
    except ValueError:
        return Handover()
    if handover.pid != os.getpid():
        return Handover()
    for descriptor in _descriptors(handover):
        os.set_inheritable(descriptor, False)
    return handover


def _descriptors(handover: Handover) -> list[int]:
    page = None if handover.page is None else handover.page.fd
    output = None if handover.hook is None else handover.hook.output
    return [descriptor for descriptor in (handover.lock, page, output) if descriptor is not None]


def begin_anew(handover: Handover, environment: Mapping[str, str]) -> None:
    """Replace this process by a new one with the same arguments and this `environment`.

    The new process gets the `handover`. Blocked signals stay blocked. If the replacement is
    impossible, unblock them and raise UnavailableError.
    """
    for descriptor in _descriptors(handover):
        os.set_inheritable(descriptor, True)
    sys.stdout.flush()
    sys.stderr.flush()
    plain = json.dumps(asdict(handover), default=str)
    try:
        os.execve(
            sys.executable,
            [sys.executable, *sys.orig_argv[1:]],
            {**environment, VARIABLE: plain},
        )
    except OSError as error:
        release_signals()
        reason = error.strerror or str(error)
        raise UnavailableError(
            f"stylewatch cannot start anew ({sys.executable}: {reason}): start it again"
        ) from error
