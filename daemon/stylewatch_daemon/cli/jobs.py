"""`stylewatch cancel`, `finish`, `dismiss`: what is to become of jobs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.client import Daemon, StateFolder, daemon
from stylewatch_daemon.cli.console import say
from stylewatch_daemon.cli.control import LATER, is_gone
from stylewatch_daemon.cli.show import Job, entry_of
from stylewatch_daemon.errors import InputError, UsageError
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.queue.job_actions import nothing_to
from stylewatch_daemon.store.ledger import DISMISSIBLE, Entry
from stylewatch_daemon.store.ledger_writer import LAST, now

Jobs = Annotated[
    list[str] | None,
    typer.Argument(metavar="JOB", help="Their names in the outbox or in the inbox, or their ids."),
]
Every = Annotated[bool, typer.Option("--all", help="Dismiss every refused or failed job.")]


def cancel(job: Job, config_file: options.Config = None, state: StateFolder = None) -> None:
    """End a job that waits or is being painted; what was dropped goes to `_refused`."""
    here = daemon(config_file, state)
    entry = _open(here, job, "cancel")
    if asked(here, "cancel", job=entry.id):
        say(_cancelled(entered(here, entry.id)))


def finish(job: Job, config_file: options.Config = None, state: StateFolder = None) -> None:
    """Stop painting a job, and make the picture as it stands now the final one."""
    here = daemon(config_file, state)
    entry = _open(here, job, "finish")
    with here.ledger() as ledger:
        begun = ledger is not None and ledger.story(entry.id)
    if not begun:
        raise InputError(
            f"{called(entry)} was not begun, so there is no picture yet; "
            "`stylewatch cancel` ends it"
        )
    if asked(here, "finish", job=entry.id):
        say(f"finishing: the picture that {called(entry)} is at becomes the final one")


def dismiss(
    jobs: Jobs = None,
    every: Every = False,
    config_file: options.Config = None,
    state: StateFolder = None,
) -> None:
    """Take refused and failed jobs out of the status; their files and their story stay."""
    if bool(jobs) == every:
        raise UsageError("name the jobs to dismiss, or say --all for every refused or failed one")
    here = daemon(config_file, state)
    entries = [entered(here, job) for job in jobs or ()]
    for entry in entries:
        if entry.state not in DISMISSIBLE:
            raise InputError(
                f"{called(entry)} is {entry.state}: only refused and failed jobs can be dismissed"
            )
    until = now() if every else ""
    if asked(here, "dismiss", jobs=[entry.id for entry in entries], until=until):
        which = ", ".join(map(called, entries)) or "every refused or failed job"
        say(f"dismissed {which} from the status; `stylewatch show` still knows them")


def asked(here: Daemon, verb: str, **arguments: Any) -> bool:
    """Ask it of the daemon; whether that acted, and if not, say so."""
    request = here.ask(verb, **arguments)
    if not here.is_at_work():
        say(f"noted for the next start: no daemon is at work with {here.state}")
    elif is_gone(request):
        return True
    else:
        say(LATER)
    return False


def _cancelled(entry: Entry) -> str:
    if entry.state == "cancelled":
        folder = shown(Path(entry.outbox, entry.refused_as or ""))
        return f"cancelled: what was dropped lies in {folder}"
    if entry.state == "claimed":
        return f"cancelling: {called(entry)} ends once it is taken"
    return f"cancelling: {called(entry)} ends after the step that is being made"


def entered(here: Daemon, job: str) -> Entry:
    """Return the ledger's entry of `job`; UsageError if unknown, InputError for a half pair."""
    with here.ledger() as ledger:
        if ledger is None or ledger.find(job) is None:
            _check_whole(here, job)
        return entry_of(ledger, job)


def _open(here: Daemon, job: str, verb: str) -> Entry:
    """The same for a job that has not ended; raises InputError where it has."""
    entry = entered(here, job)
    if entry.state in LAST:
        _check_whole(here, job)  # of the same name, and meant more likely
        raise InputError(nothing_to(verb, entry))
    return entry


def _check_whole(here: Daemon, job: str) -> None:
    """Raise InputError where `job` is a pair that still waits in the inbox for its other half."""
    for half in (here.published() or {}).get("incomplete", ()):
        if half["name"] == job:
            raise InputError(
                f"{job} is no job yet: it waits in the inbox for {half['waits_for']}; "
                "remove its files from there to end it"
            )


def called(entry: Entry) -> str:
    """The name of a job, to be printed."""
    return shown(entry.place or entry.name)
