"""Recovery at the start: every job and every claim that is found is continued."""

from stylewatch_daemon.base.model import Cause, State
from stylewatch_daemon.files import atomic
from stylewatch_daemon.jobs.jobs import Jobs, job_of
from stylewatch_daemon.jobs.lifecycle import Broke, Found, Restarted
from stylewatch_daemon.ledger import claim as claims


def recover(jobs: Jobs) -> None:
    """Continue what a kill interrupted; call this once, before anything else."""
    state, ledger = jobs.state, jobs.ledger
    claimed, open_jobs = state.claimed(), ledger.open_jobs().keys()
    ending = {job.id for job in ledger.in_state(State.ENDING)}
    under_way = {job.id for job in ledger.in_state(State.CLAIMED, State.RUNNING)}
    for job_id in sorted(ending | (under_way & claimed)):
        jobs.post(job_id, Restarted())
    for job_id in sorted(open_jobs - claimed - ending):
        if not (state.claims / job_id).exists():
            reason = f"its files are no longer in {state.jobs}: drop it again"
            jobs.post(job_id, Broke(reason, Cause.DISK))
    for job_id in sorted(claimed - open_jobs):
        _recover_job(jobs, job_id)
    for folder in state.claims.iterdir():
        _recover_claim(jobs, folder.name)
    jobs.commit()


def _recover_job(jobs: Jobs, job_id: str) -> None:
    """Record a claimed job that the ledger lacks; remove the folder of one that has ended."""
    if jobs.ledger.get(job_id) is not None:
        jobs.post(job_id, Restarted())
        return
    try:
        claim = claims.load(jobs.state.jobs / job_id)
    except ValueError as error:
        jobs.log(job_id, f"a job without a row in the ledger: {error}", error)
    else:
        jobs.post(job_id, Found(job_of(claim)))


def _recover_claim(jobs: Jobs, job_id: str) -> None:
    """Continue an interrupted claim; drop a claim that has taken nothing."""
    job, folder = jobs.ledger.get(job_id), jobs.state.claims / job_id
    try:
        claim = claims.load(folder)
    except ValueError as error:
        files = folder / claims.FILES
        if not (files.is_dir() and any(files.iterdir())):
            jobs.state.discard(job_id)  # a claim is written before any file is taken
        elif job is None:
            jobs.log(job_id, f"a claim without a row in the ledger: {error}", error)
        else:
            atomic.rename_folder(folder, jobs.state.jobs / job_id)
            jobs.post(job_id, Broke(str(error), Cause.DISK))
        return
    if claim.is_copy:  # its request still exists
        jobs.state.discard(job_id)
    else:
        jobs.post(job_id, Found(job_of(claim)) if job is None else Restarted())
