"""Pictures of which only a part counts: what a mask selects, or what is not transparent."""

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

    The weights have the shape of the picture, in any size. None stands for weights that are all the
    same, also if all are 0: then nothing says which part counts, and the whole picture does.
    """

    pixels: Pixels
    weights: Plane | None = None

    def __post_init__(self) -> None:
        if self.weights is not None and self.weights.min() == self.weights.max():
            object.__setattr__(self, "weights", None)

    @cached_property
    def plane(self) -> Plane | None:
        """The weights in the size of the picture, or None."""
        if self.weights is None:
            return None
        plane = resize_plane(self.weights, Size.of(self.pixels))
        return plane if plane.any() else None  # a part that is smaller than a pixel

    @property
    def total(self) -> float:
        """The sum of the weights of all pixels, which without weights are 1."""
        if self.plane is None:
            return Size.of(self.pixels).area
        return float(self.plane.sum(dtype=np.float64))

    def without_rim(self) -> "Weighted":
        """Return the picture with less weight for pixels at the edge of the part that counts.

        Filters that resize pictures and masks mix them with what does not count, and their
        neighbors do not count. Lines, which are all edge, keep their weight.
        """
        if self.weights is None:
            return self
        inner = Weighted(self.pixels, _eroded(self.weights))
        if inner.plane is None or self.weights.shape == inner.plane.shape:
            return inner
        return Weighted(self.pixels, _eroded(inner.plane))

    def cropped(self) -> "Weighted":
        """Return the smallest rectangle of the picture outside of which no pixel counts."""
        if self.plane is None:
            return self
        rows, columns = (np.flatnonzero(self.plane.any(axis=axis)) for axis in (1, 0))
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        return Weighted(self.pixels[box], self.plane[box])


def _eroded(weights: Plane) -> Plane:
    """Return the least weight in the 3x3 pixels around each, unless less than half would remain."""
    least: Plane = reduce(np.minimum, around(weights))
    return least if least.sum() >= weights.sum() / 2 else weights


def around(plane: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield each pixel's 3x3 neighbors, itself included, as nine arrays of the shape of `plane`."""
    height, width = plane.shape[:2]
    padded = np.pad(plane, [(1, 1), (1, 1)] + [(0, 0)] * (plane.ndim - 2), mode="edge")
    for row in range(3):
        for column in range(3):
            yield padded[row : row + height, column : column + width]
