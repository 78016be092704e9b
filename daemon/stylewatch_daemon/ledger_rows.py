"""Questions to the ledger in SQL, and what SQLite objects to, in words."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.ledger_counts import COUNTED


class Rows:
    """Reads the ledger at `path` through `connection`."""

    counted = COUNTED
    """What says, for SQL, how many jobs of an inbox and an outbox are in a state."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._connection.row_factory = sqlite3.Row

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
    """What SQLite objects to, as an OutputError: a full disk for one, or a damaged file."""
    try:
        yield
    except sqlite3.Error as error:
        raise _told(path, error) from error


def _told(path: Path, error: sqlite3.Error) -> OutputError:
    return OutputError(
        f"the ledger {path} cannot be used ({error}); is its disk full, or read-only?"
    )


def plain(value: object) -> object:
    """`value` as SQLite takes it: bytes in a name that were no text are written out."""
    if isinstance(value, str) and not value.isascii():
        return value.encode(errors="backslashreplace").decode()
    return value
