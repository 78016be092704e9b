"""The loss `layer_match`: the cosine distance of features to their nearest neighbors in a style.

Kolkin, Kucera, Paris, Sykora, Shechtman, Shakhnarovich 2022, "Neural Neighbor Style Transfer"
(arXiv 2203.13215), in the form of its final scale: layers are matched one by one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from stylewatch_painter import fields
from stylewatch_painter.late import np, torch
from stylewatch_painter.losses.loss import (
    FLOAT,
    Extent,
    Label,
    LayerSettings,
    Loss,
    LossBytes,
    SomeWeights,
    Weight,
    largest_bytes,
    maps_bytes,
)
from stylewatch_painter.losses.loss import Side as PictureSide
from stylewatch_painter.losses.nearest import BLOCK_ROWS, Side, directions, nearest_neighbors
from stylewatch_painter.regions import planes, region_flags, turned
from stylewatch_painter.resample import width_height
from stylewatch_painter.vgg import LayerName, channels, pools_before

if TYPE_CHECKING:
    from torch import Tensor

    from stylewatch_painter.scene.scene import Maps, Scene
    from stylewatch_painter.scene.task import Style
    from stylewatch_painter.size import Size

_COPIES = 2
"""Number of copies of sampled rows that a backward pass needs: one that is centered, and one that
is also scaled to length 1."""

MOST_SAMPLED = 64
"""Divisor of a map's long side that gives the stride of the sampled positions."""

_ByLayer = Mapping[LayerName, "Tensor"]


class LayerMatchSettings(LayerSettings):
    """Settings of `LayerMatch`."""

    name = "layer_match"
    compared = frozenset[PictureSide]({"content", "style"})
    finds_strokes = True
    layers: SomeWeights
    """Factor of the distance of each layer."""
    weight: fields.Weight = 1.0
    rotations: bool = False
    """True if copies of the style that are rotated by 90, 180 and 270 degrees are searched, too."""
    largest: fields.SideLength = fields.ANY_SIDE
    """Maximum long side, in pixels, of the sizes that have this term."""

    @property
    def formula(self) -> type[LayerMatch]:
        """The class that computes the loss."""
        return LayerMatch

    @property
    def can_blend(self) -> bool:
        """False: the loss cannot mix its targets from style and content."""
        return False

    def holds_at(self, side: int) -> bool:
        """Return whether `side` is at most `largest`."""
        return side <= self.largest

    def weighed(self, content: float, style: float) -> Self:
        """Return settings with the weight multiplied by `style`; `content` is not used."""
        return self.model_copy(update={"weight": self.weight * style})

    def memory(self, extent: Extent) -> LossBytes:
        """Return an upper bound of the memory of the loss."""
        turned = 4 if self.rotations else 1
        layers = self.layers
        kept = sum(maps_bytes(layers, style, extent.value) for style in extent.styles) * turned
        style = max(extent.styles, default=0.0)
        saved = 0.0
        most = 0.0
        for layer in layers:
            rows = _sampled(extent.pixels, layer)
            style_rows = _sampled(style, layer) * turned
            # centered rows of both sides, and the similarities of a block
            similarities = min(rows, BLOCK_ROWS) * min(style_rows, BLOCK_ROWS)
            search = channels(layer) * _COPIES * (rows + style_rows) + similarities
            saved += channels(layer) * _COPIES * rows * len(extent.styles)
            most = max(most, saved + search)
        gradients = maps_bytes(layers, extent.pixels, extent.value) * 2
        largest = largest_bytes(layers, style, extent.value)
        return LossBytes(kept, largest * (1 + turned), FLOAT * most, gradients)


@dataclass(frozen=True, eq=False)
class _StyleFeatures:
    """The features of one style, and its factor in each region of the painting.

    `maps` holds the features (N, rows, columns) of the style and of its rotated copies. `usable`
    holds flags (R, rows, columns) of the regions of the style's mask, for each item of `maps`; it
    is empty without a mask.
    """

    maps: Sequence[_ByLayer]
    usable: Sequence[_ByLayer]
    region_factors: Sequence[float]


