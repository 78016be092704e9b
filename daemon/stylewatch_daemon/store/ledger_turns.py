"""Queries on waiting jobs: which are next, and what blocks them.

All of it is asked again and again, and found by indexes, however many jobs there are.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass

from stylewatch_daemon.files import flat_layout
from stylewatch_daemon.store.ledger_rows import Rows
from stylewatch_daemon.store.ledger_schema import DECIDED, OPEN, PARTS, WISHED


@dataclass(frozen=True)
class Held:
    """Blocked jobs: by id, by what they need, and by their outbox."""

    jobs: Collection[str] = ()
    needs: Collection[str] = ()
    outboxes: Collection[str] = ()


class Turns(Rows):
    """Reads whose turn it is; methods raise OutputError."""

    def heads(
        self, held: Held, begun: Collection[str] = (), limit: int = 1
    ) -> dict[str, list[str]]:
        """For each inbox that has jobs to go on with, the ids of the next; `held` ones wait.

        Those are the ones that nobody has begun, or that are to be tried again, and of others
        those with the ids `begun`.
        """
        which, values = _not_held(held)
        query = (
            "SELECT inbox, priority, id FROM jobs INDEXED BY jobs_next WHERE inbox = ? "
            f"AND state = 'queued' {which} ORDER BY priority DESC, id LIMIT {limit}"
        )
        inboxes = f"SELECT DISTINCT inbox FROM {self.counted} WHERE state = 'queued' AND count > 0"
        found = [
            head for row in self._rows(inboxes) for head in self._rows(query, row["inbox"], *values)
        ]
        if begun:
            query = (
                "SELECT inbox, priority, id FROM jobs WHERE id IN (SELECT value FROM json_each(?)) "
                f"AND state IN {OPEN} AND state <> 'queued' {which}"
            )
            found += self._rows(query, json.dumps(list(begun)), *values)
            found.sort(key=lambda row: (-row["priority"], row["id"]))
        heads: dict[str, list[str]] = {}
        for row in found:
            heads.setdefault(row["inbox"], []).append(row["id"])
        return {inbox: jobs[:limit] for inbox, jobs in heads.items()}

    def decided(self, begun: Collection[str], held: Held) -> list[str]:
        """Those of the jobs `begun` whose end is decided and that are not `held`, by their ids."""
        which, values = _not_held(held)
        query = (
            "SELECT id FROM jobs WHERE id IN (SELECT value FROM json_each(?)) "
            f"AND state IN {DECIDED} {which} ORDER BY id"
        )
        return [row["id"] for row in self._rows(query, json.dumps(list(begun)), *values)]

    def alike(self, shape: str, held: Held, limit: int) -> dict[str, list[str]]:
        """For each inbox the ids of jobs of that shape that nothing was tried with, in their turn.

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
        found = {
            inbox: [row["id"] for row in self._rows(query, inbox, shape, *head, *values, limit)]
            for inbox, head in self.heads(held).items()
        }
        return {inbox: jobs for inbox, jobs in found.items() if jobs}

    def wishes(self) -> dict[str, str]:
        """Return the requests for jobs that have not ended, by id."""
        query = f"SELECT id, wish FROM jobs INDEXED BY jobs_wished WHERE {WISHED}"
        return {row["id"]: row["wish"] for row in self._rows(query)}

    def is_reserved(self, place: str, outbox: str) -> bool:
        """Return True if an unfinished job has that folder in the outbox, or will get it."""
        query = (
            f"SELECT 1 FROM jobs WHERE place IN (?, ?) AND outbox = ? AND state IN {OPEN} LIMIT 1"
        )
        called = flat_layout.called(
            place
        )  # a flat job and another one may stand in each other's way
        return bool(self._rows(query, called, flat_layout.folder(called), outbox))

    def divided(self) -> list[str]:
        """The ids of the series that have jobs which are not at their end; they wait for these."""
        query = f"SELECT DISTINCT series FROM jobs INDEXED BY jobs_of_series WHERE {PARTS}"
        return [row["series"] for row in self._rows(query)]


def _not_held(held: Held) -> tuple[str, list[str]]:
    """For SQL, what is said of jobs that need not wait, and its values."""
    lists = (("id", held.jobs), ("needs", held.needs), ("outbox", held.outboxes))
    those = {column: json.dumps(list(one)) for column, one in lists if one}
    which = " ".join(f"AND {one} NOT IN (SELECT value FROM json_each(?))" for one in those)
    return which, list(those.values())
