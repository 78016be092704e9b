"""`stylewatch figure`: what each layer keeps of two pictures, as the paper draws it."""

from pathlib import Path
from typing import Annotated

import typer

from stylewatch_daemon.cli import options, output_target
from stylewatch_daemon.cli.build_order import check_pictures
from stylewatch_daemon.cli.console import note, say
from stylewatch_daemon.errors import OutputError, UsageError
from stylewatch_daemon.files import atomic
from stylewatch_daemon.settings import config
from stylewatch_daemon.worker.messages import Order

STEPS, SIZE = 100, "256"
"""Steps and long side (pixels) that are enough to show the features of a layer."""

Content = Annotated[Path, typer.Argument(metavar="CONTENT", help="The photograph.")]
Style = Annotated[Path, typer.Argument(metavar="STYLE", help="The painting.")]
Output = Annotated[
    str, typer.Option("--output", "-o", metavar="OUT", help="The picture that it becomes.")
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace what is at OUT already.")]


def figure(
    content: Content,
    style: Style,
    *,
    output: Output = "layers.png",
    size: options.Size = SIZE,
    steps: options.Steps = STEPS,
    backend: options.Backend = None,
    device: options.Device = None,
    seed: options.Seed = None,
    config_file: options.Config = None,
    force: Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Draw what each layer keeps of CONTENT, and of the manner of STYLE, from noise, labeled."""
    check_pictures("figure", (content, style), None)
    place = output_target.named(output)
    if place.format is None:
        raise UsageError(f"figure draws a picture: name one, as layers.png, not {output}")
    if place.path.exists() and not force:
        raise OutputError(f"{place.path} is already there; --force replaces it")
    if steps == 0:
        raise UsageError("figure paints each of its pictures: --steps takes 1 or more")
    given = {"backend": backend, "device": device, "size": size, "steps": steps, "seed": seed,
             "save_every": steps}  # fmt: skip
    overrides = {f"job.{key}": value for key, value in given.items() if value is not None}
    settings = config.load(config_file, overrides)
    order = Order(
        name=place.path.stem,
        settings=settings.job,
        content=content,
        styles=(style,),
        staging=place.path.parent,
        backend_options=settings.backends.get(settings.job.backend, {}),
        recipe_folders=settings.recipes,
        max_pixels=settings.limits.max_pixels,
    )
    _draw(order, place, quiet=quiet)
    if not quiet:
        say(str(place.path))


def _draw(order: Order, place: output_target.Place, *, quiet: bool) -> None:
    from stylewatch_daemon.worker.figure import panels, sheet_of
    from stylewatch_painter.images.encode import encode

    found = []
    for panel in panels(order):
        found.append(panel)
        if not quiet:
            note(panel.label)
    height, width, _ = found[-1].picture.shape
    content = encode(sheet_of(found, max(width, height)), format=str(place.format))
    try:
        atomic.write(place.path, content)
    except OSError as error:
        raise OutputError(f"{place.path} cannot be written: {error.strerror}") from error
