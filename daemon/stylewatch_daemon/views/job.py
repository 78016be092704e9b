"""The view of a job: what the page and `stylewatch show` say about it."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from stylewatch_daemon.artifacts.loss_curve import Curve, curve, parse
from stylewatch_daemon.base.errors import SettingsError
from stylewatch_daemon.base.model import (
    CONTENT_MASK,
    MASK,
    Attempt,
    Cause,
    Job,
    progress_unit,
)
from stylewatch_daemon.base.words import duration, in_pixels
from stylewatch_daemon.client import status_json
from stylewatch_daemon.client.operations import open_ledger
from stylewatch_daemon.client.status_text import one_line, standing
from stylewatch_daemon.files.disks import amount
from stylewatch_daemon.files.names import safe, shown
from stylewatch_daemon.outbox.receipt import Receipt
from stylewatch_daemon.settings import yaml_lines
from stylewatch_daemon.settings.job import DESCRIBED, JobSettings, is_file
from stylewatch_daemon.views.formatting import as_text
from stylewatch_daemon.views.output_files import JobFiles, original_name
from stylewatch_painter.recipes import book


@dataclass(frozen=True)
class JobView:
    """A job as described by its ledger row, its receipt and status.json.

    `running` is the job's part of status.json, empty if the job is not running. `receipt_json` is
    the receipt as read, empty if there is none; `receipt` is None if it is missing or invalid. The
    texts in `name`, `heading`, `log`, `inputs`, `facts`, `changes` and `warnings` are safe to
    print.
    """

    job: Job
    name: str
    heading: str
    files: JobFiles
    """Files of the job. `files.unknown` says why the receipt or other fields are empty, if they
    cannot be read now."""
    running: Mapping[str, Any]
    standing: str
    """Progress of the job, or why it waits; empty once it has ended."""
    receipt_json: Mapping[str, Any]
    receipt: Receipt | None
    attempts: tuple[Attempt, ...]
    log: tuple[tuple[str, str], ...]
    """Entry, attempts, warnings and end of the job: the time (UTC, ISO 8601) and a sentence for
    each."""
    inputs: tuple[tuple[str, str], ...]
    """Name of each input, and its size in pixels, or in bytes if the pixels are unknown."""
    facts: tuple[tuple[str, str], ...]
    """Recipe, backend, seed and so on, by label."""
    changes: tuple[tuple[str, str], ...]
    """Settings of the job that differ from the defaults, named as for `--set`."""
    warnings: tuple[str, ...]
    steps: tuple[int, ...]
    """Steps of the stages that are in the outbox now."""
    curve: Curve | None

    @property
    def reason(self) -> str:
        """Reason of the job's state, on one line; empty if `standing` contains it."""
        return "" if one_line(self.job.reason) in self.standing else in_a_line(self.job.reason)

    @property
    def unit(self) -> str:
        """Unit of the job's progress: `step`, or `frame` for a clip."""
        return progress_unit(self.job.frames)

    def as_json(self) -> dict[str, Any]:
        """Return the output of `stylewatch show --json`."""
        return {
            **job_as_json(self.job),
            "attempts": [asdict(attempt) for attempt in self.attempts],
            "running": self.running or None,
            "receipt": self.receipt_json or None,
            "unknown": self.files.unknown or None,
        }


def job_view(
    job: Job,
    state: Path,
    attempts: Sequence[Attempt] = (),
    status: Mapping[str, Any] | None = None,
) -> JobView:
    """Return the view of a job of the daemon with the state folder `state`.

    `attempts` are those of the job, and `status` is the status of the daemon, by default an empty
    one.
    """
    status = status or status_json.nothing()
    files = JobFiles(job, state)
    plain = files.attempt(lambda: files.receipt) or {}
    losses = files.attempt(files.losses) or ""
    receipt: Receipt | None
    try:
        receipt = Receipt.model_validate(plain)
    except ValidationError:
        receipt = None
    running: dict[str, Any] = {record["id"]: record for record in status["running"]}
    now: dict[str, Any] = running.get(job.id, {})
    warnings = () if receipt is None else tuple(map(in_a_line, receipt.warnings))
    return JobView(
        job=job,
        name=name_of(job),
        heading=heading(job),
        files=files,
        running=now,
        standing="" if job.has_ended else standing(job, status),
        receipt_json=plain,
        receipt=receipt,
        attempts=tuple(attempts),
        log=tuple(_log(job, attempts, warnings)),
        inputs=tuple(
            (shown(file.name), in_pixels(file.pixels) if file.pixels else amount(file.size))
            for file in job.inputs
            if file.role != "job"
        ),
        facts=tuple((label, text) for label, text in _facts(job, receipt) if text),
        changes=tuple(changes(job).items()),
        warnings=warnings,
        steps=tuple(files.attempt(lambda: files.stages) or ()),
        curve=curve(parse(losses), now.get("steps", 0), progress_unit(job.frames)),
    )


