"""`stylewatch show`, and how commands read the ledger and status.json of the daemon."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.exit_codes import echo, echo_json
from stylewatch_daemon.cli.progress import running_text
from stylewatch_daemon.errors import UsageError
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.model import JobState
from stylewatch_daemon.outbox import status_json
from stylewatch_daemon.settings import config
from stylewatch_daemon.store.ledger import FILE_NAME, Entry, Ledger, reading
from stylewatch_daemon.views.formatting import columns
from stylewatch_daemon.views.job import JobView, in_a_line, job_view
from stylewatch_painter.validation import nearest

NEARBY = 1000
"""The latest jobs among which the nearest to an unknown name is sought."""


def state_folder(config_file: Path | None, state: Path | None) -> Path:
    """Return the daemon's state folder: `state`, or that of the settings (SettingsError)."""
    settings = config.load(config_file)
    return state.expanduser().absolute() if state else settings.state.path


@contextmanager
def open_ledger(state: Path) -> Iterator[Ledger | None]:
    """Open the ledger for reading; None where there is none yet. Raises OutputError."""
    path = state / FILE_NAME
    if not path.exists():
        yield None
        return
    with reading(path) as ledger:
        yield ledger


def entry_of(ledger: Ledger | None, job: str) -> Entry:
    """Return the entry of `job`; raises UsageError where there is none, with the nearest name."""
    if ledger and (entry := ledger.find(job)):
        return entry
    latest = ledger.latest(*JobState, limit=NEARBY) if ledger else []
    names = {entry.place or entry.name for entry in latest}
    if not names:
        raise UsageError(f"there is no job {job!r}, nor any other yet")
    raise UsageError(nearest(job, names, "job"))


def view_of(state: Path, job: str) -> JobView:
    """Build the view of `job`; raises UsageError where there is none, with the nearest name."""
    with open_ledger(state) as ledger:
        entry = entry_of(ledger, job)
        attempts = ledger.story(entry.id) if ledger else ()
    status = (status_json.read(state) or {}) if status_json.is_at_work(state) else {}
    return job_view(entry, attempts, status.get("running", ()))


def show(
    job: options.Job,
    config_file: options.Config = None,
    state: options.State = None,
    json: options.AsJson = False,
) -> None:
    """Show a job: its state, attempts, pictures, settings, losses and files."""
    view = view_of(state_folder(config_file, state), job)
    if json:
        echo_json(view.as_json())
    else:
        echo("\n\n".join(_sections(view)))


def _sections(view: JobView) -> Iterator[str]:
    yield columns([(label, text) for label, text in _facts(view) if text])
    attempts = [
        (row.started, row.backend, row.resumed, row.outcome, row.reason)
        for row in view.attempt_rows
    ]
    tables: dict[str, Iterable[Sequence[str]]] = {
        "attempts": attempts,
        "pictures": [(row.name, row.size, row.sha256) for row in view.inputs],
        "settings": view.settings,
        "jobs": view.jobs,
        "losses": view.losses and (("term", "value", "weight", "value x weight"), *view.losses),
        "files": [(name,) for name, _ in view.files],
    }
    for title, rows in tables.items():
        if rows:
            yield "\n".join([f"{title}:", *(f"  {line}" for line in columns(rows).splitlines())])


def _facts(view: JobView) -> Iterator[tuple[str, str]]:
    entry = view.entry
    folder = entry.refused_as or entry.place
    yield "job", shown(entry.place or entry.name)
    yield "id", entry.id
    yield "state", entry.state
    yield "progress", running_text(view.running) if view.running else ""
    yield "reason", in_a_line(entry.reason)
    yield "retry of", shown(entry.retry_of)
    yield "inbox", shown(entry.inbox)
    yield "folder", shown(Path(entry.outbox, folder)) if folder else ""
    yield "entered", entry.entered
    yield "finished", entry.finished or ""
    yield "dismissed", "yes" if entry.dismissed else ""
