"""What a painting is held to by its content: P of each tile, kept or worked out anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from stylewatch_painter.algorithm.losses import Whole, whole
from stylewatch_painter.algorithm.tiled_network import View
from stylewatch_painter.algorithm.tiles import Tile
from stylewatch_painter.recipes.recipe import LayerName

Maps = Mapping[LayerName, Tensor]


@dataclass(frozen=True, eq=False)
class Contents:
    """P (1, N, M) of each layer, in float32: as much of it as a tile shows.

    `wholes` is what values are divided by. What is not `kept` is worked out when it is asked for,
    by `view`, from `picture` (1, 3, height, width): large pictures take hundreds of megabytes.
    """

    wholes: Mapping[LayerName, Whole]
    kept: Mapping[Tile, Maps] = field(default_factory=dict)
    view: View | None = None
    picture: Tensor | None = None

    @torch.no_grad()
    def at(self, tile: Tile) -> Maps:
        """P of each layer at a tile."""
        if tile in self.kept or self.view is None or self.picture is None:
            return self.kept.get(tile, {})
        found = self.view.at(tile, tile.of(self.picture))
        return {layer: one.float().contiguous() for layer, one in found.items()}


NOTHING = Contents({})
"""A painting that is held to no content."""


@torch.no_grad()
def contents(view: View, picture: Tensor, tiles: Sequence[Tile], *, keep: bool) -> Contents:
    """P of a `picture` (1, 3, height, width), at the `tiles` it will be asked for."""
    kept: dict[Tile, Maps] = {}
    wholes: dict[LayerName, Whole] = {}
    for tile in tiles:
        seen = view.at(tile, tile.of(picture))
        # map by map, whatever the network's order is: that of sums is a matter of bytes
        found = {layer: one.float().contiguous() for layer, one in seen.items()}
        for layer, one in found.items():
            wholes[layer] = wholes[layer] + whole(one) if layer in wholes else whole(one)
        if keep:
            kept[tile] = found
    return Contents(wholes, kept) if keep else Contents(wholes, {}, view, picture)


def together(each: Sequence[Contents]) -> Contents:
    """The contents of paintings that are painted at once, of which none is cut into tiles."""
    first = each[0]
    if len(each) == 1:
        return first
    kept = {
        tile: {layer: torch.cat([one.kept[tile][layer] for one in each]) for layer in found}
        for tile, found in first.kept.items()
    }
    energies = {layer: torch.cat([one.wholes[layer].energy for one in each])
                for layer in first.wholes}  # fmt: skip
    return Contents(
        {layer: Whole(one.entries, energies[layer]) for layer, one in first.wholes.items()}, kept
    )
