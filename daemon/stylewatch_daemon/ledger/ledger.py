"""Queries of the ledger: every job, its state, its attempts and its published files.

Only the ledger holds the state of each job. The sources of a job's files are in the claim beside
the files: the rename that moves the files also commits the claim, which a database could not do. So
a job is still complete if the ledger is lost, and is entered again from its claim.

Any process may read while the daemon writes: `with reading(path) as ledger: ledger.counts()`.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from pydantic import TypeAdapter

from stylewatch_daemon.base.errors import OutputError, UsageError
from stylewatch_daemon.base.model import (
    REFUSALS,
    SEEN,
    Attempt,
    Cause,
    End,
    Input,
    Job,
    OutputFile,
    State,
    seen,
)
from stylewatch_daemon.files.names import folded, meant, safe_path, shown
from stylewatch_daemon.ledger import schema
from stylewatch_daemon.ledger.memory import Memory, Painted, Seen
from stylewatch_daemon.ledger.state_dir import LEDGER, reading_below

FILE_NAME = LEDGER

BUSY_S = 10.0
"""Maximum time in seconds to wait while another process has the ledger locked."""

_ENDED = f"FROM jobs INDEXED BY jobs_ended WHERE {schema.KEPT}"
"""SQL for the jobs that ended and are not in the trash. Without the index SQLite would read and
sort all of them."""

_TRASHED = "FROM jobs INDEXED BY jobs_trashed WHERE trashed NOT NULL"
"""SQL for the jobs in the trash."""

_AMONG = "end IN (SELECT value FROM json_each(?))"
"""SQL condition that the end of a job is in a list; the parameter is that list in JSON."""

_TITLE = "coalesce(place, name)"
"""SQL for the name of a job as people see it: `Job.title`."""

_SORTED_TITLE = f"{_TITLE} COLLATE NOCASE"
"""SQL for the key by which jobs are sorted by title, whatever the case of ASCII letters."""

_RECIPE = "json_extract(settings, '$.recipe')"
"""SQL for the recipe with which a job was last started; NULL if it was never started."""

_HAS_STYLE = (
    "EXISTS (SELECT 1 FROM json_each(inputs) WHERE json_extract(value, '$.role') = 'style' "
    "AND json_extract(value, '$.sha256') = ?)"
)
"""SQL condition that a job has a style image with the digest that is the parameter."""


class Place(NamedTuple):
    """Place of a job in the order of its inbox, among the jobs of its priority."""

    behind: str
    """The id of the job or, after a try, the greatest id of the jobs that come before it."""
    tried_at: float = 0.0
    """Time of the job's last try, on a monotonic clock in seconds; 0 if it was not tried."""


class _Ranked(NamedTuple):
    """A waiting job; the lesser of two jobs of an inbox begins first, as in IN_INBOX_ORDER."""

    comes_last: int
    negated_priority: int
    place: Place
    id: str
    title: str = ""


_MAX_WORDS = 8
"""Maximum number of words of a search that count; the others are ignored."""

MAX_SHOWN = 5
"""Maximum number of jobs that the error of `Ledger.the_one` lists if a name fits several."""

Order = Literal["newest", "oldest", "name"]

ORDERS: Mapping[Order, tuple[str, str, str]] = {
    "newest": ("finished", "DESC", "<"),
    "oldest": ("finished", "ASC", ">"),
    "name": (_SORTED_TITLE, "ASC", ">"),
}
"""SQL for each order: the key, the direction, and the operator that compares the key of a job with
the key of a job before it."""


@dataclass(frozen=True)
class Search:
    """Search for jobs that ended; empty fields match all jobs."""

    name: str = ""
    """Words that must all be in the title of the job, in their folded form (law 8)."""
    style: str = ""
    """SHA-256 digest of a style image of the job."""
    content: str = ""
    """SHA-256 digest of the content image of the job."""
    recipe: str = ""
    since: str = ""
    until: str = ""
    """`since` and `until` limit the end of the job, from `since` on and before `until`; UTC, ISO
    8601."""
    order: Order = "newest"
    in_trash: bool = False
    """True for the jobs in the trash, False for all others."""
    ids: frozenset[str] | None = None
    """The ids of the jobs to search in; None for all."""

    def key_of(self, job: Job) -> str:
        """Return the sort key of `job` in the `order`; the next page starts after the last key."""
        return job.title if self.order == "name" else job.finished or ""


