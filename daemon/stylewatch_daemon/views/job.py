"""View of a job and its loss curve, which the page and `stylewatch show` render."""

import csv
import json
import math
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from html import escape
from typing import Any, NamedTuple

from pydantic import ValidationError

from stylewatch_daemon.base.errors import SettingsError
from stylewatch_daemon.base.model import CONTENT_MASK, MASK, Attempt, Job, progress_unit
from stylewatch_daemon.files.disks import amount
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.outbox.job_files import stages
from stylewatch_daemon.outbox.receipt import Receipt
from stylewatch_daemon.settings import yaml_lines
from stylewatch_daemon.settings.job import JobSettings, as_text
from stylewatch_daemon.views.formatting import duration, terms
from stylewatch_daemon.views.formatting import size as in_pixels
from stylewatch_daemon.views.output_files import original_name, read_losses, read_receipt

WIDTH, HEIGHT = 320, 96
"""Units of the SVG view box; the picture is stretched to the space there is."""

_MARGIN = 4
_MIN_DECADES = 0.1
_MAX_POINTS = 160
_MAX_STEP = 2**53
"""Larger numbers are no exact floats."""
_NO_TERMS = ("step", "width", "height", "seconds", "total")
"""Columns of losses.csv."""

Point = tuple[int, float]
"""A step and its loss."""

Lines = Mapping[str, Sequence[Point]]
"""The points of each column of a losses.csv, by its name."""

Row = tuple[str, ...]

_OPTIONS = ("backend", "color", "content_weight", "device", "init", "only", "preview", "recipe",
            "save_every", "schedule", "seed", "size", "steps", "strength", "stroke",
            "style_weight")  # fmt: skip
"""Settings that are options of `stylewatch submit`."""


@dataclass(frozen=True)
class Curve:
    """SVG paths of the total and, by name, of its terms; `decades` are (height, label).

    The steps of a clip are frames, by their `unit`.
    """

    path: str
    terms: tuple[tuple[str, str], ...]
    decades: tuple[tuple[float, str], ...]
    first: Point
    last: Point
    unit: str = "step"

    @property
    def words(self) -> str:
        """Description of the curve, also for screen readers."""
        (begin, high), (end, low) = self.first, self.last
        if begin == end:
            return f"loss {high:.3g} at {self.unit} {end}"
        return f"loss {high:.3g} at {self.unit} {begin}, {low:.3g} at {self.unit} {end}"

    @property
    def svg(self) -> str:
        """The curve as an SVG element, to be styled by its classes."""
        decades = "".join(
            f'<line class="decade" x1="0" x2="{WIDTH}" y1="{height}" y2="{height}"/>'
            for height, _ in self.decades
        )
        terms = "".join(
            f'<path class="term {escape(name.partition(".")[0])}" d="{path}">'
            f"<title>{escape(name)}</title></path>"
            for name, path in self.terms
        )
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
            f'aria-label="{escape(self.words)}">{decades}{terms}'
            f'<path class="line" d="{self.path}"/></svg>'
        )


@lru_cache(32)
def parse(table: str) -> Lines:
    """Read all columns of a losses.csv; empty where the table is damaged.

    A cell is empty where the step does not have the term. Steps that no job can have are left out.
    """
    try:
        rows = [
            row for row in csv.DictReader(table.splitlines()) if 0 <= int(row["step"]) <= _MAX_STEP
        ]
        return {
            column: [(int(row["step"]), float(row[column])) for row in rows if row[column] != ""]
            for column in rows[0]
        }
    except (csv.Error, IndexError, KeyError, TypeError, ValueError):
        return {}


