"""Regions of masks as tensors: their planes, their positions in feature maps, their weights."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from stylewatch_painter.scene.task import Task, region_style_weights
from stylewatch_painter.stage import Regions

_IN_REGION = 0.5
"""Share of a position from which it belongs to a region."""

_TINY = 1e-12
"""Least share of a style to divide by: a style may have the weight 0."""


def region_factors(task: Task, *, blended: bool = False) -> Tensor | None:
    """The factor (S, R), float32, of each of S styles in each region; None without regions.

    It multiplies the style's own weight: the region's share of the picture, so that every pixel
    gets the same gradient as without regions. S is 1 if the styles are `blended` into one.
    """
    if task.content_mask is None:
        return None
    area = planes(task.content_mask).mean((1, 2))
    if blended:
        return area[None]
    weights = torch.tensor([style.weight for style in task.styles])
    of_regions = torch.from_numpy(region_style_weights(task)).float()
    return of_regions / (weights / weights.sum()).clamp(min=_TINY).view(-1, 1) * area


def planes(mask: Regions) -> Tensor:
    """Convert a mask, float32 (height, width, R) or (height, width), to (R, height, width)."""
    stacked = np.atleast_3d(mask).transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(stacked, dtype=np.float32))


def region_flags(regions: Tensor, shape: tuple[int, int]) -> Tensor:
    """The positions (R, rows, columns) of each region in a map of `shape`, for planes (R, ...).

    A position is in a region that covers at least half of it. Where a region covers half of none,
    the positions that it covers most are in it: of an empty region these are all.
    """
    weights = adaptive_avg_pool2d(regions, shape)
    return weights >= weights.amax((1, 2), keepdim=True).clamp(max=_IN_REGION)


def turned(picture: Tensor, *, rotations: bool) -> list[Tensor]:
    """A picture (..., height, width); with `rotations` also turned by 90, 180 and 270 degrees."""
    quarters = range(4 if rotations else 1)
    return [picture.rot90(quarter, (-2, -1)).contiguous() for quarter in quarters]
