"""Favorites: jobs with a picture that a person marked, which retention and bulk deletion leave out.

The file of a job in `state/favorites` is the mark, and the only one. It has the record of the job,
so that a favorite is entered again after the ledger was lost.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

from stylewatch_daemon.files import atomic, entries
from stylewatch_daemon.ledger.ledger import Ledger
from stylewatch_daemon.ledger.record import Record
from stylewatch_daemon.ledger.state_dir import FAVORITES, reading_below

SUFFIX = ".json"

LONGEST = 64 << 20
"""Maximum size of a record in bytes."""


def mark(state: Path, record: Record) -> None:
    """Make a job a favorite; raises OSError."""
    atomic.write(state / FAVORITES / f"{record.job.id}{SUFFIX}", record.as_json().encode("ascii"))


def unmark(state: Path, job_id: str) -> None:
    """Make a job no favorite any more, durably; raises OSError."""
    if entries.unlink(state / FAVORITES / f"{job_id}{SUFFIX}"):
        atomic.sync_folder(state / FAVORITES)


def marked(state: Path) -> set[str]:
    """Return the ids of the favorites; raises OutputError."""
    with reading_below(state):
        names = entries.names(state / FAVORITES)
    return {name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)}


def lost(state: Path, ledger: Ledger) -> Iterator[Record]:
    """Yield the favorites that the ledger lacks; a damaged record is logged, and stays."""
    for job_id in sorted(marked(state)):
        path = state / FAVORITES / f"{job_id}{SUFFIX}"
        if ledger.get(job_id) is None and ledger.trashed(job_id) is None:
            try:
                with reading_below(state):
                    content = atomic.read(path, LONGEST)
                yield Record.of_json(content)
            except ValueError as error:
                logging.getLogger(__name__).warning("%s is damaged: %s", path, error)
