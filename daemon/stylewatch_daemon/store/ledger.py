"""The ledger, to be read: every job there was, how it stands, and the story of its attempts.

The ledger is the index of all jobs and the one truth about how each stands. What was taken from
where is told by the `job.json` beside the files themselves instead: a claim is committed by the
rename that carries both at once, on whichever mount they are, and no database can take part in
that. So a job whose ledger is lost is still whole, and is entered anew.

Any process may read, while the daemon writes: `with reading(path) as ledger: ledger.counts()`.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Len
from pydantic import Field, TypeAdapter

from stylewatch_daemon.files import flat_layout
from stylewatch_daemon.store.journal import Attempt
from stylewatch_daemon.store.ledger_rows import check_files, in_words
from stylewatch_daemon.store.ledger_schema import OPEN, UNDISMISSED, WAITING, check
from stylewatch_daemon.store.ledger_turns import Turns

FILE_NAME = "ledger.sqlite3"

BUSY_S = 10.0
"""Seconds that one who finds the ledger locked waits."""

ENDED_BEFORE = "state IN ('done', 'refused', 'failed', 'cancelled') AND finished < ?"
"""The jobs that ended before a time, for SQL."""

COUNTED_AS: Mapping[str, str] = {
    "claimed": "waiting",
    "queued": "waiting",
    "running": "running",
    "ending": "running",
    "done": "done",
    "refusing": "refused",
    "refused": "refused",
    "failing": "failed",
    "failed": "failed",
    "cancelled": "cancelled",
}
"""Names of the states for people."""


DISMISSIBLE: tuple[str, ...] = ("refused", "failed")
"""The states of jobs that the status lists until they are dismissed."""

_LAST_OF_ALL = "~"
"""Comes behind every time, as text."""


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
    state: str
    """A JobState."""
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
    """Request for a job that has not ended: `cancel`, `finish`, or empty."""
    retry_of: str = ""
    """The job that it paints again, by its name in the outbox."""
    shape: str = ""
    """Key that is equal for jobs that can run in one batch; empty if the job runs alone."""
    series: str = ""
    """The id of the series that it belongs to; its own where it is one, once that is divided."""
    dismissed: bool = False
    """True if a person removed the refused or failed job from the status."""


class Ledger(Turns):
    """Reads the ledger; methods raise OutputError."""

    def counts(self) -> dict[str, int]:
        """How many jobs are waiting, running, done, refused, failed and cancelled."""
        counts = dict.fromkeys(COUNTED_AS.values(), 0)
        for state, count in self._rows(f"SELECT state, count FROM {self.counted}"):
            counts[COUNTED_AS[state]] += count
        return counts

    def check(self) -> None:
        """Raise DamagedError where the file, its tables or their rows are damaged."""
        with in_words(self.path):
            check(self._connection, self.path)

    def find(self, job: str) -> Entry | None:
        """The job with this id; else the latest of this name, in the outbox or in the inbox.

        Its name in the outbox is that of its folder, or of its painting in a flat album.
        """
        for column, value in (
            ("id", job), ("place", job), ("place", flat_layout.folder(job)), ("name", job)
        ):  # fmt: skip
            query = f"SELECT * FROM jobs WHERE {column} = ? ORDER BY id DESC LIMIT 1"
            for row in self._rows(query, value):
                return _entry(row)
        return None

    def wish(self, job_id: str) -> str:
        """Return the request for a job; empty if there is none."""
        rows = self._rows("SELECT wish FROM jobs WHERE id = ?", job_id)
        return next((str(row["wish"]) for row in rows), "")

    def state(self, job_id: str) -> str:
        """How a job stands; empty where it is not known."""
        rows = self._rows("SELECT state FROM jobs WHERE id = ?", job_id)
        return next((str(row["state"]) for row in rows), "")

    def story(self, job_id: str) -> tuple[Attempt, ...]:
        """The attempts at a job, the first one first."""
        query = "SELECT * FROM attempts WHERE job = ? ORDER BY number"
        told = [dict(row) for row in self._rows(query, job_id)]
        for one in told:
            del one["job"], one["number"]
        return tuple(Attempt(**one) for one in told)

    def latest(self, *states: str, limit: int) -> list[Entry]:
        """The jobs in one of `states`, those that finished or came last first."""
        query = (
            "SELECT * FROM jobs WHERE state IN (SELECT value FROM json_each(?)) "
            "ORDER BY finished DESC, id DESC LIMIT ?"
        )
        return [_entry(row) for row in self._rows(query, json.dumps(states), limit)]

    def ended(
        self, states: tuple[str, ...], limit: int, before: tuple[str, str] | None = None
    ) -> list[Entry]:
        """The jobs that ended in one of `states`, the last ones first, from any place on.

        `before` is (finished, id) of the job that they come behind. An index has each state in
        this order, so each is asked for by itself: a page of many thousands costs what one does.
        """
        query = (
            "SELECT * FROM jobs WHERE state = ? AND (finished, id) < (?, ?) "
            "ORDER BY finished DESC, id DESC LIMIT ?"
        )
        key = before or (_LAST_OF_ALL, "")
        found = [_entry(row) for one in states for row in self._rows(query, one, *key, limit)]
        return sorted(found, key=lambda one: (one.finished or "", one.id), reverse=True)[:limit]

    def undismissed(self, limit: int, outbox: str | None = None) -> list[Entry]:
        """List the refused and failed jobs that nobody dismissed, of one outbox or of all.

        The latest come first.
        """
        query = (
            f"SELECT * FROM jobs INDEXED BY jobs_undismissed WHERE {UNDISMISSED} "
            "AND outbox = coalesce(?, outbox) ORDER BY finished DESC, id DESC LIMIT ?"
        )
        return [_entry(row) for row in self._rows(query, outbox, limit)]

    def members(self, series: str) -> list[Entry]:
        """The jobs of a series, in the order they were made."""
        query = "SELECT * FROM jobs WHERE id > ? AND id < ? AND series = ? ORDER BY id"
        bounds = (f"{series}.", f"{series}/")  # what lies between begins with the first
        return [_entry(row) for row in self._rows(query, *bounds, series)]

    def done_since(self, time: str) -> int:
        """How many jobs were done at that time or later."""
        query = "SELECT count(*) FROM jobs WHERE state = 'done' AND finished >= ?"
        ((count,),) = self._rows(query, time)
        return int(count)

    def outlived(self, before: str) -> int:
        """How many jobs ended before that time."""
        ((count,),) = self._rows(f"SELECT count(*) FROM jobs WHERE {ENDED_BEFORE}", before)
        return int(count)

    def has_used(self, inbox: str, folder: str, source: Path) -> bool:
        """Return True if a job of `inbox`, named as in its `folder`, had the file `source`."""
        first, last = (f"{folder}/", f"{folder}0") if folder else ("", _LAST_OF_ALL)
        query = (
            "SELECT 1 FROM jobs WHERE name >= ? AND name < ? AND inbox = ? AND instr(inputs, ?) > 0"
        )
        written = json.dumps({"source": str(source)})[1:-1]  # as it is in `inputs`
        return any(self._rows(f"{query} LIMIT 1", first, last, inbox, written))

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
            "FROM (SELECT inputs FROM jobs WHERE json_valid(inputs)) AS known, "
            "json_each(known.inputs) AS input WHERE input.type = 'object'"
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


@contextmanager
def reading(path: Path) -> Iterator[Ledger]:
    """The ledger at `path`, for a process that only reads; OutputError where there is none."""
    ledger = opened(path)
    try:
        yield ledger
    finally:
        ledger.close()


def opened(path: Path) -> Ledger:
    """The same, for who closes it: for any threads, one at a time."""
    check_files(path)
    where = f"{path.absolute().as_uri()}?mode=ro"
    with in_words(path):
        return Ledger(path, sqlite3.connect(where, BUSY_S, uri=True, check_same_thread=False))


@dataclass(frozen=True)
class _Input:
    """An input of a job, as `Entry.inputs` describes it."""

    name: str
    role: str = ""
    source: str = ""
    size: int = 0
    sha256: Annotated[str, Field(pattern=r"^\w*$")] = ""
    pixels: Annotated[tuple[int, ...], Len(2, 2)] = (0, 0)


_INPUTS = TypeAdapter(list[_Input])
_SETTINGS = TypeAdapter(dict[str, Any])


def _entry(row: sqlite3.Row) -> Entry:
    values = dict(row)
    values["inputs"] = tuple(json_column(_INPUTS, values["inputs"]) or ())
    values["settings"] = json_column(_SETTINGS, values["settings"])
    values["dismissed"] = bool(values.get("dismissed"))  # an older ledger has no such column
    return Entry(**values)


def json_column(kind: TypeAdapter[Any], text: str | None) -> Any:
    """The JSON in a column of the ledger; None where it is not of the `kind` that belongs there."""
    try:
        # pydantic's own reader of JSON refuses names with bytes that were no text
        plain = json.loads(text or "null")
        kind.validate_python(plain)
    except (ValueError, TypeError, RecursionError):
        return None
    return plain
