"""Conversion of the regions of masks to tensors, and to flags of positions in feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from stylewatch_painter.late import functional, np, torch

if TYPE_CHECKING:
    from torch import Tensor

    from stylewatch_painter.stage import Regions

Value = TypeVar("Value")

_IN_REGION = 0.5
"""Minimum share of a position that a region must cover to contain the position."""


def planes(mask: Regions) -> Tensor:
    """Convert a mask, (height, width, R) or (height, width), to a tensor (R, height, width).

    Both are float32.
    """
    stacked = np.atleast_3d(mask).transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(stacked, dtype=np.float32))


def region_flags(regions: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return bool flags (R, *shape) of the positions in each region, for planes (R, height, width).

    A region contains each position of which it covers at least half. If there is no such position,
    it contains the positions of which it covers most. An empty region contains all positions.
    """
    weights = functional.adaptive_avg_pool2d(regions, shape)
    return weights >= weights.amax((1, 2), keepdim=True).clamp(max=_IN_REGION)


def for_region(values: Sequence[Value], region: int) -> Value:
    """Return the value for `region`, counted from 0, from the `values` of a style.

    A style with a mask has one value for each region of the painting. A style without a mask has a
    single value, which serves every region.
    """
    return values[region % len(values)]


def turned(picture: Tensor, *, rotations: bool) -> list[Tensor]:
    """Return a list of `picture` (..., height, width) and, with `rotations`, its rotated copies.

    The copies are rotated by 90, 180 and 270 degrees.
    """
    quarters = range(4 if rotations else 1)
    return [picture.rot90(quarter, (-2, -1)).contiguous() for quarter in quarters]
