"""The figure of the paper: what each layer keeps of a content picture and of a style.

Gatys, Ecker, Bethge 2015, figure 1: the content is reconstructed from one layer at a time, the
style from one more layer each time; all from noise.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from stylewatch_daemon.base.errors import InputError, WorkerError
from stylewatch_daemon.worker.messages import Order
from stylewatch_daemon.worker.prepare import load_backend
from stylewatch_painter.images import sheet
from stylewatch_painter.images.decode import NeededSize
from stylewatch_painter.images.encode import over_white
from stylewatch_painter.images.read import Picture, read
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Recipe, Schedule
from stylewatch_painter.scene import scales
from stylewatch_painter.scene.task import Style, Task
from stylewatch_painter.stage import Pixels, Stage, go_on
from stylewatch_painter.vgg import LayerName
from stylewatch_plugins.contract import Backend

CONTENT: tuple[LayerName, ...] = ("conv1_2", "conv2_2", "conv3_2", "conv4_2", "conv5_2")
STYLE: tuple[LayerName, ...] = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture of the figure, float32 (height, width, 3), 0..255, in its `row`: 0 or 1."""

    row: int
    label: str
    picture: Pixels


def panels(order: Order) -> Iterator[Panel]:
    """The pictures of the figure, each row from left to right; the style's row is the first.

    `order` has one content and one style; the loss formulas and the schedule of its recipe are
    used. Raises as `prepare` does.
    """
    if order.content is None or len(order.styles) != 1:
        raise InputError("a figure is of one photograph and one painting: CONTENT STYLE")
    recipe = order.settings.resolve(*order.recipe_folders)
    texture = scales.of_texture(recipe.schedule)
    style_picture = _read(order.styles[0], texture, order.max_pixels)
    content_picture = _read(order.content, recipe.schedule, order.max_pixels)
    fresh = book.change(
        recipe, {"start": "noise", "keep_detail": 0.0, "objective.network.padding": "zeros"}
    )
    seed = order.settings.seed
    style = Style(
        style_picture.pixels,
        mask=style_picture.alpha,  # transparent pixels do not count
        size_of_file=style_picture.size_of_file,
    )
    size_of_file = content_picture.size_of_file
    content = Task(fresh, content_picture.pixels, (), seed=seed, content_size=size_of_file)
    texture_task = Task(fresh, None, (style,), seed=seed)
    backend = load_backend(order, {})
    width, height = content.final

    def reconstructed(task: Task, side: str, layers: Sequence[LayerName]) -> Pixels:
        changed = _with_layers(task.recipe, side, layers)
        changed = book.change(changed, {"size": f"{width}x{height}"})
        return _run(backend, replace(task, recipe=changed))

    yield Panel(0, "the painting", over_white(style_picture.pixels, style_picture.alpha))
    for number, layer in enumerate(STYLE, start=1):
        label = layer if number == 1 else f"+ {layer}"
        yield Panel(0, label, reconstructed(texture_task, "style", STYLE[:number]))
    yield Panel(1, "the photograph", over_white(content_picture.pixels, content_picture.alpha))
    for layer in CONTENT:
        yield Panel(1, layer, reconstructed(content, "content", (layer,)))


def sheet_of(panels: Sequence[Panel], side: int) -> Pixels:
    """The figure, float32 (height, width, 3): its rows below each other, with labels."""
    rows = [
        [sheet.Cell(panel.label, panel.picture) for panel in panels if panel.row == row]
        for row in (0, 1)
    ]
    return sheet.draw(rows, side)


def _read(path: Path, schedule: Schedule, max_pixels: int) -> Picture:
    needed_size = NeededSize(partial(scales.final_size, schedule))
    return read(path, max_pixels=max_pixels, needed_size=needed_size)


def _with_layers(recipe: Recipe, side: str, layers: Sequence[LayerName]) -> Recipe:
    """`recipe` with no loss but that of the `layers` of one side, all with weight 1."""
    loss = getattr(recipe.objective, side)
    if loss is None:
        raise InputError(
            f"recipe {recipe.name} has no {side}: set job.recipe in config.yaml to another"
        )
    weights: Mapping[LayerName, float | None] = {
        **dict.fromkeys(loss.layers, None),
        **dict.fromkeys(layers, 1.0),
    }
    other = "content" if side == "style" else "style"
    changes = {f"objective.{side}.layers": weights, f"objective.{other}": None}
    return book.change(recipe, changes)


def _run(backend: Backend, task: Task) -> Pixels:
    last = None
    for step in backend.paint(task, go_on):
        if isinstance(step, Stage):
            last = step.picture
    if last is None:
        raise WorkerError("the painting ended without a picture")
    return last
