"""Changes of the ledger, by the daemon alone: each is whole and on the disk, or not made.

WAL, and every commit synced: what was committed outlives a power cut. Changes that may as well
be lost together are made `together`, for one sync.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.files import mounts
from stylewatch_daemon.store.journal import Attempt
from stylewatch_daemon.store.ledger import BUSY_S, COUNTED, ENDED_BEFORE, Entry, Ledger, json_column
from stylewatch_daemon.store.ledger_schema import (
    UNDISMISSED,
    check,
    check_files,
    migrate,
    sql_value,
    translated_errors,
)

SYNCHRONOUS = "FULL"
"""How SQLite syncs: each commit, before it counts as made."""

COUNTS = "job_counts"
"""Table of the number of jobs of an inbox and an outbox in each state.

Triggers keep it up to date: to count thousands of jobs anew would delay each of them. It is a
temporary table of the writer's connection, and is rolled back together with the ledger.
"""

_ADD = f"""
    INSERT INTO {COUNTS} VALUES (NEW.inbox, NEW.outbox, NEW.state, 1)
    ON CONFLICT DO UPDATE SET count = count + 1;
"""
_TAKE = f"""
    UPDATE {COUNTS} SET count = count - 1
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
    CREATE TEMP TRIGGER changed AFTER UPDATE OF inbox, outbox, state ON jobs
    BEGIN {_TAKE} {_ADD} END
    """,
)

LAST: tuple[str, ...] = ("done", "refused", "failed", "cancelled")
"""The states that a job does not leave by itself."""


@dataclass(frozen=True)
class _KeptFile:
    """A file that was left in its inbox, as it looked."""

    name: str
    inode: int
    size: int
    mtime_ns: int
    sha256: str


_KEPT = TypeAdapter(list[_KeptFile])


class LedgerWriter(Ledger):
    """The one writer of the ledger; methods raise OutputError, and change nothing if they do."""

    counted = COUNTS

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the ledger at `path`, or make it, and bring it to the newest version.

        Raises SettingsError where it cannot be kept safely: on a network file system, or of a
        version to come; DamagedError where it is damaged; OutputError where the disk does not
        take it.
        """
        if mounts.is_remote(path.parent, mounts.table()):
            raise SettingsError(
                f"the state folder {path.parent} lies on a network file system, where a ledger "
                "is not safe: set state.path to a folder on a disk of this machine"
            )
        check_files(path)
        with suppress(FileExistsError, PermissionError):  # SQLite says better what is wrong
            path.touch(0o600, exist_ok=False)
        with translated_errors(path):
            connection = sqlite3.connect(path, BUSY_S, isolation_level=None)
        try:
            with translated_errors(path):
                _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
        return cls(path, connection)

    def close(self) -> None:
        """Close it; what the log beside it holds goes into the file itself."""
        with suppress(sqlite3.Error):  # which it else does only where nobody reads it any more
            self._connection.execute("PRAGMA busy_timeout = 1000")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make all changes within as one; what goes wrong undoes them all."""
        if self._connection.in_transaction:  # part of something larger
            yield
            return
        with translated_errors(self.path):
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
    def apart(self) -> Iterator[None]:
        """Undo what was changed within, and no more of a transaction, if an error leaves it."""
        with translated_errors(self.path):
            if not self._connection.in_transaction:
                yield
                return
            self._connection.execute("SAVEPOINT apart")
            try:
                yield
            except BaseException:
                if self._connection.in_transaction:  # a full disk ends the whole transaction
                    self._connection.execute("ROLLBACK TO apart")
                    self._connection.execute("RELEASE apart")
                raise
            self._connection.execute("RELEASE apart")

    def enter(self, entries: Iterable[Entry]) -> None:
        """Enter jobs; how one stands that is there already is replaced."""
        with self.together():
            for entry in entries:
                row = {**vars(entry), "inputs": json.dumps(entry.inputs)}
                row["settings"] = None if entry.settings is None else json.dumps(entry.settings)
                self._put("jobs", row)

    def withdraw(self, job_ids: Iterable[str]) -> None:
        """Forget jobs that nothing was taken of."""
        with self.together():
            for job_id in job_ids:
                self._write("DELETE FROM jobs WHERE id = ? AND state = 'claimed'", job_id)

    def withdraw_all_but(self, inboxes: Iterable[str]) -> None:
        """Forget the jobs that nothing was taken of, out of any inbox but these."""
        known = json.dumps([sql_value(inbox) for inbox in inboxes])
        others = "inbox NOT IN (SELECT value FROM json_each(?))"
        self._write(f"DELETE FROM jobs WHERE state = 'claimed' AND {others}", known)

    def change(self, job_id: str, **values: Any) -> None:
        """Set columns of a job, `settings` as JSON; a state that is its last one gets its time."""
        if values.get("state") in LAST:
            values["finished"] = now()
        if "inputs" in values:
            values["inputs"] = json.dumps(values["inputs"])
        columns = ", ".join(f"{column} = ?" for column in values)
        self._write(f"UPDATE jobs SET {columns} WHERE id = ?", *values.values(), job_id)

    def dismiss(self, job_ids: Iterable[str], until: str = "") -> None:
        """Take refused and failed jobs out of the status: these, and all that ended by `until`."""
        which = "id IN (SELECT value FROM json_each(?)) OR finished <= ?"
        statement = f"UPDATE jobs SET dismissed = 1 WHERE {UNDISMISSED} AND ({which})"
        self._write(statement, json.dumps([*job_ids]), until)

    def expire(self, before: str) -> int:
        """Forget the jobs that ended before that time, with their attempts; how many."""
        with self.together():
            gone = self.outlived(before)
            self._write(f"DELETE FROM jobs WHERE {ENDED_BEFORE}", before)
        return gone

    def write_attempts(self, job_id: str, attempts: tuple[Attempt, ...]) -> None:
        """Write the story of a job anew."""
        with self.together():
            self._write("DELETE FROM attempts WHERE job = ?", job_id)
            for number, attempt in enumerate(attempts, start=1):
                self.write_attempt(job_id, number, attempt)

    def write_attempt(self, job_id: str, number: int, attempt: Attempt) -> None:
        """Write one attempt of the story of a job anew."""
        self._put("attempts", {"job": job_id, "number": number, **vars(attempt)})

    def ids(self, *states: str) -> set[str]:
        """The ids of all jobs in one of `states`."""
        query = "SELECT id FROM jobs WHERE state IN (SELECT value FROM json_each(?))"
        return {row["id"] for row in self._rows(query, json.dumps(states))}

    def keep(self, key: str, content: str, files: list[dict[str, Any]]) -> None:
        """Remember a job that stays in its inbox, by `key`, and the `files` that it consists of."""
        self._put("kept", {"key": key, "content": content, "files": json.dumps(files)})

    def kept(self, key: str) -> list[dict[str, Any]]:
        """The files of the job that was remembered by `key`; none if none was."""
        rows = self._rows("SELECT files FROM kept WHERE key = ?", key)
        # What cannot be read is not known, and the job is taken once more.
        return [file for row in rows for file in json_column(_KEPT, row["files"]) or ()]

    def forget(self, content: str) -> None:
        """Forget every job that was remembered with this `content`."""
        if self._rows("SELECT 1 FROM kept WHERE content = ? LIMIT 1", content):
            self._write("DELETE FROM kept WHERE content = ?", content)

    def _put(self, table: str, row: Mapping[str, Any]) -> None:
        self._write(_put(table, *row), *row.values())

    def _write(self, statement: str, *values: object) -> None:
        if not self._connection.in_transaction:
            with self.together():
                self._write(statement, *values)
            return
        self._connection.execute(statement, [sql_value(value) for value in values])


@cache
def _put(table: str, *columns: str) -> str:
    """In SQL: a row of these columns, in the place of the one with its key if there is one."""
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
    """Make what was changed last; until this comes back it may be lost, as a whole."""
    connection.execute("COMMIT")


def now() -> str:
    """The time, UTC, as it is written down."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    check(connection, path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
    connection.execute("PRAGMA foreign_keys = ON")
    if migrate(connection, path):
        check(connection, path)
    for statement in _COUNT:
        connection.execute(statement)
