"""The ledger, to be read: every job there was, how it stands, and the story of its attempts.

The ledger is the index of all jobs and the one truth about how each stands. What was taken from
where is told by the `job.json` beside the files themselves instead: a claim is committed by the
rename that carries both at once, on whichever mount they are, and no database can take part in
that. So a job whose ledger is lost is still whole, and is entered anew.

Any process may read, while the daemon writes: `with reading(path) as ledger: ledger.counts()`.
"""

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.journal import Attempt, JobState
from stylewatch_daemon.ledger_counts import COUNTED
from stylewatch_daemon.ledger_schema import OPEN, PARTS, WAITING

FILE_NAME = "ledger.sqlite3"

BUSY_S = 10.0
"""Seconds that one who finds the ledger locked waits."""

ENDED_BEFORE = "state IN ('done', 'refused', 'failed', 'cancelled') AND finished < ?"
"""The jobs that ended before a time, for SQL."""

COUNTED_AS: Mapping[JobState, str] = {
    "claimed": "waiting",
    "queued": "waiting",
    "running": "running",
    "ending": "running",
    "refusing": "running",
    "failing": "running",
    "done": "done",
    "refused": "refused",
    "failed": "failed",
    "cancelled": "cancelled",
}
"""What each state is to a person."""


@dataclass(frozen=True)
class Entry:
    """A job as the ledger has it; `place` and `refused_as` are folders in the `outbox`.

    `inputs` are {role, name, source (where it lay), size (bytes), sha256 and pixels ([width,
    height]) once these are known}, and `bytes` their sum; jobs from before these were noted have
    no role and no source. Times are UTC, ISO 8601; `settings` are those it was last begun with.
    """

    id: str
    name: str
    inbox: str
    outbox: str
    state: JobState
    entered: str
    inputs: tuple[Mapping[str, Any], ...]
    bytes: int
    place: str | None = None
    refused_as: str | None = None
    reason: str = ""
    priority: int = 0
    needs: str = ""
    finished: str | None = None
    settings: Mapping[str, Any] | None = None
    wish: str = ""
    """What people ask of it, until it is at its end: `cancel`, `finish`."""
    retry_of: str = ""
    """The job that it paints again, by its name in the outbox."""
    shape: str = ""
    """What is the same of jobs that can be painted at once; empty where it is for itself."""
    series: str = ""
    """The id of the series that it belongs to; its own where it is one, once that is divided."""


@dataclass(frozen=True)
class Held:
    """What must wait: jobs by id, by what they need, and by their outbox."""

    jobs: Collection[str] = ()
    needs: Collection[str] = ()
    outboxes: Collection[str] = ()