def curve(
    total: Iterable[Point], steps: int = 0, terms: Lines | None = None, unit: str = "step"
) -> Curve | None:
    """Draw the total, and the weighted `terms`, of a job of `steps` steps (0: those so far).

    None where nothing can be drawn: a logarithmic scale has no place for zero and below.
    """
    main = _positive(total)
    if not main:
        return None
    others = {name: kept for name, line in (terms or {}).items() if (kept := _positive(line))}

    # The scale reaches from the lowest to the highest value; around a constant there is some room.
    logs = [math.log10(loss) for line in (main, *others.values()) for _, loss in line]
    low, high = min(logs), max(logs)
    if high - low < _MIN_DECADES:
        low, high = low - _MIN_DECADES / 2, high + _MIN_DECADES / 2
    first, last = main[0][0], max(main[-1][0], steps)

    def height(log: float) -> float:
        return _MARGIN + (high - log) / (high - low) * (HEIGHT - 2 * _MARGIN)

    def path(line: Sequence[Point]) -> str:
        scale = WIDTH / ((last - first) or 1)
        drawn = (((step - first) * scale, height(math.log10(loss))) for step, loss in _thin(line))
        return "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in drawn)

    return Curve(
        path=path(main),
        terms=tuple((name, path(line)) for name, line in others.items()),
        decades=tuple(
            (round(height(decade), 1), f"{10.0**decade:g}")
            for decade in range(math.ceil(low), math.floor(high) + 1)
        ),
        first=main[0],
        last=main[-1],
        unit=unit,
    )


def _positive(line: Iterable[Point]) -> list[Point]:
    return [(step, loss) for step, loss in line if loss > 0 and math.isfinite(loss)]


def _thin(line: Sequence[Point]) -> Sequence[Point]:
    """Few enough points for a small file; both ends are among them."""
    stride = max(1, math.ceil(len(line) / _MAX_POINTS))
    return [*line[:-1:stride], line[-1]]


class AttemptView(NamedTuple):
    """An attempt in words, but for the time, which is ISO 8601 (UTC), empty where unknown.

    `resumed` is "from step 50", or "from frame 50" of a clip; empty where it began anew.
    """

    started: str
    backend: str
    resumed: str
    outcome: str
    reason: str


class LogLine(NamedTuple):
    """An event of a job in words, with its time (UTC, ISO 8601)."""

    time: str
    text: str


class InputView(NamedTuple):
    """An input in words; `converted` is what was done on reading."""

    role: str
    name: str
    size: str
    converted: str
    sha256: str


@dataclass(frozen=True)
class JobView:
    """View of a job: what the ledger, its receipt and status.json have; texts are safe to print.

    `running` is its part of status.json, empty while it does not run. `receipt_json` is the receipt
    as it was read, empty without one; `receipt` is None where that is invalid.
    """

    job: Job
    name: str
    running: Mapping[str, Any]
    receipt_json: Mapping[str, Any]
    receipt: Receipt | None
    attempts: tuple[Attempt, ...]
    attempt_rows: tuple[AttemptView, ...]
    log: tuple[LogLine, ...]
    """When it came, its attempts, warnings and its end, in their order."""
    inputs: tuple[InputView, ...]
    facts: tuple[tuple[str, str], ...]
    """Recipe, backend, seed and so on, by label."""
    settings: tuple[tuple[str, str], ...]
    changes: tuple[tuple[str, str], ...]
    """The settings of the job that differ from the defaults, named as with `--set`."""
    losses: tuple[Row, ...]
    """Of each term of the final loss: name, value, weight, value x weight; the total last."""
    files: tuple[tuple[str, str], ...]
    """The files of the output by their paths in its folder, with their SHA-256; each once."""
    warnings: tuple[str, ...]
    steps: tuple[int, ...]
    """The steps of the stages that are in the outbox now."""
    curve: Curve | None

    @property
    def unit(self) -> str:
        """The unit in which the progress of the job counts."""
        return progress_unit(self.job.frames)

    def as_json(self) -> dict[str, Any]:
        """The output of `stylewatch show --json`."""
        return {
            **asdict(self.job),
            "state": self.job.seen,
            "attempts": [asdict(attempt) for attempt in self.attempts],
            "running": self.running or None,
            "receipt": self.receipt_json or None,
        }


def job_view(
    job: Job,
    attempts: Sequence[Attempt] = (),
    running: Sequence[Mapping[str, Any]] = (),
    recent: Sequence[Point] = (),
) -> JobView:
    """Build the view of a job.

    `running` are the running jobs of status.json; `recent` are published losses of this job, used
    for the steps after those of its losses.csv.
    """
    plain = read_receipt(job)
    receipt = None
    with suppress(ValidationError):
        receipt = Receipt.model_validate(plain)
    now = next((each for each in running if each["id"] == job.id), {})
    settings = job.settings if receipt is None else receipt.recipe
    return JobView(
        job=job,
        name=name_of(job),
        running=now,
        receipt_json=plain,
        receipt=receipt,
        attempts=tuple(attempts),
        attempt_rows=tuple(_attempts(job, attempts, receipt)),
        log=tuple(_log(job, attempts, receipt)),
        inputs=tuple(_inputs(job, receipt)),
        facts=tuple((label, text) for label, text in _facts(job, receipt) if text),
        settings=tuple((key, in_a_line(value)) for key, value in dotted(settings or {})),
        changes=tuple(_changes(job)),
        losses=tuple(_losses(receipt)),
        files=tuple(_files(receipt)),
        warnings=tuple(map(shown, _warnings(receipt))),
        steps=tuple(stages(job)),
        curve=loss_curve(job, now.get("steps", 0), recent),
    )


