"""Tiles: parts of a picture whose feature maps are, each by itself, those of the whole picture.

A position of a layer depends on the pixels around it only, so many to each side: that is the halo.
A tile is looked at with its halo around it, and what its maps show beyond the tile, where the
network saw an edge that is none, is cut off.
"""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from stylewatch_painter.algorithm.scales import Size, pools_before
from stylewatch_painter.recipes.recipe import LAYERS, LayerName, Network


@dataclass(frozen=True)
class Span:
    """A tile along one side of the picture, in pixels, ends excluded; `last`: to its very end."""

    start: int
    end: int
    halo: int
    last: bool

    @property
    def around(self) -> slice:
        """With the halo, as far as there is a picture."""
        return slice(max(0, self.start - self.halo), None if self.last else self.end + self.halo)

    def within(self, halvings: int) -> slice:
        """The tile itself, in the map of what is `around` after so many pools."""
        before = self.start - self.around.start
        end = None if self.last else (before + self.end - self.start) >> halvings
        return slice(before >> halvings, end)

    def of_map(self, halvings: int) -> slice:
        """The tile itself, in the map of the whole picture after so many pools."""
        return slice(self.start >> halvings, None if self.last else self.end >> halvings)


@dataclass(frozen=True)
class Tile:
    """A part of a picture: the rows and the columns of it."""

    rows: Span
    columns: Span

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the picture."""
        return not self.rows.start and not self.columns.start and self._ends

    @property
    def _ends(self) -> bool:
        return self.rows.last and self.columns.last

    def pixels(self, size: Size) -> int:
        """How many pixels of a picture of `size` (width, height) it has with its halo."""
        width, height = size
        rows, columns = self.rows.around.indices(height), self.columns.around.indices(width)
        return (rows[1] - rows[0]) * (columns[1] - columns[0])

    def of(self, x: Tensor) -> Tensor:
        """The tile and its halo in pictures (B, C, height, width), without a copy."""
        return x[..., self.rows.around, self.columns.around]

    def cut(self, features: Tensor, layer: LayerName) -> Tensor:
        """The tile's own in the features that `of` it has at a layer; differentiable."""
        if self.is_whole:
            return features
        halvings = pools_before(layer)
        found: Tensor = _Cut.apply(
            features, self.rows.within(halvings), self.columns.within(halvings)
        )
        return found

    def part(self, planes: Tensor, layer: LayerName) -> Tensor:
        """The tile's own in planes (R, height, width) of the whole picture at a layer."""
        halvings = pools_before(layer)
        return planes[..., self.rows.of_map(halvings), self.columns.of_map(halvings)]


def tiles(size: Size, side: int | None, layers: Collection[LayerName]) -> tuple[Tile, ...]:
    """The tiles of a picture of `size` (width, height), none longer than `side` pixels by much.

    All are about alike, and begin where the pools before the deepest of `layers` do. None: one
    tile, the whole picture.
    """
    width, height = size
    columns, rows = (list(_spans(length, side, layers)) for length in (width, height))
    return tuple(Tile(down, right) for down in rows for right in columns)


def halo(layers: Collection[LayerName]) -> int:
    """How many pixels around a tile the deepest of `layers` depends on, in steps of `grain`.

    A convolution reaches to its neighbors, which are twice as far apart after each pool; what a
    pool takes together lies within the tile's own grid.
    """
    deepest = max(LAYERS.index(layer) for layer in layers)
    reach = sum(1 << pools_before(layer) for layer in LAYERS[: deepest + 1])
    return math.ceil(reach / grain(layers)) * grain(layers)


def grain(layers: Collection[LayerName]) -> int:
    """Pixels from one position of the deepest of `layers` to the next: where tiles may begin."""
    return max(1 << pools_before(layer) for layer in layers)


def map_size(size: Size, layer: LayerName, network: Network) -> tuple[int, int]:
    """(height, width) of the maps that a picture of `size` (width, height) has at a layer."""
    halvings = pools_before(layer)
    width, height = size
    for _ in range(halvings):
        more = network.pool_edge == "ceil"
        width, height = (width + more) // 2, (height + more) // 2
    return height, width


def _spans(length: int, side: int | None, layers: Collection[LayerName]) -> Iterator[Span]:
    step = length
    if side is not None and side < length:
        even = length / math.ceil(length / side)
        step = math.ceil(even / grain(layers)) * grain(layers)
    starts = [*range(0, length, step), length]
    for start, end in pairwise(starts):
        yield Span(start, end, halo(layers), end == length)


class _Cut(torch.autograd.Function):
    """A part of maps, which lies in memory as they do; so does its gradient."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, rows: slice, columns: slice) -> Tensor:
        """The part of features (B, N, height, width)."""
        ctx.whole = (features.shape, features.stride(), rows, columns)
        return features[..., rows, columns].clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Nothing for all that was cut off."""
        shape, strides, rows, columns = ctx.whole
        (gradient,) = gradients
        back = torch.empty_strided(shape, strides, dtype=gradient.dtype, device=gradient.device)
        back.zero_()[..., rows, columns] = gradient
        return back, None, None
