"""Recovery at the start: continue every job in the ledger or the state folder.

`Intake.recover` continues the claims.
"""

from functools import partial

from stylewatch_daemon.base.model import Cause, State
from stylewatch_daemon.jobs.jobs import Jobs, job_of
from stylewatch_daemon.jobs.lifecycle import Broke, Found, Regained, Restarted
from stylewatch_daemon.ledger import claim as claims
from stylewatch_daemon.ledger import favorites
from stylewatch_daemon.ledger.writer import LedgerWriter


def recover(jobs: Jobs) -> None:
    """Continue what a kill interrupted; call this once, right after `Intake.recover`.

    Favorites that the ledger has lost are entered again.
    """
    state = jobs.state
    ledger = jobs.ledger
    claimed = state.claimed()
    for job in ledger.in_state(State.ENDING):
        jobs.post(job.id, Restarted())
    for job in ledger.in_state(State.CLAIMED, State.RUNNING):
        if job.id in claimed and job.id not in jobs.live:
            jobs.post(job.id, Restarted())
    for job in ledger.in_state(State.QUEUED, State.RUNNING):
        if job.id not in claimed:
            reason = f"its files are no longer in {state.jobs}: drop it again"
            jobs.post(job.id, Broke(reason, Cause.DISK))
    lost = [*favorites.lost(state.root, ledger)]
    for job, files, attempts in ((each.job, each.files, each.attempts) for each in lost):
        put = partial(LedgerWriter.put_parts, job_id=job.id, files=files, attempts=attempts)
        jobs.post(job.id, Regained(job), put)
    for job_id in sorted(claimed - ledger.open_jobs().keys() - {each.job.id for each in lost}):
        _recover_job(jobs, job_id)
    jobs.commit()


def _recover_job(jobs: Jobs, job_id: str) -> None:
    """Record a claimed job that the ledger lacks; discard what remains of one that has ended."""
    if jobs.ledger.get(job_id) is not None:
        jobs.post(job_id, Restarted())
        return
    try:
        claim = claims.load(jobs.state.jobs / job_id)
    except ValueError as error:
        jobs.log(job_id, f"a job without a row in the ledger: {error}", error)
    else:
        jobs.post(job_id, Found(job_of(claim)))
