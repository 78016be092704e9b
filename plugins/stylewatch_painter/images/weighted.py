"""Pictures whose pixels have weights, from a mask or from transparency."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylewatch_painter.images.resize import resize_plane
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Pixels, Plane


@dataclass(frozen=True, eq=False)
class Weighted:
    """A picture (height, width, 3) with the `weights` of its pixels.

    `weights` is a plane with the shape of the picture, in any size. None means equal weights. It
    replaces weights that are all equal, even if all are 0.
    """

    pixels: Pixels
    weights: Plane | None = None

    def __post_init__(self) -> None:
        if self.weights is not None and self.weights.min() == self.weights.max():
            object.__setattr__(self, "weights", None)

    @cached_property
    def plane(self) -> Plane | None:
        """The weights in the size of the picture; None if all are equal, or vanish at that size."""
        if self.weights is None:
            return None
        plane = resize_plane(self.weights, Size.of(self.pixels))
        return plane if plane.any() else None  # a part that is smaller than a pixel

    @property
    def total(self) -> float:
        """The sum of the weights of all pixels; without weights, the number of pixels."""
        if self.plane is None:
            return Size.of(self.pixels).area
        return float(self.plane.sum(dtype=np.float64))

    def without_rim(self) -> "Weighted":
        """Return the picture with its weights eroded by one pixel.

        They are eroded in their own size, and again in the size of the picture if that differs,
        because filters that resize pictures and masks mix pixels at the edge of a mask with pixels
        outside. Weights that would lose more than half of their sum, such as those of lines, are
        not eroded.
        """
        if self.weights is None:
            return self
        inner = Weighted(self.pixels, _eroded(self.weights))
        if inner.plane is None or self.weights.shape == inner.plane.shape:
            return inner
        return Weighted(self.pixels, _eroded(inner.plane))

    def cropped(self) -> "Weighted":
        """Return the picture, cropped to the bounding box of the pixels with weight."""
        if self.plane is None:
            return self
        rows, columns = (np.flatnonzero(self.plane.any(axis=axis)) for axis in (1, 0))
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        return Weighted(self.pixels[box], self.plane[box])


def _eroded(weights: Plane) -> Plane:
    """Return the minimum weight over 3x3 pixels, or `weights` if less than half would remain."""
    least: Plane = reduce(np.minimum, around(weights))
    return least if least.sum() >= weights.sum() / 2 else weights


def around(plane: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield each pixel's 3x3 neighbors, itself included, as nine arrays of the shape of `plane`.

    Edge pixels are repeated beyond the edges.
    """
    height, width = plane.shape[:2]
    padded = np.pad(plane, [(1, 1), (1, 1)] + [(0, 0)] * (plane.ndim - 2), mode="edge")
    for row in range(3):
        for column in range(3):
            yield padded[row : row + height, column : column + width]