def view_of(state: Path, job: Job) -> JobView:
    """Return the view of a job with its attempts and the current status of the daemon.

    Raises OutputError if the ledger or the folder `state` cannot be read.
    """
    status = status_json.current(state)
    with open_ledger(state) as ledger:
        attempts = ledger.attempts(job.id) if ledger else ()
    return job_view(job, state, attempts, status)


def job_as_json(job: Job) -> dict[str, Any]:
    """Return the ledger row of a job, with the state that people see."""
    return {**asdict(job), "state": job.seen}


def name_of(job: Job) -> str:
    """Return the name of a job, safe to print."""
    return shown(job.title)


def heading(job: Job) -> str:
    """Return the heading of a job: `sea in the style of wave (2)`, or the name of the job.

    The heading is the name unless the name only joins those of the pictures, and perhaps a number
    that distinguishes it from other jobs, such as `sea-wave-2`.
    """
    name = name_of(job)
    content, style = (_first(job, role) for role in ("content", "style"))
    parts = f"{re.escape(safe(content))}(-{re.escape(safe(style))})?(-([0-9]+))?"
    made_of = re.fullmatch(parts, name)
    if not (made_of and content and style) or content == style:
        return name
    return f"{made_from(job)} ({made_of[3]})" if made_of[3] else made_from(job)


def made_from(job: Job) -> str:
    """Return the names of a job's content and styles, such as `sea in the style of wave`.

    Files named after their role alone, such as style.jpg, are left out; the text may be empty.
    """
    content, style = (" and ".join(_said(job, role)) for role in ("content", "style"))
    return f"{content} in the style of {style}".strip() if style else content


def _first(job: Job, role: str) -> str:
    return next(iter(_said(job, role)), "")


def _said(job: Job, role: str) -> list[str]:
    """Return the stems of the inputs with a role, without the role: `sea` for `sea.content.jpg`.

    Inputs named after the role alone are left out.
    """
    stems = (
        PurePosixPath(original_name(job, file)).stem for file in job.inputs if file.role == role
    )
    names = (re.sub(rf"(^|\.){role}(-[0-9]+)?$", "", stem) for stem in stems)
    return [name for name in names if name]


def changes(job: Job) -> dict[str, str]:
    """Return the settings of a job that differ from the defaults, named as for `--set`."""
    return {shown(key): in_a_line(as_text(value)) for key, value in _changes(job).items()}


def _changes(job: Job) -> dict[str, Any]:
    defaults = JobSettings().model_dump(mode="json")
    had = {key: value for key, value in (job.settings or {}).items() if key in defaults}
    return differences({**defaults, **had}, defaults)


