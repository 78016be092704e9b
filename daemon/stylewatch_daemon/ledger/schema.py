"""Tables of the ledger: versions, checks, and SQLite's errors in words."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from enum import StrEnum
from os.path import lexists
from pathlib import Path

from stylewatch_daemon.base.errors import DamagedError, OutputError, SettingsError
from stylewatch_daemon.base.model import REFUSALS, Cause, End, State
from stylewatch_daemon.files import atomic

_OF_A_ROW = (
    sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError
)  # fmt: skip
"""Errors caused by the values to be written, not by the ledger or its disk."""

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
"""Codes of errors of the file; the last one means that a table or a column is missing."""


def listed(*values: StrEnum) -> str:
    """Return a list of states or ends in SQL."""
    return "(" + ", ".join(f"'{value}'" for value in values) + ")"


IN_INBOX_ORDER = "interruptions >= 3, priority DESC, id"
"""SQL order of an inbox's jobs. A job that was running during three consecutive kills of the daemon
comes last."""

WAITING = f"state IN {listed(State.CLAIMED, State.QUEUED)}"
ENDED = f"state = '{State.ENDED}'"
UNDISMISSED = f"{ENDED} AND end IN {listed(*REFUSALS)} AND dismissed = 0"
"""SQL condition for the refused and failed jobs that the status lists."""

FIRST_DIGEST = "json_extract(inputs, '$[0].sha256')"
"""SQL for the digest of a job's content image, which is its first input."""

