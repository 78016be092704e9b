"""`stylewatch report JOB`: one HTML file with the pictures of a job in it.

It loads nothing and runs nothing. All names and sentences are escaped where text becomes HTML.
"""

import base64
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from html import escape
from importlib.resources import files
from os.path import lexists
from pathlib import Path, PurePosixPath
from string import Template
from typing import Annotated

import typer

from stylewatch_daemon.artifacts.client import Drawn, Source, ThumbnailRequest, drawn, evenly
from stylewatch_daemon.cli import options, replay
from stylewatch_daemon.cli.exit_codes import echo
from stylewatch_daemon.cli.output_target import check_free, reporting_write_errors, unnamed
from stylewatch_daemon.cli.status import settings_for, state_folder, view_of
from stylewatch_daemon.errors import InputError, OutputError
from stylewatch_daemon.files import atomic, flat_layout
from stylewatch_daemon.files.names import JOBS, safe, shown
from stylewatch_daemon.outbox.job_files import stages
from stylewatch_daemon.outbox.publish import RECEIPT
from stylewatch_daemon.outbox.receipt import InputRecord, Receipt
from stylewatch_daemon.store import thumbs
from stylewatch_daemon.store.ledger import Entry
from stylewatch_daemon.views.formatting import duration, when
from stylewatch_daemon.views.formatting import size as in_pixels
from stylewatch_daemon.views.job import JobView, job_view
from stylewatch_daemon.views.output_files import find

LARGE_SIDE, SMALL_SIDE = 1200, 480
"""Pixels of the long side of the output, and of all other pictures, at most."""

MAX_STAGES = 8
MISSING = "this picture is no longer there"

_DIGEST = re.compile(r"[0-9a-f]{64}")