def differences(settings: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `settings` of a job that differ from the defaults `below`, named as for `--set`.

    Settings that only `below` has are None, except those in `set`, which are left out.
    """
    before, now = (
        {key: value for key, value in book.dotted(plain) if value not in (None, {}, "", [], ())}
        for plain in (below, settings)
    )
    left_out = {key: None for key, value in settings["set"].items() if value is None}
    return left_out | {
        key.removeprefix("set."): now.get(key)
        for key in {**now, **before}
        if now.get(key) != before.get(key) and (key in now or not key.startswith("set."))
    }


def submit_command(job: Job) -> str:
    """Return the shell command that submits the same pictures with the same settings.

    Pictures have their original names. Settings with their shipped defaults are left out, and so
    is a recipe file, which only the settings of the daemon can name.
    """
    files: dict[str, list[str]] = {}
    for file in job.inputs:
        files.setdefault(file.role, []).append(original_name(job, file))
    changed = _changes(job)
    if is_file(str(changed.get("recipe", ""))):
        del changed["recipe"]
    return command("submit", files, changed)


def command(
    verb: str, files: Mapping[str, Sequence[str | Path]], settings: Mapping[str, Any], *more: str
) -> str:
    """Return the shell command `stylewatch verb` for a job with these files and settings.

    `files` are given by role, `settings` are named as for `--set`, and `more` are words that stand
    before the files.
    """
    settings = dict(settings)
    styles = files.get("style", ())
    names = map(str, (*files.get("content", ()), *styles))
    words = [*more, *(f"./{name}" if name.startswith("-") else name for name in names)]
    if "init" in files and settings.get("init", "picture") == "picture":
        settings.pop("init", None)  # only `--init FILE` can name the file
        words += ["--init", str(files["init"][0])]
    for key, value in settings.items():
        is_plain = isinstance(value, str | int | float) and not isinstance(value, bool)
        if is_plain and key in DESCRIBED and DESCRIBED[key].option is not None:
            words += [f"--{key.replace('_', '-')}", str(value)]
        else:
            words += ["--set", f"{key}={as_yaml(value)}"]
    words += [str(word) for name in files.get(CONTENT_MASK, ()) for word in ("--mask", name)]
    numbers = range(1, 1 + len(styles))
    masks = [str(files.get(f"style-{number}{MASK}", ["none"])[0]) for number in numbers]
    if set(masks) - {"none"}:
        words += [word for name in masks for word in ("--style-mask", name)]
    return shlex.join(["stylewatch", verb, *words])


def as_yaml(value: Any) -> str:
    """Return a value as YAML on one line, for `--set KEY=VALUE`."""
    try:
        is_plain = isinstance(value, str) and yaml_lines.value(value) == value
    except SettingsError:
        is_plain = False
    return str(value) if is_plain else json.dumps(value, ensure_ascii=False)


def in_a_line(value: object) -> str:
    """Return `value` on one line, safe to print; lists are written without brackets."""
    if isinstance(value, list | tuple):
        return "; ".join(map(in_a_line, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{shown(key)} {in_a_line(inner)}" for key, inner in value.items())
    return "; ".join(shown(line) for line in str(value).split("\n"))


def _log(
    job: Job, attempts: Sequence[Attempt], warnings: Sequence[str]
) -> Iterator[tuple[str, str]]:
    again = f", to run {shown(job.retry_of)} again" if job.retry_of else ""
    yield job.entered, f"added to the queue{again}"
    unit = progress_unit(job.frames)
    for number, attempt in enumerate(attempts, start=1):
        device = f" ({attempt.device})" if attempt.device else ""
        where = f" on {attempt.backend}{device}" if attempt.backend else ""
        resumed = f" from {unit} {attempt.step}" if attempt.step else ""
        yield attempt.started, shown(f"attempt {number} started{where}{resumed}")
        if attempt.ended:
            how = "stylewatch was stopped" if attempt.how == Cause.DAEMON else attempt.how
            yield attempt.ended, f"attempt {number} ended: {in_a_line(attempt.reason) or how}"
    for warning in warnings:
        yield job.finished or "", f"warning: {warning}"
    if job.finished:
        reason = f": {in_a_line(job.reason)}" if job.reason else ""
        yield job.finished, f"{job.seen}{reason}"
    if job.trashed:
        yield job.trashed, "moved into the trash"


def _facts(job: Job, receipt: Receipt | None) -> Iterator[tuple[str, str]]:
    if receipt is None:
        settings = job.settings or {}
        yield "recipe", shown(settings.get("recipe") or "")
        yield "backend", shown(settings.get("backend") or "")
        return
    backend = receipt.backend
    network = receipt.weights
    yield "recipe", in_a_line(receipt.recipe.get("name", ""))
    yield "about", in_a_line(receipt.recipe.get("about") or "")
    yield "backend", shown(f"{backend.name} {backend.version} on {backend.device}")
    yield "precision", shown(backend.precision)
    yield "size", f"{in_pixels(receipt.size)} pixels"
    yield "stages", str(len(receipt.stages)) if receipt.stages else ""
    yield "time", duration(receipt.seconds)
    yield "seed", str(receipt.seed)
    color = receipt.settings.get("color", "style")
    if color != "style":
        yield "colors", in_a_line(color)
    if network:
        architecture = f" ({network.architecture.upper()})" if network.architecture else ""
        yield "network", shown(f"{network.name}{architecture}, {network.bits} bits")
    yield "version", shown(receipt.version)
