"""The ledger's tables, as the steps that lead from each version of them to the next."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.files import atomic
from stylewatch_daemon.store.ledger_rows import damaged

Migration = Sequence[str]
"""The statements that make of one version the next."""

OPEN = "('queued', 'running', 'ending', 'refusing', 'failing')"
"""The states of jobs that are ours and not at their end, for SQL."""

DECIDED = "('ending', 'refusing', 'failing')"
"""The states of jobs whose end is decided and not yet carried out, for SQL."""

WAITING = "('claimed', 'queued')"
"""The states of jobs that wait to be begun, for SQL."""

PARTS = (
    "series <> '' AND series <> id AND state IN "
    "('claimed', 'queued', 'running', 'ending', 'refusing', 'failing')"
)
"""The jobs of a series that are not at their end, for SQL."""

WISHED = "wish <> '' AND state IN ('claimed', 'queued', 'running', 'ending', 'refusing', 'failing')"
"""The jobs not at their end that people ask something of, for SQL."""

UNDISMISSED = "state IN ('refused', 'failed') AND dismissed = 0"
"""The refused and failed jobs that the status lists, for SQL."""

MIGRATIONS: tuple[Migration, ...] = (
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
        CREATE TABLE kept (             -- painted, and left in the inbox
            key TEXT PRIMARY KEY,
            content TEXT NOT NULL,
            files TEXT NOT NULL         -- JSON: [{name, inode, size, mtime_ns, sha256}]
        ) WITHOUT ROWID
        """,
        "CREATE INDEX kept_by_content ON kept (content)",
    ),
    # What people ask of a job that is not at its end: to cancel it, or to finish it early.
    ("ALTER TABLE jobs ADD COLUMN wish TEXT NOT NULL DEFAULT ''",),
    # The job that this one paints again, by its name; `inputs` tell role and source from here on.
    ("ALTER TABLE jobs ADD COLUMN retry_of TEXT NOT NULL DEFAULT ''",),
    (f"CREATE INDEX jobs_that_wait ON jobs (outbox, id) WHERE state IN {WAITING}",),
    # What is the same of jobs that can be painted at once, and how many were in an attempt.
    (
        "ALTER TABLE jobs ADD COLUMN shape TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE attempts ADD COLUMN together INTEGER NOT NULL DEFAULT 1",
        f"CREATE INDEX jobs_alike ON jobs (inbox, shape, priority, id) WHERE state IN {OPEN}",
    ),
    # The series that a job belongs to, by its id; the series has its own, once its jobs are made.
    (
        "ALTER TABLE jobs ADD COLUMN series TEXT NOT NULL DEFAULT ''",
        f"CREATE INDEX jobs_of_series ON jobs (series) WHERE {PARTS}",
    ),
    # Those that nobody has begun, by their turn; however many run, none of these is passed over.
    (
        "DROP INDEX jobs_in_turn",
        "DROP INDEX jobs_alike",
        "CREATE INDEX jobs_next ON jobs (inbox, priority DESC, id) WHERE state = 'queued'",
        "CREATE INDEX jobs_alike ON jobs (inbox, shape, priority, id) WHERE state = 'queued'",
        f"CREATE INDEX jobs_wished ON jobs (id) WHERE {WISHED}",
    ),
    # Whether somebody dismissed a refused or failed job from the status.
    (
        "ALTER TABLE jobs ADD COLUMN dismissed INTEGER NOT NULL DEFAULT 0",
        f"CREATE INDEX jobs_undismissed ON jobs (dismissed, finished, id) WHERE {UNDISMISSED}",
    ),
)


def migrate(
    connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration] = MIGRATIONS
) -> int:
    """Bring the ledger at `path` to the newest version, step by step; how many steps those were.

    Before each step a copy of an older ledger is left beside it, as `<name>.vN.bak`. Raises
    SettingsError for a ledger of a version that is still to come, DamagedError for what no version
    of stylewatch has written.
    """
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > len(migrations):
        raise SettingsError(
            f"the ledger {path} was written by a newer stylewatch (version {found} of its tables, "
            f"this one knows {len(migrations)}): install that one again"
        )
    if found < 0 or (found == 0 and _tables(connection)):
        raise damaged(path, "it is the database of another program")
    for version in range(found, len(migrations)):
        if found:
            _back_up(connection, path.with_name(f"{path.name}.v{version}.bak"))
        try:
            _step(connection, migrations[version], version + 1)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
                raise
            raise damaged(path, str(error)) from error  # its tables are not those of its version
    return len(migrations) - found


def _step(connection: sqlite3.Connection, statements: Migration, version: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Raise DamagedError where a ledger is damaged, or is none.

    Of one of this version the tables and the types of all values are checked as well: SQLite
    stores any type in any column, and knows nothing of the JSON in some of them.
    """
    try:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if found != "ok":
            raise damaged(path, found)
        if version == len(MIGRATIONS):
            _check_tables(connection, path)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:  # the disk, or its permissions
            raise
        raise damaged(path, str(error)) from error  # a table or a column is not there


def _check_tables(connection: sqlite3.Connection, path: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as fresh:
        for statements in MIGRATIONS:
            for statement in statements:
                fresh.execute(statement)
        wanted, found = _tables(fresh), _tables(connection)
        kinds = {table: _columns(fresh, table) for table in wanted}
        indexes = _named(fresh, "index")
    if any(found.get(table) != columns for table, columns in wanted.items()):
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


def _tables(connection: sqlite3.Connection) -> dict[str, frozenset[str]]:
    """The columns of each table."""
    names = _named(connection, "table")
    return {name: frozenset(_columns(connection, name)) for name in names}


def _columns(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    """For each column of a table the types, for SQL, that its values may have."""
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
    copy = sqlite3.connect(half)
    try:
        connection.backup(copy)
    finally:
        copy.close()
    atomic.sync_file(half)
    atomic.move(half, path)
