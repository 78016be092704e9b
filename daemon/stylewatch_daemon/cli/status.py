"""`stylewatch status` and `stylewatch show`, which read the ledger and status.json."""

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from stylewatch_daemon.app import status_json
from stylewatch_daemon.base.errors import SettingsError, UsageError
from stylewatch_daemon.base.model import PICTURES, Attempt, End, Job
from stylewatch_daemon.cli import options, service
from stylewatch_daemon.cli.exit_codes import NOT_RUNNING, echo, echo_json, note
from stylewatch_daemon.cli.progress import running_text
from stylewatch_daemon.files.names import abbreviated, safe_path, shown
from stylewatch_daemon.intake.scan import scan
from stylewatch_daemon.ledger.ledger import FILE_NAME, Ledger, reading
from stylewatch_daemon.ledger.requests import is_paused
from stylewatch_daemon.outbox.receipt import Receipt
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.sections import State
from stylewatch_daemon.views.formatting import columns, duration, when
from stylewatch_daemon.views.formatting import size as in_pixels
from stylewatch_daemon.views.job import JobView, in_a_line, job_view
from stylewatch_painter.validation import nearest

REFRESH_EVERY = 0.5
"""Seconds between two updates with `--watch`; the daemon writes its status as often."""

Status = Mapping[str, Any]
"""The status of the daemon: `status.json`, and for people the paths `config` and `state`."""

Rows = Sequence[Sequence[str]]

LATEST = 5
"""Finished jobs that the status ends with."""

NEARBY, LISTED = 1000, 10
"""The latest jobs among which the nearest to an unknown name is sought; the names to list."""


def state_folder(config_file: Path | None, state: Path | None) -> Path:
    """Return the daemon's state folder: `state`, or that of the settings (SettingsError)."""
    return options.expanded(state).absolute() if state else config.load(config_file).state.path


def settings_for(config_file: Path | None, state: Path | None) -> Config:
    """Load the settings, with the state folder `state` if that is given.

    Then wrong settings are noted, and replaced by the defaults without an inbox; otherwise they
    raise SettingsError.
    """
    try:
        settings = config.load(config_file)
    except SettingsError as error:
        if state is None:
            raise
        note(f"the settings are ignored: {str(error).splitlines()[0]}")
        settings = Config.model_construct(inboxes=())
    if state is None:
        return settings
    folder = State(path=state_folder(config_file, state))
    return settings.model_copy(update={"state": folder})


@contextmanager
def open_ledger(state: Path) -> Iterator[Ledger | None]:
    """Open the ledger for reading; None if there is none yet. Raises OutputError."""
    _ = status_json.is_at_work(state)  # raises OutputError if the folder cannot be read
    path = state / FILE_NAME
    if not path.exists():
        yield None
        return
    with reading(path) as ledger:
        yield ledger


def find(state: Path, name: str) -> Job | None:
    """Return the job with this name or id, if there is one; raises OutputError."""
    with open_ledger(state) as ledger:
        return ledger.find(name) if ledger else None


def find_open(state: Path, name: str) -> Job | None:
    """Return the job with this name or id that has not ended, if there is one.

    A job that runs again has the name of the one that has ended, until it gets its own folder.
    """
    with open_ledger(state) as ledger:
        if ledger is None:
            return None
        job = ledger.find(name)
        return ledger.latest_open(name) if job is None or job.has_ended else job


def job_of(state: Path, name: str) -> Job:
    """Return the job with this name or id; UsageError names the nearest if there is none."""
    with open_ledger(state) as ledger:
        if ledger and (job := ledger.find(name)):
            return job
        latest = ledger.ended([*End], NEARBY) if ledger else []
        names = {*(job.title for job in latest), *(ledger.open_jobs().values() if ledger else ())}
    if not names:
        raise UsageError(f"there is no job {name!r}, nor any other yet")
    raise UsageError(nearest(name, names, "job", LISTED))


