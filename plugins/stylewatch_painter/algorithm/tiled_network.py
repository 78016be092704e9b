"""A network that looks at pictures tile by tile, and what adds up of all that it sees."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stylewatch_painter.algorithm import statistics
from stylewatch_painter.algorithm.losses import maps
from stylewatch_painter.algorithm.regions import at_layer, planes
from stylewatch_painter.algorithm.scales import Size
from stylewatch_painter.algorithm.statistics import Sums
from stylewatch_painter.algorithm.tiles import Tile, map_size, tiles
from stylewatch_painter.network.feature_maps import FeatureMaps
from stylewatch_painter.recipes.recipe import LayerName, Network
from stylewatch_painter.stage import Regions

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
        return statistics.of_regions(seen, here, values=self.values)


def added(some: tuple[Sums, ...], others: tuple[Sums, ...]) -> tuple[Sums, ...]:
    """The sums of each region over the positions of both."""
    return tuple(one + other for one, other in zip(some, others, strict=True))


def as_whole(regions: tuple[Sums, ...], weights: Tensor | None) -> tuple[Sums, ...]:
    """Those of each region, as if it were all of its picture, whose `weights` (R, h, w) are."""
    if weights is None:
        return regions
    return tuple(one.as_of(float(weights[0].numel())) for one in regions)
