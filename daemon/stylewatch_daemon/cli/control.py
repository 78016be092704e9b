"""Commands that ask the daemon for something."""

from pathlib import Path
from typing import Annotated

import typer

from stylewatch_daemon.app import status_json
from stylewatch_daemon.base.errors import InputError, UsageError
from stylewatch_daemon.base.model import End, Job, State, new_id
from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.build_order import STARTS, job_part, overrides_of
from stylewatch_daemon.cli.exit_codes import echo, note
from stylewatch_daemon.cli.lookup import find, job_of, state_folder
from stylewatch_daemon.cli.options import JobOptions, with_job_options
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.jobs import operations, retries
from stylewatch_daemon.ledger import requests
from stylewatch_daemon.settings import config

ANSWER_WITHIN_S = 5.0
"""Time that the daemon gets to act; during a job it looks for requests at every step."""

_CANCELED_AFTER = {
    State.CLAIMED: "after its pair is claimed",
    State.RUNNING: "after the current step",
}
"""When a job ends that is canceled in this state, unless at once."""


def pause(config_file: options.Config = None, state: options.State = None) -> None:
    """Let the daemon start no new job.

    Running jobs are finished. It lasts over restarts.
    """
    folder = state_folder(config_file, state)
    if _has_acted(folder, requests.leave(folder, "pause")):
        echo("paused: no new job is started")


def resume(config_file: options.Config = None, state: options.State = None) -> None:
    """Let the daemon start jobs again."""
    folder = state_folder(config_file, state)
    if _has_acted(folder, requests.leave(folder, "resume")):
        echo("resumed: waiting jobs are started")


def drain(config_file: options.Config = None, state: options.State = None) -> None:
    """Let the daemon finish its running jobs and exit.

    The queue is kept for the next start.
    """
    folder = state_folder(config_file, state)
    if not status_json.is_at_work(folder):
        echo(f"there is nothing to drain: no daemon is running with the state folder {folder}")
    elif _has_acted(folder, requests.leave(folder, "drain")):
        echo("draining: running jobs are finished, then the daemon exits")


def _has_acted(state: Path, request: int) -> bool:
    """Wait for the daemon to act on a request; print why if it has not acted."""
    if not status_json.is_at_work(state):
        echo(f"recorded for the next start: no daemon is running with the state folder {state}")
        return False
    if not requests.wait(state, request, ANSWER_WITHIN_S):
        echo("requested; the daemon has not answered yet, and will as soon as it can")
        return False
    return True


def cancel(
    job: options.Job, config_file: options.Config = None, state: options.State = None
) -> None:
    """End a job; its inputs are moved to `_canceled`."""
    folder = state_folder(config_file, state)
    if requests.is_asked(folder, "retry", new=job):  # which is no job yet
        job_id, request = job, requests.leave(folder, "cancel", job=job)
    else:
        known = job_of(folder, job, prefer_open=True)
        job_id, request = known.id, operations.cancel(folder, known)
    if not _has_acted(folder, request):
        return
    known = job_of(folder, job_id)
    if known.has_ended and known.end is End.CANCELED:
        echo(f"canceled: the inputs are in {shown(Path(known.outbox, known.refused_as or ''))}")
    else:
        echo(f"canceling: {_name(known)} ends {_CANCELED_AFTER.get(known.state, 'in a moment')}")


def finish(
    job: options.Job, config_file: options.Config = None, state: options.State = None
) -> None:
    """Stop a job; its current picture becomes the final one."""
    folder = state_folder(config_file, state)
    known = job_of(folder, job, prefer_open=True)
    if _has_acted(folder, operations.finish(folder, known)):
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
    if bool(jobs) == every:
        raise UsageError("name the jobs to dismiss, or pass --all for every refused or failed one")
    folder = state_folder(config_file, state)
    known = [job_of(folder, job) for job in jobs or ()]
    request = operations.dismiss_all(folder) if every else operations.dismiss(folder, *known)
    if _has_acted(folder, request):
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
    known, new = job_of(folder, name), new_id()
    operations.check("retry", known)
    if (option := _of_files(job)) is not None:
        raise UsageError(
            f"a job is run again with its own pictures, and once: leave out {option}, or "
            "use `stylewatch submit`"
        )
    overrides = overrides_of(job)
    job_part(overrides)  # raises for settings that a job can't have
    wanted = retries.settings_for(known, settings, overrides, from_stage)
    request = operations.retry(folder, known, new, wanted, from_stage=from_stage)
    if not _has_acted(folder, request):
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
