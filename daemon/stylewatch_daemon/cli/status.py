"""`stylewatch status` and `stylewatch show`, which read the ledger and status.json."""

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from stylewatch_daemon.base.errors import SettingsError, UsageError
from stylewatch_daemon.base.model import PICTURES, End, Job, OutputFile, final_of
from stylewatch_daemon.base.words import columns, duration, in_pixels
from stylewatch_daemon.cli import options, service
from stylewatch_daemon.cli.exit_codes import NOT_RUNNING, echo, echo_json, echo_result, note
from stylewatch_daemon.cli.lookup import job_of, state_folder
from stylewatch_daemon.cli.progress import in_place
from stylewatch_daemon.client import status_json, status_text
from stylewatch_daemon.client.condition import condition
from stylewatch_daemon.client.operations import open_ledger
from stylewatch_daemon.client.status_text import Rows
from stylewatch_daemon.files import entries
from stylewatch_daemon.files.names import abbreviated, shown
from stylewatch_daemon.intake.scan import scan
from stylewatch_daemon.outbox.receipt import Receipt
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.paths import shipped
from stylewatch_daemon.views.formatting import when
from stylewatch_daemon.views.job import JobView, view_of

REFRESH_EVERY_S = 0.5
"""Seconds between two updates with `--watch`; the daemon writes its status at the same interval."""

Status = Mapping[str, Any]
"""The status of the daemon: `status.json`, with `config`, `state` and `finished`."""

LATEST = 5
"""Number of finished jobs at the end of the status."""


def status(
    config_file: options.Config = None,
    state: options.State = None,
    json: options.AsJson = False,
    watch: bool = typer.Option(False, "--watch", "-w", help="Update until Ctrl-C."),
) -> None:
    """Show the daemon, running and waiting jobs, and the latest.

    Exits with 3 if no daemon is running.
    """
    folder = state_folder(config_file, state)
    try:
        settings: config.Config = config.load(config_file)
    except SettingsError as error:  # use the defaults without an inbox
        note(f"the settings are ignored: {str(error).splitlines()[0]}")
        settings = config.Config.model_construct(inboxes=())
    source = (config_file or config.find()).absolute()
    start = service.start_command(source, config_file, state)
    with in_place(sys.stdout, wanted=watch and not json) as show:
        for now in _statuses(settings, folder, source, watch=watch):
            if json:
                echo_json(now)
            else:
                (show or echo)(_text(now, start))
    if not now["health"]["at_work"]:
        raise typer.Exit(NOT_RUNNING)


def _statuses(
    settings: config.Config, state: Path, source: Path, *, watch: bool
) -> Iterator[Status]:
    """Yield the current status; with `watch`, also each later status that differs from the last."""
    latest: Status = {}
    while True:
        now = {"config": str(source), **_current(settings, state)}
        if {**now, "at": ""} != latest:
            latest = {**now, "at": ""}
            yield now
        if not watch:
            return
        time.sleep(REFRESH_EVERY_S)


def _current(settings: config.Config, state: Path) -> Status:
    """Return the status that the daemon last published, corrected if the daemon has ended.

    The latest finished jobs and the state folder are added.
    """
    now = {**status_json.current(state), "state": str(state)}
    with open_ledger(state) as ledger:
        jobs = ledger.ended(PICTURES, LATEST) if ledger else ()
        finals = [_final(job, ledger.files(job.id)) for job in jobs] if ledger else []
        if not now["health"]["at_work"]:
            counts = status_json.when_interrupted(ledger.counts()) if ledger else now["counts"]
            now |= {"counts": counts, "inboxes": []}
    return {**now, "inboxes": now["inboxes"] or inboxes_of(settings), "finished": finals}


def _final(job: Job, files: Iterable[OutputFile]) -> Mapping[str, Any]:
    """Return the entry of a finished job, with the path of its final picture, or of its folder."""
    picture = final_of(files)
    place = (job.place or "") if picture is None else picture.path
    path = str(Path(job.outbox, place))
    return {"job": job.title, "id": job.id, "finished": job.finished, "final": path}


