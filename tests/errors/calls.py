"""Calls of the daemon to its disks, and the errors that each of them can meet."""

import errno
import os
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import NamedTuple

from stylewatch_daemon.base.shortages import DISK

AWAY = "AWAY"
"""The error of a mount that is missing: its paths lead to the empty folder below it."""

ALWAYS = 1 << 30
"""Number of calls that fail if all of them do, from then on."""

SQLITE = {
    "BUSY": (sqlite3.SQLITE_BUSY, "database is locked"),
    "FULL": (sqlite3.SQLITE_FULL, "database or disk is full"),
    "IOERR": (sqlite3.SQLITE_IOERR, "disk I/O error"),
}
"""The errors of the ledger, with SQLite's code and text."""

STATEMENTS = {"BEGIN IMMEDIATE": "begin", "COMMIT": "commit"}
"""The statements of SQLite that fail, with the names of these calls."""

CLASSES = ("absent", "space", "permission", "passing", "crossing", "exhausted", "ledger", "every",
           "path")  # fmt: skip
"""The classes of errors that the daemon tells apart.

- absent: the whole mount is missing for a step of the main loop, or for three; calls with names
- space: `ENOSPC` of calls that write
- permission: `EROFS` of calls that change something, `EACCES` of others with names
- passing: `EIO` of all calls
- crossing: `EXDEV` of `rename` and `link`, also from then on of all that move something elsewhere
- exhausted: `EMFILE` of calls that open a file or a folder
- ledger: `SQLITE_BUSY` at the begin of a transaction; `SQLITE_FULL`, `SQLITE_IOERR` at its commit
- every: all errors of disks, shares and machines, for one call of each kind in each run
- path: one file or folder, and what is below it, cannot be opened or read for 8 scans
"""

UNREADABLE = ("EACCES", "EIO")
"""The errors of such a path: it cannot be opened, or is damaged, so that all calls fail."""

_LEDGER = frozenset(STATEMENTS.values())
_TWO_NAMES = frozenset({"rename", "link"})
_NAMES = frozenset(
    {"open", "create", "stat", "access", "readlink", "statvfs", "scandir", "mkdir", "mkfifo",
     "rmdir", "chmod", "utime", "unlink", *_TWO_NAMES}
)  # fmt: skip
"""Calls that look a name up; `create` is an `open` that may create a file."""

_GROWS = frozenset({"create", "mkdir", "mkfifo", "write", "truncate", "fsync", *_TWO_NAMES})
_CHANGES = frozenset({"unlink", "rmdir", "chmod", "fchmod", "utime", *_GROWS})
_OPENS = frozenset({"open", "create", "scandir", "mounts"})

_ONLY: Mapping[int, frozenset[str]] = {
    errno.ENOSPC: _GROWS,
    errno.EDQUOT: _GROWS,
    errno.EFBIG: _GROWS,
    errno.EROFS: _CHANGES,
    errno.EACCES: _CHANGES | _NAMES,
    errno.EPERM: _CHANGES | _NAMES,
    errno.EXDEV: _TWO_NAMES,
    errno.EMFILE: _OPENS,
    errno.ENFILE: _OPENS,
}
"""The calls that meet an error, unless all do."""

_EVERY = (DISK - {errno.ENOENT, errno.ENOTDIR}) | {errno.ENOMEM, errno.EMFILE, errno.ENFILE}
"""Errors of disks and machines. That a file is absent is none: only a missing mount says so of
a file that exists."""


