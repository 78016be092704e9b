"""Changes of the ledger, each of which is stored completely or not at all.

Only the daemon makes them, except that a request may also create the ledger. The ledger uses WAL
and syncs every commit, so that commits survive a power cut.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, Self

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import OutputError, SettingsError
from stylewatch_daemon.base.model import Attempt, Job, OutputFile
from stylewatch_daemon.files import atomic, disks, entries, lock
from stylewatch_daemon.ledger import schema
from stylewatch_daemon.ledger.ledger import BUSY_S, EXPIRE, Ledger, MemoryReader, Sight
from stylewatch_daemon.ledger.memory import Painted, Seen

SYNCHRONOUS = "FULL"
"""SQLite's setting that syncs each commit before it returns."""

_KEYS = {"jobs": "id", "attempts": "job, number", "files": "job, path",
         "seen": "disk, path", "painted": "key, sha256", "clock": "id"}  # fmt: skip


class LedgerWriter(Ledger):
    """Writer of the ledger; a method that raises OutputError has changed nothing."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        super().__init__(path, connection)
        self._readers: list[MemoryReader] = []

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the ledger at `path`, or create it, and upgrade it to the newest version.

        Raises SettingsError on a network file system, DamagedError for a ledger that is damaged or
        of a newer version, and OutputError if the disk cannot be written.
        """
        with shortages.translated("the table of mounts cannot be read"):
            is_remote = disks.is_remote(path.parent, disks.table())
        if is_remote:
            raise SettingsError(
                f"the state folder {path.parent} lies on a network file system, where a ledger "
                "is not safe: set state.path to a folder on a disk of this machine"
            )
        with shortages.translated(f"the ledger {path} cannot be used"):
            schema.check_files(path)
            if not entries.exists(path):
                _make(path)
        with schema.translated_errors(path):
            connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
            try:
                schema.check(connection, path)
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
                connection.execute("PRAGMA foreign_keys = ON")
                schema.upgrade(connection, path)
            except BaseException:
                connection.close()
                raise
        return cls(path, connection)

    def close(self) -> None:
        """Close the readers of the memory, merge SQLite's log into the ledger, and close it."""
        for reader in self._readers:
            reader.close()
        with suppress(sqlite3.Error):  # this fails while others are reading
            self._connection.execute("PRAGMA busy_timeout = 1000")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()

    def memory_reader(self) -> MemoryReader:
        """Return a new reader of the memory for another thread; `close` closes the reader, too."""
        self._readers.append(MemoryReader(self.path))
        return self._readers[-1]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all changes of the block in one transaction, or in the outer one if it has begun."""
        if self._connection.in_transaction:  # part of an outer transaction
            yield
            return
        with schema.transaction(self._connection, self.path):
            yield

    def put(self, job: Job) -> None:
        """Insert or replace a job; only `jobs.jobs`, which checks transitions, may call this."""
        row = {**vars(job), "inputs": json.dumps([*map(asdict, job.inputs)])}
        row["settings"] = None if job.settings is None else json.dumps(job.settings)
        self._put("jobs", row)

    def delete(self, job_id: str) -> None:
        """Remove a job from the ledger, with its attempts and its list of files."""
        self._write("DELETE FROM jobs WHERE id = ?", job_id)

    def put_attempt(self, job_id: str, number: int, attempt: Attempt) -> None:
        """Insert or replace the attempt with this `number`, from 1, at a job."""
        self._put("attempts", {"job": job_id, "number": number, **vars(attempt)})

    def put_files(self, job_id: str, files: Iterable[OutputFile]) -> None:
        """Add files to the list of a job's published files; known paths get the new digests.

        A path in the outbox is removed from the lists of other jobs of that outbox, unless their
        files are on another disk. An absolute path is removed from the lists of all other jobs.
        """
        others = (
            "DELETE FROM files WHERE path = ? AND job != ? AND (? OR job IN (SELECT other.id FROM "
            "jobs AS other JOIN jobs AS own USING (outbox) WHERE own.id = ? "
            "AND (other.disk = own.disk OR '' IN (other.disk, own.disk))))"
        )
        with self.transaction():
            for file in files:
                is_absolute = file.path.startswith("/")  # in a folder of finals
                self._write(others, schema.sql_value(file.path), job_id, is_absolute, job_id)
                self._put("files", {"job": job_id, **file._asdict()})

    def put_link(self, job_id: str, file: OutputFile) -> None:
        """Add the file that a job has chosen in a finals folder, unless another job has chosen it.

        Several jobs may choose the same free name at the same time: the first job gets it.
        """
        with self.transaction():
            if schema.sql_value(file.path) not in self.links_of_others(job_id):
                self.put_files(job_id, [file])

    def drop_files(self, job_id: str, paths: Iterable[str]) -> None:
        """Remove the files with these `paths` from the list of a job's published files."""
        query = "DELETE FROM files WHERE job = ? AND path IN (SELECT value FROM json_each(?))"
        self._write(query, job_id, json.dumps([*map(schema.sql_value, paths)]))

    def dismiss(self, job_ids: Iterable[str]) -> None:
        """Remove the refused and failed jobs among those with the ids `job_ids` from the status."""
        which = "id IN (SELECT value FROM json_each(?))"
        statement = f"UPDATE jobs SET dismissed = 1 WHERE {schema.UNDISMISSED} AND {which}"
        self._write(statement, json.dumps([*job_ids]))

    def expire(self, threshold: float, parts: Iterable[str], kept: Iterable[str]) -> None:
        """Remove jobs whose age began before `threshold`, a time of `Sight.counted_s`.

        Jobs with a file of `parts` or with a request stay, and so do jobs in the trash, whose files
        are yet to be removed. The jobs with the ids `kept` stay, too: favorites, and jobs with
        files in the state folder, which the next start would enter and paint again.
        """
        query = (
            f"DELETE FROM jobs WHERE {schema.KEPT} AND id IN (SELECT job FROM ages "
            "WHERE since < ?) AND id NOT IN "
            "(SELECT job FROM files WHERE part IN (SELECT value FROM json_each(?))) "
            f"AND id NOT IN (SELECT value FROM json_each(?)) AND id NOT IN {schema.REQUESTED}"
        )
        self._write(query, threshold, json.dumps([*parts]), json.dumps([*kept]))

    def see(self, sight: Sight) -> None:
        """Record the last `sight` of the clocks, and begin the ages of jobs that have none yet.

        These are the jobs that have ended, and those moved into the trash, since the last record.
        """
        ended = (
            f"INSERT OR IGNORE INTO ages (job, since) SELECT id, ? FROM jobs WHERE {schema.ENDED}"
        )
        trashed = (
            "UPDATE ages SET trashed_since = ? WHERE trashed_since IS NULL "
            "AND job IN (SELECT id FROM jobs WHERE trashed NOT NULL)"
        )
        with self.transaction():
            self._put("clock", {"id": 1, **sight._asdict(), "latest": sight.latest.isoformat()})
            self._write(ended, sight.counted_s)
            self._write(trashed, sight.counted_s)

    def forget_age(self, job_id: str) -> None:
        """Remove the age of a job that was restored; the next `see` begins it anew."""
        self._write("DELETE FROM ages WHERE job = ?", job_id)

    def ask_to_expire(self, job_ids: Iterable[str], at: float, made: str) -> None:
        """Request the deletion of jobs whose days in the trash are over.

        `at` is the present time of `Sight.counted_s`; `made` is the time of the requests, UTC, ISO
        8601. `Commands._expire`, which acts on a request, checks again whether the days are over.
        """
        query = "INSERT INTO requests (verb, arguments, made) VALUES (?, ?, ?)"
        with self.transaction():
            for job_id in job_ids:
                self._write(query, EXPIRE, json.dumps({"job": job_id, "at": at}), made)

    def begin_request(self, request_id: int) -> None:
        """Record that the daemon has begun to remove files for a request: it must be completed."""
        self._write(
            "UPDATE requests SET arguments = json_set(arguments, '$.begun', json('true')) "
            "WHERE id = ?",
            request_id,
        )

    def put_parts(
        self, job_id: str, files: Iterable[OutputFile], attempts: Iterable[Attempt]
    ) -> None:
        """Write the files and the attempts of a job that is entered again."""
        with self.transaction():
            self.put_files(job_id, files)
            for number, attempt in enumerate(attempts, 1):
                self.put_attempt(job_id, number, attempt)

    def put_mounts(self, mounts: Iterable[Path]) -> None:
        """Record the mounts on which folders are used."""
        self._write("UPDATE about SET mounts = ?", json.dumps(sorted(map(str, mounts))))

    def remove_request(self, request_id: int) -> None:
        """Remove a request after it was carried out or given up."""
        self._write("DELETE FROM requests WHERE id = ?", request_id)

    def put_hook(self, job_id: str) -> None:
        """Record that the hook of a job that has just ended is to be run."""
        self._write("INSERT INTO hooks (job, begun) VALUES (?, 0)", job_id)

    def begin_hook(self, hook_id: int) -> None:
        """Record that the command of a hook is about to be started, so that it is not repeated."""
        self._write("UPDATE hooks SET begun = 1 WHERE id = ?", hook_id)

    def remove_hook(self, hook_id: int) -> None:
        """Remove a hook that has ended or was interrupted, or whose job or command is gone."""
        self._write("DELETE FROM hooks WHERE id = ?", hook_id)

    # -- memory of inboxes

    def remember(self, seen: Iterable[Seen], painted: Painted | None = None) -> None:
        """Record files that stay in an inbox or are gone from it and, if given, a pair `painted`.

        Records of former places and of former content of the files that are there are removed.
        Paths are written as JSON, in which names that are not valid UTF-8 stay distinct.
        """
        with self.transaction():
            for file in seen:
                if file.gone is None:
                    self._forget_former_places(file)
                    self._forget_former_content(file)
                self._put("seen", file._replace(path=json.dumps(file.path))._asdict())
            if painted is not None:
                row = {**painted._asdict(), "path": json.dumps(painted.path)}
                del row["digests"]
                for sha256 in painted.digests:
                    self._put("painted", {**row, "sha256": sha256})

    def _forget_former_places(self, file: Seen) -> None:
        """Remove the records of the places from which `file` was moved.

        A file that is gone, and had the content of `file`, was moved to the place of `file`. A file
        with this content at the same path of another disk was moved with its disk.
        """
        if file.sha256:
            self._write(
                "DELETE FROM seen WHERE sha256 = ? AND (gone IS NOT NULL OR "
                "(path = ? AND disk != ?))",
                file.sha256,
                json.dumps(file.path),
                file.disk,
            )

    def _forget_former_content(self, file: Seen) -> None:
        """Remove the records of gone files that had the content of `file` before it was edited.

        Until the edit, that content was in the inbox. Without these records, a copy of it that
        arrives later does not count as dropped again (see `arrived`).
        """
        path = json.dumps(file.path)
        former = self._rows("SELECT sha256 FROM seen WHERE path = ? AND disk = ?", path, file.disk)
        for (sha256,) in former:
            if sha256 not in ("", file.sha256):
                self._write("DELETE FROM seen WHERE gone IS NOT NULL AND sha256 = ?", sha256)

    def arrived(self, seen: Seen, absent: int, inboxes: Iterable[Path]) -> None:
        """Record a hashed file, and forget painted pairs with it if it was dropped again (law 3).

        `absent` is the number of the last scan that certainly lacked the file. The file was dropped
        again if its content has records in the `inboxes` of the settings or in the style library,
        and all of these files were gone by that scan. Its pairs are then painted again, except
        pairs of which another file is still present and has records only in other inboxes: such a
        pair has stayed in its place.
        """
        query = (
            "SELECT gone FROM seen WHERE sha256 = ? AND inbox IN (SELECT value FROM json_each(?))"
        )
        library = ""  # files of the style library have no inbox
        asked = json.dumps([library, *map(schema.sql_value, map(str, inboxes))])
        with self.transaction():
            gone_in = [gone for (gone,) in self._rows(query, seen.sha256, asked)]
            was_gone = all(number is not None and number <= absent for number in gone_in)
            if gone_in and was_gone:  # without a record it was never there
                self._write(_FORGET, seen.sha256, asked)
            self.remember([seen])

    def _put(self, table: str, row: Mapping[str, Any]) -> None:
        self._write(_upsert(table, *row), *row.values())

    def _write(self, statement: str, *values: object) -> None:
        with self.transaction(), schema.translated_errors(self.path):
            self._connection.execute(statement, [schema.sql_value(value) for value in values])