VERSIONS: tuple[Sequence[str], ...] = (
    (
        f"""
        CREATE TABLE jobs (             -- base.model.Job describes the columns
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            inbox TEXT NOT NULL,
            outbox TEXT NOT NULL,
            entered TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN {listed(*State)}),
            end TEXT CHECK (end IN {listed(*End)}),
            cause TEXT CHECK (cause IN {listed(*Cause)}),
            reason TEXT NOT NULL,
            asked TEXT CHECK (asked IN {listed(*End)}),
            inputs TEXT NOT NULL CHECK (json_valid(inputs)),
            bytes INTEGER NOT NULL,
            priority INTEGER NOT NULL,
            needs TEXT NOT NULL,
            place TEXT,
            refused_as TEXT,
            faults INTEGER NOT NULL,
            interruptions INTEGER NOT NULL,
            step INTEGER NOT NULL,
            finished TEXT,
            settings TEXT CHECK (settings IS NULL OR json_valid(settings)),
            retry_of TEXT NOT NULL,
            dismissed INTEGER NOT NULL
        ) STRICT
        """,
        f"""
        CREATE INDEX jobs_next ON jobs
        (inbox, (interruptions >= 3), priority DESC, id, outbox, needs)
        WHERE state = '{State.QUEUED}'
        """,
        f"""
        CREATE INDEX jobs_waiting ON jobs
        (outbox, (interruptions >= 3), priority DESC, id)
        WHERE {WAITING}
        """,
        "CREATE INDEX jobs_counted ON jobs (state, end, dismissed)",
        f"CREATE INDEX jobs_ended ON jobs (finished, id, end) WHERE {ENDED}",
        f"CREATE INDEX jobs_undismissed ON jobs (finished, id) WHERE {UNDISMISSED}",
        "CREATE INDEX jobs_by_name ON jobs (name)",
        "CREATE INDEX jobs_by_place ON jobs (place)",
        "CREATE INDEX jobs_by_refusal ON jobs (refused_as) WHERE refused_as IS NOT NULL",
        f"CREATE INDEX jobs_of_picture ON jobs ({FIRST_DIGEST}, id)",
        """
        CREATE TABLE attempts (
            job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
            number INTEGER NOT NULL,
            started TEXT NOT NULL,
            step INTEGER NOT NULL,
            backend TEXT NOT NULL,
            device TEXT NOT NULL,
            pid INTEGER NOT NULL,
            ended TEXT,
            how TEXT NOT NULL,
            reason TEXT NOT NULL,
            PRIMARY KEY (job, number)
        ) STRICT, WITHOUT ROWID
        """,
        """
        CREATE TABLE files (            -- base.model.OutputFile; written before it is published
            job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
            path TEXT NOT NULL,
            part TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            size INTEGER NOT NULL,
            PRIMARY KEY (job, path)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX files_by_part ON files (part)",
        "CREATE INDEX files_by_path ON files (path)",
        """
        CREATE TABLE kept (             -- claimed files that are still in their inbox
            key TEXT PRIMARY KEY,       -- Pair.key
            main TEXT NOT NULL,         -- the path of the pair's main file
            doomed INTEGER NOT NULL,    -- 1: they are removed as soon as that is possible
            record TEXT NOT NULL CHECK (json_valid(record))  -- writer.Kept
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX kept_by_main ON kept (main)",
        """
        CREATE TABLE requests (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            verb TEXT NOT NULL,
            arguments TEXT NOT NULL CHECK (json_valid(arguments)),
            made TEXT NOT NULL
        ) STRICT
        """,
    ),
)
"""Statements that upgrade the tables to each version from the previous one."""

BESIDE = ("-wal", "-shm", "-journal")
"""Suffixes of the files that SQLite keeps beside a database."""


@contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    """Translate SQLite's errors.

    OutputError: the ledger cannot be read or written now, for example because the disk is full.
    DamagedError: the file is damaged. ValueError: the ledger does not accept these values.
    """
    try:
        yield
    except _OF_A_ROW as error:
        raise ValueError(f"the ledger does not accept this: {error}") from error
    except sqlite3.Error as error:
        # the lowest byte of an extended code is the primary code
        if (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF in _DAMAGED:
            raise damaged(path, str(error)) from error
        raise OutputError(
            f"the ledger {path} cannot be used ({error}); is its disk full, or read-only?"
        ) from error


def check_files(path: Path) -> None:
    """Raise DamagedError if the ledger, or a file that SQLite keeps beside it, is not a file.

    SQLite would wait forever for a pipe, and report a folder as a disk error. It treats an empty
    file as a new database, but a ledger has its tables from the moment it exists.
    """
    for ending in ("", *BESIDE):
        file = path.with_name(f"{path.name}{ending}")
        if lexists(file) and not file.is_file():
            raise damaged(path, f"{file.name} is not a regular file")
    if path.is_file() and path.stat().st_size == 0:
        raise damaged(path, "it is empty")


def damaged(path: Path, what: str) -> DamagedError:
    """Return the error that says that the ledger is damaged and what to do."""
    return DamagedError(
        f"the ledger {path} is damaged ({what}) and was left as it is: move it away, and "
        "the jobs that are not finished are entered anew"
    )


def sql_value(value: object) -> object:
    """Return `value` in a form that SQLite accepts.

    Bytes in a name that are not valid text are escaped. An integer that is too large becomes the
    largest one, because a sparse file can have such a size.
    """
    if isinstance(value, str) and not value.isascii():
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, int):
        return min(max(value, -(1 << 63)), (1 << 63) - 1)
    return value


def upgrade(
    connection: sqlite3.Connection, path: Path, versions: Sequence[Sequence[str]] = VERSIONS
) -> None:
    """Upgrade the ledger at `path` to the newest version.

    Before each step the ledger is copied to `<name>.vN.bak`. Raises SettingsError for a ledger of a
    newer version.
    """
    current: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if current > len(versions):
        raise SettingsError(
            f"the ledger {path} was written by a newer stylewatch (version {current} of its "
            f"tables, this one knows {len(versions)}): install that one again"
        )
    with translated_errors(path):
        for version in range(current, len(versions)):
            if current:
                _back_up(connection, path.with_name(f"{path.name}.v{version}.bak"))
            connection.execute("BEGIN IMMEDIATE")
            try:
                for statement in (*versions[version], f"PRAGMA user_version = {version + 1}"):
                    connection.execute(statement)
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Raise DamagedError if a file is not a ledger, or is a damaged one.

    Its tables are strict, so that SQLite's own check covers the types and constraints of all
    values.
    """
    with translated_errors(path):
        (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if result != "ok":
            raise damaged(path, result.splitlines()[-1])  # the first line names the database
        check_version(connection, path)


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Raise DamagedError if a file lacks the tables of a ledger."""
    if connection.execute("PRAGMA user_version").fetchone()[0] < 1:
        raise damaged(path, "it has no tables of stylewatch")


def _back_up(connection: sqlite3.Connection, path: Path) -> None:
    """Copy the whole ledger to `path`, atomically."""
    half = path.with_name(f".{path.name}")
    half.unlink(missing_ok=True)
    with closing(sqlite3.connect(half)) as copy:
        connection.backup(copy)
    atomic.sync_file(half)
    atomic.move(half, path)