NO_SEARCH = Search()

EXPIRE = "expire"
"""Verb of the daemon's own requests to delete jobs whose days in the trash are over."""

DELETIONS = ("delete", EXPIRE)
"""Verbs of requests that remove the files of a job."""


@dataclass(frozen=True)
class Request:
    """Request, of a person or with the verb EXPIRE, that the daemon has not acted on yet.

    `made` is the time of the request: UTC, ISO 8601.
    """

    id: int
    verb: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    made: str = ""

    def asks(self, verb: str, **arguments: Any) -> bool:
        """Return whether this request has the `verb` and at least the `arguments`."""
        return self.verb == verb and arguments.items() <= dict(self.arguments).items()

    def deletes(self, job_id: str) -> bool:
        """Return whether this request removes the files of a job."""
        return self.verb in DELETIONS and self.arguments.get("job") == job_id

    @property
    def has_begun(self) -> bool:
        """True if the daemon has begun to remove files for it; then it is not given up any more."""
        return bool(self.arguments.get("begun"))


class Hook(NamedTuple):
    """Pending or running hook of a `job` that has ended."""

    id: int
    job: str
    begun: bool
    """True if its command may have been started."""


class Sight(NamedTuple):
    """Last record of the wall clock, and of the clock that nobody sets.

    The age of a job is a difference between two `counted_s`.
    """

    latest: datetime
    """Latest time that the wall clock has shown since it last jumped by many days, UTC."""
    counted_s: float
    """Seconds that have certainly passed since the first daemon started."""
    set_s: float | None = None
    """Value of `counted_s` when the wall clock was last seen to be set; None if it never was."""
    offset_s: float | None = None
    """Time of the wall clock minus that of the clock that nobody sets, in seconds; None if an
    earlier version did not record it."""


