"""Commands that leave requests for the daemon."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from stylewatch_daemon.app import status_json
from stylewatch_daemon.base.errors import InputError, UsageError
from stylewatch_daemon.base.model import REFUSALS, End, Job, State, new_id, now
from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.build_order import STARTS, job_part, overrides_of
from stylewatch_daemon.cli.exit_codes import echo, note
from stylewatch_daemon.cli.options import JobOptions, with_job_options
from stylewatch_daemon.cli.status import (
    attempts_of,
    find,
    find_open,
    incomplete_pairs,
    job_of,
    state_folder,
)
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.jobs import retries
from stylewatch_daemon.ledger import requests
from stylewatch_daemon.settings import config

ANSWER_WITHIN_S = 5.0
"""Time that the daemon gets to act; during a job it looks for requests at every step."""

LOOK_EVERY_S = 0.02

_CANCELED_AFTER = {
    State.CLAIMED: "after its pair is claimed",
    State.RUNNING: "after the current step",
}
"""When a job ends that is canceled in this state, unless at once."""


def pause(config_file: options.Config = None, state: options.State = None) -> None:
    """Let the daemon start no new job.

    Running jobs are finished. It lasts over restarts.
    """
    if request(state_folder(config_file, state), "pause"):
        echo("paused: no new job is started")


def resume(config_file: options.Config = None, state: options.State = None) -> None:
    """Let the daemon start jobs again."""
    if request(state_folder(config_file, state), "resume"):
        echo("resumed: waiting jobs are started")


def drain(config_file: options.Config = None, state: options.State = None) -> None:
    """Let the daemon finish its running jobs and exit.

    The queue is kept for the next start.
    """
    folder = state_folder(config_file, state)
    if not status_json.is_at_work(folder):
        echo(f"there is nothing to drain: no daemon is running with the state folder {folder}")
    elif request(folder, "drain"):
        echo("draining: running jobs are finished, then the daemon exits")


def request(state: Path, verb: str, **arguments: Any) -> bool:
    """Leave a request and wait for the daemon to act; print why if it has not acted."""
    request_id = requests.leave(state, verb, **arguments)
    if not status_json.is_at_work(state):
        echo(f"recorded for the next start: no daemon is running with the state folder {state}")
        return False
    until = time.monotonic() + ANSWER_WITHIN_S
    while requests.is_waiting(state, request_id):
        if time.monotonic() >= until:
            echo("requested; the daemon has not answered yet, and will as soon as it can")
            return False
        time.sleep(LOOK_EVERY_S)
    return True


def cancel(
    job: options.Job, config_file: options.Config = None, state: options.State = None
) -> None:
    """End a job; its inputs are moved to `_canceled`."""
    folder = state_folder(config_file, state)
    is_retry = requests.is_asked(folder, "retry", new=job)  # which is no job yet
    job_id = job if is_retry else _open_job(folder, job, "cancel").id
    if not request(folder, "cancel", job=job_id):
        return
    known = _job(folder, job_id)
    if known.has_ended and known.end is End.CANCELED:
        echo(_canceled(known))
    else:
        echo(f"canceling: {_name(known)} ends {_CANCELED_AFTER.get(known.state, 'in a moment')}")


def _canceled(job: Job) -> str:
    return f"canceled: the inputs are in {shown(Path(job.outbox, job.refused_as or ''))}"


def finish(
    job: options.Job, config_file: options.Config = None, state: options.State = None
) -> None:
    """Stop a job; its current picture becomes the final one."""
    folder = state_folder(config_file, state)
    known = _open_job(folder, job, "finish")
    if not attempts_of(folder, known):
        raise InputError(
            f"{_name(known)} was not started, so it has no picture yet; `stylewatch cancel` ends it"
        )
    if request(folder, "finish", job=known.id):
        echo(f"finishing: the current picture of {_name(known)} becomes the final one")


def dismiss(
    jobs: Annotated[
        list[str] | None,
        typer.Argument(metavar="JOB", help="Names in the outbox or in the inbox, or ids."),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Dismiss every refused or failed job.")
    ] = False,
    config_file: options.Config = None,
    state: options.State = None,
) -> None:
    """Remove refused and failed jobs from the status.

    Their files and records stay.
    """
    if jobs and every:
        raise UsageError("--all dismisses every refused or failed job: leave out the names")
    if not (jobs or every):
        raise UsageError("name the jobs to dismiss, or pass --all for every refused or failed one")
    folder = state_folder(config_file, state)
    known = [_job(folder, job) for job in jobs or ()]
    for job in known:
        if not (job.has_ended and job.end in REFUSALS):
            raise InputError(
                f"{_name(job)} is {job.seen}: only refused and failed jobs can be dismissed"
            )
    until = now() if every else ""
    if request(folder, "dismiss", jobs=[job.id for job in known], until=until):
        names = ", ".join(map(_name, known)) or "every refused or failed job"
        echo(f"dismissed {names} from the status; `stylewatch show` still finds them")


@with_job_options
def retry(
    name: options.Job,
    *,
    job: JobOptions,
    from_stage: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Continue from the stage after step N."),
    ] = None,
    config_file: options.Config = None,
    state: options.State = None,
) -> None:
    """Run a job again, with the same settings or others.

    Its pictures and masks are those of the job. A job.yaml for which it was refused may be
    corrected before.
    """
    settings = config.load(config_file)
    folder = state_folder(config_file, state)
    known = _job(folder, name)
    retries.check_ended(known, "run again")
    if (option := _of_files(job)) is not None:
        raise UsageError(
            f"a job is run again with its own pictures, and once: leave out {option}, or "
            "use `stylewatch submit`"
        )
    overrides = overrides_of(job)
    job_part(overrides)  # raises for settings that a job can't have
    wanted = retries.settings_for(known, settings, overrides, from_stage)
    for file in retries.needed(known, from_stage):
        file.find()
    new = new_id()
    arguments = {"job": known.id, "new": new, "settings": wanted, "from_stage": from_stage}
    if not request(folder, "retry", **arguments):
        note(f"{_name(known)} will run again; until then `stylewatch cancel {new}` cancels that")
        return
    made = find(folder, new)
    if made is None:
        raise InputError(f"{_name(known)} could not be retried; the daemon's log has the reason")
    echo(f"{_name(known)} runs again, as the job {_name(made)}")


def _of_files(job: JobOptions) -> str | None:
    """Return the first option that names files, or asks for several jobs; None if there is none."""
    given = {
        "--mask": job.mask, "--style-mask": job.style_mask, "--sweep": job.sweep,
        "--init": None if job.init in (None, *STARTS) else job.init,
    }  # fmt: skip
    return next((option for option, value in given.items() if value is not None), None)


def _name(job: Job) -> str:
    return shown(job.title)


def _job(state: Path, name: str) -> Job:
    """Return the job with this name or id.

    Raises UsageError if there is none, InputError if it is an incomplete pair.
    """
    if find(state, name) is None:
        _check_not_incomplete(state, name)
    return job_of(state, name)


def _open_job(state: Path, name: str, verb: str) -> Job:
    """Return a job that has not ended; raises as `_job`, and InputError if it has ended."""
    if job := find_open(state, name):
        return job
    _check_not_incomplete(state, name)  # a new pair of that name is more likely meant
    raise InputError(retries.nothing_to(verb, job_of(state, name)))


def _check_not_incomplete(state: Path, name: str) -> None:
    if pairs := incomplete_pairs(state, name):
        folders = {str(Path(file).parent) for pair in pairs for file in pair["files"]}
        raise InputError(
            f"{name} is incomplete, and no job yet: it waits for {pairs[0]['waits_for']}; to end "
            f"that, remove its files from {shown(' and '.join(sorted(folders)) or 'the inbox')}"
        )
