"""Soft edges for regions, and the photograph where there is none."""

import numpy as np
from numpy.typing import NDArray

from stylewatch_painter.images.resize import resize_plane
from stylewatch_painter.stage import Pixels, Plane, Regions


def feathered(regions: Regions, reach: float) -> Regions:
    """`regions` with soft edges: from one to none over `reach` pixels to either side of an edge.

    Two box filters, each as wide as `reach`; beyond the rim lies what lies at the rim.
    """
    if reach <= 0:
        return regions
    return np.stack([_soft(regions[..., one], reach) for one in range(regions.shape[2])], axis=2)


def kept_outside(painting: Pixels, photograph: Pixels, regions: Regions) -> Pixels:
    """The painting where there are regions, the photograph of the same size where there is none."""
    size = (painting.shape[1], painting.shape[0])
    cover = resize_plane(regions.sum(axis=2).clip(0, 1), size, "bilinear")[..., None]
    return cover * painting + (1 - cover) * photograph


def _soft(plane: Plane, reach: float) -> Plane:
    soft = plane.astype(np.float64)
    for _ in range(2):
        soft = _box_down(_box_down(soft, reach).T, reach).T
    return soft.clip(0, 1).astype(np.float32)


def _box_down(plane: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Means over `width` pixels downwards, of which the outermost two count in part."""
    count, beyond = plane.shape[0], int(np.ceil(width / 2)) + 1
    padded = np.pad(plane, [(beyond + 1, beyond), (0, 0)], "edge")
    sums = np.cumsum(padded, axis=0)

    def up_to(shift: float) -> NDArray[np.float64]:
        """The sum of all that lies above the middle of each pixel, and `shift` pixels below it."""
        at = beyond + 0.5 + shift
        below = int(at)
        lower, upper = sums[below : below + count], sums[below + 1 : below + 1 + count]
        return lower + (at - below) * (upper - lower)

    return (up_to(width / 2) - up_to(-width / 2)) / width
