"""`stylewatch cancel`, `finish`: what is to become of a single job."""

from pathlib import Path

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
    entry = _entry(here, job)
    if entry.state in LAST:
        say(f"{_name(entry)} is {entry.state}: there is nothing to cancel")
    elif _ask(here, "cancel", entry):
        say(_cancelled(_entry(here, entry.id)))


def finish(job: Job, config_file: options.Config = None, state: StateFolder = None) -> None:
    """Stop painting a job, and make the picture as it stands now the final one."""
    here = daemon(config_file, state)
    entry = _entry(here, job)
    with here.ledger() as ledger:
        begun = ledger is not None and ledger.story(entry.id)
    if entry.state in LAST:
        say(f"{_name(entry)} is {entry.state}: there is nothing to finish")
    elif not begun:
        say(
            f"{_name(entry)} was not begun, so there is no picture yet; `stylewatch cancel` ends it"
        )
    elif _ask(here, "finish", entry):
        say(f"finishing: the picture that {_name(entry)} is at becomes the final one")


def _ask(here: Daemon, verb: str, entry: Entry) -> bool:
    """Ask it of the daemon; whether that did it, and if not, say so."""
    request = here.ask(verb, job=entry.id)
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
    return f"cancelling: {_name(entry)} ends after the step that is being made"


def _entry(here: Daemon, job: str) -> Entry:
    with here.ledger() as ledger:
        return entry_of(ledger, job)


def _name(entry: Entry) -> str:
    return shown(entry.place or entry.name)
