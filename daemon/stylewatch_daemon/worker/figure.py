"""The figure of the paper: what each layer keeps of a photograph, and of a painting's manner.

Gatys, Ecker, Bethge 2015, figure 1: the content is reconstructed from one layer at a time, the
style from one layer more each time; all from noise.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from stylewatch_daemon.errors import InputError, WorkerError
from stylewatch_daemon.worker.contract import Order
from stylewatch_daemon.worker.prepare import backend_of
from stylewatch_painter.algorithm import scales
from stylewatch_painter.algorithm.task import Style, Task
from stylewatch_painter.images import sheet
from stylewatch_painter.images.encode import over_white
from stylewatch_painter.images.read import Picture, read
from stylewatch_painter.images.reduced import Enough
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import LayerName, Recipe, Schedule
from stylewatch_painter.stage import Pixels, Stage, go_on
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

    `order` has one content and one style; of its recipe the ways of the losses and the schedule
    count. Raises as `prepare` does.
    """
    photograph, painting = _pictures(order)
    content, style = _tasks(order, photograph, painting)
    backend = backend_of(order, {})
    width, height = content.final
    for row, shown, task, layers, subsets in (
        (0, painting, style, STYLE, [STYLE[: end + 1] for end in range(len(STYLE))]),
        (1, photograph, content, CONTENT, [(layer,) for layer in CONTENT]),
    ):
        yield Panel(row, ("the painting", "the photograph")[row], _seen(shown))
        side = ("style", "content")[row]
        for layer, subset in zip(layers, subsets, strict=True):
            recipe = book.change(_from(task.recipe, side, subset), {"size": f"{width}x{height}"})
            label = layer if row or len(subset) == 1 else f"+ {layer}"
            yield Panel(row, label, _painted(backend, replace(task, recipe=recipe)))


def sheet_of(found: Sequence[Panel], side: int) -> Pixels:
    """The figure, float32 (height, width, 3): its rows below each other, with labels."""
    rows = [
        [sheet.Cell(one.label, one.picture) for one in found if one.row == row] for row in (0, 1)
    ]
    return sheet.draw(rows, side)


def _pictures(order: Order) -> tuple[Picture, Picture]:
    """The photograph and the painting."""
    if order.content is None or len(order.styles) != 1:
        raise InputError("a figure is of one photograph and one painting: CONTENT STYLE")
    schedule = order.settings.resolve(*order.recipe_folders).schedule

    def picture(path: Path, schedule: Schedule) -> Picture:
        enough = Enough(partial(scales.final_size, schedule))
        return read(path, max_pixels=order.max_pixels, enough=enough)

    painting = picture(order.styles[0], scales.of_texture(schedule))
    return picture(order.content, schedule), painting


def _seen(picture: Picture) -> Pixels:
    """The picture as it is on the sheet, which is white."""
    alpha = picture.alpha
    return picture.pixels if alpha is None else over_white(picture.pixels, alpha)


def _tasks(order: Order, content: Picture, painting: Picture) -> tuple[Task, Task]:
    """The content by itself, and the style, in which what is transparent does not count."""
    whole = order.settings.resolve(*order.recipe_folders)
    fresh = book.change(whole, {"start": "noise", "keep_detail": 0.0})
    seed = order.settings.seed
    style = Style(
        painting.pixels,
        mask=painting.alpha,
        digest=painting.sha256,
        size_of_file=painting.size_of_file,
    )
    photograph = Task(fresh, content.pixels, (), seed=seed, content_size=content.size_of_file)
    return photograph, Task(fresh, None, (style,), seed=seed)


def _from(recipe: Recipe, side: str, layers: Sequence[LayerName]) -> Recipe:
    """`recipe` with nothing wanted but the `layers` of one side, all alike."""
    wanted = getattr(recipe.objective, side)
    if wanted is None:
        raise InputError(f"recipe {recipe.name} has no {side}: name another with --recipe")
    weights: Mapping[LayerName, float | None] = {
        **dict.fromkeys(wanted.layers, None),
        **dict.fromkeys(layers, 1.0),
    }
    other = "content" if side == "style" else "style"
    changes = {f"objective.{side}.layers": weights, f"objective.{other}": None}
    return book.change(recipe, changes)


def _painted(backend: Backend, task: Task) -> Pixels:
    last = None
    for step in backend.paint(task, go_on):
        if isinstance(step, Stage):
            last = step.picture
    if last is None:
        raise WorkerError("the painting ended without a picture")
    return last
