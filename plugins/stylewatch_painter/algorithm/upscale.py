"""Prints: where a painting that is to become larger than its preview begins, and its way up."""

import math
from collections.abc import Iterator

from stylewatch_painter.algorithm.scales import Level, Size, final_size, times
from stylewatch_painter.errors import PictureError
from stylewatch_painter.recipes.recipe import Schedule

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
    return schedule.most_steps + (_MOST_SIZES * schedule.print_steps if grows else 0)


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
            yield Level(size, max(size) / max(first), schedule.print_steps, slowest)