class Ledger:
    """Reader of the ledger at `path` through `connection`; methods raise OutputError."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._connection.row_factory = sqlite3.Row
        # SQLite's own lower() knows only ASCII
        self._connection.create_function("folded", 1, folded, deterministic=True)
        self._connection.text_factory = partial(str, encoding="utf-8", errors="replace")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        with schema.translated_errors(self.path):
            return self._connection.execute(query, [*map(schema.sql_value, values)]).fetchall()

    def _jobs(self, query: str, *values: object) -> list[Job]:
        return [*map(_job, self._rows(query, *values))]

    def check(self) -> None:
        """Raise DamagedError if the file, its tables or their rows are damaged."""
        schema.check(self._connection, self.path)

    # -- single jobs

    def get(self, job_id: str) -> Job | None:
        """Return the job with this id; None if there is none."""
        jobs = self._jobs("SELECT * FROM jobs WHERE id = ?", job_id)
        return jobs[0] if jobs else None

    def find(self, name: str) -> Job | None:
        """Return the job with the id `name`, else the latest with this name; None if there is none.

        Jobs with this name in the outbox go before those with this name in the inbox alone. Jobs
        are also found by the name that `safe_path` makes of `name`.
        """
        query = (
            "SELECT * FROM jobs WHERE id = ?1 OR place IN (?1, ?2) OR name IN (?1, ?2) "
            "ORDER BY id = ?1 DESC, ifnull(place IN (?1, ?2), 0) DESC, id DESC LIMIT 1"
        )
        jobs = self._jobs(query, name, safe_path(name))
        return jobs[0] if jobs else None

    def called(self, name: str) -> list[Job]:
        """Return the jobs with exactly this name in their inboxes, oldest first."""
        return self._jobs("SELECT * FROM jobs WHERE name = ? ORDER BY id", name)

    def meant(self, name: str) -> str:
        """Return the name of the job that a person means by `name`; `name` if there is no such job.

        An exact name or id wins; otherwise names are compared in their folded form (law 8). Raises
        UsageError if `name` fits several jobs that have no name in common.
        """
        if self.find(name) is not None:
            return name
        wanted = safe_path(name)
        query = (
            f"SELECT name, {_TITLE} FROM jobs WHERE folded(?1) IN (folded(name), folded({_TITLE}))"
        )
        rows = self._rows(query, wanted)
        fitting = [
            {spelling for spelling in row if folded(spelling) == folded(wanted)} for row in rows
        ]
        names = set[str]().union(*fitting)
        shared = names.intersection(*fitting)  # of one job, or of one name that was used again
        return min(shared) if shared else meant(wanted, names, "jobs") or name

    def names_like(self, stem: str) -> frozenset[str]:
        """Return the names that jobs have in an inbox or outbox and that begin with `stem`."""
        query = (
            "SELECT name, place FROM jobs "
            "WHERE substr(name, 1, ?1) = ?2 OR substr(place, 1, ?1) = ?2"
        )
        rows = self._rows(query, len(stem), stem)
        return frozenset(name for row in rows for name in row if name and name.startswith(stem))

    def the_one(
        self, name: str, *preferred: Callable[[Job], bool], exactly: bool = False
    ) -> Job | None:
        """Return the job that a person means by a name or an id (law 8); None if there is none.

        An exact id wins. Otherwise the jobs whose title is the name count or, if there are none,
        those that had it in the inbox. Several are narrowed down in steps, each of which has no
        effect if no job would be left: to jobs outside the trash; to jobs for which a condition
        holds, the first of `preferred` that holds for any job, or else that the job's folder in the
        outbox has the name. Of the jobs with one folder, the latest counts.

        With `exactly`, only titles count, and nothing is narrowed down, so that a request that is
        sent twice never acts on a second job. Raises UsageError with the ids if several jobs are
        left, or if only names in the inbox fit.
        """
        job = self.get(name)
        if job is not None:
            return job
        name = self.meant(name)
        names = {name, safe_path(name)}
        query = "SELECT * FROM jobs WHERE place IN (?1, ?2) OR name IN (?1, ?2) ORDER BY id DESC"
        fitting = self._jobs(query, name, safe_path(name))
        titled = [job for job in fitting if job.title in names]
        if exactly:
            if fitting and not titled:
                raise UsageError(
                    f"no job is called {shown(name)} now; in the inbox, that was the name of "
                    f"{_listed(fitting)}: use an id"
                )
            jobs = titled
        else:
            jobs = titled or fitting
            jobs = [job for job in jobs if not job.trashed] or jobs
            for fits in (*preferred, lambda job: job.place in names):
                if any(map(fits, jobs)):
                    jobs = [*filter(fits, jobs)]
                    break
        folders = {(job.outbox, job.place or job.id): job for job in reversed(jobs)}
        if len(folders) > 1:
            several = _listed(folders.values())
            raise UsageError(f"{shown(name)} fits several jobs: {several}; use an id")
        return jobs[0] if jobs else None

    def attempts(self, job_id: str) -> tuple[Attempt, ...]:
        """Return the attempts at a job, in the order of their numbers."""
        columns = ", ".join(Attempt.__dataclass_fields__)
        query = f"SELECT {columns} FROM attempts WHERE job = ? ORDER BY number"
        return tuple(Attempt(*row) for row in self._rows(query, job_id))

    def files(self, job_id: str) -> list[OutputFile]:
        """Return the files of a job that were published or are about to be, sorted by path."""
        query = "SELECT path, part, sha256, size FROM files WHERE job = ? ORDER BY path"
        return [OutputFile(*row) for row in self._rows(query, job_id)]

    # -- lists of jobs

    def counts(self) -> dict[str, int]:
        """Return the number of jobs in each state of SEEN, without those in the trash.

        Refused and failed jobs are counted until they are dismissed.
        """
        counts = dict.fromkeys(SEEN, 0)
        query = (
            "SELECT state, end, dismissed, count(*) FROM jobs WHERE trashed IS NULL "
            "GROUP BY 1, 2, 3"
        )
        for state, end, dismissed, count in self._rows(query):
            if not (dismissed and end in REFUSALS):
                counts[seen(State(state), end and End(end))] += count
        return counts

    def ended_counts(self) -> dict[str, int]:
        """Return the number of jobs by end, including dismissed ones, without zeros.

        Jobs in the trash are not counted.
        """
        query = f"SELECT end, count(*) FROM jobs WHERE {schema.KEPT} GROUP BY end"
        return dict(map(tuple, self._rows(query)))

    def count_kept(self, ids: Collection[str]) -> int:
        """Return how many of the jobs with these ids have ended and are not in the trash."""
        among = "id IN (SELECT value FROM json_each(?))"
        query = f"SELECT count(*) FROM jobs WHERE {schema.KEPT} AND {among}"
        return self._count(query, json.dumps([*ids]))

    def trash_size(self) -> tuple[int, int]:
        """Return the number of jobs in the trash, and the bytes of their files in outboxes."""
        size = (
            f"SELECT coalesce(sum(size), 0) FROM files WHERE job IN (SELECT id {_TRASHED}) "
            "AND part != 'finals'"  # those are links
        )
        ((count, size_bytes),) = self._rows(f"SELECT count(*), ({size}) {_TRASHED}")
        return count, size_bytes

    def ended(
        self,
        ends: Collection[str],
        limit: int,
        search: Search = NO_SEARCH,
        after: tuple[str, str] | None = None,
    ) -> list[Job]:
        """Return a page of at most `limit` jobs that have one of the `ends` and match `search`.

        Without a search these are the latest jobs outside the trash. `after` is the `search.key_of`
        and the id of the last job of the previous page, or None for the first page. There is an
        index by time; all other conditions are checked for each job, which takes about a
        microsecond per job and, in an order by time, stops when the page is full.
        """
        key, direction, compare = ORDERS[search.order]
        words = search.name.split()[:_MAX_WORDS]
        source = f"{_TRASHED if search.in_trash else _ENDED} AND {_AMONG}"
        values = [json.dumps([*ends])]
        if search.ids is not None:
            source += " AND id IN (SELECT value FROM json_each(?))"
            values.append(json.dumps([*search.ids]))
        for condition, value in (
            ("finished >= ?", search.since),
            ("finished < ?", search.until),
            (f"{_RECIPE} = ?", search.recipe),
            (f"{schema.FIRST_DIGEST} = ?", search.content),
            ("instr(inputs, ?) > 0", search.style),  # fast, but also true for other inputs
            (_HAS_STYLE, search.style),
            *((f"instr(folded({_TITLE}), folded(?)) > 0", word) for word in words),
        ):
            if value:
                source += f" AND {condition}"
                values.append(value)
        if after is not None:
            source += f" AND ({key}, id) {compare} (?, ?)"
            values += after
        # Sort only ids: otherwise whole rows would be read for all jobs that match.
        order = f"ORDER BY {key} {direction}, id {direction}"
        ids = f"SELECT id {source} {order} LIMIT ?"
        query = f"SELECT * FROM jobs WHERE id IN ({ids}) {order}"
        return self._jobs(query, *values, limit)

    def recipes(self, *ends: str) -> list[str]:
        """Return, sorted, the recipes of jobs outside the trash that have one of the `ends`."""
        query = f"SELECT DISTINCT {_RECIPE} {_ENDED} AND {_AMONG} ORDER BY 1"
        return [str(row[0]) for row in self._rows(query, json.dumps(ends)) if row[0]]

    def undismissed(self, limit: int, outbox: str | None = None) -> list[Job]:
        """Return the latest refused and failed jobs that are not dismissed, the latest first.

        At most `limit` jobs are returned, none from the trash and, with an `outbox`, only jobs of
        that outbox.
        """
        source = f"FROM jobs INDEXED BY jobs_undismissed WHERE {schema.UNDISMISSED}"
        order = "ORDER BY finished DESC, id DESC LIMIT ?"
        if outbox is None:
            return self._jobs(f"SELECT * {source} {order}", limit)
        return self._jobs(f"SELECT * {source} AND outbox = ? {order}", outbox, limit)

    def with_content(self, sha256: str, limit: int) -> list[Job]:
        """Return the jobs outside the trash whose content image has this SHA-256 digest.

        The latest come first, and at most `limit` are returned.
        """
        query = (
            f"SELECT * FROM jobs WHERE {schema.FIRST_DIGEST} = ? AND trashed IS NULL "
            "ORDER BY id DESC LIMIT ?"
        )
        jobs = self._jobs(query, sha256, limit)
        return [job for job in jobs if job.inputs and job.inputs[0].role == "content"]

    def count_ended(self, ends: Collection[str], since: str) -> int:
        """Return how many jobs outside the trash ended in one of `ends`, at `since` or later.

        `since` is UTC, ISO 8601.
        """
        query = f"SELECT count(*) {_ENDED} AND {_AMONG} AND finished >= ?"
        return self._count(query, json.dumps([*ends]), since)

    def outlived(self, part: str, threshold: float) -> list[tuple[str, str, OutputFile]]:
        """Return the files with this `part` of the jobs whose age began before `threshold`.

        The threshold is a time of `Sight.counted_s`. Jobs about which a request waits are left out,
        because the request may make the job a favorite. An element is the id of a job, its outbox,
        and a file.
        """
        query = (
            "SELECT jobs.id, outbox, path, part, sha256, size FROM files JOIN jobs ON id = job "
            f"JOIN ages USING (job) WHERE part = ? AND {schema.ENDED} AND since < ? "
            f"AND job NOT IN {schema.REQUESTED} ORDER BY 1, 3"
        )
        return [
            (row[0], row[1], OutputFile(*row[2:])) for row in self._rows(query, part, threshold)
        ]

    def open_jobs(self) -> dict[str, str]:
        """Return the titles of the jobs that have not ended, by id, in the order of the ids."""
        query = f"SELECT id, {_TITLE} FROM jobs WHERE NOT {schema.ENDED} ORDER BY id"
        return {row[0]: row[1] for row in self._rows(query)}

    def waiting(
        self, outboxes: Iterable[str], limit: int, turns: Mapping[str, int]
    ) -> tuple[dict[str, str], int]:
        """Return the titles of the next `limit` waiting jobs of `outboxes`, by id, and their count.

        The count includes the jobs beyond `limit`. Jobs come in the order in which they begin if
        none is blocked: inboxes take turns, and `turns` has the number of the last turn of each.
        """
        source = f"FROM jobs INDEXED BY jobs_waiting WHERE {schema.WAITING} AND outbox = ?"
        inboxes = f"SELECT inbox, count(*) {source} GROUP BY inbox"
        order = f"{source} AND inbox = ? ORDER BY {schema.IN_INBOX_ORDER} LIMIT ?"
        first = f"SELECT {schema.RANK}, {_TITLE} {order}"
        queues = defaultdict[str, list[_Ranked]](list)
        count = 0
        for outbox in outboxes:
            for inbox, number in self._rows(inboxes, outbox):
                count += number
                for last, priority, id_, title in self._rows(first, outbox, inbox, limit):
                    queues[inbox].append(_Ranked(last, priority, Place(id_), id_, title))
        rounds = sorted(
            (number, turns.get(inbox, 0), inbox, job)
            for inbox, queue in queues.items()
            for number, job in enumerate(sorted(queue))
        )
        return {job.id: job.title for *_, job in rounds[:limit]}, count

    def place(self, job_id: str) -> int | None:
        """Return the place of a waiting job in the queue, from 1.

        Returns None if jobs of several inboxes wait, because inboxes take turns.
        """
        source = f"FROM jobs INDEXED BY jobs_waiting WHERE {schema.WAITING}"
        if self._count(f"SELECT count(DISTINCT inbox) {source}") > 1:
            return None
        until = f"({schema.RANK}) <= (SELECT {schema.RANK} FROM jobs WHERE id = ?)"
        return self._count(f"SELECT count(*) {source} AND {until}", job_id)

    def outboxes_of_waiting(self) -> list[str]:
        """Return the outboxes of the jobs that wait."""
        jobs = f"FROM jobs INDEXED BY jobs_waiting WHERE {schema.WAITING}"
        return [row[0] for row in self._rows(f"SELECT DISTINCT outbox {jobs}")]

    def in_state(self, *states: State) -> list[Job]:
        """Return all jobs in one of `states`, in the order of their ids."""
        query = f"SELECT * FROM jobs WHERE state IN {schema.listed(*states)} ORDER BY id"
        return self._jobs(query)

    def queued_for(self, cause: Cause) -> list[Job]:
        """Return the queued jobs that wait because of `cause`, in the order of their ids."""
        query = f"SELECT * FROM jobs WHERE state = '{State.QUEUED}' AND cause = ? ORDER BY id"
        return self._jobs(query, cause)

    def queued_with(self, needs: str, limit: int) -> tuple[list[Job], int]:
        """Return the first `limit` queued jobs with the `needs`, and the number of all of them."""
        queued = f"FROM jobs WHERE state = '{State.QUEUED}' AND needs = ?"
        first = self._jobs(f"SELECT * {queued} ORDER BY id LIMIT ?", needs, limit)
        return first, self._count(f"SELECT COUNT(*) {queued}", needs)

    def next_of_inboxes(
        self,
        jobs: Collection[str] = (),
        needs: Collection[str] = (),
        outboxes: Collection[str] = (),
        places: Mapping[str, Place] = MappingProxyType({}),
    ) -> dict[str, str]:
        """Return the ids of the next queued jobs, by inbox; an inbox without one is missing.

        Jobs with one of the ids `jobs`, or with one of these `needs` or `outboxes`, are left out,
        because they are blocked. `places` has the places, by id, of the jobs whose place does not
        follow from their id.
        """
        held = {"needs": needs, "outbox": outboxes}
        values = [json.dumps([*names]) for names in held.values() if names]
        conditions = "".join(
            f" AND {column} NOT IN (SELECT value FROM json_each(?))"
            for column in ("id", *(column for column, names in held.items() if names))
        )
        queued = f"FROM jobs INDEXED BY jobs_next WHERE state = '{State.QUEUED}'"
        # Each inbox takes one index lookup, however many jobs it has.
        inboxes = f"SELECT inbox {queued} AND inbox > ? ORDER BY inbox LIMIT 1"
        order = schema.IN_INBOX_ORDER
        first = f"SELECT {schema.RANK} {queued} AND inbox = ?{conditions} ORDER BY {order} LIMIT 1"
        heads = defaultdict[str, list[_Ranked]](list)
        inbox = ""
        while rows := self._rows(inboxes, inbox):
            inbox = rows[0][0]
            left_out = json.dumps([*jobs, *places])
            for last, priority, id_ in self._rows(first, inbox, left_out, *values):
                heads[inbox].append(_Ranked(last, priority, Place(id_), id_))
        if places:
            others = (
                f"SELECT inbox, {schema.RANK} FROM jobs WHERE state = '{State.QUEUED}' "
                f"AND id IN (SELECT value FROM json_each(?)){conditions}"
            )
            ids = json.dumps([*places]), json.dumps([*jobs])
            for inbox, last, priority, id_ in self._rows(others, *ids, *values):
                heads[inbox].append(_Ranked(last, priority, places[id_], id_))
        return {inbox: min(jobs_of_inbox).id for inbox, jobs_of_inbox in heads.items()}

    def newest(self) -> str:
        """Return the greatest id of a job; empty if there is none."""
        return str(self._rows("SELECT ifnull(max(id), '') FROM jobs")[0][0])

    # -- other questions

    def mounts(self) -> frozenset[Path]:
        """Return the mount points of the disks on which daemons have used folders."""
        ((text,),) = self._rows("SELECT mounts FROM about")
        return frozenset(map(Path, json.loads(text)))

    def sight(self) -> Sight | None:
        """Return the last record of the clocks; None if no daemon has written one yet."""
        rows = self._rows("SELECT latest, counted_s, set_s, offset_s FROM clock")
        return Sight(datetime.fromisoformat(rows[0][0]), *rows[0][1:]) if rows else None

    def requests(self) -> list[Request]:
        """Return the requests that the daemon has not acted on, in the order of their arrival."""
        query = "SELECT id, verb, arguments, made FROM requests ORDER BY id"
        return [
            Request(row[0], row[1], _parsed(_ARGUMENTS, row[2]) or {}, row[3])
            for row in self._rows(query)
        ]

    def next_hook(self) -> Hook | None:
        """Return the oldest hook that has not ended; None if there is none."""
        query = "SELECT id, job, begun FROM hooks ORDER BY id LIMIT 1"
        rows = self._rows(query)
        return Hook(rows[0][0], rows[0][1], bool(rows[0][2])) if rows else None

    def digests(self) -> set[str]:
        """Return the known SHA-256 digests of the inputs of all jobs."""
        query = (
            "SELECT DISTINCT json_extract(input.value, '$.sha256') AS sha256 "
            "FROM jobs, json_each(jobs.inputs) AS input WHERE input.type = 'object'"
        )
        return {row["sha256"] for row in self._rows(query) if row["sha256"]}

    def has_picture(self, sha256: str) -> bool:
        """Return whether a job has an input with this SHA-256 digest."""
        query = "SELECT 1 FROM jobs WHERE instr(inputs, ?) > 0 LIMIT 1"
        return bool(self._rows(query, sha256))

    @property
    def own_id(self) -> str:
        """Random id of this ledger, by which its folders in inboxes are named."""
        ((own_id,),) = self._rows("SELECT id FROM about")
        return str(own_id)

    def memory(self) -> Memory:
        """Return the memory of all inboxes."""
        seen = {(file.disk, file.path): file for file in self._seen()}
        painted = dict(map(tuple, self._rows("SELECT key, path FROM painted")))
        sizes = frozenset(file.size for file in seen.values() if file.sha256)
        return Memory(seen, {key: _plain(path) for key, path in painted.items()}, sizes)

    def remembered(self, job_id: str) -> tuple[tuple[Seen, ...], Painted | None]:
        """Return the records in the memory of the pair that a job paints: its files, and the pair.

        The result is `((), None)` if there are none. A file that is gone gets the scan number 0,
        because another ledger, which may get these records, counts its scans anew.
        """
        rows = self._rows("SELECT key, path, sha256 FROM painted WHERE job = ?", job_id)
        if not rows:
            return (), None
        digests = frozenset(sha256 for _, _, sha256 in rows)
        which = "WHERE sha256 IN (SELECT value FROM json_each(?))"
        seen = self._seen(which, json.dumps([*digests]))
        files = tuple(file._replace(gone=None if file.gone is None else 0) for file in seen)
        return files, Painted(rows[0][0], digests, _plain(rows[0][1]), job_id)

    def _seen(self, which: str = "", *values: object) -> list[Seen]:
        columns = ", ".join(Seen._fields)
        rows = self._rows(f"SELECT {columns} FROM seen {which}", *values)
        return [file._replace(path=_plain(file.path)) for file in (Seen(*row) for row in rows)]

    @property
    def last_scan(self) -> int:
        """Number of the last scan that confirmed that a file is gone; 0 if none has."""
        return self._count("SELECT coalesce(max(gone), 0) FROM seen")

    def sources(self, inbox: str) -> list[str]:
        """Return the paths that the main files of jobs had in an inbox."""
        # as bytes, because names that are not valid UTF-8 cannot be read as text
        query = "SELECT CAST(json_extract(inputs, '$[0].source') AS BLOB) FROM jobs WHERE inbox = ?"
        rows = self._rows(query, inbox)
        return [(row[0] or b"").decode(errors="surrogatepass") for row in rows]

    def painter(self, key: str) -> str | None:
        """Return the id of the job that paints, or has painted, the pair with this key.

        It is empty if version 1 painted the pair, and None if no job has.
        """
        rows = self._rows("SELECT job FROM painted WHERE key = ? LIMIT 1", key)
        return str(rows[0][0]) if rows else None

    @property
    def version(self) -> int:
        """Number that changes when another connection changes the ledger."""
        ((version,),) = self._rows("PRAGMA data_version")
        return int(version)

    def reserved(self, outbox: str, also: Iterable[str] = ()) -> frozenset[str]:
        """Return the folders in `outbox` of jobs that have not ended, or have an id in `also`."""
        query = (
            "SELECT place, refused_as FROM jobs WHERE (place NOT NULL OR refused_as NOT NULL) "
            f"AND outbox = ? AND (NOT {schema.ENDED} OR id IN (SELECT value FROM json_each(?)))"
        )
        rows = self._rows(query, outbox, json.dumps([*also]))
        return frozenset(place for row in rows for place in row if place)

    def trashed_since(self, job_id: str) -> float | None:
        """Return the time of `Sight.counted_s` at which a job was first seen in the trash.

        Returns None if the job is not in the trash, or was not seen there yet.
        """
        query = (
            "SELECT trashed_since FROM ages JOIN jobs ON id = job "
            "WHERE job = ? AND trashed NOT NULL"
        )
        rows = self._rows(query, job_id)
        return rows[0][0] if rows else None

    def outlived_trash(self, threshold: float) -> list[tuple[str, str]]:
        """Return id and outbox of the jobs in the trash since before `threshold`, oldest first.

        The threshold is a time of `Sight.counted_s`. Jobs about which a request waits are left out.
        """
        query = (
            "SELECT id, outbox FROM ages JOIN jobs ON id = job "
            f"WHERE trashed_since < ? AND trashed NOT NULL AND id NOT IN {schema.REQUESTED} "
            "ORDER BY trashed_since, id"
        )
        return [tuple(row) for row in self._rows(query, threshold)]

    def links_of_others(self, job_id: str) -> frozenset[str]:
        """Return the paths in finals folders that other jobs in the state `ending` have chosen.

        Bytes in the paths that are not valid text are escaped, as by `schema.sql_value`.
        """
        query = (
            "SELECT path FROM jobs CROSS JOIN files ON job = id "  # few jobs are in this state
            f"WHERE state = '{State.ENDING}' AND id != ? AND part = 'finals'"
        )
        return frozenset(row[0] for row in self._rows(query, job_id))

    def _count(self, query: str, *values: object) -> int:
        ((count,),) = self._rows(query, *values)
        return int(count)


def reading(path: Path) -> AbstractContextManager[Ledger]:
    """Open the ledger at `path` for reading, in a context that closes it.

    Raises OutputError if it is missing, or cannot be read.
    """
    return closing(opened(path))


def opened(path: Path) -> Ledger:
    """Open the ledger as `reading` does, for one thread at a time; the caller closes it."""
    with reading_below(path.parent):
        schema.check_files(path)
    where = f"{path.absolute().as_uri()}?mode=ro"
    with schema.translated_errors(path):
        connection = sqlite3.connect(where, timeout=BUSY_S, uri=True, check_same_thread=False)
    try:
        with schema.translated_errors(path):
            schema.check_version(connection, path)
    except BaseException:
        connection.close()
        raise
    return Ledger(path, connection)


class MemoryReader:
    """Reader of the memory in the ledger at `path`, for the thread that scans an inbox.

    The memory is read again only if the ledger has changed. Only an open connection can tell that,
    so the connection stays open until `close`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._ledger: Ledger | None = None
        self._memory = Memory()
        self._version = -1
        self._is_closed = False

    def __call__(self) -> Memory:
        """Return the present memory; raises OutputError, also after `close`."""
        with self._lock:
            if self._is_closed:  # the thread was abandoned, and goes on now
                raise OutputError("the ledger is closed: the daemon is stopping")
            if self._ledger is None:
                self._ledger = opened(self._path)
            try:
                version = self._ledger.version
                if version != self._version:
                    self._memory = self._ledger.memory()
                    self._version = version
                return self._memory
            finally:
                if self._is_closed:  # `close` was called meanwhile
                    self._ledger.close()

    def close(self) -> None:
        """Close the connection; from now on a call raises OutputError.

        If a thread is using the connection, that thread closes it afterwards (law 9).
        """
        self._is_closed = True
        if self._lock.acquire(blocking=False):
            if self._ledger is not None:
                self._ledger.close()
            self._lock.release()


