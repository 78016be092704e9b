"""Sizes of paintings and styles: the final size, coarser scales, and the sizes above a preview."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from typing import Literal

from stylewatch_painter.errors import PictureError
from stylewatch_painter.network.settings import NetworkSettings
from stylewatch_painter.recipes.recipe import Recipe, Scale, Schedule
from stylewatch_painter.size import Fit, Size, by_area, by_long_side, size_rule
from stylewatch_painter.vgg import LayerName, pooled_side, pools_before

_MOST_SIZES = 24
"""Maximum number of sizes: 20 doublings from one pixel to 999,999, and 4 for a stroke of 16."""

_KEPT_WAVES = 4
"""Wavelength, in pixels of the smaller picture, from which waves are kept at a larger size."""


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
"""Reason why a scale is not painted. `rule`: the recipe skips it at this size, or it would only
repeat the final size. `painting`: the painting is too small. `styles`: every style is too small."""


@dataclass(frozen=True)
class PlannedScale:
    """A scale of a recipe for one painting.

    `why_not` is the reason why the scale is not painted, or None if it is painted. `scale` and
    `size` are those after a small scale is raised to the schedule's `smallest`. If the reason is
    `painting`, `size` is the size that the recipe asks for, before that.
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

    `scale` multiplies the schedule's `style_scale` and `stroke`. The rule `stretch` gives the shape
    of the painting. All other rules keep the aspect ratio, and enlarge a style only if the schedule
    has `enlarge_styles`; `enlarge` applies to the content alone.
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
    """Return the size of a style for the rules `area` and `side`.

    The area or the long side of the style becomes that of the painting, times `scale` and `factor`.
    If the style is smaller and the schedule does not enlarge styles, reductions by `scale` and
    `factor` apply to the style's own size.
    """
    reduction = scale * min(1.0, factor)
    is_own_size = _like_painted(schedule, style, painted, max(1.0, factor)) == style
    if is_own_size and reduction < 1:
        return style.times(reduction)
    return _like_painted(schedule, style, painted, scale * factor)


def _like_painted(schedule: Schedule, style: Size, painted: Size, ratio: float) -> Size:
    """Return the size of a style whose sides are about `ratio` times those of `painted`.

    It is the style's own size if that is smaller and the schedule does not enlarge styles.
    """
    fit = _style_fit(schedule)
    if schedule.style_size == "area":
        return by_area(painted.area * ratio**2, style, fit)
    return by_long_side(math.ceil(ratio * painted.long), style, fit)


def _style_fit(schedule: Schedule) -> Fit:
    """Return the way in which the rules of a schedule apply to styles."""
    return Fit(schedule.enlarge_styles, truncate=schedule.side_rounding == "truncate")


def planned(recipe: Recipe, final: Size, least: float = 0.0) -> tuple[PlannedScale, ...]:
    """Return each scale of the recipe for a painting of size `final`, coarse to fine.

    `least` is the scale below which every style is too small.
    """
    return tuple(_planned(recipe, final, least, each) for each in recipe.schedule.scales)


def _planned(recipe: Recipe, final: Size, least: float, asked: Scale) -> PlannedScale:
    """Return the scale `asked` by the recipe, raised to the schedule's `smallest`."""
    raised = max(asked.scale, min(1.0, recipe.schedule.smallest / final.long))
    why_not = _why_not(recipe, final, least, asked.scale, raised)
    # a message that the painting is too small names the size that the recipe asks for
    named = asked.scale if why_not == "painting" else raised
    return PlannedScale(final.times(named), raised, asked.steps, why_not)


def _why_not(
    recipe: Recipe, final: Size, least: float, asked: float, raised: float
) -> WhyNot | None:
    """Return why a scale is not painted, or None if it is painted.

    `asked` is the scale in the recipe, and `raised` is the scale after it is raised to `smallest`.
    """
    schedule = recipe.schedule
    objective = recipe.objective
    is_below_smallest = round(asked * final.long) < schedule.smallest
    is_skipped = is_below_smallest and schedule.below_smallest == "skip"
    # the final size itself comes last; scale 1 paints it before that with coarse terms
    has_coarse_terms = objective.coarse is not None and final.long <= objective.coarse.largest
    repeats_final = asked == 1 and not has_coarse_terms
    if is_skipped or repeats_final:
        return "rule"
    is_raised_to_final = asked < 1 and schedule.smallest >= final.long
    # the deepest layer has no position in a smaller picture
    has_empty_map = round(final.short * raised) < least_side(objective.network, objective.layers)
    if is_raised_to_final or has_empty_map:
        return "painting"
    return "styles" if raised < least else None