def _changes(job: Job) -> Iterator[tuple[str, str]]:
    defaults = JobSettings().model_dump(mode="json")
    before, now = (
        dict(dotted(plain)) for plain in (defaults, {**defaults, **(job.settings or {})})
    )
    for key in {**now, **before}:
        if now.get(key) != before.get(key) and not key.startswith("file_names."):
            yield shown(key.removeprefix("set.")), in_a_line(as_text(now.get(key)))


def name_of(job: Job) -> str:
    """Name of a job as people see it."""
    return shown(job.title)


def submit_command(job: Job) -> str:
    """Command that submits the same pictures with the same settings, as a shell takes it.

    Pictures have their original names. Settings that have the shipped default are left out.
    """
    files: dict[str, list[str]] = {}
    for file in job.inputs:
        files.setdefault(file.role, []).append(original_name(job, file))
    words = ["stylewatch", "submit", *files.get("content", ()), *files.get("style", ())]
    defaults = JobSettings().model_dump(mode="json")
    settings = {**(job.settings or {}), "file_names": {}}
    for key, value in settings.items():
        if key == "init" and value == "picture":
            words += ["--init", *files.get("init", ())]
        elif value != defaults.get(key):
            words += _option(key, value)
    words += [word for name in files.get(CONTENT_MASK, ()) for word in ("--mask", name)]
    numbers = range(1, 1 + len(files.get("style", ())))
    masks = [files.get(f"style-{number}{MASK}", ["none"])[0] for number in numbers]
    if set(masks) - {"none"}:
        words += [word for name in masks for word in ("--style-mask", name)]
    return shlex.join(words)


def _option(key: str, value: Any) -> Iterator[str]:
    if key in _OPTIONS:
        yield from (f"--{key.replace('_', '-')}", str(value))
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from ("--set", f"{'' if key == 'set' else f'{key}.'}{name}={_as_yaml(inner)}")
    else:
        yield from ("--set", f"{key}={_as_yaml(value)}")


def _as_yaml(value: Any) -> str:
    """A value on one line, as after `--set KEY=`."""
    with suppress(SettingsError):
        if isinstance(value, str) and yaml_lines.value(value) == value:
            return value
    return json.dumps(value, ensure_ascii=False)


def loss_curve(job: Job, steps: int = 0, recent: Sequence[Point] = ()) -> Curve | None:
    """Draw the losses of a job of `steps` steps, and what each term adds to them."""
    lines = parse(read_losses(job))
    total = lines.get("total", ())
    terms = {name: line for name, line in lines.items() if name not in _NO_TERMS}
    written = total[-1][0] if total else 0
    points = [*total, *(point for point in recent if point[0] > written)]
    return curve(points, steps, terms, progress_unit(job.frames))


