"""`stylewatch report JOB`: one HTML file with the pictures of a job in it, to be mailed."""

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from stylewatch_daemon.artifacts.client import Drawn, Source, ThumbnailRequest, drawn, evenly
from stylewatch_daemon.cli import options
from stylewatch_daemon.cli.client import StateFolder, daemon
from stylewatch_daemon.cli.console import say
from stylewatch_daemon.cli.html.page import Figure, Figures, page
from stylewatch_daemon.cli.show import view_of
from stylewatch_daemon.errors import InputError, OutputError
from stylewatch_daemon.files import atomic, flat_layout
from stylewatch_daemon.files.names import JOBS, candidates, safe, shown
from stylewatch_daemon.outbox.job_files import stages
from stylewatch_daemon.outbox.publish import RECEIPT
from stylewatch_daemon.outbox.receipt import InputRecord, Receipt
from stylewatch_daemon.store import thumbs
from stylewatch_daemon.store.ledger import Entry
from stylewatch_daemon.views.job import JobView, job_view
from stylewatch_daemon.views.output_files import MAX_BYTES, find

LARGE_SIDE, SMALL_SIDE = 1200, 480
"""Pixels of the long side of the output, and of all other pictures, at most."""

MAX_STAGES = 8

Job = Annotated[
    str,
    typer.Argument(
        metavar="JOB", help="Its name in the outbox or its id; or a folder with a receipt.json."
    ),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="OUT", help="The file; by default JOB-report.html."),
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace OUT if it exists.")]