def levels(recipe: Recipe, final: Size, path: Iterable[PlannedScale]) -> tuple[Level, ...]:
    """Return the sizes of a painting of size `final`, coarse to fine, the final size last.

    Scales of the `path` that are not painted are left out. Scales that were raised to the same size
    become one level with the sum of their steps. The schedule's `initial_steps` replaces the steps
    of the coarsest scale, and `fine_steps` limits those of scales without coarse terms.
    """
    painted = (scale for scale in path if scale.why_not is None)
    coarser: list[Level] = []
    # scales rise, so that joined scales are neighbors
    for _, group in groupby(painted, key=lambda scale: scale.scale):
        joined = list(group)
        steps = sum(scale.steps for scale in joined)
        # the first steps find the strokes, whichever scale is the coarsest
        if not coarser and recipe.schedule.initial_steps is not None:
            steps = recipe.schedule.initial_steps
        coarser.append(_level(recipe, joined[0], steps))
    return (*coarser, Level(final, 1.0, recipe.schedule.steps))


def _level(recipe: Recipe, planned: PlannedScale, steps: int) -> Level:
    """Return the level of a scale before the final size, with `steps` or fewer."""
    coarse = recipe.objective.coarse
    is_coarse = coarse is not None and planned.size.long <= coarse.largest
    most = recipe.schedule.fine_steps
    # steps with the terms of the final size take long, and more of these follow
    if not is_coarse and most is not None:
        steps = min(steps, most)
    return Level(planned.size, planned.scale, steps, is_coarse=is_coarse)


def remaining(path: Sequence[Level], step: int) -> tuple[Level, ...]:
    """Return the levels that remain after `step` steps, the first one with its remaining steps.

    If no steps remain, the result is the last level with 0 steps.
    """
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
    """Return the minimum side, in pixels, at which no map of `layers` is empty."""
    halvings = max(pools_before(layer) for layer in layers)
    return 2**halvings if network.pool_edge == "floor" else 1


def check_side(recipe: Recipe, size: Size, what: str) -> None:
    """Raise PictureError if the deepest layer has an empty feature map for a picture of `size`.

    `what` names the picture in the message, such as `the painting`.
    """
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

    The result is the final size if there is no preview or if the preview would not be smaller.
    Raises PictureError if both are stretched to different aspect ratios.
    """
    final = final_size(schedule, content)
    if schedule.preview is None:
        return final
    preview = final_size(schedule.model_copy(update={"size": schedule.preview}), content)
    if preview.area >= final.area:
        return final
    # without `stretch` both have the content's shape, which each rule rounds in its own way
    if schedule.fit == "stretch" and not preview.has_shape_of(final):
        raise PictureError(
            f"the preview would be {preview} pixels, which is another shape than {final}: "
            "with fit=stretch give preview and size as boxes of one shape"
        )
    return preview


def first_size(schedule: Schedule, content: Size) -> Size:
    """Return the size to which the coarser scales lead, which is also the reference for styles.

    It is the size of the preview, divided by the schedule's `stroke` if that is above 1. The
    network sees a fixed number of pixels, so at 1 / k of the size it sees k times as much of the
    picture, and strokes become k times as large. Raises PictureError as `preview_size` does.
    """
    return preview_size(schedule, content).times(1 / max(1.0, schedule.stroke))


def painted_levels(recipe: Recipe, content: Size) -> tuple[Level, ...]:
    """Return the sizes of a painting, for a content of size `content`, coarse to fine.

    They are exact if no style is too small for a scale. Raises PictureError as `preview_size` does.
    """
    first = first_size(recipe.schedule, content)
    coarse = levels(recipe, first, planned(recipe, first))
    return (*coarse, *upward(recipe.schedule, content))


def most_steps(recipe: Recipe, content: Size | None = None) -> int:
    """Return an upper bound of the steps over all sizes of a painting.

    `content` is the size of the content; by default the bound holds for every size. With a size it
    is exact if no style is too small for a scale. Raises PictureError as `preview_size` does.
    """
    if content is not None:
        return sum(level.steps for level in painted_levels(recipe, content))
    schedule = recipe.schedule
    grows = schedule.preview is not None or schedule.stroke > 1
    return schedule.most_steps + (_MOST_SIZES * schedule.upscale_steps if grows else 0)


def upward(schedule: Schedule, content: Size) -> Iterator[Level]:
    """Yield the sizes above the first one, each about twice as large as the previous one.

    The sizes include the size of the preview, so that all paintings with the same preview are equal
    up to that size. Low frequencies, which the first size or the preview shows, are kept: at larger
    sizes the network sees less of the picture and would move them. Raises PictureError as
    `preview_size` does.
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
