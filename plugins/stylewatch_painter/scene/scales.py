"""Sizes of paintings and styles: the final size, coarser scales, and the sizes above a preview."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

from stylewatch_painter.errors import PictureError
from stylewatch_painter.network.settings import NetworkSettings
from stylewatch_painter.recipes.recipe import Recipe, Schedule
from stylewatch_painter.size import Fit, Size, by_area, by_long_side, size_rule
from stylewatch_painter.vgg import LayerName, pooled_side, pools_before

_MOST_SIZES = 24
"""Maximum number of sizes: 20 doublings from one pixel to 999,999, and 4 for a stroke of 16."""

_KEPT_WAVES = 4
"""Wavelength in pixels of the smaller picture above which waves are kept, not repainted."""


@dataclass(frozen=True)
class Level:
    """One size of a painting, its scale, and its number of steps.

    The scale is relative to `Task.first`. Frequencies below `slowest` cycles per pixel are not
    changed at this size. `is_coarse` is True if the terms of the recipe's `objective.coarse` apply.
    """

    size: Size
    scale: float
    steps: int
    slowest: float = 0.0
    is_coarse: bool = False


WhyNot = Literal["rule", "painting", "styles"]
"""Why a scale is not painted: the recipe has it only for larger pictures, or the painting, or each
of the styles, is too small."""


@dataclass(frozen=True)
class PlannedScale:
    """A scale of a recipe at its size, and why it is not painted, or None if it is.

    Where scales are joined, `scale` and `size` are those at which it is painted.
    """

    size: Size
    scale: float
    steps: int
    why_not: WhyNot | None


def final_size(schedule: Schedule, content: Size) -> Size:
    """Return the size of the output for a content picture of size `content`."""
    truncate = schedule.side_rounding == "truncate"
    stretch = schedule.fit == "stretch"
    return size_rule(schedule.size)(content, Fit(schedule.enlarge, truncate, stretch))


def of_texture(schedule: Schedule) -> Schedule:
    """Return the `schedule` for a texture: no picture limits its size, and `800x600` is exact."""
    return schedule.model_copy(update={"fit": "stretch", "enlarge": True})


def style_size(schedule: Schedule, style: Size, painted: Size, scale: float = 1.0) -> Size:
    """Return the size of a style picture for a painting of size `painted`.

    `scale` multiplies the schedule's `style_scale` and `stroke`. The aspect ratio is kept, except
    for the rule `stretch`. That the content is enlarged enlarges no style.
    """
    factor = schedule.style_scale * schedule.stroke
    if schedule.style_size == "stretch":
        return painted.times(scale * factor)
    if schedule.style_size in ("area", "side"):
        return _size_like_painted(schedule, style, painted, scale, factor)
    fit = _style_fit(schedule)
    size = size_rule(schedule.style_size)(style, fit)
    ratio = scale * factor
    return size.times(ratio if fit.enlarge else min(ratio, style.width / size.width))


def _size_like_painted(
    schedule: Schedule, style: Size, painted: Size, scale: float, factor: float
) -> Size:
    """Return the size of a style for the rules `area` and `side`: that of the painting, times both.

    Where a style is not enlarged and is smaller than that, a reduction applies to its own size.
    """
    fit = _style_fit(schedule)

    def like_painted(ratio: float) -> Size:
        if schedule.style_size == "area":
            return by_area(painted.area * ratio**2, style, fit)
        return by_long_side(math.ceil(ratio * painted.long), style, fit)

    reduction = scale * min(1.0, factor)
    if reduction < 1 and like_painted(max(1.0, factor)) == style:  # not enlarged
        return style.times(reduction)
    return like_painted(scale * factor)


def _style_fit(schedule: Schedule) -> Fit:
    """Return the way in which the rules of a schedule apply to styles."""
    return Fit(schedule.enlarge_styles, truncate=schedule.side_rounding == "truncate")


def planned(recipe: Recipe, final: Size, least: float = 0.0) -> tuple[PlannedScale, ...]:
    """Return each scale of the recipe for a painting of size `final`, coarse to fine.

    At scales below `least` no style shows anything.
    """
    objective = recipe.objective
    schedule = recipe.schedule
    joins = schedule.below_smallest == "join"
    smallest = schedule.smallest / final.long
    has_other_terms = objective.coarse is not None and final.long <= objective.coarse.largest
    # the deepest layer has no position in a smaller picture
    shortest = least_side(objective.network, objective.layers)

    def why_not(recipe_scale: float, scale: float) -> WhyNot | None:
        if not joins and round(recipe_scale * final.long) < schedule.smallest:
            return "rule"
        # the final size comes last; before that it is painted only with other terms
        if recipe_scale == 1 and not has_other_terms:
            return "rule"
        if (recipe_scale < 1 and smallest >= 1) or round(final.short * scale) < shortest:
            return "painting"
        return "styles" if scale < least else None

    found = []
    for each in schedule.scales:
        scale = max(each.scale, min(1.0, smallest))
        reason = why_not(each.scale, scale)
        named = each.scale if reason == "painting" else scale  # not what it would be enlarged to
        found.append(PlannedScale(final.times(named), scale, each.steps, reason))
    return tuple(found)


def levels(recipe: Recipe, final: Size, path: Iterable[PlannedScale]) -> tuple[Level, ...]:
    """Return the sizes of a painting of size `final`, coarse to fine, the final size last.

    Scales of the `path` that are joined at one size add up their steps.
    """
    schedule = recipe.schedule
    coarse = recipe.objective.coarse
    used = [planned for planned in path if planned.why_not is None]
    sizes = {planned.scale: planned.size for planned in used}
    steps = {scale: sum(each.steps for each in used if each.scale == scale) for scale in sizes}
    # the first steps find the strokes, whichever scale is the coarsest
    if steps and schedule.initial_steps is not None:
        coarsest = min(steps)
        steps[coarsest] = schedule.initial_steps
    found = []
    for scale, count in steps.items():
        is_coarse = coarse is not None and sizes[scale].long <= coarse.largest
        # steps with the terms of the final size take long, and more of these follow
        most = count if is_coarse else schedule.fine_steps or count
        found.append(Level(sizes[scale], scale, min(count, most), is_coarse=is_coarse))
    return (*found, Level(final, 1.0, schedule.steps))


def remaining(path: Sequence[Level], step: int) -> tuple[Level, ...]:
    """Return the levels that remain after `step` steps; at the end, the last level with 0 steps."""
    ends = accumulate(level.steps for level in path)
    left = [
        replace(level, steps=min(level.steps, end - step))
        for level, end in zip(path, ends, strict=True)
        if end > step
    ]
    return tuple(left) or (replace(path[-1], steps=0),)


def map_size(size: Size, layer: LayerName, network: NetworkSettings) -> tuple[int, int]:
    """Return (height, width) of a layer's maps, for a picture of `size`."""
    keeps_edge = network.pool_edge == "ceil"
    width, height = size
    for _ in range(pools_before(layer)):
        width = pooled_side(width, ceil=keeps_edge)
        height = pooled_side(height, ceil=keeps_edge)
    return height, width