class Ledger:
    """Reads the ledger at `path` through `connection`; methods raise OutputError."""

    counted = COUNTED
    """What says, for SQL, how many jobs of an inbox and an outbox are in a state."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._connection.row_factory = sqlite3.Row

    def counts(self) -> dict[str, int]:
        """How many jobs are waiting, running, done, refused, failed and cancelled."""
        counts = dict.fromkeys(COUNTED_AS.values(), 0)
        for state, count in self._rows(f"SELECT state, count FROM {self.counted}"):
            counts[COUNTED_AS[state]] += count
        return counts

    def find(self, job: str) -> Entry | None:
        """The job with this id; else the latest of this name, in the outbox or in the inbox."""
        for column in ("id", "place", "name"):
            query = f"SELECT * FROM jobs WHERE {column} = ? ORDER BY id DESC LIMIT 1"
            for row in self._rows(query, job):
                return _entry(row)
        return None

    def wish(self, job_id: str) -> str:
        """What people ask of a job; empty where that is nothing."""
        rows = self._rows("SELECT wish FROM jobs WHERE id = ?", job_id)
        return next((str(row["wish"]) for row in rows), "")

    def story(self, job_id: str) -> tuple[Attempt, ...]:
        """The attempts at a job, the first one first."""
        query = "SELECT * FROM attempts WHERE job = ? ORDER BY number"
        told = [dict(row) for row in self._rows(query, job_id)]
        for one in told:
            del one["job"], one["number"]
        return tuple(Attempt(**one) for one in told)

    def latest(self, *states: JobState, limit: int) -> list[Entry]:
        """The jobs in one of `states`, those that finished or came last first."""
        query = (
            "SELECT * FROM jobs WHERE state IN (SELECT value FROM json_each(?)) "
            "ORDER BY finished DESC, id DESC LIMIT ?"
        )
        return [_entry(row) for row in self._rows(query, json.dumps(states), limit)]

    def heads(self, held: Held) -> dict[str, str]:
        """For each inbox that has jobs to go on with, the id of its next; `held` ones wait."""
        query = (
            f"SELECT id FROM jobs WHERE inbox = ? AND state IN {OPEN} "
            "AND id NOT IN (SELECT value FROM json_each(?)) "
            "AND needs NOT IN (SELECT value FROM json_each(?)) "
            "AND outbox NOT IN (SELECT value FROM json_each(?)) "
            "ORDER BY priority DESC, id LIMIT 1"
        )
        inboxes = f"SELECT DISTINCT inbox FROM {self.counted} WHERE state IN {OPEN} AND count > 0"
        lists = [json.dumps(list(one)) for one in (held.jobs, held.needs, held.outboxes)]
        return {
            row["inbox"]: head["id"]
            for row in self._rows(inboxes)
            for head in self._rows(query, row["inbox"], *lists)
        }

    def alike(self, shape: str, held: Held, limit: int) -> dict[str, list[str]]:
        """For each inbox the ids of jobs of that shape that nothing was tried with, in their turn.

        They have the priority of the inbox's next job, so that none goes before a higher one.
        """
        query = (
            f"SELECT id FROM jobs WHERE inbox = ? AND shape = ? AND state IN {OPEN} "
            "AND state = 'queued' AND wish = '' "
            "AND priority = (SELECT priority FROM jobs WHERE id = ?) "
            "AND id NOT IN (SELECT value FROM json_each(?)) "
            "AND needs NOT IN (SELECT value FROM json_each(?)) "
            "AND outbox NOT IN (SELECT value FROM json_each(?)) "
            "AND NOT EXISTS (SELECT 1 FROM attempts WHERE job = jobs.id) "
            "ORDER BY id LIMIT ?"
        )
        lists = [json.dumps(list(one)) for one in (held.jobs, held.needs, held.outboxes)]
        found = {
            inbox: [row["id"] for row in self._rows(query, inbox, shape, head, *lists, limit)]
            for inbox, head in self.heads(held).items()
        }
        return {inbox: jobs for inbox, jobs in found.items() if jobs}

    def divided(self) -> list[str]:
        """The ids of the series that have jobs which are not at their end; they wait for these."""
        query = f"SELECT DISTINCT series FROM jobs WHERE {PARTS}"
        return [row["series"] for row in self._rows(query)]

    def members(self, series: str) -> list[Entry]:
        """The jobs of a series, in the order they were made."""
        query = "SELECT * FROM jobs WHERE id > ? AND id < ? AND series = ? ORDER BY id"
        bounds = (f"{series}.", f"{series}/")  # what lies between begins with the first
        return [_entry(row) for row in self._rows(query, *bounds, series)]

    def outlived(self, before: str) -> int:
        """How many jobs ended before that time."""
        ((count,),) = self._rows(f"SELECT count(*) FROM jobs WHERE {ENDED_BEFORE}", before)
        return int(count)

    def claimed(self, inbox: str) -> list[Entry]:
        """The jobs that were entered, and are being taken out of that inbox."""
        query = "SELECT * FROM jobs WHERE state = 'claimed' AND inbox = ? ORDER BY id"
        return [_entry(row) for row in self._rows(query, inbox)]

    def open_jobs(self) -> dict[str, str]:
        """The jobs that are ours and not at their end, in the order they came: names by id."""
        query = f"SELECT id, coalesce(place, name) FROM jobs WHERE state IN {OPEN} ORDER BY id"
        return {row[0]: row[1] for row in self._rows(query)}

    def digests(self) -> set[str]:
        """The SHA-256 of every picture of every job, as far as they are known."""
        query = (
            "SELECT DISTINCT json_extract(input.value, '$.sha256') AS sha256 "
            "FROM jobs, json_each(jobs.inputs) AS input"
        )
        return {row["sha256"] for row in self._rows(query) if row["sha256"]}

    def waiting_count(self) -> int:
        """How many jobs wait to be begun."""
        return self.counts()["waiting"]

    def waiting(self, outbox: str, limit: int) -> tuple[dict[str, str], int]:
        """The jobs that wait to be begun, names by id, `limit` at most, and how many there are."""
        which = f"WHERE state IN {WAITING} AND outbox = ?"
        query = f"SELECT id, coalesce(place, name) FROM jobs {which} ORDER BY id LIMIT ?"
        ((count,),) = self._rows(f"SELECT total(count) FROM {self.counted} {which}", outbox)
        return {row[0]: row[1] for row in self._rows(query, outbox, limit)}, int(count)

    def _rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        with in_words(self.path):
            return self._connection.execute(query, [plain(value) for value in values]).fetchall()


@contextmanager
def reading(path: Path) -> Iterator[Ledger]:
    """The ledger at `path`, for a process that only reads; OutputError where there is none."""
    with in_words(path):
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", BUSY_S, uri=True)
    try:
        yield Ledger(path, connection)
    finally:
        connection.close()


@contextmanager
def in_words(path: Path) -> Iterator[None]:
    """What SQLite objects to, as an OutputError: a full disk for one, or a damaged file."""
    try:
        yield
    except sqlite3.Error as error:
        raise OutputError(
            f"the ledger {path} cannot be used ({error}); is its disk full, or read-only?"
        ) from error


def plain(value: object) -> object:
    """`value` as SQLite takes it: bytes in a name that were no text are written out."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    return value


def _entry(row: sqlite3.Row) -> Entry:
    values = dict(row)
    values["inputs"] = tuple(json.loads(values["inputs"]))
    values["settings"] = json.loads(values["settings"]) if values["settings"] else None
    return Entry(**values)
