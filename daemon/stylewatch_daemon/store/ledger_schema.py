"""Tables of the ledger: their migrations and checks, and the errors of SQLite in words."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from os.path import lexists
from pathlib import Path

from stylewatch_daemon.errors import DamagedError, OutputError, SettingsError
from stylewatch_daemon.files import atomic

_OF_A_ROW = (
    sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError
)  # fmt: skip
"""Errors of the values that were to be written, not of the ledger or its disk."""

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

OPEN = "('queued', 'running', 'ending', 'refusing', 'failing')"
"""The states of claimed jobs that have not ended, for SQL."""

DECIDED = "('ending', 'refusing', 'failing')"
"""The states of jobs whose end is decided and not yet carried out, for SQL."""

WAITING = "('claimed', 'queued')"
"""The states of jobs that wait to be begun, for SQL."""

_NOT_ENDED = "state IN ('claimed', 'queued', 'running', 'ending', 'refusing', 'failing')"

SERIES_MEMBERS = f"series <> '' AND series <> id AND {_NOT_ENDED}"
"""The jobs of a series that have not ended, for SQL."""

REQUESTED = f"wish <> '' AND {_NOT_ENDED}"
"""The jobs with a request that have not ended, for SQL."""

UNDISMISSED = "state IN ('refused', 'failed') AND dismissed = 0"
"""The refused and failed jobs that the status lists, for SQL."""

FIRST_DIGEST = "CASE WHEN json_valid(inputs) THEN json_extract(inputs, '$[0].sha256') END"
"""The digest of a job's content image, which is its first input, for SQL."""

MIGRATIONS: tuple[Sequence[str], ...] = (
    (
        """
        CREATE TABLE jobs (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,         -- in the inbox
            inbox TEXT NOT NULL,
            outbox TEXT NOT NULL,
            place TEXT,                 -- its folder in the outbox, once it is chosen
            refused_as TEXT,            -- its folder there if it was refused or failed
            state TEXT NOT NULL CHECK (state IN (
                'claimed', 'queued', 'running', 'ending', 'refusing', 'failing',
                'done', 'refused', 'failed', 'cancelled')),
            reason TEXT NOT NULL DEFAULT '',
            priority INTEGER NOT NULL DEFAULT 0,
            needs TEXT NOT NULL DEFAULT '',  -- from outside; what is alike waits together
            entered TEXT NOT NULL,      -- times are UTC, ISO 8601
            finished TEXT,
            inputs TEXT NOT NULL,       -- JSON: see ledger.Entry
            bytes INTEGER NOT NULL,
            settings TEXT               -- JSON, once it was begun
        )
        """,
        f"""
        CREATE INDEX jobs_in_turn ON jobs (inbox, priority DESC, id) WHERE state IN {OPEN}
        """,
        "CREATE INDEX jobs_by_state ON jobs (state, finished)",
        "CREATE INDEX jobs_by_name ON jobs (name)",
        "CREATE INDEX jobs_by_place ON jobs (place)",
        """
        CREATE TABLE attempts (
            job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
            number INTEGER NOT NULL,
            started TEXT NOT NULL,
            boot TEXT NOT NULL,
            pid INTEGER NOT NULL,       -- the daemon's
            backend TEXT NOT NULL,
            device TEXT NOT NULL,
            step INTEGER NOT NULL,      -- the step that it began after
            ended TEXT,
            how TEXT NOT NULL,
            reason TEXT NOT NULL,
            PRIMARY KEY (job, number)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE kept (             -- done, and left in the inbox
            key TEXT PRIMARY KEY,
            content TEXT NOT NULL,
            files TEXT NOT NULL         -- JSON: [{name, inode, size, mtime_ns, sha256}]
        ) WITHOUT ROWID
        """,
        "CREATE INDEX kept_by_content ON kept (content)",
    ),
    # The request for a job: to cancel it, or to finish it early.
    ("ALTER TABLE jobs ADD COLUMN wish TEXT NOT NULL DEFAULT ''",),
    # The name of the job that this one runs again; `inputs` have role and source from here on.
    ("ALTER TABLE jobs ADD COLUMN retry_of TEXT NOT NULL DEFAULT ''",),
    (f"CREATE INDEX jobs_that_wait ON jobs (outbox, id) WHERE state IN {WAITING}",),
    # The key of jobs that can run in one batch, and the batch size of an attempt.
    (
        "ALTER TABLE jobs ADD COLUMN shape TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE attempts ADD COLUMN together INTEGER NOT NULL DEFAULT 1",
        f"CREATE INDEX jobs_alike ON jobs (inbox, shape, priority, id) WHERE state IN {OPEN}",
    ),
    # The id of the series of a job; the series has its own, once its jobs are made.
    (
        "ALTER TABLE jobs ADD COLUMN series TEXT NOT NULL DEFAULT ''",
        f"CREATE INDEX jobs_of_series ON jobs (series) WHERE {SERIES_MEMBERS}",
    ),
    # The queued jobs in their order, however many others run.
    (
        "DROP INDEX jobs_in_turn",
        "DROP INDEX jobs_alike",
        "CREATE INDEX jobs_next ON jobs (inbox, priority DESC, id) WHERE state = 'queued'",
        "CREATE INDEX jobs_alike ON jobs (inbox, shape, priority, id) WHERE state = 'queued'",
        f"CREATE INDEX jobs_wished ON jobs (id) WHERE {REQUESTED}",
    ),
    # Whether somebody dismissed a refused or failed job from the status.
    (
        "ALTER TABLE jobs ADD COLUMN dismissed INTEGER NOT NULL DEFAULT 0",
        f"CREATE INDEX jobs_undismissed ON jobs (dismissed, finished, id) WHERE {UNDISMISSED}",
    ),
    # The jobs of a photo, by its digest.
    (f"CREATE INDEX jobs_of_picture ON jobs ({FIRST_DIGEST}, id)",),
    # Nothing needs the kernel's id of the machine's start.
    ("ALTER TABLE attempts DROP COLUMN boot",),
)