class Call(NamedTuple):
    """A call of the daemon: what it does, on which mounts, to which path, and who asked for it."""

    name: str
    mounts: tuple[str, ...]
    path: str
    where: str
    """The functions of the daemon that asked for it, the innermost first."""
    is_start: bool
    """True if the daemon was still starting."""

    @property
    def place(self) -> str:
        """The innermost function outside of `files`, with its line."""
        places = self.where.split(" < ")
        return next((place for place in places if not place.startswith("files/")), places[0])

    @property
    def origin(self) -> tuple[str, ...]:
        """Key that calls share if the daemon cannot tell apart which of them failed.

        These are calls of one kind that look at the same folder, in the same function outside of
        `files`, with the same callers. Calls that change something are told apart by all callers.
        """
        if self.name in _LEDGER | _CHANGES:
            return self.name, self.path, self.where
        places = (place for place in self.where.split(" < ") if not place.startswith("files/"))
        return self.name, self.path.partition("/")[0], *self.mounts, *places

    @property
    def paths(self) -> list[str]:
        """Its paths, without ids; none of a call of the ledger or of the whole system."""
        names = self.path.split(" to ") if self.name not in _LEDGER and self.path else []
        return [without_ids(name) for name in names]

    @property
    def is_between_folders(self) -> bool:
        """True if it renames or links from one folder to another."""
        old, _, new = self.path.partition(" to ")
        return bool(new) and PurePath(old).parent != PurePath(new).parent

    @property
    def errors(self) -> Mapping[str, tuple[str, ...]]:
        """One error of each class that it can meet; each of the ledger's."""
        if self.name in _LEDGER:
            return {"ledger": ("BUSY",) if self.name == "begin" else ("FULL", "IOERR")}
        refusal = "EROFS" if self.name in _CHANGES else "EACCES"
        classes = {"space": "ENOSPC", "permission": refusal, "passing": "EIO",
                   "crossing": "EXDEV", "exhausted": "EMFILE"}  # fmt: skip
        found = {name: (error,) for name, error in classes.items() if fits(self.name, error)}
        # nobody can tell a state folder that is missing at the start from one that was never made
        is_first = self.is_start and not {"state", "."}.isdisjoint(self.mounts)
        return {"absent": (AWAY,), **found} if self.name in _NAMES and not is_first else found

    @property
    def every_error(self) -> tuple[str, ...]:
        """All errors of disks and machines that it can meet."""
        if self.name in _LEDGER:
            return tuple(SQLITE)
        names = (errno.errorcode[number] for number in sorted(_EVERY))
        return tuple(name for name in names if fits(self.name, name))


def fits(call: str, error: str) -> bool:
    """Return whether a call of this name can meet an error."""
    if error in SQLITE or call in _LEDGER:
        return error in SQLITE and call in _LEDGER
    number = getattr(errno, error)
    return call in _ONLY[number] if number in _ONLY else call != "mounts"


def error_of(name: str, path: str) -> Exception:
    """Return the error with this name."""
    if name in SQLITE:
        code, text = SQLITE[name]
        failure = sqlite3.OperationalError(text)
        vars(failure)["sqlite_errorcode"] = code
        return failure
    number = getattr(errno, name)
    return OSError(number, os.strerror(number), path)


@dataclass(frozen=True)
class Fault:
    """From the call with number `call` on (1 is the first), so many fail in a row.

    These are the calls on the same mounts that can meet the error; a commit fails at commits. A
    mount that is AWAY is so up to the end of this step of the daemon, or of so many steps. ALWAYS
    is for EXDEV: no folder can be reached from another, as with file systems that unite several
    disks. With `call` 0 it begins at the first call that can meet the error.
    """

    call: int
    error: str
    times: int = 1
    path: str = ""
    """All calls on this path, and below it, fail for a while, and no others."""

    def is_met_by(self, name: str) -> bool:
        """Return whether a call of this name fails on the path."""
        opens = name in ("open", "create", "scandir")
        return opens if self.error == "EACCES" else fits(name, self.error)

    def begins_at(self, number: int, name: str) -> bool:
        """Return whether it begins at the call with this number and name."""
        return number == self.call if self.call else fits(name, self.error)


def without_ids(text: str) -> str:
    """Return a text with the ids of jobs and random names replaced."""
    text = re.sub(r"\d{8}T\d{6}\.\d{6}-[0-9a-f]{6}", "JOB", text)
    return re.sub(r"\b[0-9a-f]{16}\b", "RANDOM", text)