def dotted(plain: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by their dotted names, without empty ones."""
    for key, value in plain.items():
        if isinstance(value, Mapping) and value:
            yield from dotted(value, f"{prefix}{key}.")
        elif value not in (None, {}, "", [], ()):
            yield f"{prefix}{key}", value


def in_a_line(value: object) -> str:
    """`value` on one line, safe to print; lists come without brackets."""
    if isinstance(value, list | tuple):
        return "; ".join(map(in_a_line, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{shown(key)} {in_a_line(inner)}" for key, inner in value.items())
    return "; ".join(shown(line) for line in str(value).split("\n"))


def _attempts(
    job: Job, attempts: Sequence[Attempt], receipt: Receipt | None
) -> Iterator[AttemptView]:
    """By the ledger, which knows more, or else by the receipt."""
    unit = progress_unit(job.frames)
    for attempt in attempts:
        yield AttemptView(
            started=attempt.started,
            backend=_on(attempt.backend, attempt.device),
            resumed=f"from {unit} {attempt.step}" if attempt.step else "",
            outcome=attempt.how if attempt.ended else "not ended",
            reason=in_a_line(attempt.reason),
        )
    if not attempts and receipt is not None:
        for record in receipt.attempts:
            outcome, _, reason = record.ended.partition(": ")
            yield AttemptView(
                "", _on(record.backend, record.device), "", shown(outcome), in_a_line(reason)
            )


def _log(job: Job, attempts: Sequence[Attempt], receipt: Receipt | None) -> Iterator[LogLine]:
    again = f", to run {shown(job.retry_of)} again" if job.retry_of else ""
    yield LogLine(job.entered, f"added to the queue{again}")
    rows = _attempts(job, attempts, receipt)
    begun = receipt.started.isoformat(timespec="seconds") if receipt is not None else ""
    for number, row in enumerate(rows, start=1):
        attempt = attempts[number - 1] if attempts else None
        where = " ".join(filter(None, (row.backend and f"on {row.backend}", row.resumed)))
        yield LogLine(row.started or begun, f"attempt {number} started {where}".rstrip())
        if attempt is not None and attempt.ended:
            reason = f": {row.reason}" if row.reason else ""
            yield LogLine(attempt.ended, f"attempt {number} ended, {row.outcome}{reason}")
    if receipt is not None:
        ended = receipt.finished.isoformat(timespec="seconds")
        for warning in _warnings(receipt):
            yield LogLine(ended, f"warning: {in_a_line(warning)}")
    if job.finished:
        reason = in_a_line(job.reason)
        yield LogLine(job.finished, f"{job.seen}: {reason}" if reason else job.seen)


def _on(backend: str, device: str | None) -> str:
    return shown(f"{backend} ({device})" if device else backend)


def _inputs(job: Job, receipt: Receipt | None) -> Iterator[InputView]:
    if receipt is not None and receipt.inputs:
        for record in receipt.inputs:
            yield InputView(
                role=shown(record.role),
                name=shown(record.name),
                size=in_pixels(record.size),
                converted=in_a_line(record.converted),
                sha256=shown(record.sha256),
            )
        return
    for file in job.inputs:
        if file.role != "job":
            yield InputView(
                role=file.role,
                name=shown(file.name),
                size=in_pixels(file.pixels) if file.pixels else amount(file.size),
                converted="",
                sha256=file.sha256,
            )


def _facts(job: Job, receipt: Receipt | None) -> Iterator[tuple[str, str]]:
    if receipt is None:
        settings = job.settings or {}
        yield "recipe", shown(settings.get("recipe") or "")
        yield "backend", shown(settings.get("backend") or "")
        return
    backend, network = receipt.backend, receipt.weights
    yield "recipe", in_a_line(receipt.recipe.get("name", ""))
    yield "about", in_a_line(receipt.recipe.get("about") or "")
    yield "backend", shown(f"{backend.name} {backend.version} on {backend.device}")
    yield "precision", shown(backend.precision)
    yield "size", f"{in_pixels(receipt.size)} pixels"
    yield "stages", str(len(receipt.stages)) if receipt.stages else ""
    yield "time", duration(receipt.seconds)
    yield "seed", str(receipt.seed)
    if (color := receipt.settings.get("color", "style")) != "style":
        yield "colors", in_a_line(color)
    if network:
        architecture = f" ({network.architecture.upper()})" if network.architecture else ""
        yield "network", shown(f"{network.name}{architecture}, {network.bits} bits")
    yield "version", shown(receipt.version)


def _losses(receipt: Receipt | None) -> Iterator[Row]:
    if receipt is not None:
        plain = receipt.losses.model_dump(exclude_none=True)
        yield from ((shown(name), *numbers) for name, *numbers in terms(plain))
        yield "total", "", "", f"{receipt.losses.total:.6g}"


def _warnings(receipt: Receipt | None) -> tuple[str, ...]:
    return () if receipt is None else receipt.warnings


def _files(receipt: Receipt | None) -> Iterator[tuple[str, str]]:
    if receipt is not None:
        digests = {stage.file: stage.sha256 for stage in receipt.stages}
        digests |= {file.file: file.sha256 for file in receipt.files}
        yield from ((shown(name), shown(sha256)) for name, sha256 in digests.items() if sha256)
