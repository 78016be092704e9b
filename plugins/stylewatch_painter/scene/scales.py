"""Sizes of paintings and styles: the final size, coarser scales, and the sizes above a preview."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from stylewatch_painter.errors import PictureError
from stylewatch_painter.network.settings import NetworkSettings
from stylewatch_painter.recipes.recipe import Recipe, Schedule
from stylewatch_painter.vgg import LayerName, pools_before

Size = tuple[int, int]
"""(width, height) in pixels."""


_MOST_SIZES = 24
"""Maximum number of sizes: 20 doublings from one pixel to 999,999, and 4 for a stroke of 16."""

_KEPT_WAVES = 4
"""Wavelength in pixels of the smaller picture above which waves are kept, not repainted."""


@dataclass(frozen=True)
class Level:
    """One size of a painting: (width, height) in pixels, its scale, and its number of steps.

    The scale is relative to `Task.first`. Frequencies below `slowest` cycles per pixel are not
    changed at this size. `is_coarse` is True if the terms of the recipe's `objective.coarse` apply.
    """

    size: Size
    scale: float
    steps: int
    slowest: float = 0.0
    is_coarse: bool = False


def final_size(schedule: Schedule, content: Size) -> Size:
    """Return the size of the output for a content picture of size `content`."""
    return _sized(schedule.size, content, schedule, stretch=schedule.fit == "stretch")


def of_texture(schedule: Schedule) -> Schedule:
    """Return the `schedule` for a texture: no picture limits its size, and `800x600` is exact."""
    return schedule.model_copy(update={"fit": "stretch", "enlarge": True})


def style_size(schedule: Schedule, style: Size, painted: Size, scale: float = 1.0) -> Size:
    """Return the size of a style picture for a painting of size `painted`.

    `scale` multiplies the schedule's `style_scale` and `stroke`. The aspect ratio is kept, except
    for the rule `stretch`. That the content is enlarged enlarges no style.
    """
    schedule = schedule.model_copy(update={"enlarge": schedule.enlarge_styles})
    rule, factor = schedule.style_size, schedule.style_scale * schedule.stroke
    if rule == "stretch":
        return times(painted, scale * factor)
    if rule in ("area", "side"):
        smaller, larger = scale * min(1.0, factor), max(1.0, factor)
        if smaller < 1 and _by_rule(schedule, style, painted, larger) == style:  # not enlarged
            return times(style, smaller)
        return _by_rule(schedule, style, painted, scale * factor)
    size, scale = _sized(rule, style, schedule, stretch=False), scale * factor
    return times(size, scale if schedule.enlarge else min(scale, style[0] / size[0]))


def _by_rule(schedule: Schedule, style: Size, painted: Size, scale: float) -> Size:
    if schedule.style_size == "area":
        return _by_area(painted[0] * painted[1] * scale**2, style, schedule.enlarge)
    return _by_side(math.ceil(scale * max(painted)), style, schedule)


def levels(recipe: Recipe, final: Size) -> tuple[Level, ...]:
    """Return the sizes of a painting of size `final`, coarse to fine, the final size last.

    Scales below `smallest` are raised to it and joined, or skipped. Scales that are not smaller
    than `final` are left out, except a scale of 1 with other terms. So are scales at which a
    feature map of the painting would be empty.
    """
    objective, schedule = recipe.objective, recipe.schedule
    shortest = least_side(objective.network, objective.layers)
    largest = 0 if objective.coarse is None else objective.coarse.largest
    steps: dict[float, int] = {}
    for coarser in schedule.scales:
        is_below = round(coarser.scale * max(final)) < schedule.smallest
        if is_below and schedule.below_smallest == "skip":
            continue
        scale = max(coarser.scale, min(1.0, schedule.smallest / max(final)))
        has_other_terms = coarser.scale == 1 and max(final) <= largest
        if (scale < 1 or has_other_terms) and round(min(final) * scale) >= shortest:
            steps[scale] = steps.get(scale, 0) + coarser.steps
    if steps and schedule.initial_steps is not None:
        steps[next(iter(steps))] = schedule.initial_steps
    path = []
    for scale, count in steps.items():
        size = times(final, scale)
        is_coarse = max(size) <= largest
        most = count if is_coarse else schedule.fine_steps or count
        path.append(Level(size, scale, min(count, most), is_coarse=is_coarse))
    return (*path, Level(final, 1.0, schedule.steps))


def after(path: Sequence[Level], step: int) -> tuple[Level, ...]:
    """Return the levels that remain after `step` steps; at the end, the last level with 0 steps."""
    ends = accumulate(level.steps for level in path)
    left = [
        replace(level, steps=min(level.steps, end - step))
        for level, end in zip(path, ends, strict=True)
        if end > step
    ]
    return tuple(left) or (replace(path[-1], steps=0),)


def times(size: Size, factor: float) -> Size:
    """Multiply both sides of `size` by `factor`; each result is at least one pixel."""
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def map_size(size: Size, layer: LayerName, network: NetworkSettings) -> tuple[int, int]:
    """Return (height, width) of a layer's maps, for a picture of `size` (width, height)."""
    halvings = pools_before(layer)
    width, height = size
    for _ in range(halvings):
        more = network.pool_edge == "ceil"
        width, height = (width + more) // 2, (height + more) // 2
    return height, width


