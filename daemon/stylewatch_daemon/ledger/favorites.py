"""Favorites: jobs with a picture that retention and the deletion of several jobs leave out.

A file in `state/favorites` is the mark of a job, and the only one. It has all that the ledger has
of the job, so that a favorite is entered again after the ledger was lost.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from stylewatch_daemon.base.model import Attempt, Job, OutputFile
from stylewatch_daemon.files import atomic, entries
from stylewatch_daemon.ledger.ledger import Ledger
from stylewatch_daemon.ledger.memory import Painted, Seen
from stylewatch_daemon.ledger.state_dir import FAVORITES, reading_below

SUFFIX = ".json"

LONGEST = 64 << 20
"""Maximum size in bytes of the file of a favorite."""


@dataclass(frozen=True)
class Favorite:
    """A job that has ended with a picture, with its files in the outbox and its attempts.

    If its pair stays in an inbox, `seen` and `painted` are what the memory has of it.
    """

    job: Job
    files: tuple[OutputFile, ...]
    attempts: tuple[Attempt, ...]
    seen: tuple[Seen, ...] = ()
    painted: Painted | None = None


_FAVORITE = TypeAdapter(Favorite)


def mark(state: Path, ledger: Ledger, job: Job) -> None:
    """Make a job a favorite, durably; raises OSError."""
    files, attempts = tuple(ledger.files(job.id)), ledger.attempts(job.id)
    favorite = Favorite(job, files, attempts, *ledger.remembered(job.id))
    atomic.make_folder(state / FAVORITES)
    # in ASCII, because names of files may not be valid Unicode
    text = json.dumps(asdict(favorite), default=sorted)  # a set of digests
    atomic.write(_path(state, job.id), text.encode("ascii"))


def unmark(state: Path, job_id: str) -> None:
    """Make a job no favorite any more, durably, if it is one; raises OSError."""
    if entries.unlink(_path(state, job_id)):
        atomic.sync_folder(state / FAVORITES)


def is_marked(state: Path, job_id: str) -> bool:
    """Return whether a job is a favorite; raises OutputError."""
    with reading_below(state):
        return entries.exists(_path(state, job_id))


def marked(state: Path) -> set[str]:
    """Return the ids of all favorites; raises OutputError."""
    with reading_below(state):
        names = entries.names(state / FAVORITES)
    return {name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)}


def lost(state: Path, ledger: Ledger) -> Iterator[Favorite]:
    """Yield the favorites that the ledger lacks, or has as jobs that have not ended.

    These are in an old copy of the ledger. A damaged file is logged, and left where it is. Raises
    OutputError.
    """
    for job_id in sorted(marked(state)):
        job = ledger.get(job_id)
        if job is not None and job.has_ended:
            continue
        path = _path(state, job_id)
        try:
            with reading_below(state):
                content = atomic.read(path, LONGEST)
            yield _FAVORITE.validate_python(json.loads(content))
        except (ValueError, RecursionError) as error:
            logging.getLogger(__name__).warning("%s is damaged: %s", path, error)


def _path(state: Path, job_id: str) -> Path:
    return state / FAVORITES / f"{job_id}{SUFFIX}"