def _sampled(pixels: float, layer: LayerName) -> float:
    """Return the maximum number of sampled positions of a map of `layer`.

    It is the number for a square picture with this number of `pixels`.
    """
    side = math.sqrt(pixels) / 2 ** pools_before(layer)
    return float((side / max(1, side // MOST_SAMPLED)) ** 2)


class LayerMatch(Loss):
    """Mean cosine distance of centered features to their nearest neighbors in a style.

    The loss is the weighted sum over layers. In maps whose long side has 128 positions or more, a
    step samples one position of every square, the same one in all squares of the painting and of
    the style.
    """

    rereads_maps = False

    is_capturable = False
    varies = True

    def __init__(self, settings: LayerMatchSettings, scene: Scene) -> None:
        task = scene.task
        self._scene = scene
        self._settings = settings
        self.layers = frozenset(settings.layers)
        self._painted: _ByLayer = {}
        if task.content_mask is not None:
            self._painted = self._flags(planes(task.content_mask), scene.size)
        factors = scene.region_factors()
        self._targets: dict[Label, _StyleFeatures] = {}
        self.weights = {}
        for number, style in enumerate(task.styles):
            label = Label("style", self._settings.name, style.name)
            in_regions = [1.0] if factors is None else factors[number].tolist()
            self._targets[label] = self._target(style, in_regions)
            self.weights[label] = Weight(settings.weight * task.style_weight(style))

    def _target(self, style: Style, region_factors: Sequence[float]) -> _StyleFeatures:
        rotations = self._settings.rotations
        pictures = turned(self._scene.style(style), rotations=rotations)
        maps = [self._scene.features(picture, self.layers) for picture in pictures]
        usable = []
        if style.mask is not None:
            masks = turned(planes(style.mask), rotations=rotations)
            usable = [
                self._flags(mask, width_height(picture))
                for mask, picture in zip(masks, pictures, strict=True)
            ]
        by_layer = [{layer: features[layer][0] for layer in features} for features in maps]
        return _StyleFeatures(by_layer, usable, region_factors)

    def _flags(self, regions: Tensor, size: Size) -> _ByLayer:
        """Return flags (R, rows, columns) of the positions in each of `regions`, by layer.

        The positions are those of the maps of a picture of `size`.
        """
        shapes = {layer: self._scene.map_shape(layer, size) for layer in self.layers}
        device = self._scene.device
        return {layer: region_flags(regions, shapes[layer]).to(device) for layer in shapes}

    def values(self, u: Tensor, maps: Maps, step: int) -> dict[Label, Tensor]:
        """Return the distance () of the painting from each style, at positions drawn for `step`."""
        seed = [self._scene.task.seed, *self._scene.size, step]
        painted = {
            layer: maps[layer].unflatten(-1, self._scene.map_shape(layer)) for layer in self.layers
        }
        return {
            label: self._distance(painted, target, np.random.Generator(np.random.PCG64(seed)))
            for label, target in self._targets.items()
        }

    def _distance(
        self, maps: _ByLayer, target: _StyleFeatures, draw: np.random.Generator
    ) -> Tensor:
        """Return the weighted sum () of mean cosine distances to the nearest features of a style.

        The sum is over layers and over regions of the painted `maps` (N, rows, columns), at sampled
        positions.
        """
        distance = torch.zeros((), device=self._scene.device)
        for layer, factor in self._settings.layers.items():
            stride = max(1, max(maps[layer].shape[-2:]) // MOST_SAMPLED)
            down, right = draw.integers(0, stride, 2).tolist()
            sampled = (..., slice(down, None, stride), slice(right, None, stride))
            queries = maps[layer][sampled].flatten(1).mT
            candidates = torch.cat(
                [by_layer[layer][sampled].flatten(1).mT for by_layer in target.maps]
            )
            for region, region_factor in enumerate(target.region_factors):
                rows, style_rows = queries, candidates
                if self._painted:
                    rows = queries[self._painted[layer][region][sampled].flatten()]
                if target.usable:
                    flags = [
                        by_layer[layer][region][sampled].flatten() for by_layer in target.usable
                    ]
                    style_rows = candidates[torch.cat(flags)]
                if len(rows) and len(style_rows):
                    of_region = _nearest_distance(rows.float(), style_rows.float())
                    distance = distance + factor * region_factor * of_region
        return distance


def _nearest_distance(queries: Tensor, candidates: Tensor) -> Tensor:
    """Return the mean cosine distance () of rows (Q, N) to their nearest candidates (C, N).

    The rows of each side are centered by their mean. No gradient flows through the choice of the
    nearest candidates.
    """
    with torch.no_grad():
        nearest = nearest_neighbors(Side(queries), Side(candidates))
        chosen = directions(candidates[nearest] - candidates.mean(0))
    return 1 - (directions(queries - queries.mean(0)) * chosen).sum(-1).mean()
