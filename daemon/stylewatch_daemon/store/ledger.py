"""Queries of the ledger: every job, its state and its attempts.

The ledger alone holds the state of each job. Where the files of a job came from is recorded in the
`job.json` beside them instead: a claim is committed by the rename that carries both at once, on
whichever mount they are, and no database can take part in that. So a job whose ledger is lost is
still whole, and is entered anew.

Any process may read, while the daemon writes: `with reading(path) as ledger: ledger.counts()`.
"""

import json
import sqlite3
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Len
from pydantic import Field, TypeAdapter

from stylewatch_daemon.files import flat_layout
from stylewatch_daemon.files.names import JOBS, safe_path
from stylewatch_daemon.model import JobState, Picture
from stylewatch_daemon.store import ledger_schema as schema
from stylewatch_daemon.store.journal import Attempt

FILE_NAME = "ledger.sqlite3"

BUSY_S = 10.0
"""Seconds to wait while another process has the ledger locked."""

COUNTED = (
    "(SELECT inbox, outbox, state, count(*) AS count FROM jobs WHERE NOT dismissed "
    "GROUP BY 1, 2, 3)"
)
"""SQL for the number of jobs of an inbox and an outbox in each state, without dismissed ones."""

_ENDED = "state IN ('done', 'refused', 'failed', 'cancelled')"
"""The jobs that ended, for SQL."""

ENDED_BEFORE = f"{_ENDED} AND finished < ?"
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

_LAST_NAME = "\U0010ffff"
"""Sorts after every name."""

_TITLE = f"replace(coalesce(place, name), '{JOBS}/', '') COLLATE NOCASE"
"""The name of a job as people see it, for SQL."""

_RECIPE = "CASE WHEN json_valid(settings) THEN json_extract(settings, '$.recipe') END"
"""The recipe that a job was begun with, for SQL."""

_MAX_WORDS = 8
"""Words of a search that count."""

Order = Literal["newest", "oldest", "name"]

ORDERS: Mapping[Order, tuple[str, str, str]] = {
    "newest": ("finished", "DESC", "<"),
    "oldest": ("finished", "ASC", ">"),
    "name": (_TITLE, "ASC", ">"),
}
"""Key, direction and comparison with the job before, for SQL."""


