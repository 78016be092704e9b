"""Tables of the ledger, their upgrades and checks, and the translation of SQLite's errors."""

import sqlite3
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path

from stylewatch_daemon.base.errors import (
    DamagedError,
    LedgerError,
    LockedError,
    OldLedgerError,
)
from stylewatch_daemon.base.model import REFUSALS, Cause, End, State
from stylewatch_daemon.files import atomic, entries
from stylewatch_daemon.ledger import memory

_OF_A_ROW = (
    sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError
)  # fmt: skip
"""Errors caused by the values to be written, not by the ledger or its disk."""

_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
"""Codes of errors of a damaged file; SQLITE_ERROR means that a table or a column is missing."""


def listed(*values: StrEnum) -> str:
    """Return states or ends as a list in SQL, with parentheses."""
    return "(" + ", ".join(f"'{value}'" for value in values) + ")"


_COMES_LAST = "interruptions >= 3"
"""SQL condition for a job with three `Job.interruptions` or more."""

IN_INBOX_ORDER = f"{_COMES_LAST}, priority DESC, id"
"""SQL order in which the jobs of an inbox begin."""

RANK = f"{_COMES_LAST}, -priority, id"
"""SQL for values whose ascending order is IN_INBOX_ORDER, to compare two jobs. No index has these
values: to sort by an index, use IN_INBOX_ORDER."""

WAITING = f"state IN {listed(State.CLAIMED, State.QUEUED)}"
ENDED = f"state = '{State.ENDED}'"
KEPT = f"{ENDED} AND trashed IS NULL"
"""SQL condition for the jobs that ended and are not in the trash."""

_UNDISMISSED = f"end IN {listed(*REFUSALS)} AND dismissed = 0"
UNDISMISSED = f"{KEPT} AND {_UNDISMISSED}"
"""SQL condition for the refused and failed jobs that the status lists."""

REQUESTED = (
    "(SELECT json_extract(arguments, '$.job') FROM requests "
    "WHERE json_type(arguments, '$.job') = 'text')"
)
"""SQL for the ids of the jobs about which a request waits; no retention acts on them meanwhile."""

FIRST_DIGEST = "json_extract(inputs, '$[0].sha256')"
"""SQL for the digest of a job's first input: its content image, if it has one."""

