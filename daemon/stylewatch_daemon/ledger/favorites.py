"""Favorites: jobs with a picture that retention and the deletion of several jobs leave out.

A file in `state/favorites` is the mark of a job, and the only one. It has all that the ledger has
of the job, so that a favorite is entered again after the ledger was lost. It follows the job into
the trash and out of it, so that it tells an old copy of the ledger.
"""

import json
import logging
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from stylewatch_daemon.base.model import Attempt, Job, OutputFile
from stylewatch_daemon.files import atomic, entries
from stylewatch_daemon.ledger.ledger import Ledger, Request
from stylewatch_daemon.ledger.memory import Painted, Seen
from stylewatch_daemon.ledger.state_dir import FAVORITES, reading_below

SUFFIX = ".json"

LONGEST = 64 << 20
"""Maximum size in bytes of the file of a favorite."""


@dataclass(frozen=True)
class Favorite:
    """A job that has ended with a picture, with its files in the outbox and its attempts.

    If its pair stays in an inbox, `seen` and `painted` are what the memory has of it. `request` is
    the last one to make it a favorite, or to move it into the trash or out of it; None if an
    earlier version wrote the mark, which did not follow the job.
    """

    job: Job
    files: tuple[OutputFile, ...]
    attempts: tuple[Attempt, ...]
    seen: tuple[Seen, ...] = ()
    painted: Painted | None = None
    request: Request | None = None

    def is_newer(self, job: Job | None) -> bool:
        """Return whether the mark is newer than the `job` in the ledger.

        At a start they differ only if the ledger is an old copy, or if its request waits there to
        be carried out again: the mark is written just before the ledger.
        """
        if job is None or not job.has_ended:
            return True
        return self.request is not None and job.trashed != self.job.trashed

    def outdates(self, request: Request, waiting: Collection[Request]) -> bool:
        """Return whether `request` was made before that of the mark, and would undo it.

        If that is among the `waiting` requests, all of them are carried out in their order. An id
        tells the order in one ledger, and may be given again after an old copy is restored; then
        the time tells a later request.
        """
        last = self.request
        if last is None or last in waiting or request.has_begun:
            return False
        is_earlier = request.id < last.id and request.made <= last.made
        about_it = request.deletes(self.job.id) or any(
            request.asks(verb, job=self.job.id) for verb in ("trash", "unfavorite")
        )
        return is_earlier and about_it


_FAVORITE = TypeAdapter(Favorite)


_OF_THE_START = Request(0, "")
"""Stands for the request in a mark of an earlier version, once a start has refreshed it."""


def mark(state: Path, ledger: Ledger, job: Job, request: Request | None = None) -> None:
    """Make a job a favorite, durably, by a `request`; raises OSError."""
    atomic.make_folder(state / FAVORITES)
    atomic.write(_path(state, job.id), _content(_favorite(ledger, job, request)))


def refresh(state: Path, ledger: Ledger, favorite: Favorite) -> None:
    """Write the mark of a favorite anew if the ledger has more, and if the disk allows that now.

    Earlier versions wrote less, and what is known of a pair changes with its files.
    """
    job = ledger.get(favorite.job.id)
    if job is None:
        return
    current = _favorite(ledger, job, favorite.request or _OF_THE_START)
    if current != favorite:
        atomic.attempt_write(_path(state, job.id), _content(current))


def _content(favorite: Favorite) -> bytes:
    text = json.dumps(asdict(favorite), default=sorted)  # a set of digests
    return text.encode("ascii")  # because names of files may not be valid Unicode


def _favorite(ledger: Ledger, job: Job, request: Request | None) -> Favorite:
    files, attempts = tuple(ledger.files(job.id)), ledger.attempts(job.id)
    return Favorite(job, files, attempts, *ledger.remembered(job.id), request)


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


def read_all(state: Path) -> Iterator[Favorite]:
    """Yield all favorites; raises OutputError.

    A damaged file is logged, and left where it is.
    """
    for job_id in sorted(marked(state)):
        path = _path(state, job_id)
        try:
            with reading_below(state):
                content = atomic.read(path, LONGEST)
            yield _FAVORITE.validate_python(json.loads(content))
        except (ValueError, RecursionError) as error:
            logging.getLogger(__name__).warning("%s is damaged: %s", path, error)


def _path(state: Path, job_id: str) -> Path:
    return state / FAVORITES / f"{job_id}{SUFFIX}"