@dataclass(frozen=True)
class Entry:
    """A job as the ledger has it; `place` and `refused_as` are folders in the `outbox`.

    `inputs` are {role, name, source (where it lay), size (bytes), sha256 and pixels ([width,
    height]) once these are known, frames of a clip}, and `bytes` their sum; jobs from before these
    were noted have no role and no source. Times are UTC, ISO 8601; `settings` are those it was last
    begun with.
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

    @property
    def title(self) -> str:
        """Name of the job in the outbox; its name in the inbox until it has one there."""
        return self.place or self.name

    @property
    def frames(self) -> int:
        """Number of frames of a content that is a clip; 1 for a picture, or if unknown yet."""
        return max((plain.get("frames", 1) for plain in self.inputs), default=1)

    @property
    def pictures(self) -> list[Picture]:
        """Those of its inputs that the inspection saw, the content first."""
        return [Picture.of(record) for record in self.inputs if "pixels" in record]


@dataclass(frozen=True)
class Held:
    """Blocked jobs: by id, by what they need, and by their outbox."""

    jobs: Collection[str] = ()
    needs: Collection[str] = ()
    outboxes: Collection[str] = ()


@dataclass(frozen=True)
class Search:
    """A search for jobs that ended; what is empty matches all."""

    name: str = ""
    """Words that are all in the name of the job."""
    style: str = ""
    """SHA-256 digest of a picture of the job."""
    recipe: str = ""
    since: str = ""
    until: str = ""
    """Times that it ended at or after, and before; UTC, ISO 8601."""
    order: Order = "newest"

    def key_of(self, entry: Entry) -> str:
        """The key of `entry` in this order, for the page after it."""
        if self.order == "name":
            return flat_layout.called(entry.title)
        return entry.finished or ""


NO_SEARCH = Search()


class Ledger:
    """Reads the ledger at `path` through `connection`; methods raise OutputError."""

    counted = COUNTED

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._connection.row_factory = sqlite3.Row
        self._connection.text_factory = partial(str, encoding="utf-8", errors="replace")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        with schema.translated_errors(self.path):
            return self._connection.execute(query, [*map(schema.sql_value, values)]).fetchall()

    def _entries(self, query: str, *values: object) -> list[Entry]:
        return [*map(_entry, self._rows(query, *values))]

    def _value(self, column: str, job_id: str) -> str:
        rows = self._rows(f"SELECT {column} FROM jobs WHERE id = ?", job_id)
        return str(rows[0][0]) if rows else ""

    def counts(self) -> dict[str, int]:
        """Return how many jobs are waiting, running, done, refused, failed and cancelled.

        Refused and failed jobs are counted until they are dismissed.
        """
        counts = dict.fromkeys(COUNTED_AS.values(), 0)
        for state, count in self._rows(f"SELECT state, count FROM {self.counted}"):
            counts[COUNTED_AS[state]] += count
        return counts

    def ended_counts(self) -> dict[str, int]:
        """Return how many jobs ended in each state, dismissed ones included, without zeros."""
        query = f"SELECT state, count(*) FROM jobs WHERE {_ENDED} GROUP BY state"
        return dict(map(tuple, self._rows(query)))

    def check(self) -> None:
        """Raise DamagedError where the file, its tables or their rows are damaged."""
        with schema.translated_errors(self.path):
            schema.check(self._connection, self.path)

    def find(self, job: str) -> Entry | None:
        """Return the job with this id; else the latest with this name in the outbox or the inbox.

        Its name in the outbox is that of its folder, or of its painting in a flat album. A name of
        files in the inbox is found, too, where a job cannot have it as it is.
        """
        columns = [("id", job)]
        for name in dict.fromkeys((job, safe_path(job))):
            columns += [("place", name), ("place", flat_layout.folder(name)), ("name", name)]
        for column, value in columns:
            query = f"SELECT * FROM jobs WHERE {column} = ? ORDER BY id DESC LIMIT 1"
            for entry in self._entries(query, value):
                return entry
        return None

    def latest_open(self, name: str) -> Entry | None:
        """Return the latest job with this name in the inbox that has not ended, if there is one."""
        query = f"SELECT * FROM jobs WHERE name = ? AND NOT {_ENDED} ORDER BY id DESC LIMIT 1"
        return next(iter(self._entries(query, name)), None)

    def wish(self, job_id: str) -> str:
        """Return the request for a job; empty if there is none."""
        return self._value("wish", job_id)

    def state(self, job_id: str) -> str:
        """Return the state of a job; empty if the job is not known."""
        return self._value("state", job_id)

    def attempts(self, job_id: str) -> tuple[Attempt, ...]:
        """Return the attempts at a job, in their order."""
        query = "SELECT * FROM attempts WHERE job = ? ORDER BY number"
        columns = Attempt.__dataclass_fields__
        return tuple(
            Attempt(**{column: row[column] for column in columns})
            for row in self._rows(query, job_id)
        )

    def latest(self, *states: str, limit: int) -> list[Entry]:
        """Return the jobs in one of `states`, the latest first."""
        query = (
            "SELECT * FROM jobs WHERE state IN (SELECT value FROM json_each(?)) "
            "ORDER BY finished DESC, id DESC LIMIT ?"
        )
        return self._entries(query, json.dumps(states), limit)

    def ended(
        self,
        state: JobState,
        limit: int,
        search: Search = NO_SEARCH,
        after: tuple[str, str] | None = None,
    ) -> list[Entry]:
        """Return the jobs that ended in `state` and that `search` matches, as a page.

        `after` is the `search.key_of` and the id of the last job of the page before. An index has
        the jobs of a state by time. All other conditions are checked job by job: that costs about
        a microsecond each, and the first page ends where it is full.
        """
        key, direction, compare = ORDERS[search.order]
        conditions = {
            "state = ?": state,
            "finished >= ?": search.since,
            "finished < ?": search.until,
            f"{_RECIPE} = ?": search.recipe,
            "instr(inputs, ?) > 0": search.style,
        }
        given = [(condition, value) for condition, value in conditions.items() if value]
        given += [
            (f"instr(lower({_TITLE}), lower(?)) > 0", word)
            for word in search.name.split()[:_MAX_WORDS]
        ]
        which, values = " AND ".join(condition for condition, _ in given), [v for _, v in given]
        if after is not None:
            which += f" AND ({key}, id) {compare} (?, ?)"
            values += after
        # Only ids are sorted: whole rows would be read for all jobs that match.
        order = f"ORDER BY {key} {direction}, id {direction}"
        ids = f"SELECT id FROM jobs WHERE {which} {order} LIMIT ?"
        query = f"SELECT * FROM jobs WHERE id IN ({ids}) {order}"
        return self._entries(query, *values, limit)

    def recipes(self, state: JobState) -> list[str]:
        """Return the recipes of the jobs that ended in `state`, by name."""
        query = f"SELECT DISTINCT {_RECIPE} FROM jobs WHERE state = ? ORDER BY 1"
        return [str(row[0]) for row in self._rows(query, state) if row[0]]

    def undismissed(self, limit: int, outbox: str | None = None) -> list[Entry]:
        """Return the jobs to be dismissed, of one outbox or of all, the latest first."""
        query = (
            f"SELECT * FROM jobs INDEXED BY jobs_undismissed WHERE {schema.UNDISMISSED} "
            "AND outbox = coalesce(?, outbox) ORDER BY finished DESC, id DESC LIMIT ?"
        )
        return self._entries(query, outbox, limit)

    def with_content(self, sha256: str, limit: int) -> list[Entry]:
        """Return the jobs whose content image has this digest, the latest first."""
        query = f"SELECT * FROM jobs WHERE {schema.FIRST_DIGEST} = ? ORDER BY id DESC LIMIT ?"
        return [
            entry
            for entry in self._entries(query, sha256, limit)
            if entry.inputs and entry.inputs[0].get("role") == "content"
        ]

    def members(self, series: str) -> list[Entry]:
        """Return the jobs of a series, in their order."""
        query = "SELECT * FROM jobs WHERE id > ? AND id < ? AND series = ? ORDER BY id"
        bounds = (f"{series}.", f"{series}/")  # what lies between begins with the first
        return self._entries(query, *bounds, series)

    def done_since(self, time: str) -> int:
        """Return how many jobs were done at that time or later."""
        query = "SELECT count(*) FROM jobs WHERE state = 'done' AND finished >= ?"
        ((count,),) = self._rows(query, time)
        return int(count)

    def outlived(self, before: str) -> int:
        """Return how many jobs ended before that time."""
        ((count,),) = self._rows(f"SELECT count(*) FROM jobs WHERE {ENDED_BEFORE}", before)
        return int(count)

    def has_used(self, inbox: str, folder: str, source: Path) -> bool:
        """Return True if a job of `inbox`, named as in its `folder`, had the file `source`."""
        first, last = (f"{folder}/", f"{folder}0") if folder else ("", _LAST_NAME)
        query = (
            "SELECT 1 FROM jobs WHERE name >= ? AND name < ? AND inbox = ? AND instr(inputs, ?) > 0"
        )
        written = json.dumps({"source": str(source)})[1:-1]  # as it is in `inputs`
        return any(self._rows(f"{query} LIMIT 1", first, last, inbox, written))

    def main_sources(self, inbox: str, folder: str) -> list[str]:
        """Return the sources of the main files of the jobs of `inbox` named as its `folder`.

        Includes jobs below the folder, and jobs of folders whose names begin in the same way.
        """
        # As bytes, because names that are not valid UTF-8 cannot be read as text.
        source = "CAST(json_extract(inputs, '$[0].source') AS BLOB)"
        which = "name >= ? AND name < ? AND inbox = ? AND json_valid(inputs)"
        query = f"SELECT {source} FROM jobs WHERE {which}"
        rows = self._rows(query, folder, f"{folder}0" if folder else _LAST_NAME, inbox)
        return [(row[0] or b"").decode(errors="surrogatepass") for row in rows]

    def claimed(self, inbox: str) -> list[Entry]:
        """Return the jobs that are being claimed from that inbox."""
        query = "SELECT * FROM jobs WHERE state = 'claimed' AND inbox = ? ORDER BY id"
        return self._entries(query, inbox)

    def open_jobs(self) -> dict[str, str]:
        """Return the claimed jobs that have not ended, in their order: names by id."""
        query = (
            f"SELECT id, coalesce(place, name) FROM jobs WHERE state IN {schema.OPEN} ORDER BY id"
        )
        return {row[0]: row[1] for row in self._rows(query)}

    def digests(self) -> set[str]:
        """Return the known SHA-256 digests of all pictures."""
        query = (
            "SELECT DISTINCT json_extract(input.value, '$.sha256') AS sha256 "
            "FROM (SELECT inputs FROM jobs WHERE json_valid(inputs)) AS known, "
            "json_each(known.inputs) AS input WHERE input.type = 'object'"
        )
        return {row["sha256"] for row in self._rows(query) if row["sha256"]}

    def waiting(self, outbox: str, limit: int) -> tuple[dict[str, str], int]:
        """Return the waiting jobs, names by id, `limit` at most, and how many there are."""
        which = f"WHERE state IN {schema.WAITING} AND outbox = ?"
        query = f"SELECT id, coalesce(place, name) FROM jobs {which} ORDER BY id LIMIT ?"
        ((count,),) = self._rows(f"SELECT total(count) FROM {self.counted} {which}", outbox)
        return {row[0]: row[1] for row in self._rows(query, outbox, limit)}, int(count)

    def heads(
        self, held: Held, begun: Collection[str] = (), limit: int = 1
    ) -> dict[str, list[str]]:
        """Return the ids of the next jobs of each inbox: queued or `begun`, and not `held`."""
        which, values = _not_held(held)
        query = (
            "SELECT inbox, priority, id FROM jobs INDEXED BY jobs_next WHERE inbox = ? "
            f"AND state = 'queued' {which} ORDER BY priority DESC, id LIMIT {limit}"
        )
        inboxes = f"SELECT DISTINCT inbox FROM {self.counted} WHERE state = 'queued' AND count > 0"
        rows = [
            head for row in self._rows(inboxes) for head in self._rows(query, row["inbox"], *values)
        ]
        if begun:
            query = (
                "SELECT inbox, priority, id FROM jobs WHERE id IN (SELECT value FROM json_each(?)) "
                f"AND state IN {schema.OPEN} AND state <> 'queued' {which}"
            )
            rows += self._rows(query, json.dumps(list(begun)), *values)
            rows.sort(key=lambda row: (-row["priority"], row["id"]))
        heads: dict[str, list[str]] = {}
        for row in rows:
            heads.setdefault(row["inbox"], []).append(row["id"])
        return {inbox: jobs[:limit] for inbox, jobs in heads.items()}

    def decided(self, begun: Collection[str], held: Held) -> list[str]:
        """Return the ids of the jobs `begun` whose end is decided and that are not `held`."""
        which, values = _not_held(held)
        query = (
            "SELECT id FROM jobs WHERE id IN (SELECT value FROM json_each(?)) "
            f"AND state IN {schema.DECIDED} {which} ORDER BY id"
        )
        return [row["id"] for row in self._rows(query, json.dumps(list(begun)), *values)]

    def alike(self, shape: str, held: Held, limit: int) -> dict[str, list[str]]:
        """Return the ids of never-tried jobs of a shape for each inbox, in their order.

        They have the priority of the inbox's next job, so that none goes before a higher one.
        """
        which, values = _not_held(held)
        query = (
            "SELECT id FROM jobs INDEXED BY jobs_alike WHERE inbox = ? AND shape = ? "
            "AND state = 'queued' AND wish = '' "
            "AND priority = (SELECT priority FROM jobs WHERE id = ?) "
            "AND NOT EXISTS (SELECT 1 FROM attempts WHERE job = jobs.id) "
            f"{which} ORDER BY id LIMIT ?"
        )
        jobs_by_inbox = {
            inbox: [row["id"] for row in self._rows(query, inbox, shape, *head, *values, limit)]
            for inbox, head in self.heads(held).items()
        }
        return {inbox: jobs for inbox, jobs in jobs_by_inbox.items() if jobs}

    def wishes(self) -> dict[str, str]:
        """Return the requests for jobs that have not ended, by id."""
        query = f"SELECT id, wish FROM jobs INDEXED BY jobs_wished WHERE {schema.REQUESTED}"
        return {row["id"]: row["wish"] for row in self._rows(query)}

    def is_reserved(self, place: str, outbox: str) -> bool:
        """Return True if an unfinished job has that folder in the outbox, or will get it."""
        query = (
            "SELECT 1 FROM jobs WHERE place IN (?, ?) AND outbox = ? "
            f"AND state IN {schema.OPEN} LIMIT 1"
        )
        # A flat job and another one may need the same name.
        called = flat_layout.called(place)
        return bool(self._rows(query, called, flat_layout.folder(called), outbox))

    def divided(self) -> list[str]:
        """Return the ids of the series that wait for their jobs."""
        jobs = "jobs INDEXED BY jobs_of_series"
        query = f"SELECT DISTINCT series FROM {jobs} WHERE {schema.SERIES_MEMBERS}"
        return [row["series"] for row in self._rows(query)]


def reading(path: Path) -> AbstractContextManager[Ledger]:
    """Open the ledger at `path` to read it; raises OutputError where there is none."""
    return closing(opened(path))


def opened(path: Path) -> Ledger:
    """Open the ledger as `reading` does, for any threads, one at a time; the caller closes it."""
    schema.check_files(path)
    where = f"{path.absolute().as_uri()}?mode=ro"
    with schema.translated_errors(path):
        connection = sqlite3.connect(where, BUSY_S, uri=True, check_same_thread=False)
    try:
        with schema.translated_errors(path):
            schema.check_version(connection, path)
    except BaseException:
        connection.close()
        raise
    return Ledger(path, connection)


def _not_held(held: Held) -> tuple[str, list[str]]:
    """Return the condition, in SQL, that a job is not in `held`, and its values."""
    lists = {"id": held.jobs, "needs": held.needs, "outbox": held.outboxes}
    values = {column: json.dumps(list(blocked)) for column, blocked in lists.items() if blocked}
    which = " ".join(f"AND {column} NOT IN (SELECT value FROM json_each(?))" for column in values)
    return which, list(values.values())


@dataclass(frozen=True)
class _Input:
    """An input of a job, as `Entry.inputs` describes it."""

    name: str
    role: str = ""
    source: str = ""
    size: int = 0
    sha256: Annotated[str, Field(pattern=r"^\w*$")] = ""
    pixels: Annotated[tuple[int, ...], Len(2, 2)] = (0, 0)
    frames: Annotated[int, Field(ge=1)] = 1


_INPUTS = TypeAdapter(list[_Input])
_SETTINGS = TypeAdapter(dict[str, Any])


def _entry(row: sqlite3.Row) -> Entry:
    values = dict(row)
    values["inputs"] = tuple(json_column(_INPUTS, values["inputs"]) or ())
    values["settings"] = json_column(_SETTINGS, values["settings"])
    values["dismissed"] = bool(values.get("dismissed"))  # an older ledger has no such column
    return Entry(**values)


def json_column(kind: TypeAdapter[Any], text: str | None) -> Any:
    """Return the JSON in a column of the ledger; None if it is not of that `kind`."""
    try:
        # pydantic's own reader of JSON refuses names with bytes that were no text
        plain = json.loads(text or "null")
        kind.validate_python(plain)
    except (ValueError, TypeError, RecursionError):
        return None
    return plain
