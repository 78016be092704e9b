"""Scene: a painting at one size, with the pictures and features from which losses are computed."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from stylewatch_painter.network.vgg19 import FeatureMaps
from stylewatch_painter.recipes.recipe import Terms
from stylewatch_painter.regions import planes
from stylewatch_painter.scene.canvas import Canvas
from stylewatch_painter.scene.padding import features
from stylewatch_painter.scene.scales import Level, map_size
from stylewatch_painter.scene.task import Style, Task
from stylewatch_painter.scene.tiles import Tile, tiles
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Regions
from stylewatch_painter.vgg import LayerName

Maps = Mapping[LayerName, Tensor]
"""Features after ReLU by layer, each (N, M): N feature maps of M positions, row by row."""


@dataclass(frozen=True, eq=False)
class Scene:
    """The painting on `canvas` at one size, as `network` sees it.

    `terms` are the settings of its losses. `start` (1, 3, height, width) is the picture that this
    size starts from; if it is None, targets use the content in its place. Pictures are evaluated in
    tiles of about `tile` pixels per side, or in one piece if `tile` is None.
    """

    canvas: Canvas
    network: FeatureMaps
    level: Level
    terms: Terms
    start: Tensor | None = None
    tile: int | None = None
    task: Task = field(init=False)
    """The task of the painting, with only the styles that are large enough for this size."""
    _content_features: dict[LayerName, Tensor] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "task", self.canvas.seen_at(self.level))

    @property
    def size(self) -> Size:
        """The size of the painting at this level."""
        return self.level.size

    @property
    def device(self) -> torch.device:
        """The device of all tensors."""
        return self.network.device

    @property
    def content(self) -> Tensor | None:
        """The content (1, 3, height, width) at this size, or None; it must not be modified."""
        return self.canvas.content(self.size)

    def style(self, style: Style) -> Tensor:
        """Return a style (1, 3, height, width) at this size.

        Raises PictureError if it is too small for the network.
        """
        return self.canvas.style(style, self.task.style_size(style, self.level.scale))

    def features(self, picture: Tensor, layers: Collection[LayerName]) -> dict[LayerName, Tensor]:
        """Return the features (1, N, rows, columns) by layer of a picture (1, 3, height, width)."""
        return features(self.network, picture, layers, self.task.recipe.objective.network)

    def content_features(self, layers: Collection[LayerName]) -> dict[LayerName, Tensor]:
        """Return the features (1, N, rows, columns) of the content at `layers`; do not modify them.

        If the losses read further layers, the features at all these layers are computed at once and
        kept for the other losses until `free_content_features` is called. The task must have a
        content.
        """
        content = self.content
        assert content is not None
        layers_of_losses = self.terms.layers
        if layers_of_losses == set(layers):  # no other loss needs another layer
            return self.features(content, layers)
        if not self._content_features:
            self._content_features.update(self.features(content, layers_of_losses))
        return {layer: self._content_features[layer] for layer in layers}

    def free_content_features(self) -> None:
        """Drop the features of the content; they are computed again when needed."""
        self._content_features.clear()

    def maps(
        self, picture: Tensor, layers: Collection[LayerName], tile: Tile | None = None
    ) -> dict[LayerName, Tensor]:
        """Return the maps (N, M) by layer of a picture (1, 3, height, width).

        With a `tile`, `picture` is the tile with its halo, and the maps are cropped to the tile.
        """
        return _flattened(self.features(picture, layers), tile)

    def content_maps(
        self, layers: Collection[LayerName], tile: Tile | None = None
    ) -> dict[LayerName, Tensor]:
        """Return the maps (N, M) by layer of the content, or of a tile of it.

        The task must have a content.
        """
        if tile is None or tile.is_whole:
            return _flattened(self.content_features(layers), tile)
        content = self.content
        assert content is not None
        return self.maps(tile.of(content), layers, tile)

    def map_shape(self, layer: LayerName, size: Size | None = None) -> tuple[int, int]:
        """Return (rows, columns) of a layer's maps at `size`, by default that of the painting."""
        return map_size(size or self.size, layer, self.task.recipe.objective.network)

    def tiles(self, size: Size, layers: Collection[LayerName]) -> tuple[Tile, ...]:
        """Return the tiles of a picture of `size` that are evaluated one after another."""
        return tiles(size, self.tile, layers)

    def region_weights(
        self, mask: Regions | None, size: Size, layers: Collection[LayerName]
    ) -> Maps:
        """Return the weight of each position in each region, (R, rows, columns) by layer.

        The mapping is empty without a mask. A weight is the mean of the mask over the area of the
        position in a picture of `size`. Such means preserve every region and its share of the area,
        however small the map is.
        """
        if mask is None:
            return {}
        regions = planes(mask)
        # averaged on the CPU, because not every device supports windows of unequal size
        return {
            layer: adaptive_avg_pool2d(regions, self.map_shape(layer, size)).to(self.device)
            for layer in layers
        }

    def region_factors(self, *, blended: bool = False) -> Tensor | None:
        """Return the factor (S, R), float32, of S styles in R regions; None without regions.

        The factor of style s in region r is (share of r in the picture) x (weight of s in r) /
        (largest weight of s in any region). It multiplies a loss that already has that largest
        weight (`Task.style_weight`). The share of r gives every pixel the same gradient as without
        regions. If the styles are `blended` into one, S is 1, and the factor is the share of r, or
        0 if r has no style.
        """
        task = self.task
        if task.content_mask is None:
            return None
        area = planes(task.content_mask).mean((1, 2))
        of_regions = torch.from_numpy(task.region_style_weights())
        if blended:  # a region may have lost all its styles, which are left out at this size
            return (area * (of_regions.sum(0) > 0))[None].to(self.device)
        largest = of_regions.amax(1, keepdim=True)
        of_largest = torch.where(largest > 0, of_regions / largest, 0.0)
        return (of_largest * area).float().to(self.device)


def _flattened(maps: dict[LayerName, Tensor], tile: Tile | None) -> dict[LayerName, Tensor]:
    """Replace features (1, N, rows, columns) in `maps` by maps (N, M) without halo; return `maps`.

    The features are replaced layer by layer, so that only one map exists twice.
    """
    for layer, features_of_layer in maps.items():
        inside = features_of_layer if tile is None else tile.cut(features_of_layer, layer)
        # the gradient of `[0]` would be a copy; that of `squeeze` is a view
        maps[layer] = inside.flatten(2).squeeze(0)
    return maps
