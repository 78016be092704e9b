"""stylewatch weights: which trained networks are here, bringing others, checking them."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stylewatch_daemon.cli.console import note, say, say_json
from stylewatch_daemon.cli.options import AsJson
from stylewatch_daemon.views.formatting import columns, memory
from stylewatch_painter.errors import WeightsError
from stylewatch_painter.network.weights import (
    BUNDLED,
    CATALOGUE,
    NORMALIZATIONS,
    WeightsFile,
    available,
    locate,
    own_files,
)

if TYPE_CHECKING:
    from stylewatch_painter.network.importer import Progress

app = typer.Typer(
    no_args_is_help=True, help="The trained VGG19 files: bundled, official, one's own."
)

_SHORT = 12  # digits of a digest that a table shows
_STRIDE = 10  # per cent between two lines of progress


@app.command("list")
def list_(json: AsJson = False) -> None:
    """List the weights that are here and those that can be fetched, with whose work they are."""
    rows = [_row(file) for file in available()]
    here = {row["name"] for row in rows}
    rows += [
        {
            "name": entry.name,
            "bits": 32,
            entry.algorithm: entry.digest,
            "here": False,
            "origin": entry.origin,
            "license": entry.license,
        }
        for entry in CATALOGUE
        if entry.url and entry.name not in here
    ]
    if json:
        say_json(rows)
        return
    head = ("name", "bits", "digest", "here", "what it is")
    say(columns([head, *(_cells(row) for row in rows)]))
    say("")
    for license in dict.fromkeys(str(row["license"]) for row in rows):
        names = ", ".join(str(row["name"]) for row in rows if row["license"] == license)
        say(f"{names}: {license}")


@app.command()
def fetch(
    name: Annotated[
        str,
        typer.Argument(help=f"One of {', '.join(entry.name for entry in CATALOGUE if entry.url)}."),
    ],
) -> None:
    """Download known weights, hold them against their digest, and keep them.

    A download that broke off goes on where it was.
    """
    from stylewatch_painter.network.importer import fetch as fetching

    _tell(fetching(name))
    _say_file(locate(name))


@app.command()
def verify(
    name: Annotated[
        str | None, typer.Argument(help="Only these weights, instead of all that are here.")
    ] = None,
) -> None:
    """Hold the weights that are here against their digests, and load all of each."""
    names = [name] if name else [BUNDLED, *(path.stem for path in own_files())]
    wrong = [one for one in names if not _is_right(one)]
    if wrong:
        raise WeightsError(
            f"{len(wrong)} of {len(names)} weights are not right: {', '.join(wrong)}"
        )


@app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            help="A VGG19 of your own: a torch state dict (.pth, .pt, .bin), .safetensors, or a"
            " Keras .h5 (with the extra stylewatch\\[keras])."
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="What to call it in a job; else as the file is called.")
    ] = None,
    normalization: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(NORMALIZATIONS),
            help="Which pictures it was trained on, where its digest and its form do not tell:"
            " caffe is BGR 0..255 less a mean, torchvision RGB 0..1 less a mean by a deviation.",
        ),
    ] = None,
) -> None:
    """Take a file of weights over, converted, under a name; the file itself is left alone."""
    from stylewatch_painter.network.importer import import_file

    _say_file(import_file(file, name=name, normalization=normalization))


def _row(file: WeightsFile) -> dict[str, object]:
    return {
        "name": file.name,
        "bits": file.bits,
        "sha256": file.sha256,
        "here": True,
        "path": str(file.path),
        "origin": file.origin,
        "license": file.license,
    }


def _cells(row: dict[str, object]) -> tuple[str, ...]:
    kind = "sha256" if "sha256" in row else "md5"
    digest = f"{kind} {str(row[kind])[:_SHORT]}"
    here = "yes" if row["here"] else "fetch"
    return (str(row["name"]), str(row["bits"]), digest, here, str(row["origin"]))


def _tell(steps: Iterable["Progress"]) -> None:
    """A line on stderr now and then."""
    told = -_STRIDE
    for step in steps:
        if not step.total:
            continue
        done = 100 * step.received // step.total
        if done < told or done >= told + _STRIDE:  # it falls where a server starts over
            note(f"{step.name}: {memory(step.received)} of {memory(step.total)} ({done} %)")
            told = done


def _is_right(name: str) -> bool:
    from stylewatch_painter.network.store import verify as verifying

    try:
        file = locate(name)
        verifying(file)
    except WeightsError as error:
        say(f"{name}: wrong: {error}")
        return False
    say(f"{name}: right, sha256 {file.sha256}, {file.bits} bits")
    return True


def _say_file(file: WeightsFile) -> None:
    say(f"{file.name}: {file.path}\nsha256 {file.sha256}, {file.bits} bits; {file.license}")
    note(f"`--set backends.torch.weights={file.name}` paints with it")