def _listed(jobs: Collection[Job]) -> str:
    """Return the ids of jobs for a message, with their states and outboxes; MAX_SHOWN at most."""
    listed = [f"{job.id} ({job.seen}, {job.outbox})" for job in islice(jobs, MAX_SHOWN)]
    more = ["others"] if len(jobs) > MAX_SHOWN else []
    return shown(" and ".join([*listed, *more]))


def _plain(text: str) -> str:
    """Return the path that a column of the ledger holds as JSON."""
    return str(json.loads(text))


_INPUTS = TypeAdapter(tuple[Input, ...])
_SETTINGS = TypeAdapter(dict[str, Any] | None)
_ARGUMENTS = TypeAdapter(dict[str, Any])


def _job(row: sqlite3.Row) -> Job:
    values = dict(row)
    values["state"] = State(values["state"])
    for column, kind in (("end", End), ("asked", End), ("cause", Cause)):
        values[column] = kind(values[column]) if values[column] else None
    values["inputs"] = _parsed(_INPUTS, values["inputs"]) or ()
    values["settings"] = _parsed(_SETTINGS, values["settings"])
    values["dismissed"] = bool(values["dismissed"])
    return Job(**values)


def _parsed(kind: TypeAdapter[Any], text: str | None) -> Any:
    """Return the JSON in a column of the ledger; None if it is not of this `kind`."""
    try:
        # pydantic's JSON parser refuses names with bytes that are not valid text
        return kind.validate_python(json.loads(text or "null"))
    except (ValueError, TypeError, RecursionError):
        return None
