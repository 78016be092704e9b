"""Regions of masks as tensors: their planes, their positions in feature maps, their weights."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from stylewatch_painter.scene.task import Task, region_style_weights
from stylewatch_painter.stage import Regions

_IN_REGION = 0.5
"""Minimum share of a position that a region must cover to contain the position."""

_TINY = 1e-12
"""Smallest divisor for the share of a style, whose weight may be 0."""


def region_factors(task: Task, *, blended: bool = False) -> Tensor | None:
    """Return the factor (S, R), float32, of each of S styles in each region; None without regions.

    The factor multiplies the style's own weight. It includes the region's share of the picture, so
    that every pixel gets the same gradient as without regions. S is 1 if the styles are `blended`
    into one.
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
    """Return flags (R, *shape) of the positions in each region, for planes (R, height, width).

    A region contains the positions of which it covers at least half. If there is no such position,
    it contains those that it covers most: all positions, for an empty region.
    """
    weights = adaptive_avg_pool2d(regions, shape)
    return weights >= weights.amax((1, 2), keepdim=True).clamp(max=_IN_REGION)


def turned(picture: Tensor, *, rotations: bool) -> list[Tensor]:
    """Return a picture (..., height, width); with `rotations`, also turned by 90, 180 and 270°."""
    quarters = range(4 if rotations else 1)
    return [picture.rot90(quarter, (-2, -1)).contiguous() for quarter in quarters]