def attempts_of(state: Path, job: Job) -> Sequence[Attempt]:
    """Return the attempts of a job, in order."""
    with open_ledger(state) as ledger:
        return ledger.attempts(job.id) if ledger else ()


def view_of(state: Path, name: str) -> JobView:
    """Build the view of the job with this name or id; raises as `job_of` does."""
    job = job_of(state, name)
    status = (status_json.read(state) or {}) if status_json.is_at_work(state) else {}
    return job_view(job, attempts_of(state, job), status.get("running", ()))


def status(
    config_file: options.Config = None,
    state: options.State = None,
    json: options.AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Update until Ctrl-C.")] = False,
) -> None:
    """Show the daemon, running and waiting jobs, and the latest.

    Exits with 3 if no daemon is running.
    """
    settings = settings_for(config_file, state)
    source = (config_file or config.find()).absolute()
    folder = settings.state.path
    start = _start_command(source, config_file, state)

    def current() -> Status:
        now = current_status(folder)
        if not now["inboxes"]:
            now = {**now, "inboxes": plain_inboxes(settings)}
        finished = latest_finished(folder)
        return {"config": str(source), "state": str(folder), **now, "finished": finished}

    now = current()
    if watch:
        with _display(start, json) as show:
            while True:
                show(now)
                time.sleep(REFRESH_EVERY)
                now = current()
    else:
        _print(now, start, json)
    if not now["health"]["at_work"]:
        raise typer.Exit(NOT_RUNNING)


def _start_command(source: Path, config_file: Path | None, state: Path | None) -> str:
    if state is None and (command := service.start_command(source)):
        return command
    given = {"--config": config_file, "--state": state}
    words = [str(word) for option in given.items() if option[1] for word in option]
    return shlex.join(["stylewatch", "run", *words])


def plain_inboxes(settings: Config) -> list[dict[str, Any]]:
    """Return the inboxes in the form of `status.json`, each with the number of its files.

    Raises ShortageError if an inbox cannot be read now.
    """
    return [
        {
            "path": str(inbox.path),
            "outbox": str(inbox.outbox),
            "files": len(scan(inbox.path, settings.watch.ignore).files),
        }
        for inbox in settings.inboxes
    ]


def current_status(state: Path) -> Status:
    """Return what the daemon last published, corrected by its ledger if it no longer runs."""
    running = status_json.is_at_work(state)
    published = {**status_json.nothing(), **(status_json.read(state) or {})}
    now = {"at_work": running, "paused": is_paused(state)}
    published["health"] = {**published["health"], **now}
    if running:
        return published
    with open_ledger(state) as ledger:
        counts = ledger.counts() if ledger else dict(published["counts"])
    counts["waiting"] += counts["running"]  # interrupted: they continue at the next start
    return {**published, "inboxes": [], "counts": {**counts, "running": 0}, "running": []}


def latest_finished(state: Path) -> list[dict[str, Any]]:
    """Return the jobs that finished last, each with its final picture; raises OutputError."""
    with open_ledger(state) as ledger:
        jobs = ledger.ended(PICTURES, LATEST) if ledger else []
        return [
            {"job": job.title, "id": job.id, "finished": job.finished,
             "final": str(Path(job.outbox, _final(ledger, job)))}
            for job in jobs
        ] if ledger else []  # fmt: skip


def _final(ledger: Ledger, job: Job) -> str:
    """Return the path of the final picture in the outbox, or of the job's output folder."""
    files = (file.path for file in ledger.files(job.id) if file.part == "final")
    return next(files, job.place or "")


def _print(now: Status, start: str, json: bool) -> None:
    if json:
        echo_json(now)
    else:
        echo(_text(now, start))


@contextmanager
def _display(start: str, json: bool) -> Iterator[Callable[[Status], None]]:
    """Yield the function that shows each new status; Ctrl-C ends the display normally."""
    try:
        if json or not sys.stdout.isatty():
            latest: Status = {}

            def print_changes(now: Status) -> None:
                nonlocal latest
                if {**now, "at": ""} != latest:
                    latest = {**now, "at": ""}
                    _print(now, start, json)

            yield print_changes
            return
        from rich.live import Live
        from rich.text import Text

        with Live(auto_refresh=False) as live:
            yield lambda now: live.update(Text(_text(now, start)), refresh=True)
    except KeyboardInterrupt:
        return


