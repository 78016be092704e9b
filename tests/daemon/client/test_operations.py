"""Jobs that people mean by a name: a request that is sent twice never acts on a second job."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from itertools import combinations_with_replacement, product
from pathlib import Path
from typing import Any

import pytest

from stylewatch_daemon.base.errors import StateError, UsageError
from stylewatch_daemon.base.model import End, Job, State
from stylewatch_daemon.client import operations
from stylewatch_daemon.client.operations import VERBS, Verb
from stylewatch_daemon.ledger.writer import LedgerWriter

NAME = "holiday"

_STATES: Mapping[str, Mapping[str, Any]] = {
    "queued": {"state": State.QUEUED},
    "running": {"state": State.RUNNING, "place": "", "step": 3},
    "done": {"state": State.ENDED, "end": End.DONE, "place": ""},
    "in the trash": {"state": State.ENDED, "end": End.DONE, "place": "", "trashed": "now"},
    "refused": {"state": State.ENDED, "end": End.REFUSED, "refused_as": "_refused/a"},
    "refused, in the trash": {"state": State.ENDED, "end": End.REFUSED, "trashed": "now"},
    "dismissed": {"state": State.ENDED, "end": End.FAILED, "dismissed": True},
    "canceled": {"state": State.ENDED, "end": End.CANCELED},
}

KINDS: Mapping[str, Job] = {
    name: Job("0", NAME, "/in", "/out", "then", **more) for name, more in _STATES.items()
}
"""Kinds of jobs of one name in the inbox; a `place` that is empty is filled in."""

AFTER: Mapping[Verb, Mapping[str, Any]] = {
    "cancel": {"state": State.ENDED, "end": End.CANCELED, "place": None},
    "finish": {"state": State.ENDED, "end": End.STOPPED_EARLY},
    "dismiss": {"dismissed": True},
    "trash": {"trashed": "now"},
    "restore": {"trashed": None},
}
"""The changes that the daemon makes to a job for a request; after `delete`, the job is gone."""


def jobs_of(kinds: tuple[str, ...]) -> Iterator[Job]:
    """Yield a job of each kind; of those with a folder in the outbox, only the first has NAME."""
    free = iter((NAME, f"{NAME}-2", f"{NAME}-3"))
    for number, kind in enumerate(kinds, 1):
        job = replace(KINDS[kind], id=str(number))
        yield replace(job, place=next(free)) if job.place == "" else job


def meant(ledger: LedgerWriter, verb: Verb) -> Job | None:
    """Return the job on which a request acts; None if it is refused."""
    try:
        job = operations.meant(ledger, verb, NAME)
        if job is not None:
            operations.check(verb, job)
    except (UsageError, StateError):
        return None
    return job


def act(ledger: LedgerWriter, verb: Verb, job: Job) -> None:
    """Change the ledger as the daemon does for a request."""
    with ledger.transaction():
        if verb == "delete":
            ledger.delete(job.id)
        else:
            ledger.put(replace(job, **AFTER.get(verb, {})))


@pytest.mark.parametrize("verb", VERBS)
def test_a_request_that_is_sent_twice_acts_on_one_job(verb: Verb, tmp_path: Path) -> None:
    acted = 0
    worlds = product(combinations_with_replacement(KINDS, 3), (1, -1))
    with closing(LedgerWriter.open(tmp_path / "ledger.sqlite3")) as ledger:
        for kinds, step in worlds:
            jobs = [*jobs_of(kinds[::step])]
            with ledger.transaction():
                for job in jobs:
                    ledger.put(job)
            first = meant(ledger, verb)
            if first is not None:
                acted += 1
                act(ledger, verb, first)
                second = meant(ledger, verb)
                assert second is None or second.id == first.id, (jobs, first.id, second)
            with ledger.transaction():
                for job in jobs:
                    ledger.delete(job.id)
    assert acted > 0
