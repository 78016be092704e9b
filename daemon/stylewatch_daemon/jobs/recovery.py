"""Recovery at the start: continue every job in the ledger or the state folder.

`Intake.recover` continues the claims.
"""

import logging
from functools import partial

from stylewatch_daemon.base.errors import LedgerError
from stylewatch_daemon.base.model import Cause, State
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.jobs.jobs import Jobs, job_of
from stylewatch_daemon.jobs.lifecycle import Broke, Found, Regained, Restarted
from stylewatch_daemon.ledger import claim as claims
from stylewatch_daemon.ledger import favorites
from stylewatch_daemon.ledger.favorites import Favorite
from stylewatch_daemon.ledger.writer import LedgerWriter

_DROPPED = (
    "a request to %s %s is dropped, because that job was made a favorite later, or moved into the "
    "trash or out of it: ask again if it is still wanted"
)


def recover(jobs: Jobs) -> None:
    """Continue what a kill interrupted; call this once, right after `Intake.recover`.

    Jobs that were in work go on. A job whose files are gone fails. Jobs that the ledger lacks are
    entered, and so are favorites that the ledger lacks or, as an old copy, has in an older state.
    """
    state = jobs.state
    ledger = jobs.ledger
    claimed = state.claimed()
    regained = _regain_favorites(jobs)  # first: other events then find that these jobs have ended
    for job in ledger.in_state(State.ENDING):
        jobs.post(job.id, Restarted())
    for job in ledger.in_state(State.CLAIMED, State.RUNNING):
        if job.id in claimed and job.id not in jobs.live:
            jobs.post(job.id, Restarted())
    for job in ledger.in_state(State.QUEUED, State.RUNNING):
        if job.id not in claimed:
            reason = f"its files are no longer in {state.jobs}: drop it again"
            jobs.post(job.id, Broke(reason, Cause.DISK))
    for job_id in sorted(claimed - ledger.open_jobs().keys() - regained):
        _recover_job(jobs, job_id)
    jobs.commit()


def _regain_favorites(jobs: Jobs) -> set[str]:
    """Enter favorites again whose marks are newer than the ledger; refresh all other marks.

    Requests that a mark outdates are dropped. Returns the ids of the favorites that are entered
    again. Raises LedgerError if favorites or dropped requests cannot be written: otherwise the
    daemon would act on these requests.
    """
    root = jobs.state.root
    requests = jobs.ledger.requests()
    regained = set[str]()
    dropped = set[int]()
    for favorite in favorites.read_all(root):
        job = favorite.job
        for request in requests:
            if favorite.outdates(request, requests):
                logging.getLogger(__name__).warning(_DROPPED, request.verb, shown(job.title))
                dropped.add(request.id)
                jobs.post("", None, partial(LedgerWriter.remove_request, request_id=request.id))
        if favorite.is_newer(jobs.ledger.get(job.id)):
            regained.add(job.id)
            _regain(jobs, favorite)
        else:
            favorites.refresh(root, jobs.ledger, favorite)
    jobs.commit()
    if jobs.trouble and (regained or dropped):
        raise LedgerError(jobs.trouble)
    return regained


def _regain(jobs: Jobs, favorite: Favorite) -> None:
    """Enter a favorite again, with the records of its pair, so that this stays known (law 3)."""
    job = favorite.job

    def put(ledger: LedgerWriter) -> None:
        ledger.put_parts(job.id, favorite.files, favorite.attempts)
        ledger.forget_age(job.id)  # it may have been in the trash then
        ledger.remember(favorite.seen, favorite.painted)

    jobs.post(job.id, Regained(job), put)


def _recover_job(jobs: Jobs, job_id: str) -> None:
    """Enter a claimed job that the ledger lacks, or discard the remains of a job that has ended.

    A damaged claim is logged and left.
    """
    if jobs.ledger.get(job_id) is not None:
        jobs.post(job_id, Restarted())
        return
    try:
        claim = claims.load(jobs.state.jobs / job_id)
    except ValueError as error:
        jobs.log(job_id, f"a job without a row in the ledger: {error}", error)
    else:
        jobs.post(job_id, Found(job_of(claim)))