def _text(now: Status, start: str) -> str:
    tables = (_table(title, rows) for title, rows in _sections(now))
    return "\n\n".join([places(now), _daemon(now["health"], start), _counts(now), *tables])


def _sections(now: Status) -> Iterator[tuple[str, Rows]]:
    more = now["counts"]["waiting"] - len(now["waiting"])
    waiting = [[name] for name in now["waiting"]]
    sections: dict[str, Rows] = {
        "running": [[job["job"], running_text(job), job["device"]] for job in now["running"]],
        "queue": [*waiting, *([[f"... and {more} more"]] if waiting and more else [])],
        "incomplete": [[pair["name"], pair["waits_for"]] for pair in now["incomplete"]],
        "problems": [[_line(text)] for text in now["health"]["trouble"]],
        "refused or failed": [[job["job"], _line(job["reason"])] for job in now["refused"]],
        "notes": [[_line(text)] for text in now["health"]["notes"]],
        "finished": [
            [when(job["finished"]), abbreviated(Path(job["final"]))] for job in now["finished"]
        ],
    }
    yield from ((title, rows) for title, rows in sections.items() if rows)


def places(now: Status) -> str:
    """Return lines with the config.yaml, the inboxes, the outboxes and the state folder."""
    is_shipped = Path(now["config"]) == config.shipped("config.yaml")
    settings = "the defaults; `stylewatch init` makes a config.yaml of your own"
    outboxes = dict.fromkeys(inbox["outbox"] for inbox in now["inboxes"])
    return columns(
        [
            ("config", settings if is_shipped else abbreviated(Path(now["config"]))),
            *(("inbox", abbreviated(Path(inbox["path"]))) for inbox in now["inboxes"]),
            *(("outbox", abbreviated(Path(outbox))) for outbox in outboxes),
            ("state", abbreviated(Path(now["state"]))),
        ]
    )


def _daemon(health: Mapping[str, Any], start: str) -> str:
    paused = "; paused: no new job is started until `stylewatch resume`" if health["paused"] else ""
    if not health["at_work"]:
        return f"no daemon is running: `{start}` starts it{paused}"
    if health["since"] is None:
        return "a daemon is starting"
    scans = "; no file events, scans replace them" if not health["events"] else ""
    return (
        f"stylewatch {health['version']} is running since {health['since']}, "
        f"process {health['pid']}{paused}{scans}"
    )


def _counts(now: Status) -> str:
    counts = ", ".join(f"{count} {what}" for what, count in now["counts"].items())
    files = sum(inbox.get("files", 0) for inbox in now["inboxes"])
    if not files or now["health"]["at_work"]:
        return counts
    return f"{counts}; files in the inboxes, which a daemon would look at: {files}"


def _line(text: str) -> str:
    return "; ".join(text.splitlines())


def show(
    job: Annotated[
        str | None,
        typer.Argument(
            metavar="JOB",
            help="Its name in the outbox or in the inbox, or its id; by default the one that"
            " finished last.",
        ),
    ] = None,
    config_file: options.Config = None,
    state: options.State = None,
    json: options.AsJson = False,
) -> None:
    """Show a job, by default the one that finished last.

    That is its state, inputs, changed settings, time and result; with --json everything. Of an
    incomplete pair it is what it waits for, and the files that there are.
    """
    folder = state_folder(config_file, state)
    job = job or _latest(folder)
    if pairs := pairs_meant(folder, job):
        _show_incomplete(folder, pairs, json)
        return
    view = view_of(folder, job)
    if json:
        echo_json(view.as_json())
    else:
        echo("\n\n".join(_job_sections(view)))


