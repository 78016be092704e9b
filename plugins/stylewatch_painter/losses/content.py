"""Content loss: squared differences of feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from stylewatch_painter.late import torch
from stylewatch_painter.losses.detail import protection
from stylewatch_painter.losses.loss import (
    AdditiveLoss,
    Extent,
    Label,
    LayerSettings,
    LossBytes,
    Side,
    Weight,
    area_ratio,
    largest_bytes,
    maps_bytes,
)
from stylewatch_painter.vgg import LayerName

if TYPE_CHECKING:
    from torch import Tensor

    from stylewatch_painter.scene.scene import Maps, Scene
    from stylewatch_painter.scene.tiles import Tile


class ContentSettings(LayerSettings):
    """Settings of `Content`."""

    name = "content"
    compared = frozenset[Side]({"content"})
    loss: Literal["half_sum", "sum", "mean", "relative"]

    @property
    def formula(self) -> type[Content]:
        """The class that computes the loss."""
        return Content

    def memory(self, extent: Extent) -> LossBytes:
        """Return an upper bound of the memory of the loss."""
        maps = maps_bytes(self.layers, extent.pixels)
        largest = largest_bytes(self.layers, extent.pixels)
        return LossBytes(kept=maps, targets=largest, saved=maps, gradients=maps + 2 * largest)

    def weighed(self, content: float, style: float) -> Self:
        """Return settings with the weights multiplied by the factor for content losses."""
        return self.times(content)


@dataclass(eq=False)
class _ContentFeatures:
    """Feature maps P of the content at one layer.

    `parts` has the maps (N, M) of each tile. `entries` is the number of values in all tiles, and
    `energy` () is the sum of their squares. `weights` has the weights (M,) of the positions of each
    tile; it is empty if all positions have the same weight.
    """

    parts: dict[Tile, Tensor]
    weights: dict[Tile, Tensor]
    entries: float
    energy: Tensor


class Content(AdditiveLoss):
    """Content loss of each layer: a distance between the maps F and the content's maps P, (N, M).

    - `half_sum`: 1/2 sum (F - P)^2, equation 1 of Gatys et al. (see `loss`)
    - `sum`: sum (F - P)^2
    - `mean`: sum (F - P)^2 / (N M)
    - `relative`, which is ours: sum (F - P)^2 / sum P^2, so that one weight suits every picture

    `half_sum` and `sum` grow with the area and are multiplied by `area_ratio`. With
    `protect_detail`, the weight of each position is its `protection` divided by the mean
    protection.
    """

    rereads_maps = False
    targets_in_tiles = True

    def __init__(self, settings: ContentSettings, scene: Scene) -> None:
        self._loss = settings.loss
        self._factor = area_ratio(scene) if settings.loss in ("half_sum", "sum") else 1.0
        self._targets: dict[LayerName, _ContentFeatures] = {}
        self.layers = frozenset(settings.layers)
        shares = {layer: self._shares(layer, scene) for layer in self.layers}
        self._first_tile, *further = scene.tiles(scene.size, scene.terms.layers)
        for tile in (self._first_tile, *further):
            for layer, F in scene.content_maps(self.layers, tile).items():
                # always contiguous, because the memory format affects the last bits of sums
                self._add(layer, tile, F.float().contiguous())
                planes = shares[layer]
                if planes is not None:
                    self._targets[layer].weights[tile] = tile.part(planes, layer).flatten()
        self.weights = {
            Label("content", layer): Weight(settings.layers[layer] * scene.task.content_factor)
            for layer in self._targets
        }

    @staticmethod
    def _shares(layer: LayerName, scene: Scene) -> Tensor | None:
        """Return the weights (1, rows, columns) of positions, with mean 1; None if all are 1."""
        shape = scene.map_shape(layer)
        factors = protection(scene, shape)
        return None if factors is None else (factors / factors.mean()).view(1, *shape)

    def _add(self, layer: LayerName, tile: Tile, P: Tensor) -> None:
        energy = P.square().sum()
        if layer not in self._targets:
            self._targets[layer] = _ContentFeatures({tile: P}, {}, float(P.numel()), energy)
            return
        target = self._targets[layer]
        target.parts[tile] = P
        target.entries += P.numel()
        target.energy = target.energy + energy

    def sums(self, maps: Maps, tile: Tile | None = None) -> Sequence[Tensor]:
        """Return the loss () of each layer in `tile`, before it is scaled by `area_ratio`.

        None is the first tile, which is the only one if the picture is not divided.
        """
        return [self._sum(maps[layer], layer, tile or self._first_tile) for layer in self._targets]

    def _sum(self, F: Tensor, layer: LayerName, tile: Tile) -> Tensor:
        target = self._targets[layer]
        squares = (F.float() - target.parts[tile]).square()
        weights = target.weights.get(tile)
        square = squares.sum() if weights is None else squares.sum(0) @ weights
        match self._loss:
            case "half_sum":
                return square / 2
            case "mean":
                return square / target.entries
            case "relative":  # the result is finite for a black picture
                return square / torch.where(target.energy > 0, target.energy, 1.0)
            case _:
                return square

    def values_of(self, sums: Sequence[Tensor]) -> dict[Label, Tensor]:
        """Return the content loss () of each layer, scaled by `area_ratio` if it is a sum.

        `sums` has the results of `sums`, added over all tiles.
        """
        return {
            label: value * self._factor for label, value in zip(self.weights, sums, strict=True)
        }
