"""Questions to the ledger in SQL, and what SQLite objects to, in words."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from os.path import lexists
from pathlib import Path

from stylewatch_daemon.errors import DamagedError, OutputError
from stylewatch_daemon.store.ledger_counts import COUNTED

LEAST, MOST = -(1 << 63), (1 << 63) - 1
"""The integers that SQLite can store."""

_OF_A_ROW = (
    sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError
)  # fmt: skip
"""Errors of the values that were to be written, not of the ledger or its disk."""

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Rows:
    """Reads the ledger at `path` through `connection`."""

    counted = COUNTED
    """SQL for the number of jobs of an inbox and an outbox in each state."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._connection.row_factory = sqlite3.Row
        self._connection.text_factory = partial(str, encoding="utf-8", errors="replace")

    def close(self) -> None:
        """Read no more."""
        self._connection.close()

    def _rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        try:
            return self._connection.execute(query, [plain(value) for value in values]).fetchall()
        except sqlite3.Error as error:
            raise _told(self.path, error) from error


@contextmanager
def in_words(path: Path) -> Iterator[None]:
    """Translate what SQLite raises.

    OutputError: nothing can be read or written now, as the disk is full, say; DamagedError: the
    file is damaged. ValueError: the ledger is fine, and does not take these values.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _told(path, error) from error


def check_files(path: Path) -> None:
    """Raise DamagedError where the ledger, or a file that SQLite keeps beside it, is no file.

    SQLite would wait for ever for a pipe, and report a folder as a disk error.
    """
    for ending in ("", "-wal", "-shm", "-journal"):
        file = path.with_name(f"{path.name}{ending}")
        if lexists(file) and not file.is_file():
            raise damaged(path, f"{file.name} is not a regular file")


def damaged(path: Path, what: str) -> DamagedError:
    """Say that the ledger is damaged, and what to do."""
    return DamagedError(
        f"the ledger {path} is damaged ({what}) and was left as it is: put a copy of it in its "
        "place, or move it away, and the jobs that are not finished are entered anew"
    )


def _told(path: Path, error: sqlite3.Error) -> OutputError | ValueError:
    if isinstance(error, _OF_A_ROW):
        return ValueError(f"the ledger does not take this: {error}")
    # the extended codes have the primary one in their last byte
    if (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF in _DAMAGED:
        return damaged(path, str(error))
    return OutputError(
        f"the ledger {path} cannot be used ({error}); is its disk full, or read-only?"
    )


def plain(value: object) -> object:
    """`value` as SQLite takes it: bytes in a name that were no text are written out.

    An integer that is too large becomes the largest one: a sparse file can be that long.
    """
    if isinstance(value, str) and not value.isascii():
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, int):
        return min(max(value, LEAST), MOST)
    return value