def least_side(network: NetworkSettings, layers: Iterable[LayerName]) -> int:
    """Return the shortest side, in pixels, at which no map of `layers` is empty."""
    halvings = max(pools_before(layer) for layer in layers)
    return 2**halvings if network.pool_edge == "floor" else 1


def check_side(recipe: Recipe, size: Size, what: str) -> None:
    """Raise PictureError if the deepest layer has an empty feature map for a picture of `size`."""
    least = least_side(recipe.objective.network, recipe.objective.layers)
    if size.short < least:
        raise PictureError(
            f"{what} would be {size} pixels, and the pools of recipe {recipe.name} "
            f"leave nothing of a side under {least}: ask for a larger size (with enlarge=true, "
            "where the picture is no larger), or set "
            "objective.network.pool_edge=ceil"
        )


def preview_size(schedule: Schedule, content: Size) -> Size:
    """Return the size of the preview, for a content of size `content`.

    It is the final size if there is no preview or if the preview would not be smaller. Raises
    PictureError if the preview has another aspect ratio.
    """
    final = final_size(schedule, content)
    if schedule.preview is None:
        return final
    preview = final_size(schedule.model_copy(update={"size": schedule.preview}), content)
    if preview.area >= final.area:
        return final
    if not preview.has_shape_of(final):
        raise PictureError(
            f"the preview would be {preview} pixels, which is another shape than {final}: "
            "with fit=stretch give preview and size as boxes of one shape"
        )
    return preview


def first_size(schedule: Schedule, content: Size) -> Size:
    """Return the size that the coarser scales lead to, which is also the reference for styles.

    It is the size of the preview, divided by the `stroke` if that is above 1: since the network
    sees a fixed number of pixels, it sees k times as much of a picture whose size is divided by k.
    Raises PictureError as `preview_size` does.
    """
    return preview_size(schedule, content).times(1 / max(1.0, schedule.stroke))


def most_steps(recipe: Recipe, content: Size | None = None) -> int:
    """Return an upper bound of the steps over all sizes, for this or any size of the `content`.

    It is exact for a content if no style is too small for a scale. Raises PictureError as
    `preview_size` does.
    """
    schedule = recipe.schedule
    if content is not None:
        first = first_size(schedule, content)
        painted = levels(recipe, first, planned(recipe, first))
        return sum(level.steps for level in (*painted, *upward(schedule, content)))
    grows = schedule.preview is not None or schedule.stroke > 1
    return schedule.most_steps + (_MOST_SIZES * schedule.upscale_steps if grows else 0)


def upward(schedule: Schedule, content: Size) -> Iterator[Level]:
    """Yield the sizes above the first one, each about twice as large as the one before.

    They include the size of the preview, so that all paintings with the same preview are equal up
    to that size. Frequencies that the first size or the preview shows are kept: at larger sizes the
    network sees less of the picture and would move them. Raises PictureError as `preview_size`
    does.
    """
    first = first_size(schedule, content)
    preview = preview_size(schedule, content)
    for begin, end in ((first, preview), (preview, final_size(schedule, content))):
        factor = end.long / begin.long
        count = 0 if begin == end else max(1, round(math.log2(factor)))
        for step in range(1, count + 1):
            size = end if step == count else begin.times(factor ** (step / count))
            slowest = begin.long / size.long / _KEPT_WAVES
            yield Level(size, size.long / first.long, schedule.upscale_steps, slowest)
