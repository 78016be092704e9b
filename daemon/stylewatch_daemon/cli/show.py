"""`stylewatch show JOB`: all that is known of a job, from the ledger and its receipt."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.client import Daemon, StateFolder, daemon
from stylewatch_daemon.cli.console import say, say_json
from stylewatch_daemon.cli.follow import painting
from stylewatch_daemon.errors import UsageError
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.model import JobState
from stylewatch_daemon.store.ledger import Entry, Ledger
from stylewatch_daemon.views.formatting import columns
from stylewatch_daemon.views.job import JobView, in_a_line, job_view
from stylewatch_painter.validation import nearest

Job = Annotated[
    str, typer.Argument(metavar="JOB", help="Its name in the outbox or in the inbox, or its id.")
]

NEARBY = 1000
"""The latest jobs among which the nearest to an unknown name is sought."""


def show(
    job: Job,
    config_file: options.Config = None,
    state: StateFolder = None,
    json: options.AsJson = False,
) -> None:
    """Show a job: its state, attempts, pictures, settings, losses and files."""
    view = view_of(daemon(config_file, state), job)
    if json:
        say_json(view.as_json())
    else:
        say("\n\n".join(_sections(view)))


def view_of(here: Daemon, job: str) -> JobView:
    """All that is known of `job`; raises UsageError where there is none, with the nearest name."""
    with here.ledger() as ledger:
        entry = entry_of(ledger, job)
        attempts = ledger.story(entry.id) if ledger else ()
    status = (here.published() or {}) if here.is_at_work() else {}
    return job_view(entry, attempts, status.get("running", ()))


def entry_of(ledger: Ledger | None, job: str) -> Entry:
    """The entry of `job` in the `ledger`; raises UsageError where there is none."""
    entry = ledger.find(job) if ledger else None
    if entry is None:
        raise UsageError(_unknown(job, ledger))
    return entry


def _unknown(job: str, ledger: Ledger | None) -> str:
    latest = ledger.latest(*JobState, limit=NEARBY) if ledger else []
    names = {entry.place or entry.name for entry in latest}
    if not names:
        return f"there is no job {job!r}, nor any other yet"
    return nearest(job, names, "job")


def _sections(view: JobView) -> Iterator[str]:
    yield columns([(label, text) for label, text in _facts(view) if text])
    if view.attempt_rows:
        rows = (
            (row.started, row.backend, row.resumed, row.outcome, row.reason)
            for row in view.attempt_rows
        )
        yield _table("attempts", rows)
    yield _table("pictures", ((row.name, row.size, row.sha256) for row in view.inputs))
    if view.settings:
        yield _table("settings", view.settings)
    if view.jobs:
        yield _table("jobs", view.jobs)
    if view.losses:
        yield _table("losses", (("term", "value", "weight", "value x weight"), *view.losses))
    if view.files:
        yield _table("files", ((name,) for name, _ in view.files))


def _facts(view: JobView) -> Iterator[tuple[str, str]]:
    entry = view.entry
    folder = entry.refused_as or entry.place
    yield "job", shown(entry.place or entry.name)
    yield "id", entry.id
    yield "state", entry.state
    yield "progress", painting(view.running) if view.running else ""
    yield "reason", in_a_line(entry.reason)
    yield "retry of", shown(entry.retry_of)
    yield "inbox", shown(entry.inbox)
    yield "folder", shown(Path(entry.outbox, folder)) if folder else ""
    yield "entered", entry.entered
    yield "finished", entry.finished or ""
    yield "dismissed", "yes" if entry.dismissed else ""


def _table(title: str, rows: Iterable[Sequence[str]]) -> str:
    lines = columns(rows).splitlines()
    return "\n".join([f"{title}:", *(f"  {line}" for line in lines)])
