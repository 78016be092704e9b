"""Recovery at the start: continue every job in the ledger or the state folder.

`Intake.recover` continues the claims.
"""

from stylewatch_daemon.base.model import Cause, State
from stylewatch_daemon.jobs.jobs import Jobs, job_of
from stylewatch_daemon.jobs.lifecycle import Broke, Found, Regained, Restarted
from stylewatch_daemon.ledger import claim as claims
from stylewatch_daemon.ledger import favorites
from stylewatch_daemon.ledger.favorites import Favorite
from stylewatch_daemon.ledger.writer import LedgerWriter


def recover(jobs: Jobs) -> None:
    """Continue what a kill interrupted; call this once, right after `Intake.recover`.

    Favorites that the ledger has lost, or an old copy of it does not have yet, are entered again.
    """
    state = jobs.state
    ledger = jobs.ledger
    claimed = state.claimed()
    lost = [*favorites.lost(state.root, ledger)]
    for favorite in lost:  # before other events, which then find that these jobs have ended
        _regain(jobs, favorite)
    for job in ledger.in_state(State.ENDING):
        jobs.post(job.id, Restarted())
    for job in ledger.in_state(State.CLAIMED, State.RUNNING):
        if job.id in claimed and job.id not in jobs.live:
            jobs.post(job.id, Restarted())
    for job in ledger.in_state(State.QUEUED, State.RUNNING):
        if job.id not in claimed:
            reason = f"its files are no longer in {state.jobs}: drop it again"
            jobs.post(job.id, Broke(reason, Cause.DISK))
    for job_id in sorted(claimed - ledger.open_jobs().keys() - {each.job.id for each in lost}):
        _recover_job(jobs, job_id)
    jobs.commit()


def _regain(jobs: Jobs, favorite: Favorite) -> None:
    """Enter a favorite again, with what its inbox has of the pair, so that it is known (law 3)."""
    job = favorite.job

    def put(ledger: LedgerWriter) -> None:
        ledger.put_parts(job.id, favorite.files, favorite.attempts)
        ledger.remember(favorite.seen, favorite.painted)

    jobs.post(job.id, Regained(job), put)


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
