"""Protection of detail: faces and other small structures keep more of the content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stylewatch_painter.late import functional, torch

if TYPE_CHECKING:
    from torch import Tensor

    from stylewatch_painter.scene.scene import Scene

_SOBEL = ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))
"""Sobel filter for eight times the horizontal change per pixel."""

_PIXELS = 4
"""Number of pixels per position, along each axis, to which a larger picture is reduced. The
reduction makes grain count less and saves memory. Its factor is rounded down to a whole number."""

_WINDOW = 5
"""Side, in positions, of the window over which detail is averaged."""


def protection(scene: Scene, shape: tuple[int, int]) -> Tensor | None:
    """Return how strongly each position of a grid of `shape` keeps the content, (positions,).

    The factor is exp(a (2 r - 1)), with `protect_detail` a and the rank r of `detail`. The result
    is None, which stands for a factor of 1 everywhere, if a is 0 or the task has no content.
    """
    amount = scene.task.recipe.objective.protect_detail
    content = scene.content
    if not amount or content is None:
        return None
    ranks = detail(scene.canvas.brightness(content), shape).to(scene.device)
    return torch.exp(amount * (2 * ranks - 1))


def detail(brightness: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return the rank (positions,), 0..1, of each position of a grid of `shape` by its detail.

    `brightness` is (height, width). The detail of a position is the mean squared change of
    brightness in the window around the position. By ranks, each content has detailed areas and
    plain areas. Positions with equal detail have the same rank.
    """
    by = [max(1, side // (_PIXELS * of)) for side, of in zip(brightness.shape, shape, strict=True)]
    reduced = functional.avg_pool2d(brightness[None, None], by)
    to_right = brightness.new_tensor(_SOBEL)
    filters = torch.stack([to_right, to_right.T]).unsqueeze(1)
    squared = (
        functional.conv2d(functional.pad(reduced, (1, 1, 1, 1), mode="replicate"), filters)
        .square()
        .sum(1)
    )
    around = functional.avg_pool2d(
        functional.adaptive_avg_pool2d(squared, shape),
        _WINDOW,
        1,
        _WINDOW // 2,
        count_include_pad=False,
    ).flatten()
    in_order = around.sort().values
    below, up_to = (torch.searchsorted(in_order, around, right=right) for right in (False, True))
    return (below + up_to) / (2 * len(around))