def report(
    job: Job,
    output: Output = None,
    config_file: options.Config = None,
    state: StateFolder = None,
    force: Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a report of a finished job: one HTML file with its pictures in it."""
    folder = Path(job).expanduser()
    if folder.name == RECEIPT:
        folder = folder.parent
    if (folder / RECEIPT).is_file():
        state_folder = folder  # no daemon: there are no thumbnails to find
        view = view_of_folder(folder)
    else:
        here = daemon(config_file, state)
        state_folder, view = here.state, view_of(here, job)
    receipt = receipt_of(view)
    path = output or _default_output(view)
    if path.exists() and (path.is_dir() or not force):
        raise OutputError(
            f"{path} is a folder: name a file, as {path / 'report.html'}"
            if path.is_dir()
            else f"{path} is already there; --force replaces it"
        )
    content = page(view, receipt, figures(view, receipt, state_folder)).encode()
    try:
        atomic.write(path, content)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error
    if not quiet:
        say(str(path))


def _default_output(view: JobView) -> Path:
    names = candidates(f"{safe(view.name)}-report")
    return next(path for name in names if not (path := Path(f"{name}.html")).exists())


def view_of_folder(folder: Path) -> JobView:
    """View of a job without a ledger: its entry is made from the receipt in `folder`.

    Raises InputError where the receipt cannot be read, or is that of something else.
    """
    path = folder / RECEIPT
    try:
        plain = json.loads(atomic.read(path, MAX_BYTES))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a receipt of stylewatch") from error
    _check_is_no_series(plain, path)
    try:
        receipt = Receipt.model_validate(plain)
    except ValidationError as error:
        raise InputError(f"{path} is not a receipt of stylewatch") from error
    outbox, place = _outbox_of(folder.resolve(), receipt)
    inputs = tuple(
        {"role": record.role, "name": PurePosixPath(record.name).name,
         "sha256": record.sha256, "pixels": record.size, "size": 0}
        for record in receipt.inputs
    )  # fmt: skip
    entry = Entry(
        id="", name=receipt.job, inbox="", outbox=str(outbox), place=place, state="done",
        entered=receipt.started.isoformat(), inputs=inputs, bytes=0,
    )  # fmt: skip
    return replace(job_view(entry), name=shown(receipt.job))


def _outbox_of(folder: Path, receipt: Receipt) -> tuple[Path, str]:
    """The outbox, and the place of a job in it: in the flat layout the output lies elsewhere."""
    around = flat_layout.around(folder)
    if around != folder and not (folder / PurePosixPath(receipt.final).name).is_file():
        outbox = next(above for above in folder.parents if (above / JOBS) in folder.parents)
        return outbox, str(folder.relative_to(outbox))
    return folder.parent, folder.name


def receipt_of(view: JobView) -> Receipt:
    """The receipt of a job; raises InputError where it has none, with the reason."""
    entry, name = view.entry, shown(view.entry.place or view.entry.name)
    if isinstance(view.receipt, Receipt):
        return view.receipt
    if view.receipt_json and entry.place is not None:
        path = Path(entry.outbox, entry.place, RECEIPT)
        _check_is_no_series(view.receipt_json, path)
        raise InputError(f"{path} is not a receipt of stylewatch")
    if entry.state == "done":
        raise InputError(f"{name} has no report: its receipt is no longer in {entry.outbox}")
    if entry.finished is None and entry.state not in ("refused", "failed", "cancelled"):
        raise InputError(
            f"{name} is not finished yet ({entry.state}): "
            f"`stylewatch show {name}` shows its progress"
        )
    raise InputError(
        f"{name} has no output ({entry.state}): `stylewatch show {name}` shows the reason"
    )


def _check_is_no_series(plain: Any, path: Path) -> None:
    if isinstance(plain, dict) and "sweep" in plain:
        jobs = plain.get("jobs")
        first = jobs[0] if isinstance(jobs, list) and jobs else {}
        name = shown(first.get("name", "...")) if isinstance(first, dict) else "..."
        raise InputError(
            f"{path} is that of a series: name one of its jobs, as {path.parent.name}/{name}"
        )


def figures(view: JobView, receipt: Receipt, state: Path) -> Figures:
    """All pictures, made small by a child process; what is gone has a caption only."""
    inputs = [
        (f"{record.role.replace('-', ' ')}: {shown(record.name)}", _input(view, record, state))
        for record in receipt.inputs
    ]
    steps = list(_stages(view.entry, receipt))
    way = [steps[number] for number in evenly(len(steps), MAX_STAGES)]
    small = _figures([*inputs, *way], SMALL_SIDE)
    output = (f"{view.name}, output", _output(view, receipt, state))
    return Figures(
        output=_figures([output], LARGE_SIDE)[0],
        inputs=small[: len(inputs)],
        stages=[figure for figure in small[len(inputs) :] if figure.data],
    )


def _figures(pictures: Sequence[tuple[str, Source | None]], side: int) -> list[Figure]:
    there = tuple(picture for _, picture in pictures if picture is not None)
    made = iter(list(drawn(ThumbnailRequest(there, side))) if there else ())
    return [Figure(caption, _data(next(made)) if picture else "") for caption, picture in pictures]


def _data(picture: Drawn) -> str:
    if picture.problem:
        return ""
    return f"data:image/jpeg;base64,{base64.b64encode(picture.content).decode('ascii')}"


def _output(view: JobView, receipt: Receipt, state: Path) -> Source | None:
    digests = {record.file: record.sha256 for record in receipt.files}
    picture = _found(view.entry, state, "final")
    return Source(picture.paths, digests.get(receipt.final, "")) if picture else None


def _stages(entry: Entry, receipt: Receipt) -> Iterator[tuple[str, Source]]:
    """All stages of the receipt that are there, but for the last, which is the output."""
    there = {f"{spot.folder}/{spot.name}": spot for spot in stages(entry).values()}
    for record in receipt.stages[:-1]:
        if spot := there.get(f"{entry.place}/{record.file}"):
            yield f"step {record.step}", Source((str(spot.path),), record.sha256)


def _input(view: JobView, record: InputRecord, state: Path) -> Source | None:
    """The input where it lies now, under whatever name; or else its thumbnail."""
    entry = view.entry
    for number, plain in enumerate(entry.inputs):
        is_it = plain.get("sha256") == record.sha256
        if is_it and (picture := _found(entry, state, f"input-{number}")):
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


def _found(entry: Entry, state: Path, what: str) -> Source | None:
    picture = find(entry, state, what)
    if picture is None:
        return None
    picture.file.close()
    return Source((str(picture.spot.path),), picture.sha256)
