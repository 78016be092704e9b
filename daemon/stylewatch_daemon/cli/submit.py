"""`stylewatch submit`: put a pair into the inbox, and follow the job to its end if asked to."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from stylewatch_daemon.cli import build_order, options
from stylewatch_daemon.cli.exit_codes import echo, note
from stylewatch_daemon.cli.options import JobOptions, with_job_options
from stylewatch_daemon.cli.progress import EVERY_S, running_text
from stylewatch_daemon.cli.status import find
from stylewatch_daemon.files.names import safe, shown
from stylewatch_daemon.ingest import submit as submission
from stylewatch_daemon.outbox import status_json
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.job import members
from stylewatch_daemon.store.ledger import Entry

POLL_EVERY_S = 0.25

RETRY_LATER = 75
ENDS: Mapping[str, int] = {"done": 0, "refused": 65, "failed": 70, "cancelled": RETRY_LATER}
"""The exit codes of the final states."""


@with_job_options
def submit(
    pictures: Annotated[
        list[Path],
        typer.Argument(metavar="CONTENT STYLE", help="The photograph, and one or more paintings."),
    ],
    *,
    name: Annotated[
        str | None, typer.Option(help="Name of the job; by default CONTENT-STYLE.")
    ] = None,
    job: JobOptions,
    inbox: Annotated[
        Path | None, typer.Option(help="Use this inbox, not the first one of config.yaml.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", "-w", help="Wait for the end of the job, with its progress.")
    ] = False,
    config_file: options.Config = None,
    state: options.State = None,
    quiet: options.Quiet = False,
) -> None:
    """Put CONTENT and one or more STYLE pictures into the inbox, as a job for the daemon."""
    request = build_order.RenderRequest(tuple(pictures), job, config_file)
    settings, job_yaml = _settings(request)
    recipe = settings.job.resolve(*settings.recipes)
    content, styles = build_order.content_and_styles(pictures, settings.job.only)
    masks = build_order.masks_by_role(job, len(styles))
    files = submission.files_of(content, styles, build_order.init_picture(job), masks)
    wanted = name or safe(build_order.default_name(pictures, settings.job.only))
    submission.check_name(wanted, settings.watch.ignore)
    folder = options.expanded(state).absolute() if state else settings.state.path
    place = options.expanded(inbox).absolute() if inbox else settings.inboxes[0].path
    outboxes = [
        known.outbox for known in settings.inboxes if known.path.resolve() == place.resolve()
    ]
    names = submission.free(wanted, place, *outboxes)
    new = (each for each in names if find(folder, each) is None)
    submitted = submission.put(place, new, files, job_yaml)
    echo(submitted)
    if not quiet:
        build_order.note_size_limit(settings.job, recipe, content, settings.limits.max_pixels)
    if others := _other_inboxes(folder, place):
        if wait or not quiet:
            note(
                f"{submitted} waits in {place}, which the running daemon does not watch: add that "
                f"inbox to its config.yaml, or submit to {' or '.join(others)} with --inbox"
            )
        raise typer.Exit(RETRY_LATER if wait else 0)
    if wait:
        raise typer.Exit(follow(folder, submitted, quiet=quiet))
    if not (quiet or status_json.is_at_work(folder)):
        note(f"it waits in {place}: no daemon is running with the state folder {folder}")


def _other_inboxes(state: Path, inbox: Path) -> list[str]:
    """Return what the running daemon watches; nothing if that is unknown, or has `inbox`."""
    published = (status_json.read(state) or {}) if status_json.is_at_work(state) else {}
    watched = [each["path"] for each in published.get("inboxes", ())]
    # status.json has paths as they are safe to print
    is_watched = shown(inbox) in watched or inbox.resolve() in {Path(p).resolve() for p in watched}
    return [] if is_watched else watched


def _settings(request: build_order.RenderRequest) -> tuple[Config, Mapping[str, Any]]:
    """Return the settings and the job.yaml, both checked; raises as `make_plan` does."""
    overrides = build_order.overrides_of(request.options)
    job_yaml = build_order.job_part(overrides)
    settings = config.load(request.config_file, overrides)
    build_order.check_pictures("submit", request.pictures, settings.job.only)
    sweep = build_order.parse_sweep(request.options.sweep)
    if sweep:
        for member in members(sweep):
            config.override(settings, member.overrides)
        job_yaml = {**job_yaml, "sweep": {key: list(values) for key, values in sweep.items()}}
    return settings, job_yaml


def follow(state: Path, job: str, *, quiet: bool) -> int:
    """Wait for the end of `job` while a daemon runs; return the exit code."""
    with _printing(quiet) as print_progress:
        while True:
            running = status_json.is_at_work(state)
            entry = find(state, job)
            if entry is not None and entry.state in ENDS:
                break
            if not running:
                note(f"{job} waits: no daemon is running with the state folder {state}")
                return RETRY_LATER
            print_progress(f"{job}: {_progress(entry, status_json.read(state) or {})}")
            time.sleep(POLL_EVERY_S)
    if entry.state != "done":
        note(f"{entry.title}: {entry.state}: {entry.reason}".removesuffix(": "))
    elif not quiet:
        echo(str(Path(entry.outbox, entry.title)))
    return ENDS[entry.state]


def _progress(entry: Entry | None, published: Mapping[str, Any]) -> str:
    if entry is None:
        return "waits in the inbox"
    jobs = published.get("running", [])
    if running := next((job for job in jobs if job["id"] == entry.id), None):
        return running_text(running)
    if published.get("health", {}).get("paused"):
        return "waits: the daemon is paused"
    return entry.reason or "waits in the queue"


@contextmanager
def _printing(quiet: bool) -> Iterator[Callable[[str], None]]:
    """Yield a function that prints progress to stderr, in place on a terminal."""
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.text import Text

        with Console(stderr=True).status("") as line:
            yield lambda text: line.update(Text(text))
    else:
        yield _Throttle()


class _Throttle:
    """Prints the first line, and then a new one every EVERY_S seconds."""

    def __init__(self) -> None:
        self._last, self._printed_at = "", -float("inf")

    def __call__(self, text: str) -> None:
        if text != self._last and time.monotonic() - self._printed_at >= EVERY_S:
            note(text)
            self._last, self._printed_at = text, time.monotonic()