_FORGET = """
    DELETE FROM painted WHERE key IN (SELECT key FROM painted WHERE sha256 = ?1)
    AND key NOT IN (
        SELECT key FROM painted JOIN seen USING (sha256) WHERE gone IS NULL AND sha256 NOT IN (
            SELECT sha256 FROM seen WHERE inbox IN (SELECT value FROM json_each(?2))
        )
    )
    """
"""SQL that removes the painted pairs with a digest, except pairs that stay in other inboxes."""


@cache
def _upsert(table: str, *columns: str) -> str:
    """Return the SQL that inserts a row or, if its key exists, updates these columns of it."""
    names = ", ".join(columns)
    places = ", ".join("?" * len(columns))
    updates = ", ".join(f"{column} = excluded.{column}" for column in columns)
    return (
        f"INSERT INTO {table} ({names}) VALUES ({places}) "
        f"ON CONFLICT ({_KEYS[table]}) DO UPDATE SET {updates}"
    )


def _make(path: Path) -> None:
    """Create a ledger without jobs, atomically, unless it exists; raises OSError."""
    new = path.with_name(f".{path.name}.new")
    try:
        with lock.held(path.with_name(f".{path.name}.lock"), BUSY_S):
            if entries.exists(path):  # another process has just made it
                return
            # the log of a lost ledger would be written into the new one
            beside = (path.with_name(f"{path.name}{ending}") for ending in schema.BESIDE)
            for left in (new, *beside):
                entries.unlink(left)
            with (
                schema.translated_errors(path),
                closing(sqlite3.connect(new, timeout=BUSY_S, isolation_level=None)) as connection,
            ):
                connection.execute("PRAGMA journal_mode = OFF")  # a kill would leave a log
                schema.upgrade(connection, path)
            atomic.sync_file(new)
            atomic.move(new, path)
    except lock.HeldError as error:
        raise OutputError(f"the ledger {path} cannot be made: {error}") from error