def inboxes_of(settings: config.Config) -> list[dict[str, Any]]:
    """Return the inboxes in the form of `status.json`, with the number of files in each.

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


def _text(now: Status, start: str) -> str:
    counts = ", ".join(f"{count} {what}" for what, count in now["counts"].items())
    files = sum(inbox.get("files", 0) for inbox in now["inboxes"])
    if files and not now["health"]["at_work"]:
        counts += f"; files in the inboxes, which a daemon would look at: {files}"
    finished = [[when(job["finished"]), abbreviated(Path(job["final"]))] for job in now["finished"]]
    sections = status_text.sections({**now, "finished": finished})
    return "\n\n".join([places(now), _daemon(now, start), counts, *status_text.titled(sections)])


def places(now: Status) -> str:
    """Return a table with the paths of config.yaml, inboxes, outboxes and state folder."""
    is_shipped = Path(now["config"]) == shipped("config.yaml")
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


def _daemon(now: Status, start: str) -> str:
    """Return lines with the condition of the daemon, its process, and the command that helps."""
    health = now["health"]
    lines = [condition(now).sentence]
    if not health["at_work"]:
        lines += [f"`{start}` starts it"]
    elif health["since"] is not None:
        scans = "; no file events, scans replace them" if not health["events"] else ""
        process = f"process {health['pid']}, since {health['since']}"
        lines += [f"stylewatch {health['version']}, {process}{scans}"]
    if health["paused"]:
        lines += ["`stylewatch resume` lets new jobs start"]
    return "\n".join(lines)


def show(
    job: str | None = typer.Argument(
        None,
        metavar="JOB",
        help="Its name in the outbox or in the inbox, or its id; by default the one that"
        " finished last.",
    ),
    config_file: options.Config = None,
    state: options.State = None,
    json: options.AsJson = False,
) -> None:
    """Show a job, by default the one that finished last.

    That is its state, inputs, changed settings, time and result; with --json everything.
    """
    folder = state_folder(config_file, state)
    if job is None:
        with open_ledger(folder) as ledger:
            latest = ledger.ended([*End], 1) if ledger else []
        if not latest:
            raise UsageError(
                "no job has finished yet; `stylewatch status` shows what runs and waits"
            )
    view = view_of(folder, latest[0] if job is None else job_of(folder, job))
    echo_result(view.as_json(), _job_text(view), json=json)


def _job_text(view: JobView) -> str:
    went_well = view.job.end in PICTURES and len(view.attempts) == 1
    has_log = bool(view.attempts) and not went_well
    tables: dict[str, Rows] = {
        "Log": [(when(time), text) for time, text in view.log] if has_log else [],
        "Warnings": [] if has_log else [(warning,) for warning in view.warnings],
    }
    summary = columns([(label, text) for label, text in _summary(view).items() if text])
    return "\n\n".join([summary, *status_text.titled(tables)])


def _summary(view: JobView) -> Mapping[str, str]:
    """Return the main facts about a job, by label; an unknown fact is an empty text."""
    job = view.job
    receipt = view.receipt
    changes = ", ".join(f"{key}={value}" for key, value in view.changes) or "all as by default"
    finished = when(job.finished) if job.finished else ""
    time = f"{duration(receipt.seconds)}, finished {when(receipt.finished)}" if receipt else ""
    apart = " (in the trash)" if job.trashed else " (dismissed)" if job.dismissed else ""
    return {
        "job": view.name,
        "state": f"{job.seen}{apart}",
        "progress": view.standing,
        "reason": view.reason,
        "inputs": ", ".join(f"{name} ({size})" for name, size in view.inputs),
        "settings": changes if job.settings is not None else "",
        "time": time,
        "entered": "" if time else when(job.entered),
        "finished": "" if time else finished,
        "result": _result(view),
        "files": shown(Path(job.outbox, job.refused_as)) if job.refused_as else "",
        "retry of": shown(job.retry_of),
        "id": job.id,
    }


def _result(view: JobView) -> str:
    """Return the path of the output, or of its folder if there is no receipt.

    The text says if the output is gone, or why this is unknown. It is empty if the job has no
    output.
    """
    job = view.job
    receipt = view.receipt
    if job.place is None:
        return ""
    folder = Path(job.outbox, job.place)
    result = folder if receipt is None else Path(os.path.normpath(folder / receipt.final))
    if view.files.unknown:
        return f"{shown(result)}; {view.files.unknown}"
    try:
        is_gone = job.has_ended and not entries.exists(result)
    except OSError:  # this user cannot tell whether the output exists
        is_gone = False
    if is_gone:
        return f"{shown(result)}, which is no longer there" if job.end in PICTURES else ""
    size = f" ({in_pixels(receipt.size)})" if isinstance(receipt, Receipt) else ""
    return f"{shown(result)}{size}"
