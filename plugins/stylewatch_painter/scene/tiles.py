"""Tiles of a picture.

A position of a layer depends only on pixels within a limited distance, the halo. The network sees a
tile with its halo, and the maps are cropped to the tile. The cropped maps equal the same part of
the maps of the whole picture.
"""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from stylewatch_painter.scene.padding import cut
from stylewatch_painter.size import Size
from stylewatch_painter.vgg import LAYERS, LayerName, pools_before


@dataclass(frozen=True)
class Span:
    """The range [start, end) of a tile along one axis, and the width of its halo, in pixels.

    `last` marks the last tile along the axis.
    """

    start: int
    end: int
    halo: int
    last: bool

    @property
    def around(self) -> slice:
        """The range with its halo, clipped to the picture."""
        return slice(max(0, self.start - self.halo), None if self.last else self.end + self.halo)

    def within(self, halvings: int) -> slice:
        """Return the tile's range in the map of the tile with its halo, after `halvings` pools."""
        margin = self.start - self.around.start
        end = None if self.last else (margin + self.end - self.start) >> halvings
        return slice(margin >> halvings, end)

    def of_map(self, halvings: int) -> slice:
        """Return the tile's range in the map of the whole picture after `halvings` pools."""
        return slice(self.start >> halvings, None if self.last else self.end >> halvings)


@dataclass(frozen=True)
class Tile:
    """A rectangular part of a picture."""

    rows: Span
    columns: Span

    @property
    def is_whole(self) -> bool:
        """True if the tile is the whole picture."""
        starts = not self.rows.start and not self.columns.start
        return starts and self.rows.last and self.columns.last

    def pixels(self, size: Size) -> int:
        """Return the number of pixels of the tile and its halo, for a picture of `size`."""
        width, height = size
        rows, columns = self.rows.around.indices(height), self.columns.around.indices(width)
        return (rows[1] - rows[0]) * (columns[1] - columns[0])

    def of(self, x: Tensor) -> Tensor:
        """Return a view of the tile and its halo in a picture (1, C, height, width)."""
        return x if self.is_whole else x[..., self.rows.around, self.columns.around]

    def cut(self, features: Tensor, layer: LayerName) -> Tensor:
        """Return the features (1, N, height, width) of a layer without the halo; differentiable."""
        if self.is_whole:
            return features
        halvings = pools_before(layer)
        rows, columns = self.rows.within(halvings), self.columns.within(halvings)
        return cut(features, rows, columns)

    def part(self, planes: Tensor, layer: LayerName) -> Tensor:
        """Return the tile's part of planes (R, height, width) of a layer's whole map."""
        halvings = pools_before(layer)
        return planes[..., self.rows.of_map(halvings), self.columns.of_map(halvings)]


def tiles(size: Size, side: int | None, layers: Collection[LayerName]) -> tuple[Tile, ...]:
    """Return the tiles of a picture of `size`, of about `side` pixels per side, row by row.

    Tiles start at multiples of the pools' stride at the deepest of `layers`. If `side` is None, the
    only tile is the whole picture.
    """
    columns, rows = (list(_spans(length, side, layers)) for length in size)
    return tuple(Tile(down, right) for down in rows for right in columns)


def halo(layers: Collection[LayerName]) -> int:
    """Return the width in pixels of the halo that the deepest of `layers` needs.

    The width is a multiple of `alignment`. A 3x3 convolution reaches one position to each side, and
    positions are twice as far apart after each pool. A pool reaches no further, because tiles are
    aligned to its stride. The width is computed for VGG19; VGG16 has fewer convolutions and needs
    less.
    """
    deepest = max(LAYERS.index(layer) for layer in layers)
    reach = sum(1 << pools_before(layer) for layer in LAYERS[: deepest + 1])
    return math.ceil(reach / alignment(layers)) * alignment(layers)


def alignment(layers: Collection[LayerName]) -> int:
    """Return the distance in pixels between neighboring positions at the deepest of `layers`.

    Tiles start at multiples of this distance.
    """
    return max(1 << pools_before(layer) for layer in layers)


def _spans(length: int, side: int | None, layers: Collection[LayerName]) -> Iterator[Span]:
    step = length
    if side is not None and side < length:
        even = length / math.ceil(length / side)
        step = math.ceil(even / alignment(layers)) * alignment(layers)
    starts = [*range(0, length, step), length]
    for start, end in pairwise(starts):
        yield Span(start, end, halo(layers), end == length)