_MEMORY_TABLES = (
    """
    CREATE TABLE about (            -- of this ledger; there is one row
        id TEXT PRIMARY KEY,        -- names its folder in an inbox
        mounts TEXT NOT NULL DEFAULT '[]'  -- on which folders were used, in JSON
    ) STRICT, WITHOUT ROWID
    """,
    "INSERT INTO about (id) VALUES (lower(hex(randomblob(8))))",
    """
    CREATE TABLE seen (             -- memory.Seen: files that stay in an inbox, or in the library
        path TEXT NOT NULL,
        inbox TEXT NOT NULL,
        disk TEXT NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        left_out TEXT NOT NULL,
        gone INTEGER,
        PRIMARY KEY (disk, path)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX seen_by_inbox ON seen (inbox)",
    "CREATE INDEX seen_by_digest ON seen (sha256)",
    """
    CREATE TABLE painted (          -- what has been painted and stays in an inbox, by content
        key TEXT NOT NULL,          -- memory.key_of
        sha256 TEXT NOT NULL,       -- of one of its files; each has a row
        path TEXT NOT NULL,         -- of the main file
        job TEXT NOT NULL,          -- the first that painted it; empty if version 1 did
        PRIMARY KEY (key, sha256)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX painted_by_digest ON painted (sha256)",
)
"""Tables of the memory, whose rows stay when jobs are deleted, and of data about the ledger."""

_KEPT_TO_MEMORY = (
    # files_of: rows of path, inbox, size, time, digest and left_out, for the files of a record
    """
    INSERT OR IGNORE INTO seen
    SELECT json_extract(file.value, '$[0]'), json_extract(file.value, '$[1]'), '',
        json_extract(file.value, '$[2]'), json_extract(file.value, '$[3]'),
        json_extract(file.value, '$[4]'), json_extract(file.value, '$[5]'), NULL
    FROM kept, json_each(files_of(record)) AS file
    """,
    # pairs: what version 1 kept, each with the inputs of its latest job, if that still exists
    """
    WITH pairs AS (
        SELECT key, record, json_extract(record, '$.main') AS source, kept.main AS path,
            (SELECT inputs FROM jobs
             WHERE jobs.inbox = json_extract(record, '$.inbox')
             AND json_extract(inputs, '$[0].source') = json_extract(record, '$.main')
             AND json_extract(record, '$.main') || char(10) || name = json_extract(record, '$.key')
             ORDER BY id DESC LIMIT 1) AS inputs
        FROM kept
    )
    INSERT OR IGNORE INTO painted
    SELECT painted_key.value, json_extract(file.value, '$.sha256'), pairs.path, ''
    FROM pairs,
        json_each(keys_of(pairs.key, record, inputs)) AS painted_key,
        json_each(record, '$.files') AS file
    WHERE json_extract(file.value, '$.path') = pairs.source
    """,
    # other files of these pairs, such as styles, of which version 1 knew neither inbox nor time;
    # files_of_job: rows of path, size and digest, for the inputs of a job
    """
    INSERT OR IGNORE INTO seen
    SELECT json_extract(file.value, '$[0]'), '', '', json_extract(file.value, '$[1]'), 0,
        json_extract(file.value, '$[2]'), '', NULL
    FROM kept
        JOIN jobs ON jobs.inbox = json_extract(record, '$.inbox')
            AND json_extract(inputs, '$[0].source') = json_extract(record, '$.main'),
        json_each(files_of_job(inputs)) AS file
    """,
    "DROP TABLE kept",
)
"""Statements that move the table `kept` of version 1 into the tables of the memory. They call
functions of the module `memory`, which `upgrade` registers."""

_RETENTION = (
    """
    CREATE TABLE ages (             -- ledger.Sight.counted_s when a job was first seen as ended
        job TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
        since REAL NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE clock (            -- ledger.Sight, the last one
        id INTEGER PRIMARY KEY CHECK (id = 1),
        latest TEXT NOT NULL,
        counted_s REAL NOT NULL
    ) STRICT
    """,
)
"""Tables by which retention knows the ages of jobs."""

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
        (inbox, ({_COMES_LAST}), priority DESC, id, outbox, needs)
        WHERE state = '{State.QUEUED}'
        """,
        f"""
        CREATE INDEX jobs_waiting ON jobs
        (outbox, ({_COMES_LAST}), priority DESC, id)
        WHERE {WAITING}
        """,
        "CREATE INDEX jobs_counted ON jobs (state, end, dismissed)",
        f"CREATE INDEX jobs_ended ON jobs (finished, id, end) WHERE {ENDED}",
        f"CREATE INDEX jobs_undismissed ON jobs (finished, id) WHERE {ENDED} AND {_UNDISMISSED}",
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
    (
        *_MEMORY_TABLES,
        *_KEPT_TO_MEMORY,
        *_RETENTION,
        "ALTER TABLE jobs ADD COLUMN disk TEXT NOT NULL DEFAULT ''",
    ),
    (
        """
        CREATE TABLE hooks (            -- ended jobs whose hook has not ended
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            job TEXT NOT NULL,          -- it may have been deleted since
            begun INTEGER NOT NULL      -- 1: its command may have been started
        ) STRICT
        """,
        "ALTER TABLE clock ADD COLUMN set_s REAL",
        "ALTER TABLE clock ADD COLUMN offset_s REAL",
    ),
    (
        "ALTER TABLE jobs ADD COLUMN trashed TEXT",
        # ledger.Sight.counted_s when the job was first seen in the trash
        "ALTER TABLE ages ADD COLUMN trashed_since REAL",
        "CREATE INDEX ages_trashed ON ages (trashed_since) WHERE trashed_since NOT NULL",
        "DROP INDEX jobs_counted",
        "CREATE INDEX jobs_counted ON jobs (state, end, dismissed, trashed)",
        "DROP INDEX jobs_ended",
        f"CREATE INDEX jobs_ended ON jobs (finished, id, end) WHERE {KEPT}",
        "DROP INDEX jobs_undismissed",
        f"CREATE INDEX jobs_undismissed ON jobs (finished, id) WHERE {UNDISMISSED}",
        "CREATE INDEX jobs_trashed ON jobs (finished, id) WHERE trashed NOT NULL",
    ),
    ("ALTER TABLE attempts ADD COLUMN painted_s REAL",),
)
"""Statements that upgrade the tables to each version from the previous one."""

BESIDE = ("-wal", "-shm", "-journal")
"""Suffixes of the files that SQLite keeps beside a database."""


@contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    """Translate SQLite's errors in the block.

    LockedError: another program has locked the ledger. LedgerError: the ledger cannot be read or
    written now, for example because the disk is full. DamagedError: the file is damaged.
    ValueError: the ledger does not accept these values.
    """
    try:
        yield
    except _OF_A_ROW as error:
        raise ValueError(f"the ledger does not accept this: {error}") from error
    except sqlite3.Error as error:
        # the lowest byte of an extended code is the primary code
        code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        if code in _DAMAGED:
            raise damaged(path, str(error)) from error
        if code in _LOCKED:
            raise LockedError(
                f"another program has locked the ledger {path}: try again when it has ended"
            ) from error
        raise LedgerError(
            f"the ledger {path} cannot be used ({error}); is its disk full, or read-only?"
        ) from error


@contextmanager
def transaction(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Make all changes of the block in one transaction; translate SQLite's errors."""
    with translated_errors(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            commit(connection)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def commit(connection: sqlite3.Connection) -> None:
    """Commit the transaction; until this returns, a power cut may undo all of it."""
    connection.execute("COMMIT")


def check_files(path: Path) -> None:
    """Raise DamagedError if the ledger is empty, or is not a regular file.

    The files that SQLite keeps beside it must be regular files, too: SQLite would wait forever for
    a pipe, and report a folder as a disk error. It treats an empty file as a new database, but a
    ledger has its tables from the moment it exists.
    """
    for ending in ("", *BESIDE):
        file = path.with_name(f"{path.name}{ending}")
        file_status = entries.status(file)  # once: a command may remove SQLite's files now
        if file_status is not None and not stat.S_ISREG(file_status.st_mode):
            raise damaged(path, f"{file.name} is not a regular file")
    ledger_status = entries.status(path)
    if ledger_status is not None and ledger_status.st_size == 0:
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
    largest that SQLite stores, because a sparse file can have such a size.
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

    `versions` has the statements of each step. Before a step from a version N the ledger is copied
    to `<name>.vN.bak`, unless it is new. Raises DamagedError for a ledger of a newer version, and
    LedgerError.
    """
    connection.create_function("files_of", 1, memory.files_of_kept)
    connection.create_function("files_of_job", 1, memory.files_of_job)
    connection.create_function("keys_of", 3, memory.keys_of_kept)
    current = _version(connection, path, versions)
    for version in range(current, len(versions)):
        if current:
            with translated_errors(path):
                _back_up(connection, path.with_name(f"{path.name}.v{version}.bak"))
        with transaction(connection, path):
            for statement in (*versions[version], f"PRAGMA user_version = {version + 1}"):
                connection.execute(statement)


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Raise DamagedError unless a file is an undamaged ledger of this version or an earlier one.

    The tables are strict, so that SQLite's own check covers the types and constraints of all
    values. Raises LedgerError if the file cannot be read now.
    """
    with translated_errors(path):
        (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if result != "ok":
            raise damaged(path, result.splitlines()[-1])  # the first line names the database
        _check_tables(connection, path)


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Raise OldLedgerError or DamagedError unless a ledger has the tables of this version.

    Call it whenever a ledger is opened, also for reading: other tables may mean something else.
    """
    if _check_tables(connection, path) < len(VERSIONS):
        raise OldLedgerError(
            f"the ledger {path} is of an earlier stylewatch: start the daemon, which copies and "
            "upgrades it"
        )


def _check_tables(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of the tables; raises DamagedError if there are none, or newer ones."""
    version = _version(connection, path, VERSIONS)
    if version < 1:
        raise damaged(path, "it has no tables of stylewatch")
    return version


def _version(connection: sqlite3.Connection, path: Path, versions: Sequence[Sequence[str]]) -> int:
    """Return the version of the tables, 0 if there are none; raises DamagedError for newer ones."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(versions):
        raise DamagedError(
            f"the ledger {path} was written by a newer stylewatch (version {version} of its "
            f"tables, this one knows {len(versions)}): install that one again"
        )
    return version


def _back_up(connection: sqlite3.Connection, path: Path) -> None:
    """Copy the whole ledger to `path`, atomically."""
    half = path.with_name(f".{path.name}")
    entries.unlink(half)
    with closing(sqlite3.connect(half)) as copy:
        connection.backup(copy)
    atomic.sync_file(half)
    atomic.move(half, path)
