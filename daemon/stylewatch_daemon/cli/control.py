"""Commands that send requests to the daemon."""

from collections.abc import Callable
from pathlib import Path

import typer

from stylewatch_daemon.base.errors import InputError, UsageError
from stylewatch_daemon.base.model import End, State, new_id
from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.build_order import job_part, over_variables, overrides_of
from stylewatch_daemon.cli.exit_codes import echo, note
from stylewatch_daemon.cli.lookup import find, job_of, state_folder
from stylewatch_daemon.client import operations, status_json, status_text
from stylewatch_daemon.client.condition import condition
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.ledger import requests
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.job import STARTS

ANSWER_WITHIN_S = 5.0
"""How long a command waits for the daemon to act on its request, in seconds."""


def _has_acted(state: Path, request: int) -> bool:
    """Wait until the daemon has acted on a request, and return True.

    If it is not at work, or does not act within ANSWER_WITHIN_S, print this and return False.
    """
    if not status_json.is_at_work(state):
        sentence = status_json.current(state)["health"]["sentence"]
        echo(f"recorded for the next start: {sentence} Its state folder is {state}")
        return False
    if not requests.wait(state, [request], ANSWER_WITHIN_S):
        echo("requested; the daemon has not answered yet, and will as soon as it can")
        return False
    return True


def _to_the_daemon(verb: str, help_: str) -> Callable[..., None]:
    """Return a command that requests `verb`, and then prints the condition of the daemon.

    `help_` is the help of the command.
    """

    def command(config_file: options.Config = None, state: options.State = None) -> None:
        folder = state_folder(config_file, state)
        if verb == "drain" and not status_json.is_at_work(folder):
            echo(f"there is nothing to drain: no daemon is running with the state folder {folder}")
        elif _has_acted(folder, requests.leave(folder, verb)):
            status = status_json.current(folder)
            if verb == "drain":  # its status may be older
                status["health"]["draining"] = True
            echo(condition(status).sentence)

    command.__doc__ = help_
    return command


pause = _to_the_daemon(
    "pause",
    "Let the daemon start no new job.\n\nRunning jobs are finished. It lasts over restarts.",
)
resume = _to_the_daemon("resume", "Let the daemon start jobs again.")
drain = _to_the_daemon(
    "drain",
    "Let the daemon finish its running jobs and exit.\n\nThe queue is kept for the next start.",
)


def cancel(
    job: options.Job, config_file: options.Config = None, state: options.State = None
) -> None:
    """End a job; its inputs are moved to `_canceled`. Or give up a deletion that waits."""
    folder = state_folder(config_file, state)
    if requests.is_asked(folder, "retry", new=job):  # requested, but not a job yet
        job_id = job
        request = requests.leave(folder, "cancel", job=job)
    else:
        known = job_of(folder, job, "cancel")
        job_id = known.id
        request = operations.ask("cancel", folder, known)
        if known.has_ended:
            if _has_acted(folder, request):
                is_begun = any(each.deletes(job_id) for each in requests.waiting(folder))
                is_kept = not is_begun and find(folder, job_id) is not None
                echo(f"{'not deleted' if is_kept else 'too late to keep'}: {shown(known.title)}")
            return
    if not _has_acted(folder, request):
        return
    latest = find(folder, job_id)
    if latest is None:
        echo(f"canceled: {job_id} had not begun")
    elif latest.has_ended and latest.end is End.CANCELED:
        echo(f"canceled: the inputs are in {shown(Path(latest.outbox, latest.folder))}")
    else:
        reason = status_text.obstacle(status_json.current(folder), latest.title, latest.outbox)
        when = "after the current step" if latest.state is State.RUNNING else "in a moment"
        when = f"once that is possible: {reason}" if reason else when
        echo(f"canceling: {shown(latest.title)} ends {when}")


def finish(
    job: options.Job, config_file: options.Config = None, state: options.State = None
) -> None:
    """Stop a job; its current picture becomes the final one."""
    folder = state_folder(config_file, state)
    known = job_of(folder, job, "finish")
    if _has_acted(folder, operations.ask("finish", folder, known)):
        reason = status_text.why_waits(known, status_json.current(folder))
        when = f", once it goes on. {reason}" if reason else ""
        echo(f"finishing: the current picture of {shown(known.title)} becomes the final one{when}")


def dismiss(
    jobs: list[str] | None = typer.Argument(
        None, metavar="JOB", help="Names in the outbox or in the inbox, or ids."
    ),
    every: bool = typer.Option(False, "--all", help="Dismiss every refused or failed job."),
    config_file: options.Config = None,
    state: options.State = None,
) -> None:
    """Remove refused and failed jobs from the status.

    Their files and records stay.
    """
    if bool(jobs) == every:
        raise UsageError("name the jobs to dismiss, or pass --all for every refused or failed one")
    folder = state_folder(config_file, state)
    known = [job_of(folder, job, "dismiss") for job in jobs or ()]
    request = operations.dismiss_all(folder) if every else operations.dismiss(folder, *known)
    if _has_acted(folder, request):
        names = ", ".join(map(shown, jobs or ())) or "every refused or failed job"
        echo(f"dismissed {names} from the status; `stylewatch show` still finds them")


@options.with_job_options("mask", "style", "style_mask", "sweep")
def retry(
    name: options.Job,
    *,
    job: options.JobOptions,
    from_stage: int | None = typer.Option(
        None, metavar="N", min=0, help="Continue from the stage after step N."
    ),
    config_file: options.Config = None,
    state: options.State = None,
) -> None:
    """Run an ended job again as a new job, with the same settings or changed ones.

    The new job has the pictures and masks of the old one. If the old job was refused because of its
    job.yaml, you can correct that file first.
    """
    settings = config.load(config_file)
    folder = state_folder(config_file, state)
    known = job_of(folder, name, "retry")
    new = new_id()
    if job.get("init", "content") not in STARTS:
        raise UsageError(
            "a job is run again with its own pictures: leave out --init, or use `stylewatch submit`"
        )
    overrides = overrides_of(job)
    own = over_variables(job_part(overrides))
    wanted = operations.settings_of_retry(folder, known, settings, {"job": own}, from_stage)
    request = operations.retry(folder, known, new, wanted, from_stage=from_stage)
    title = shown(known.title)
    if not _has_acted(folder, request):
        note(f"{title} will run again; until then `stylewatch cancel {new}` cancels that")
        return
    made = find(folder, new)
    if made is None:
        raise InputError(f"{title} could not be retried; the daemon's log has the reason")
    echo(f"{title} runs again, as the job {shown(made.title)}")
