"""Tiles: parts of a picture whose feature maps are, each by itself, those of the whole picture.

A position of a layer depends on the pixels around it only, so many to each side: that is the halo.
A tile is looked at with its halo around it, and what its maps show beyond the tile, where the
network saw an edge that is none, is cut off.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from stylewatch_painter.algorithm.losses import Sums, maps, of_regions
from stylewatch_painter.algorithm.scales import Size, pools_before
from stylewatch_painter.algorithm.task import Task, shares
from stylewatch_painter.network.vgg19 import FeatureMaps
from stylewatch_painter.recipes.recipe import LAYERS, LayerName, Network
from stylewatch_painter.stage import Regions


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


Weights = Mapping[LayerName, Tensor]
"""How much each position counts for each region, (R, height, width); empty: there are none."""


@dataclass(frozen=True, eq=False)
class View:
    """What `network` sees at some layers; of each map by itself, too, where `values` are wanted."""

    network: FeatureMaps
    settings: Network
    layers: Collection[LayerName]
    values: bool = False

    def at(self, tile: Tile, x: Tensor) -> dict[LayerName, Tensor]:
        """The maps (B, N, M) of a tile, seen with its halo in x (B, 3, height, width)."""
        found = self.network(x, self.layers, self.settings)
        return {layer: maps(tile.cut(f, layer)) for layer, f in found.items()}

    @torch.no_grad()
    def sums(
        self, x: Tensor, side: int | None, mask: Regions | None
    ) -> dict[LayerName, tuple[Sums, ...]]:
        """Those of each layer and region of x, seen in tiles of a `side`.

        Those of a region are as if it were all of the picture.
        """
        size = x.shape[-1], x.shape[-2]
        weights = self.weights(mask, size)
        found: dict[LayerName, tuple[Sums, ...]] = {}
        for tile in tiles(size, side, self.layers):
            for layer, seen in self.at(tile, tile.of(x)).items():
                here = self.of_regions(tile, layer, seen, weights)
                found[layer] = added(found[layer], here) if layer in found else here
        return {layer: as_whole(one, weights.get(layer)) for layer, one in found.items()}

    def weights(self, mask: Regions | None, size: Size) -> Weights:
        """Those of a mask in the maps of a picture of `size` (width, height)."""
        if mask is None:
            return {}
        regions = planes(mask).to(self.network.device)
        return {
            layer: at_layer(regions, map_size(size, layer, self.settings)) for layer in self.layers
        }

    def of_regions(
        self, tile: Tile, layer: LayerName, seen: Tensor, weights: Weights
    ) -> tuple[Sums, ...]:
        """The sums over a tile's maps (B, N, M) at a layer, of each region."""
        here = tile.part(weights[layer], layer) if layer in weights else None
        return of_regions(seen, here, values=self.values)


def added(some: tuple[Sums, ...], others: tuple[Sums, ...]) -> tuple[Sums, ...]:
    """The sums of each region over the positions of both."""
    return tuple(one + other for one, other in zip(some, others, strict=True))


def as_whole(regions: tuple[Sums, ...], weights: Tensor | None) -> tuple[Sums, ...]:
    """Those of each region, as if it were all of its picture, whose `weights` (R, h, w) are."""
    if weights is None:
        return regions
    return tuple(one.as_of(float(weights[0].numel())) for one in regions)


@dataclass(frozen=True, eq=False)
class Guides:
    """The regions of a painting; without any all of it is held to all of each style.

    `weights` are those of its mask at one size. `parts` (S, R): what the terms of each of S styles
    count in each region, beside the style's own weight: the region's part of the picture, so that
    each pixel is pulled as much as if there were no regions.
    """

    weights: Weights = field(default_factory=dict)
    parts: Tensor | None = None

    @classmethod
    def of(cls, task: Task, view: View, size: Size, styles: int) -> "Guides":
        """The guides of `task` painted at `size`, which is held to so many `styles`."""
        if task.content_mask is None:
            return cls()
        area = planes(task.content_mask).mean((1, 2))
        each = torch.ones(styles, len(area))
        if styles == len(task.styles):
            weights = torch.tensor([style.weight for style in task.styles])
            each = torch.from_numpy(shares(task)).float() / (weights / weights.sum()).view(-1, 1)
        return cls(view.weights(task.content_mask, size), (each * area).to(view.network.device))

    def sums(self, layer: LayerName, found: tuple[Sums, ...]) -> tuple[Sums, ...]:
        """Those of each region at a layer, as if the region were all of the picture."""
        return as_whole(found, self.weights.get(layer))

    def value(self, style: int, regions: Sequence[Tensor]) -> Tensor:
        """The term (B,) of a style, from its values in each region."""
        if self.parts is None:
            return regions[0]
        return (torch.stack(list(regions), dim=1) * self.parts[style]).sum(1)


def planes(mask: Regions) -> Tensor:
    """A mask, float32 (height, width, R) or (height, width), as (R, height, width) on the CPU."""
    stacked = np.atleast_3d(mask).transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(stacked, dtype=np.float32))


def at_layer(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """How much each position of a feature map counts for each region: (R, H, W) to (R, *size).

    `size` is (height, width) of the map. These are averages over areas: a region that is there
    stays, however small the map, and has the same share of the map as of the mask.
    """
    # on the processor, since not every device averages over areas of unequal size
    return adaptive_avg_pool2d(mask.cpu(), size).to(mask.device)