BESIDE = ("-wal", "-shm", "-journal")
"""Endings of the files that SQLite keeps beside a database."""


@contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    """Translate what SQLite raises.

    OutputError: nothing can be read or written now, as the disk is full, say; DamagedError: the
    file is damaged. ValueError: the ledger is fine, and does not take these values.
    """
    try:
        yield
    except _OF_A_ROW as error:
        raise ValueError(f"the ledger does not take this: {error}") from error
    except sqlite3.Error as error:
        # the extended codes have the primary one in their last byte
        if (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF in _DAMAGED:
            raise damaged(path, str(error)) from error
        raise OutputError(
            f"the ledger {path} cannot be used ({error}); is its disk full, or read-only?"
        ) from error


def check_files(path: Path) -> None:
    """Raise DamagedError where the ledger, or a file that SQLite keeps beside it, is no file.

    SQLite would wait for ever for a pipe, and report a folder as a disk error. It takes an empty
    file for a new database, but a ledger has its tables from the moment when it is there.
    """
    for ending in ("", *BESIDE):
        file = path.with_name(f"{path.name}{ending}")
        if lexists(file) and not file.is_file():
            raise damaged(path, f"{file.name} is not a regular file")
    if path.is_file() and path.stat().st_size == 0:
        raise damaged(path, "it is empty")


def damaged(path: Path, what: str) -> DamagedError:
    """Return the error that says that the ledger is damaged, and what to do."""
    return DamagedError(
        f"the ledger {path} is damaged ({what}) and was left as it is: put a copy of it in its "
        "place, or move it away, and the jobs that are not finished are entered anew"
    )


def sql_value(value: object) -> object:
    """Return `value` as SQLite takes it: bytes in a name that were no text are written out.

    An integer that is too large becomes the largest one: a sparse file can be that long.
    """
    if isinstance(value, str) and not value.isascii():
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, int):
        return min(max(value, -(1 << 63)), (1 << 63) - 1)
    return value