def report(
    job: Annotated[
        str,
        typer.Argument(
            metavar="JOB", help="Its name in the outbox or its id; or a folder with a receipt.json."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="The file; by default JOB-report.html."),
    ] = None,
    config_file: options.Config = None,
    state: options.State = None,
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a report of a finished job: one HTML file with its pictures in it."""
    folder = Path(job)
    with suppress(RuntimeError):  # a job may be called ~draft
        folder = folder.expanduser()
    if folder.name == RECEIPT:
        folder = folder.parent
    if lexists(folder / RECEIPT):
        thumbnails = folder  # no daemon: there are no thumbnails
        view = view_of_folder(folder)
    else:
        thumbnails = state_folder(config_file, state)
        view = view_of(thumbnails, job)
    receipt = receipt_of(view)
    path = output or unnamed(f"{safe(view.name)}-report", "html").path
    with reporting_write_errors(path):
        if path.is_dir():
            raise OutputError(f"{path} is a folder: name a file, as {path / 'report.html'}")
    check_free(path, force=force)
    max_pixels = settings_for(config_file, thumbnails).limits.max_pixels
    content = page(view, receipt, figures(view, receipt, thumbnails, max_pixels)).encode()
    with reporting_write_errors(path):
        atomic.write(path, content)
    if not quiet:
        echo(str(path))


def view_of_folder(folder: Path) -> JobView:
    """Build the view of a job without a ledger, from the receipt in `folder`; raises InputError."""
    receipt = replay.read(folder).receipt
    outbox, place = _outbox_of(folder.resolve(), receipt)
    frames = receipt.clip.frames if receipt.clip else 1
    inputs = tuple(
        {"role": record.role, "name": PurePosixPath(record.name).name,
         "sha256": record.sha256, "pixels": record.size, "size": 0,
         "frames": frames if record.role == "content" else 1}
        for record in receipt.inputs
    )  # fmt: skip
    entry = Entry(
        id="", name=receipt.job, inbox="", outbox=str(outbox), place=place, state="done",
        entered=receipt.started.isoformat(), inputs=inputs, bytes=0,
    )  # fmt: skip
    return replace(job_view(entry), name=shown(receipt.job))


def _outbox_of(folder: Path, receipt: Receipt) -> tuple[Path, str]:
    """Return the outbox, and the place of a job in it: a flat job's output lies elsewhere."""
    around = flat_layout.around(folder)
    if around != folder and not (folder / PurePosixPath(receipt.final).name).is_file():
        outbox = next(above for above in folder.parents if (above / JOBS) in folder.parents)
        return outbox, str(folder.relative_to(outbox))
    return folder.parent, folder.name


def receipt_of(view: JobView) -> Receipt:
    """Return the receipt of a job; raises InputError where it has none, with the reason."""
    entry, name = view.entry, shown(view.entry.title)
    if isinstance(view.receipt, Receipt):
        return view.receipt
    if view.receipt_json and entry.place is not None:
        return replay.checked(view.receipt_json, Path(entry.outbox, entry.place, RECEIPT))
    if entry.state == "done":
        raise InputError(
            f"{name} has no report: its receipt in {entry.outbox} is missing or damaged"
        )
    if entry.finished is None and entry.state not in ("refused", "failed", "cancelled"):
        raise InputError(
            f"{name} is not finished yet ({entry.state}): "
            f"`stylewatch show {name}` shows its progress"
        )
    raise InputError(
        f"{name} has no output ({entry.state}): `stylewatch show {name}` shows the reason"
    )


@dataclass(frozen=True)
class Figure:
    """A picture with its caption; `data` is a data: URI, empty for a missing picture."""

    caption: str
    data: str = ""


Figures = tuple[Figure, Sequence[Figure], Sequence[Figure]]
"""The output, the inputs and the stages."""


def figures(view: JobView, receipt: Receipt, state: Path, max_pixels: int) -> Figures:
    """Scale all pictures down in a child process; one that is missing or larger has no data."""
    inputs = [
        (f"{record.role.replace('-', ' ')}: {shown(record.name)}", _input(view, record, state))
        for record in receipt.inputs
    ]
    steps = list(_stages(view, receipt))
    selected = [steps[number] for number in evenly(len(steps), MAX_STAGES)]
    small = _scaled([*inputs, *selected], SMALL_SIDE, max_pixels)
    digests = {record.file: record.sha256 for record in receipt.files}
    output = _picture(view.entry, state, "final")
    if output is not None:
        output = replace(output, sha256=digests.get(receipt.final, ""))
    (large,) = _scaled([(f"{view.name}, output", output)], LARGE_SIDE, max_pixels)
    return large, small[: len(inputs)], [each for each in small[len(inputs) :] if each.data]


def _scaled(
    pictures: Sequence[tuple[str, Source | None]], side: int, max_pixels: int
) -> list[Figure]:
    present = tuple(picture for _, picture in pictures if picture is not None)
    made = iter(list(drawn(ThumbnailRequest(present, side, max_pixels))) if present else ())
    return [Figure(caption, _uri(next(made)) if picture else "") for caption, picture in pictures]


def _uri(picture: Drawn) -> str:
    if picture.problem:
        return ""
    return f"data:image/jpeg;base64,{base64.b64encode(picture.content).decode('ascii')}"


def _stages(view: JobView, receipt: Receipt) -> Iterator[tuple[str, Source]]:
    """Yield the stages of the receipt that exist, without the last, which is the output."""
    existing = {f"{spot.folder}/{spot.name}": spot for spot in stages(view.entry).values()}
    for record in receipt.stages[:-1]:
        if spot := existing.get(f"{view.entry.place}/{record.file}"):
            yield f"{view.unit} {record.step}", Source((str(spot.path),), record.sha256)


def _input(view: JobView, record: InputRecord, state: Path) -> Source | None:
    """Return the input where it lies now, under whatever name; or else its thumbnail."""
    entry = view.entry
    for number, plain in enumerate(entry.inputs):
        same = plain.get("sha256") == record.sha256
        if same and (picture := _picture(entry, state, f"input-{number}")):
            return picture
    # The inputs of a series lie beside its jobs.
    folder = Path(entry.outbox, str(entry.place))
    for archive in (folder / "inputs", folder.parent / "inputs"):
        with suppress(OSError):
            for path in sorted(archive.iterdir()):
                if path.is_file() and atomic.digest(path) == record.sha256:
                    return Source((str(path),), record.sha256)
    thumbnail = thumbs.path_of(state / "thumbs", record.sha256)
    return Source((str(thumbnail),)) if thumbnail.is_file() else None


def _picture(entry: Entry, state: Path, name: str) -> Source | None:
    picture = find(entry, state, name)
    if picture is None:
        return None
    picture.file.close()
    return Source((str(picture.spot.path),), picture.sha256)


def page(view: JobView, receipt: Receipt, figures: Figures) -> str:
    """Render the report of a job with this `receipt`."""
    template = Template(files(__package__).joinpath("report.html").read_text(encoding="utf-8"))
    output, inputs, staged = figures
    subtitle = (
        f"recipe {receipt.recipe.get('name', '?')}",
        f"{in_pixels(receipt.size)} pixels",
        f"{receipt.backend.name} on {receipt.backend.device}",
        duration(receipt.seconds),
        when(receipt.finished),
    )
    warnings = "".join(f"<li>{escape(sentence)}</li>" for sentence in view.warnings)
    return template.substitute(
        title=escape(view.name),
        subtitle=escape(" · ".join(map(shown, subtitle))),
        version=escape(shown(receipt.version)),
        output=_figure(output, "output"),
        warnings=f'<ul class="warnings">{warnings}</ul>' if warnings else "",
        inputs=_row("Inputs", inputs, "row inputs"),
        stages=_row("Stages", staged, "row"),
        curve=_losses(view),
        tables="\n".join(_tables(view, receipt)),
    )


def _tables(view: JobView, receipt: Receipt) -> Iterator[str]:
    network = receipt.weights
    facts = [
        ("job", view.name),
        ("state", receipt.state),
        *view.facts,
        ("network SHA-256", shown(network.sha256) if network else ""),
        ("retry of", shown(receipt.retry_of or "")),
        ("started", when(receipt.started)),
        ("finished", when(receipt.finished)),
    ]
    attempts = [
        row._replace(started=row.started and when(row.started)) for row in view.attempt_rows
    ]
    tables: tuple[tuple[str, Sequence[str], Sequence[Sequence[str]]], ...] = (
        ("Result", (), [(label, text) for label, text in facts if text]),
        ("Input files", ("role", "name", "pixels", "converted", "SHA-256"), view.inputs),
        ("Final losses", ("term", "value", "weight", "value x weight"), view.losses),
        ("Attempts", ("started", "backend", "resumed", "outcome", "reason"), attempts),
        ("Settings of the recipe", (), view.settings),
        ("Output files", ("file", "SHA-256"), view.files),
    )
    yield from (_section(title, _table(head, rows)) for title, head, rows in tables if rows)


def _figure(figure: Figure, kind: str = "") -> str:
    """Render a picture with its caption, or a sentence in its place."""
    caption = escape(figure.caption)
    inner = f'<p class="gone">{MISSING}</p>'
    if figure.data:
        inner = f'<img src="{escape(figure.data)}" alt="{caption}">'
    return f'<figure class="{kind}">{inner}<figcaption>{caption}</figcaption></figure>'


def _row(title: str, figures: Sequence[Figure], kind: str) -> str:
    if not figures:
        return ""
    inner = "\n".join(map(_figure, figures))
    return _section(title, f'<div class="{kind}">\n{inner}\n</div>')


def _losses(view: JobView) -> str:
    curve = view.curve
    if curve is None:
        return ""
    legend = "the total is dark; content terms are green, style terms orange" if curve.terms else ""
    caption = "; ".join(filter(None, (curve.words, legend)))
    inner = f"{curve.svg}<figcaption>{escape(caption)}</figcaption>"
    return _section("Losses", f'<figure class="curve">{inner}</figure>')


def _section(title: str, inner: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{inner}\n</section>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Render a table without its empty columns; the first cell of a row names it."""
    kept = [number for number, column in enumerate(zip(*rows, strict=True)) if any(column)]
    titles = "".join(f'<th scope="col">{escape(head[number])}</th>' for number in kept if head)
    body = "\n".join(
        f'<tr><th scope="row">{escape(row[kept[0]])}</th>'
        f"{''.join(_cell(row[number]) for number in kept[1:])}</tr>"
        for row in rows
    )
    above = f"<thead><tr>{titles}</tr></thead>" if titles else ""
    return f'<div class="wide"><table>{above}<tbody>\n{body}\n</tbody></table></div>'


def _cell(text: str) -> str:
    kind = ' class="digest"' if _DIGEST.fullmatch(text) else ""
    return f"<td{kind}>{escape(text)}</td>"
