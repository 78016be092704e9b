"""`stylewatch cancel`, `finish`: what is to become of a single job."""

from pathlib import Path
from typing import Any

from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.control import LATER, is_gone
from stylewatch_daemon.cli.reach import Daemon, StateFolder, daemon
from stylewatch_daemon.cli.say import say
from stylewatch_daemon.cli.show import Job, entry_of
from stylewatch_daemon.ledger import Entry
from stylewatch_daemon.ledger_writer import LAST
from stylewatch_daemon.names import shown


def cancel(job: Job, config_file: options.Config = None, state: StateFolder = None) -> None:
    """End a job that waits or is being painted; what was dropped goes to `_refused`."""
    here = daemon(config_file, state)
    entry = entered(here, job)
    if entry.state in LAST:
        say(f"{called(entry)} is {entry.state}: there is nothing to cancel")
    elif asked(here, "cancel", job=entry.id):
        say(_cancelled(entered(here, entry.id)))


def finish(job: Job, config_file: options.Config = None, state: StateFolder = None) -> None:
    """Stop painting a job, and make the picture as it stands now the final one."""
    here = daemon(config_file, state)
    entry = entered(here, job)
    with here.ledger() as ledger:
        begun = ledger is not None and ledger.story(entry.id)
    if entry.state in LAST:
        say(f"{called(entry)} is {entry.state}: there is nothing to finish")
    elif not begun:
        say(
            f"{called(entry)} was not begun, so there is no picture yet; "
            "`stylewatch cancel` ends it"
        )
    elif asked(here, "finish", job=entry.id):
        say(f"finishing: the picture that {called(entry)} is at becomes the final one")


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
    """What the ledger has of `job`; raises UsageError where that is nothing."""
    with here.ledger() as ledger:
        return entry_of(ledger, job)


def called(entry: Entry) -> str:
    """The name of a job, to be printed."""
    return shown(entry.place or entry.name)