def migrate(
    connection: sqlite3.Connection, path: Path, migrations: Sequence[Sequence[str]] = MIGRATIONS
) -> int:
    """Bring the ledger at `path` to the newest version; return the number of migrations.

    Before each migration an older ledger is copied to `<name>.vN.bak`. Raises SettingsError for a
    ledger of a newer version, DamagedError for one whose tables are not those of its version.
    """
    current: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if current > len(migrations):
        raise SettingsError(
            f"the ledger {path} was written by a newer stylewatch (version {current} of its "
            f"tables, this one knows {len(migrations)}): install that one again"
        )
    for version in range(current, len(migrations)):
        if current:
            _back_up(connection, path.with_name(f"{path.name}.v{version}.bak"))
        try:
            _step(connection, migrations[version], version + 1)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
                raise
            raise damaged(path, str(error)) from error  # its tables are not those of its version
    return len(migrations) - current


def _step(connection: sqlite3.Connection, statements: Sequence[str], version: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Raise DamagedError where a ledger is damaged, or is none.

    Of one of this version the tables and the types of all values are checked as well: SQLite
    stores any type in any column, and knows nothing of the JSON in some of them.
    """
    try:
        (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if result != "ok":
            raise damaged(path, result)
        if check_version(connection, path) == len(MIGRATIONS):
            _check_tables(connection, path)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:  # the disk, or its permissions
            raise
        raise damaged(path, str(error)) from error  # a table or a column is not there


def check_version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of a ledger's tables; raises DamagedError where it has none."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version < 1:
        raise damaged(path, "it has no tables of stylewatch")
    return version


def _check_tables(connection: sqlite3.Connection, path: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as fresh:
        for statements in MIGRATIONS:
            for statement in statements:
                fresh.execute(statement)
        kinds = {table: _columns(fresh, table) for table in _named(fresh, "table")}
        indexes = _named(fresh, "index")
    if any(_columns(connection, table).keys() != kinds[table].keys() for table in kinds):
        raise damaged(path, "its tables are not those of stylewatch")
    if not indexes <= _named(connection, "index") or _named(connection, "trigger"):
        raise damaged(path, "its indexes or triggers are not those of stylewatch")
    for table, columns in kinds.items():
        wrong = " OR ".join(f"typeof({name}) NOT IN ({kind})" for name, kind in columns.items())
        if table == "jobs":
            wrong += " OR NOT json_valid(inputs) OR NOT json_valid(coalesce(settings, '{}'))"
        query = f"SELECT {next(iter(columns))} FROM {table} WHERE {wrong} LIMIT 1"
        for (key,) in connection.execute(query):
            raise damaged(path, f"a value in the row {key!r} of {table} has the wrong type")


def _columns(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    """Return for each column of a table the types, for SQL, that its values may have."""
    query = 'SELECT name, type, "notnull" OR pk FROM pragma_table_info(?)'
    rows = connection.execute(query, [table])
    return {name: f"'{kind.lower()}'" + ("" if full else ", 'null'") for name, kind, full in rows}


def _named(connection: sqlite3.Connection, kind: str) -> set[str]:
    query = "SELECT name FROM sqlite_master WHERE type = ? AND name NOT LIKE 'sqlite^_%' ESCAPE '^'"
    return {name for (name,) in connection.execute(query, [kind])}


def _back_up(connection: sqlite3.Connection, path: Path) -> None:
    """Copy the whole ledger to `path`: there it is complete, or not at all."""
    half = path.with_name(f".{path.name}")
    half.unlink(missing_ok=True)
    with closing(sqlite3.connect(half)) as copy:
        connection.backup(copy)
    atomic.sync_file(half)
    atomic.move(half, path)