def least_side(network: NetworkSettings, layers: Iterable[LayerName]) -> int:
    """Return the shortest side, in pixels, at which no map of `layers` is empty."""
    halvings = max(pools_before(layer) for layer in layers)
    return 2**halvings if network.pool_edge == "floor" else 1


def check_side(recipe: Recipe, size: Size, what: str) -> None:
    """Raise PictureError if the deepest layer has an empty feature map for a picture of `size`."""
    least = least_side(recipe.objective.network, recipe.objective.layers)
    if min(size) < least:
        raise PictureError(
            f"{what} would be {size[0]}x{size[1]} pixels, and the pools of recipe {recipe.name} "
            f"leave nothing of a side under {least}: ask for a larger size (with enlarge=true, "
            "where the picture is no larger), or set "
            "objective.network.pool_edge=ceil"
        )


def _sized(rule: str, picture: Size, schedule: Schedule, *, stretch: bool) -> Size:
    """Apply a rule `640`, `512-short`, `640x480`, `x400`, `400x` or `0.25mp` to a picture."""
    enlarge = schedule.enlarge
    if rule.endswith("mp"):
        return _by_area(float(rule[:-2]) * 1e6, picture, enlarge)
    width, height = picture
    if rule.endswith("-short"):
        short = rule.removesuffix("-short")
        rule = f"x{short}" if width >= height else f"{short}x"
    columns, cross, rows = rule.partition("x")
    if not cross:
        return _by_side(int(columns), picture, schedule)
    if columns and rows:
        box = int(columns), int(rows)
        factors = box[0] / width, box[1] / height
        if stretch:
            return box if enlarge else times(box, min(1.0, 1 / max(factors)))
        return times(picture, min(factors) if enlarge else min(1.0, *factors))
    if rows:  # truncated, as in keras, and in torchvision for the short side
        side = int(rows) if enlarge else min(int(rows), height)
        return max(1, width * side // height), max(1, side)
    side = int(columns) if enlarge else min(int(columns), width)
    return max(1, side), max(1, height * side // width)


def _by_side(side: int, picture: Size, schedule: Schedule) -> Size:
    """Scale the long side to `side`."""
    short, long = sorted(picture)
    if side >= long and not schedule.enlarge:
        return picture
    cut = schedule.side_rounding == "truncate"
    short = max(1, short * side // long if cut else round(side / long * short))
    return (side, short) if picture[0] >= picture[1] else (short, side)


def _by_area(pixels: float, picture: Size, enlarge: bool) -> Size:
    """Scale to an area, computing first the height and from it the width, as in pastiche."""
    width, height = picture
    if pixels >= width * height and not enlarge:
        return picture
    rows = max(1, round(math.sqrt(pixels * height / width)))
    return max(1, round(width / height * rows)), rows


def preview_size(schedule: Schedule, content: Size) -> Size:
    """Return the size of the preview, for a content of size `content`.

    It is the final size if there is no preview or if the preview would not be smaller. Raises
    PictureError if the preview has another aspect ratio.
    """
    final = final_size(schedule, content)
    if schedule.preview is None:
        return final
    preview = final_size(schedule.model_copy(update={"size": schedule.preview}), content)
    if preview[0] * preview[1] >= final[0] * final[1]:
        return final
    narrow, wide = sorted((preview[0] * final[1], preview[1] * final[0]))
    if wide - narrow > max(final):  # rounding may be off by a pixel of the preview
        raise PictureError(
            f"the preview would be {preview[0]}x{preview[1]} pixels, which is another shape than "
            f"{final[0]}x{final[1]}: with fit=stretch give preview and size as boxes of one shape"
        )
    return preview


def first_size(schedule: Schedule, content: Size) -> Size:
    """Return the size that the coarser scales lead to, which is also the reference for styles.

    It is the size of the preview, divided by the `stroke` if that is above 1: since the network
    sees a fixed number of pixels, it sees k times as much of a picture whose size is divided by k.
    Raises PictureError as `preview_size` does.
    """
    return times(preview_size(schedule, content), 1 / max(1.0, schedule.stroke))


def most_steps(schedule: Schedule, content: Size | None = None) -> int:
    """Return an upper bound of the steps over all sizes, for this or any size of the `content`.

    Raises PictureError as `preview_size` does.
    """
    if content is not None:
        return schedule.most_steps + sum(level.steps for level in upward(schedule, content))
    grows = schedule.preview is not None or schedule.stroke > 1
    return schedule.most_steps + (_MOST_SIZES * schedule.upscale_steps if grows else 0)


def upward(schedule: Schedule, content: Size) -> Iterator[Level]:
    """Yield the sizes above the first one, each about twice as large as the one before.

    They include the size of the preview, so that all paintings with the same preview are equal up
    to that size. Frequencies that the first size or the preview shows are kept: at larger sizes the
    network sees less of the picture and would move them. Raises PictureError as `preview_size`
    does.
    """
    first, preview = first_size(schedule, content), preview_size(schedule, content)
    for begin, end in ((first, preview), (preview, final_size(schedule, content))):
        factor = max(end) / max(begin)
        count = 0 if begin == end else max(1, round(math.log2(factor)))
        for step in range(1, count + 1):
            size = end if step == count else times(begin, factor ** (step / count))
            slowest = max(begin) / max(size) / _KEPT_WAVES
            yield Level(size, max(size) / max(first), schedule.upscale_steps, slowest)