def _latest(state: Path) -> str:
    """Return the id of the job that finished last; raises UsageError if there is none."""
    with open_ledger(state) as ledger:
        jobs = ledger.ended([*End], 1) if ledger else []
    if not jobs:
        raise UsageError("no job has finished yet; `stylewatch status` shows what runs and waits")
    return jobs[0].id


def pairs_meant(state: Path, name: str) -> list[Mapping[str, Any]]:
    """Return the incomplete pairs of that name; none while a job of that name is at work."""
    return [] if find_open(state, name) else incomplete_pairs(state, name)


def incomplete_pairs(state: Path, name: str) -> list[Mapping[str, Any]]:
    """Return the incomplete pairs of that name, from status.json; each inbox may have one."""
    pairs = (status_json.read(state) or {}).get("incomplete", ())
    return [pair for pair in pairs if pair["name"] in (name, safe_path(name))]


def _show_incomplete(state: Path, pairs: Sequence[Mapping[str, Any]], json: bool) -> None:
    name = pairs[0]["name"]
    earlier = find(state, name)
    summary = {
        "name": name,
        "state": "incomplete",
        "waits_for": ", ".join(dict.fromkeys(pair["waits_for"] for pair in pairs)),
        "files": [file for pair in pairs for file in pair.get("files", ())],
        "earlier": earlier and earlier.id,
    }
    if json:
        echo_json(summary)
        return
    rows = {**summary, "files": ", ".join(abbreviated(Path(file)) for file in summary["files"])}
    rows["earlier"] = f"a job of this name, {earlier.seen}: {earlier.id}" if earlier else ""
    labels = {"name": "job", "waits_for": "waits for"}
    echo(columns([(labels.get(key, key), text) for key, text in rows.items() if text]))


def _job_sections(view: JobView) -> Iterator[str]:
    yield columns([(label, text) for label, text in _summary(view) if text])
    went_well = view.job.end in PICTURES and len(view.attempts) == 1
    if view.attempts and not went_well:
        yield _table("log", [(when(time), text) for time, text in view.log])
    elif view.warnings:
        yield _table("warnings", [(warning,) for warning in view.warnings])


def _summary(view: JobView) -> Iterator[tuple[str, str]]:
    """Yield what a person asks first, by label; empty texts are left out."""
    job, receipt = view.job, view.receipt
    yield "job", view.name
    yield "state", f"{job.seen}{' (dismissed)' * job.dismissed}"
    yield "progress", running_text(view.running) if view.running else ""
    yield "reason", in_a_line(job.reason)
    yield "inputs", ", ".join(f"{name} ({size})" for name, size in view.inputs)
    if job.settings is not None:
        changes = ", ".join(f"{key}={value}" for key, value in view.changes)
        yield "settings", changes or "all as by default"
    if receipt is not None:
        yield "time", f"{duration(receipt.seconds)}, finished {when(receipt.finished)}"
    else:
        yield "entered", when(job.entered)
        yield "finished", when(job.finished) if job.finished else ""
    yield "result", _result(view)
    yield "files", shown(Path(job.outbox, job.refused_as)) if job.refused_as else ""
    yield "retry of", shown(job.retry_of)
    yield "id", job.id


def _result(view: JobView) -> str:
    """Return the path of the output, and if it is gone; the job's folder while there is none."""
    job, receipt = view.job, view.receipt
    if job.place is None:
        return ""
    folder = Path(job.outbox, job.place)
    result = folder if receipt is None else Path(os.path.normpath(folder / receipt.final))
    with suppress(PermissionError):  # then this user cannot know
        if job.end in PICTURES and not result.exists():
            return f"{shown(result)}, which is no longer there"
    size = f" ({in_pixels(receipt.size)})" if isinstance(receipt, Receipt) else ""
    return f"{shown(result)}{size}"


def _table(title: str, rows: Iterable[Sequence[str]]) -> str:
    return "\n".join([f"{title}:", *(f"  {line}" for line in columns(rows).splitlines())])
