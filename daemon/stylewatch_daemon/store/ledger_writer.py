"""Changes of the ledger, by the daemon alone: each is whole and on the disk, or not made.

WAL, and every commit synced: what was committed outlives a power cut. Changes that may as well
be lost together are made in one `transaction`, for one sync.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter

from stylewatch_daemon.errors import OutputError, SettingsError
from stylewatch_daemon.files import atomic, mounts
from stylewatch_daemon.store import ledger_schema as schema
from stylewatch_daemon.store.journal import Attempt
from stylewatch_daemon.store.ledger import BUSY_S, COUNTED, ENDED_BEFORE, Entry, Ledger, json_column

SYNCHRONOUS = "FULL"
"""Sync each commit before it returns."""

COUNTS = "job_counts"
"""Table of the number of jobs of an inbox and an outbox in each state, as COUNTED has it.

Triggers keep it up to date: to count thousands of jobs anew would delay each of them. It is a
temporary table of the writer's connection, and is rolled back together with the ledger.
"""

_ADD = f"""
    INSERT INTO {COUNTS} VALUES (NEW.inbox, NEW.outbox, NEW.state, 1 - NEW.dismissed)
    ON CONFLICT DO UPDATE SET count = count + excluded.count;
"""
_TAKE = f"""
    UPDATE {COUNTS} SET count = count - 1 + OLD.dismissed
    WHERE inbox = OLD.inbox AND outbox = OLD.outbox AND state = OLD.state;
"""

_COUNT = (
    "PRAGMA temp_store = MEMORY",
    f"""
    CREATE TEMP TABLE {COUNTS} (
        inbox TEXT, outbox TEXT, state TEXT, count INTEGER, PRIMARY KEY (inbox, outbox, state)
    ) WITHOUT ROWID
    """,
    f"INSERT INTO {COUNTS} SELECT * FROM {COUNTED}",
    f"CREATE TEMP TRIGGER entered AFTER INSERT ON jobs BEGIN {_ADD} END",
    f"CREATE TEMP TRIGGER gone AFTER DELETE ON jobs BEGIN {_TAKE} END",
    f"""
    CREATE TEMP TRIGGER changed AFTER UPDATE OF inbox, outbox, state, dismissed ON jobs
    BEGIN {_TAKE} {_ADD} END
    """,
)

LAST: tuple[str, ...] = ("done", "refused", "failed", "cancelled")
"""The final states."""


@dataclass(frozen=True)
class _KeptFile:
    name: str
    inode: int
    size: int
    mtime_ns: int
    sha256: str


_KEPT = TypeAdapter(list[_KeptFile])


class LedgerWriter(Ledger):
    """Writes the ledger; methods raise OutputError, and change nothing if they do."""

    counted = COUNTS

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the ledger at `path`, or make it, and bring it to the newest version.

        Raises SettingsError on a network file system or for a newer version, DamagedError, and
        OutputError if the disk cannot be written.
        """
        if mounts.is_remote(path.parent, mounts.table()):
            raise SettingsError(
                f"the state folder {path.parent} lies on a network file system, where a ledger "
                "is not safe: set state.path to a folder on a disk of this machine"
            )
        schema.check_files(path)
        if not path.exists():
            _make(path)
        with schema.translated_errors(path):
            connection = sqlite3.connect(path, BUSY_S, isolation_level=None)
        try:
            with schema.translated_errors(path):
                schema.check(connection, path)
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
                connection.execute("PRAGMA foreign_keys = ON")
                if schema.migrate(connection, path):
                    schema.check(connection, path)
                for statement in _COUNT:
                    connection.execute(statement)
        except BaseException:
            connection.close()
            raise
        return cls(path, connection)

    def close(self) -> None:
        """Write the log into the file itself, and close it."""
        with suppress(sqlite3.Error):  # which it else does only where nobody reads it any more
            self._connection.execute("PRAGMA busy_timeout = 1000")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all changes of the block in one transaction, which may already have begun."""
        if self._connection.in_transaction:  # part of something larger
            yield
            return
        with schema.translated_errors(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            before = self._connection.total_changes
            try:
                yield
                if self._connection.total_changes == before:
                    self._connection.execute("ROLLBACK")
                    return
                commit(self._connection)
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo the changes of the block if it raises; those before it in the transaction stay."""
        with schema.translated_errors(self.path):
            if not self._connection.in_transaction:
                yield
                return
            self._connection.execute("SAVEPOINT changes")
            try:
                yield
            except BaseException:
                if self._connection.in_transaction:  # a full disk ends the whole transaction
                    self._connection.execute("ROLLBACK TO changes")
                    self._connection.execute("RELEASE changes")
                raise
            self._connection.execute("RELEASE changes")

    def enter(self, entries: Iterable[Entry]) -> None:
        """Enter jobs; known ones are replaced, except for their request and time of entry."""
        with self.transaction():
            for entry in entries:
                row = {**vars(entry), "inputs": json.dumps(entry.inputs)}
                row["settings"] = None if entry.settings is None else json.dumps(entry.settings)
                self._put("jobs", row)

    def withdraw(self, job_ids: Iterable[str]) -> None:
        """Remove jobs whose claim has not begun."""
        with self.transaction():
            for job_id in job_ids:
                self._write("DELETE FROM jobs WHERE id = ? AND state = 'claimed'", job_id)

    def withdraw_all_but(self, inboxes: Iterable[str]) -> None:
        """Remove jobs whose claim has not begun, from all other inboxes."""
        known = json.dumps([schema.sql_value(inbox) for inbox in inboxes])
        others = "inbox NOT IN (SELECT value FROM json_each(?))"
        self._write(f"DELETE FROM jobs WHERE state = 'claimed' AND {others}", known)

    def change(self, job_id: str, **values: Any) -> None:
        """Set columns of a job, `settings` as JSON; a final state gets its time."""
        if values.get("state") in LAST:
            values["finished"] = now()
        if "inputs" in values:
            values["inputs"] = json.dumps(values["inputs"])
        columns = ", ".join(f"{column} = ?" for column in values)
        self._write(f"UPDATE jobs SET {columns} WHERE id = ?", *values.values(), job_id)

    def dismiss(self, job_ids: Iterable[str], until: str = "") -> None:
        """Remove refused and failed jobs from the status: these, and all that ended by `until`."""
        which = "id IN (SELECT value FROM json_each(?)) OR finished <= ?"
        statement = f"UPDATE jobs SET dismissed = 1 WHERE {schema.UNDISMISSED} AND ({which})"
        self._write(statement, json.dumps([*job_ids]), until)

    def expire(self, before: str) -> int:
        """Remove the jobs that ended before that time; return how many."""
        with self.transaction():
            gone = self.outlived(before)
            self._write(f"DELETE FROM jobs WHERE {ENDED_BEFORE}", before)
        return gone

    def write_attempts(self, job_id: str, attempts: tuple[Attempt, ...]) -> None:
        """Replace the attempts of a job."""
        with self.transaction():
            self._write("DELETE FROM attempts WHERE job = ?", job_id)
            for number, attempt in enumerate(attempts, start=1):
                self._put("attempts", {"job": job_id, "number": number, **vars(attempt)})

    def delete(self, job_id: str) -> None:
        """Remove a job with its attempts."""
        self._write("DELETE FROM jobs WHERE id = ?", job_id)

    def ids(self, *states: str) -> set[str]:
        """Return the ids of all jobs in one of `states`."""
        query = "SELECT id FROM jobs WHERE state IN (SELECT value FROM json_each(?))"
        return {row["id"] for row in self._rows(query, json.dumps(states))}

    def keep(self, key: str, content: str, files: list[dict[str, Any]]) -> None:
        """Record the files of a job that stays in its inbox, under `key`."""
        self._put("kept", {"key": key, "content": content, "files": json.dumps(files)})

    def kept(self, key: str) -> list[dict[str, Any]]:
        """Return the files of the job that was recorded under `key`."""
        rows = self._rows("SELECT files FROM kept WHERE key = ?", key)
        # What cannot be read is not known, and the job is taken once more.
        return [file for row in rows for file in json_column(_KEPT, row["files"]) or ()]

    def forget(self, content: str) -> None:
        """Remove every job that was recorded with this `content`."""
        if self._rows("SELECT 1 FROM kept WHERE content = ? LIMIT 1", content):
            self._write("DELETE FROM kept WHERE content = ?", content)

    def _put(self, table: str, row: Mapping[str, Any]) -> None:
        self._write(_put(table, *row), *row.values())

    def _write(self, statement: str, *values: object) -> None:
        if not self._connection.in_transaction:
            with self.transaction():
                self._write(statement, *values)
            return
        self._connection.execute(statement, [schema.sql_value(value) for value in values])


