"""`stylewatch weights`, which lists, fetches, verifies and imports files of VGG16 and VGG19."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import typer

from stylewatch_daemon.base.words import columns
from stylewatch_daemon.cli.build_order import check_file
from stylewatch_daemon.cli.exit_codes import echo, echo_json, note
from stylewatch_daemon.cli.options import AsJson
from stylewatch_daemon.files.disks import amount
from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network import weights

weights_ = typer.Typer(
    no_args_is_help=True, help="List, fetch, verify and import trained networks."
)

_SHORT = 12  # digits of a digest in a table
_STRIDE = 10  # per cent between two lines of progress


@weights_.command("list")
def list_(json: AsJson = False) -> None:
    """List the installed weights and those that can be fetched, with their origin and license."""
    files = weights.available()
    rows: list[dict[str, Any]] = [{**asdict(file), "here": True} for file in files]
    rows += [
        {"name": entry.name, "architecture": entry.architecture, "bits": 32,
         "sha256": entry.digest, "here": False, "origin": entry.origin, "license": entry.license}
        for entry in weights.CATALOGUE
        if entry.url and entry.name not in {file.name for file in files}
    ]  # fmt: skip
    if json:
        echo_json(rows)
        return
    table = [("name", "network", "bits", "sha256", "here", "origin")]
    for row in rows:
        here = "yes" if row["here"] else "fetch"
        network = row["architecture"].upper()
        digest = row["sha256"][:_SHORT]
        table.append((row["name"], network, str(row["bits"]), digest, here, row["origin"]))
    echo(f"{columns(table)}\n")
    for license in dict.fromkeys(row["license"] for row in rows):
        names = ", ".join(row["name"] for row in rows if row["license"] == license)
        echo(f"{names}: {license}")


@weights_.command()
def fetch(
    name: str = typer.Argument(
        ...,
        metavar="NAME",
        help=f"One of {', '.join(entry.name for entry in weights.CATALOGUE if entry.url)}.",
    ),
) -> None:
    """Download official weights, check their digest, and install them."""
    from stylewatch_painter.network import importer

    printed = -_STRIDE
    for step in importer.fetch(name):
        if not step.total:
            continue
        percent = 100 * step.received // step.total
        if percent >= printed + _STRIDE:
            note(f"{step.name}: {amount(step.received)} of {amount(step.total)} ({percent} %)")
            printed = percent
    _echo_file(weights.locate(name))


@weights_.command()
def verify(
    name: str | None = typer.Argument(
        None, metavar="NAME", help="Only these weights, instead of all."
    ),
) -> None:
    """Check the installed weights against their digests, and load all of each."""
    from stylewatch_painter.network import store

    names = weights.installed() if name is None else [weights.locate(name).name]
    wrong = []
    for each in names:
        try:
            file = weights.locate(each)
            store.verify(file)
            echo(f"{each}: OK, {file.architecture.upper()}, sha256 {file.sha256}, {file.bits} bits")
        except WeightsError as error:
            echo(f"{each}: wrong: {error}")
            wrong.append(each)
    if wrong:
        raise WeightsError(f"{len(wrong)} of {len(names)} weights are damaged: {', '.join(wrong)}")


@weights_.command("import")
def import_(
    file: Path = typer.Argument(
        ...,
        metavar="FILE",
        help="A VGG16 or VGG19 of your own: a torch state dict (.pth, .pt, .bin) or .safetensors.",
    ),
    name: str | None = typer.Option(
        None, metavar="NAME", help="Its name in a job; by default the name of the file."
    ),
    normalization: Literal["caffe", "torchvision"] | None = typer.Option(
        None,
        help="Normalization of the training pictures, if the file does not show it: caffe is"
        " BGR 0..255 minus a mean, torchvision RGB 0..1 minus a mean, by a deviation.",
    ),
) -> None:
    """Convert a file of weights and install it under a name; the file itself stays unchanged."""
    from stylewatch_painter.network.importer import import_file

    check_file(file)
    _echo_file(import_file(file, name=name, normalization=normalization))


def _echo_file(file: weights.WeightsFile) -> None:
    network = file.architecture.upper()
    echo(f"{file.name}: {file.path}")
    echo(f"{network}, sha256 {file.sha256}, {file.bits} bits; {file.license}")
    note(f"`--set backends.torch.weights={file.name}` selects it")
