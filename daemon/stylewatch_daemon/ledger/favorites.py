"""Favorites: jobs with a picture that retention and the deletion of several jobs leave out.

A job is a favorite if it has a mark, a file in `state/favorites`. The mark contains everything that
the ledger has of the job, so that a favorite is entered again if the ledger is lost. It is written
anew when the job goes into the trash or comes out of it, so that it reveals an old copy of the
ledger.
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

    If the pair stays in an inbox, `seen` and `painted` are its records in the memory. `request` is
    the last request to make the job a favorite, or to move it into the trash or out of it. It is
    None in a mark of an earlier version, which recorded no request.
    """

    job: Job
    files: tuple[OutputFile, ...]
    attempts: tuple[Attempt, ...]
    seen: tuple[Seen, ...] = ()
    painted: Painted | None = None
    request: Request | None = None

    def is_newer(self, job: Job | None) -> bool:
        """Return whether the mark is newer than `job`, the row of the job in the ledger, if any.

        When the daemon starts, mark and row differ only if the ledger is lost or an old copy, or if
        the request of the mark still waits in the ledger: the mark is written just before the row.
        """
        if job is None or not job.has_ended:
            return True
        return self.request is not None and job.trashed != self.job.trashed

    def outdates(self, request: Request, waiting: Collection[Request]) -> bool:
        """Return whether `request` was made before the request of the mark, and would undo it.

        Returns False if the request of the mark is among the `waiting` requests, because these are
        carried out in their order. Ids give the order of requests in one ledger. After an old copy
        of the ledger is restored, ids are used again; then the times tell which request is later.
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
"""Request in a mark that an earlier version wrote without a request and a later start refreshed."""


def mark(state: Path, ledger: Ledger, job: Job, request: Request | None = None) -> None:
    """Write the mark of a job, durably, which makes the job a favorite; raises OSError.

    `request` is the request that led to this; see Favorite.
    """
    atomic.make_folder(state / FAVORITES)
    atomic.write(_path(state, job.id), _content(_favorite(ledger, job, request)))


def refresh(state: Path, ledger: Ledger, favorite: Favorite) -> None:
    """Write the mark of a favorite anew, if possible, if it differs from the ledger.

    Earlier versions wrote less, and the records of a pair in the memory change with its files.
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
    """Remove the mark of a job, durably, if it has one; raises OSError."""
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
    """Yield all favorites, in the order of their ids; raises OutputError.

    A damaged file is logged, left where it is, and not yielded.
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