@cache
def _put(table: str, *columns: str) -> str:
    """Return the SQL that inserts a row, or replaces the row with its key."""
    names, places = ", ".join(columns), ", ".join("?" * len(columns))
    updates = ", ".join(
        f"{column} = excluded.{column}" for column in columns if column not in ("entered", "wish")
    )
    key = {"jobs": "id", "attempts": "job, number", "kept": "key"}[table]
    return (
        f"INSERT INTO {table} ({names}) VALUES ({places}) "
        f"ON CONFLICT ({key}) DO UPDATE SET {updates}"
    )


def commit(connection: sqlite3.Connection) -> None:
    """Commit; until this returns, the transaction may be lost as a whole."""
    connection.execute("COMMIT")


def now() -> str:
    """Return the time, UTC, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _make(path: Path) -> None:
    """Make a ledger without jobs: it is complete, or not there; raises OutputError."""
    new = path.with_name(f".{path.name}.new")
    try:
        for ending in schema.BESIDE:  # a log of a lost ledger would be written into the new one
            path.with_name(f"{path.name}{ending}").unlink(missing_ok=True)
        new.unlink(missing_ok=True)
        new.touch(0o600)
        with (
            schema.translated_errors(path),
            closing(sqlite3.connect(new, BUSY_S, isolation_level=None)) as connection,
        ):
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA synchronous = OFF")
            schema.migrate(connection, path)
        atomic.sync_file(new)
        atomic.move(new, path)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"the ledger {path} cannot be made: {error.strerror or error}") from error
