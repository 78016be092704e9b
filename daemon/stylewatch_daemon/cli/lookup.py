"""Lookup of jobs and incomplete pairs by name, for the commands."""

from pathlib import Path

from stylewatch_daemon.base.errors import InputError, UsageError
from stylewatch_daemon.base.model import End, Job
from stylewatch_daemon.client import operations, status_json
from stylewatch_daemon.client.operations import Verb, open_ledger
from stylewatch_daemon.files.names import meant, safe_path, shown
from stylewatch_daemon.settings import config
from stylewatch_painter.validation import nearest

NEARBY, LISTED = 1000, 10
"""Numbers of latest jobs compared with an unknown name, and of names listed if none is similar."""


def state_folder(config_file: Path | None, state: Path | None) -> Path:
    """Return the daemon's state folder: `state`, or else the state folder of the settings.

    Mistakes in other settings are no error, because a running daemon keeps its earlier settings.
    Raises SettingsError if the state folder is unknown.
    """
    return state.absolute() if state else config.state_path(config_file)


def find(state: Path, name: str) -> Job | None:
    """Return the job with the id `name`, or the latest with this name; None if there is none.

    Raises OutputError if the ledger cannot be read.
    """
    with open_ledger(state) as ledger:
        return ledger.find(name) if ledger else None


def job_of(state: Path, name: str, verb: Verb | None = None) -> Job:
    """Return the job that a person means by a name or id, as `Ledger.the_one` does.

    With a `verb`, it is the job that `operations.meant` returns. Raises UsageError if there is no
    such job, with similar names, or if several jobs fit. Raises InputError if an incomplete pair
    has this name and no job has it; for `cancel` and `finish`, a job that has ended does not count
    for this.
    """
    with open_ledger(state) as ledger:
        job = operations.meant(ledger, verb, name) if ledger else None
    if job is None or (verb in ("cancel", "finish") and job.has_ended):
        incomplete = status_json.read(state)["incomplete"]
        pair_names = [pair["name"] for pair in incomplete]
        waiting = meant(safe_path(name), pair_names, "incomplete pairs")
        pairs = [pair for pair in incomplete if pair["name"] == waiting]
        if pairs:
            folders = {str(Path(file).parent) for pair in pairs for file in pair["files"]}
            raise InputError(
                f"{name} is incomplete, and no job yet: it waits for {pairs[0]['waits_for']}; to "
                "end that, remove its files from "
                f"{shown(' and '.join(sorted(folders)) or 'the inbox')}"
            )
    if job is not None:
        return job
    with open_ledger(state) as ledger:
        latest = ledger.ended([*End], NEARBY) if ledger else []
        names = {*(job.title for job in latest), *(ledger.open_jobs().values() if ledger else ())}
    if not names:
        raise UsageError(f"there is no job {name!r}, nor any other yet")
    raise UsageError(nearest(name, names, "job", LISTED))
