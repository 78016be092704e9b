"""Commands that leave requests for the daemon, and `stylewatch prune`."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.build_order import job_part
from stylewatch_daemon.cli.exit_codes import echo, note
from stylewatch_daemon.cli.status import (
    NEARBY,
    attempts_of,
    entry_of,
    find,
    find_open,
    incomplete_pairs,
    open_ledger,
    pairs_meant,
    state_folder,
)
from stylewatch_daemon.errors import InputError, UsageError
from stylewatch_daemon.files.disk_space import amount
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.outbox import retention, status_json
from stylewatch_daemon.queue import job_actions
from stylewatch_daemon.queue.job_actions import nothing_to
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.config import service_settings
from stylewatch_daemon.settings.sections import Retention
from stylewatch_daemon.store import requests
from stylewatch_daemon.store.journal import new_id
from stylewatch_daemon.store.ledger import DISMISSIBLE, Entry
from stylewatch_daemon.store.ledger_writer import now

ANSWER_WITHIN_S = 5.0
"""Time that the daemon gets to act; during a job it looks for requests at every step."""

LOOK_EVERY_S = 0.02


def pause(config_file: options.Config = None, state: options.State = None) -> None:
    """Let the daemon start no new job; running jobs are finished. Lasts over restarts."""
    if request(state_folder(config_file, state), "pause"):
        echo("paused: no new job is started")


def resume(config_file: options.Config = None, state: options.State = None) -> None:
    """Let the daemon start jobs again."""
    if request(state_folder(config_file, state), "resume"):
        echo("resumed: waiting jobs are started")


def drain(config_file: options.Config = None, state: options.State = None) -> None:
    """Let the daemon finish its running jobs and exit; the queue is kept for the next start."""
    folder = state_folder(config_file, state)
    if not status_json.is_at_work(folder):
        echo(f"there is nothing to drain: no daemon is running with the state folder {folder}")
    elif request(folder, "drain"):
        echo("draining: running jobs are finished, then the daemon exits")


def request(state: Path, verb: str, **arguments: Any) -> bool:
    """Leave a request and wait for the daemon to act; print why, where it has not acted."""
    file = requests.leave(state, verb, **arguments)
    if not status_json.is_at_work(state):
        echo(f"recorded for the next start: no daemon is running with the state folder {state}")
        return False
    until = time.monotonic() + ANSWER_WITHIN_S
    while file.exists():
        if time.monotonic() >= until:
            echo("requested; the daemon has not answered yet, and will as soon as it can")
            return False
        time.sleep(LOOK_EVERY_S)
    return True


def cancel(
    job: options.Job, config_file: options.Config = None, state: options.State = None
) -> None:
    """End a job or an incomplete pair; its inputs are moved to `_refused`."""
    folder = state_folder(config_file, state)
    if pairs := pairs_meant(folder, job):
        _cancel_incomplete(folder, pairs[0]["name"])
        return
    is_retry = requests.is_asked(folder, "retry", new=job)  # which is no job yet
    job_id = job if is_retry else _open_entry(folder, job, "cancel").id
    if not request(folder, "cancel", job=job_id):
        return
    entry = _entry(folder, job_id)
    if entry.state == "cancelled":
        echo(f"canceled: the inputs are in {shown(Path(entry.outbox, entry.refused_as or ''))}")
    else:
        when = "its pair is claimed" if entry.state == "claimed" else "the current step"
        echo(f"canceling: {_name(entry)} ends after {when}")


def _cancel_incomplete(state: Path, pair: str) -> None:
    before = now()
    if not request(state, "cancel_incomplete", name=pair):
        return
    with open_ledger(state) as ledger:
        latest = ledger.latest("cancelled", limit=NEARBY) if ledger else []
    ended = [e for e in latest if e.name == pair and (e.finished or "") >= before]
    for entry in ended:
        echo(f"canceled: the inputs are in {shown(Path(entry.outbox, entry.refused_as or ''))}")
    if not ended:
        echo(f"canceling: the files of {shown(pair)} are being moved to `_refused` in the outbox")


def finish(
    job: options.Job, config_file: options.Config = None, state: options.State = None
) -> None:
    """Stop a job after the current step, and make its picture the final one."""
    folder = state_folder(config_file, state)
    entry = _open_entry(folder, job, "finish")
    if not attempts_of(folder, entry):
        raise InputError(
            f"{_name(entry)} was not started, so it has no picture yet; `stylewatch cancel` ends it"
        )
    if request(folder, "finish", job=entry.id):
        echo(f"finishing: the current picture of {_name(entry)} becomes the final one")


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
    """Remove refused and failed jobs from the status; their files and records stay."""
    if jobs and every:
        raise UsageError("--all dismisses every refused or failed job: leave out the names")
    if not (jobs or every):
        raise UsageError("name the jobs to dismiss, or pass --all for every refused or failed one")
    folder = state_folder(config_file, state)
    entries = [_entry(folder, job) for job in jobs or ()]
    for entry in entries:
        if entry.state not in DISMISSIBLE:
            raise InputError(
                f"{_name(entry)} is {entry.state}: only refused and failed jobs can be dismissed"
            )
    until = now() if every else ""
    if request(folder, "dismiss", jobs=[entry.id for entry in entries], until=until):
        names = ", ".join(map(_name, entries)) or "every refused or failed job"
        echo(f"dismissed {names} from the status; `stylewatch show` still finds them")


def retry(
    job: options.Job,
    sets: options.Sets = None,
    from_stage: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Continue from the stage after step N."),
    ] = None,
    config_file: options.Config = None,
    state: options.State = None,
) -> None:
    """Run a finished job again with the same settings, as a new job."""
    settings = config.load(config_file)
    folder = state_folder(config_file, state)
    entry = _entry(folder, job)
    job_actions.check_ended(entry, "run again")
    overrides = options.parse_sets(sets)
    job_part(overrides)  # raises for settings that a job can't have
    wanted = job_actions.settings_for(entry, settings, overrides, from_stage)
    for file in job_actions.needed(entry, from_stage):
        file.find()
    new = new_id()
    arguments = {"job": entry.id, "new": new, "settings": wanted, "from_stage": from_stage}
    if not request(folder, "retry", **arguments):
        note(f"{_name(entry)} will run again as the job {new}")
        return
    if find(folder, new) is None:
        raise InputError(f"{_name(entry)} could not be retried; the daemon's log has the reason")
    echo(f"{_name(entry)} runs again, as the job {new}")


def _name(entry: Entry) -> str:
    return shown(entry.title)


def _entry(state: Path, job: str) -> Entry:
    """Return the entry of `job`; UsageError if unknown, InputError for an incomplete pair."""
    if find(state, job) is None:
        _check_not_incomplete(state, job)
    return entry_of(state, job)


def _open_entry(state: Path, job: str, verb: str) -> Entry:
    """Return the entry of a job that has not ended; raises as `_entry`, and where it has."""
    if entry := find_open(state, job):
        return entry
    _check_not_incomplete(state, job)  # a new pair of that name is more likely meant
    raise InputError(nothing_to(verb, entry_of(state, job)))


def _check_not_incomplete(state: Path, job: str) -> None:
    if pairs := incomplete_pairs(state, job):
        raise InputError(
            f"{job} is not a job yet: it waits in the inbox for {pairs[0]['waits_for']}; "
            f"`stylewatch cancel {job}` cancels it"
        )


def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the files.")] = False,
    config_file: options.Config = None,
    sets: options.Sets = None,
) -> None:
    """Remove the stages and inputs of finished jobs that `retention` no longer keeps.

    The daemon does the same at its start and once a day, and forgets the oldest jobs.
    """
    overrides = options.parse_sets(sets)
    loaded = config.load(config_file, overrides)
    settings = service_settings(loaded, overrides)
    if settings.retention == Retention():
        echo("nothing: `retention` keeps all stages, inputs and jobs; see docs/settings.md")
        return
    count = size = 0
    for outbox in settings.outboxes:
        for file in retention.outlived(outbox, settings.retention, time.time()):
            if not dry_run:
                retention.remove(file)
            echo(f"{amount(file.bytes):>9}  {shown(file.path)}")
            count, size = count + 1, size + file.bytes
    echo(f"{count} files {'would be removed' if dry_run else 'removed'}: {amount(size)}")
    if settings.retention.ledger != "keep":  # the daemon alone writes the ledger
        with open_ledger(loaded.state.path) as ledger:
            before = retention.forgotten_before(settings.retention.ledger)
            jobs = ledger.outlived(before) if ledger else 0
        echo(f"the daemon will remove {jobs} jobs from the ledger, at its start or within a day")
