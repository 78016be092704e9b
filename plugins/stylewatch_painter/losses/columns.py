"""Neural neighbor loss: each position of the painting follows its nearest neighbor in a style.

Kolkin, Kucera, Paris, Sykora, Shechtman, Shakhnarovich 2022, "Neural Neighbor Style Transfer"
(arXiv 2203.13215). A hypercolumn holds the features of all layers at one position of a grid that
has a quarter of the picture's rows and columns. Each layer is divided by its number of maps, so
that layers with many maps do not outweigh the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from pydantic import Field

from stylewatch_painter import fields
from stylewatch_painter.late import functional, late, torch
from stylewatch_painter.losses.detail import protection
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
from stylewatch_painter.losses.nearest import TINY, Side, directions, nearest_neighbors
from stylewatch_painter.regions import for_region, planes, region_flags, turned
from stylewatch_painter.resample import finest_detail, width_height
from stylewatch_painter.vgg import LayerName, channels

if TYPE_CHECKING:
    from torch import Tensor

    from stylewatch_painter.losses import operations
    from stylewatch_painter.losses.operations import Grid
    from stylewatch_painter.scene.scene import Maps, Scene
    from stylewatch_painter.scene.task import Style
    from stylewatch_painter.size import Size
else:
    operations = late("stylewatch_painter.losses.operations")

_COARSER = 4
"""Distance in pixels between neighboring positions of the grid of hypercolumns."""

_SEARCH = 100 * 10**6
"""Memory of a search in bytes, without its rows: similarities of a block, hubs, and projection."""

_LEAST_DEVIATION = 1e-3
"""Minimum standard deviation of brightness (0..1) to divide by. The deviation is near 0 in a plain
picture."""


class NeighborsSettings(LayerSettings):
    """Settings of `Columns`."""

    name = "neighbors"
    compared = frozenset[PictureSide]({"content", "style"})
    finds_strokes = True
    layers: SomeWeights
    """Layers of a hypercolumn, each with the factor of its features."""
    weight: fields.Weight = 1.0
    content_share: fields.Share = 0.75
    """Share of the content in the picture that is matched, blended with the start of the scale.
    With `start: content` the coarsest scale matches the content alone."""
    hub_penalty: fields.Weight = 0.0
    """Factor of `nearest.hubness`, the penalty for hubs: positions of the style that are near to
    many positions of the picture."""
    brightness: fields.Weight = 0.0
    """Factor of the squared difference of brightness, in standard deviations. Light places then
    follow light places of the style, and dark places follow dark places."""
    dimensions: fields.Whole | None = Field(None, ge=1)
    """Number of dimensions to which hypercolumns are projected for the search; null: all, an exact
    search."""
    by_length: bool = False
    """True if positions whose targets are shorter than the root mean square length count less, in
    proportion. These positions lie in plain areas, and the directions of their features are mostly
    noise."""
    rotations: bool = False
    """True if the style is also searched turned by 90, 180 and 270 degrees."""
    largest: fields.SideLength = fields.ANY_SIDE
    """Maximum long side, in pixels, of the sizes that have this term."""

    def holds_at(self, side: int) -> bool:
        """Return whether `side` is at most `largest`."""
        return side <= self.largest

    def weighed(self, content: float, style: float) -> Self:
        """Return settings whose weight is multiplied by `style`, the factor for style losses."""
        return self.model_copy(update={"weight": self.weight * style})

    @property
    def formula(self) -> type[Columns]:
        """The class that computes the loss."""
        return Columns

    def memory(self, extent: Extent) -> LossBytes:
        """Return an upper bound of the memory of the loss for pictures of `extent`."""
        column = sum(map(channels, self.layers)) * FLOAT
        painted = extent.pixels / _COARSER**2 * column
        turned = 4 if self.rotations else 1
        searched = max(extent.styles, default=0.0) / _COARSER**2 * column * turned
        is_mixed = self.content_share < 1
        copies = 1 if self.dimensions is None else 0
        kept = painted * (extent.regions * len(extent.styles) + extent.has_mask)
        search = (painted + searched) * (1 + copies)  # centered rows, and rows with penalties
        targets = (1 + is_mixed) * painted + searched + max(search, searched, 3 * painted)
        largest = largest_bytes(self.layers, extent.pixels)
        maps = maps_bytes(self.layers, extent.pixels)
        # gradients of hypercolumns, which are freed while the gradients of maps are computed
        gradients = max(2 * painted, maps + 2 * largest)
        return LossBytes(kept, targets + _SEARCH, painted + largest, gradients)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Hypercolumns of one or more pictures, and the brightness at their positions.

    `columns` is float32 (positions, D), where D is the sum of N over all layers. `brightness` is
    float32 (positions,), 0..1.
    """

    columns: Tensor
    brightness: Tensor


@dataclass(frozen=True, eq=False)
class Target:
    """Target directions of the hypercolumns for one style and one region.

    `columns` (positions, D) have length 1; D is the sum of N over all layers. `weights`
    (positions,) are the weights of the distances in the loss; None stands for the mean of all
    distances.
    """

    columns: Tensor
    weights: Tensor | None = None


class Columns(Loss):
    """Mean cosine distance of hypercolumns to their targets, with a weighted sum over regions.

    The constructor computes the targets. It matches each position of the content, or of a blend of
    content and start (`content_share`), with the nearest hypercolumn of the style. The target is a
    blend of this hypercolumn and the content's (`Task.style_mix`). Outside of the regions the
    targets are the hypercolumns of the content.
    """

    rereads_maps = False

    needs_start = True

    def __init__(self, settings: NeighborsSettings, scene: Scene) -> None:
        self._settings = settings
        self._scene = scene
        self.layers = frozenset(settings.layers)
        content = scene.content
        task = scene.task
        assert content is not None
        content_rows = queries = self._content_rows(content)
        if scene.start is not None and settings.content_share < 1:
            mixed = _mixed(content, scene.start, settings.content_share)
            queries = replace(content_rows, columns=self._columns(mixed))
        self._regions = None
        if task.content_mask is not None:
            shares = functional.adaptive_avg_pool2d(planes(task.content_mask), grid(scene.size))
            self._regions = shares.flatten(1).to(scene.device)
        self._region_factors = scene.region_factors()
        outside = self._outside(content_rows)
        self.targets: dict[Label, tuple[Target, ...]] = {}
        self.weights = {}
        for number, style in enumerate(task.styles):
            label = Label("style", "neighbors", style.name)
            self.targets[label] = (*self._matches(content_rows, queries, style, number), *outside)
            self.weights[label] = Weight(settings.weight * task.style_weight(style))

    def values(self, u: Tensor, maps: Maps, step: int) -> dict[Label, Tensor]:
        """Return the distance () of the painting from its targets, for each style."""
        shaped = {
            layer: maps[layer].unflatten(-1, self._scene.map_shape(layer))
            for layer in self._settings.layers
        }
        rows = hypercolumns_on_grid(shaped, grid(self._scene.size), self._settings.layers)
        return {label: distance(rows, targets) for label, targets in self.targets.items()}

    # targets

    def _content_rows(self, content: Tensor) -> _Rows:
        """Return the hypercolumns and the brightness of the content (1, 3, height, width)."""
        features = self._scene.content_features(self.layers)
        columns = self._joined(features, grid(self._scene.size))
        return _Rows(columns, self._brightness(content).to(self._scene.device))

    def _rows(self, pictures: Sequence[Tensor]) -> _Rows:
        """Return the hypercolumns and the brightness of one or more pictures (1, 3, height, width).

        The rows of all pictures are concatenated in order.
        """
        columns = [self._columns(picture) for picture in pictures]
        brightness = [self._brightness(picture) for picture in pictures]
        return _Rows(torch.cat(columns), torch.cat(brightness).to(self._scene.device))

    def _columns(self, picture: Tensor) -> Tensor:
        """Return the hypercolumns (positions, D) of a picture (1, 3, height, width)."""
        features = self._scene.features(picture, self.layers)
        return self._joined(features, grid(width_height(picture)))

    def _joined(self, features: Mapping[LayerName, Tensor], shape: Grid) -> Tensor:
        """Return the hypercolumns (positions, D) on a grid of `shape`.

        `features` maps layers to features (1, N, rows, columns).
        """
        maps = {layer: feature[0] for layer, feature in features.items()}
        return torch.cat(hypercolumns_on_grid(maps, shape, self._settings.layers), dim=-1)

    def _brightness(self, picture: Tensor) -> Tensor:
        """Return the brightness (positions,), 0..1, on the grid of a picture, on the CPU."""
        brightness = self._scene.canvas.brightness(picture)
        shape = grid(width_height(picture))
        return functional.adaptive_avg_pool2d(brightness[None], shape).flatten()

    def _matches(self, content: _Rows, queries: _Rows, style: Style, number: int) -> list[Target]:
        """Return one target for each region of the painting, or a single target without regions.

        `number` is the index of `style` among the styles of the task. The targets are blends of the
        nearest hypercolumns of the style and the hypercolumns of the content.
        """
        pictures = turned(self._scene.style(style), rotations=self._settings.rotations)
        candidates = self._rows(pictures)
        regions = self._regions
        mix = self._mix()
        usable: Sequence[Tensor | None] = [None]
        if style.mask is not None:
            masks = turned(planes(style.mask), rotations=self._settings.rotations)
            usable = list(self._usable(masks, pictures))
        targets = []
        for region in range(1 if regions is None else len(regions)):
            selected = None if regions is None else regions[region] > 0
            matches = self._match(queries, selected, candidates, for_region(usable, region))
            blended = content.columns.lerp(candidates.columns[matches], mix)
            weights = None
            if regions is not None and self._region_factors is not None:
                total = regions[region].sum().clamp(min=TINY)
                weights = regions[region] / total * self._region_factors[number, region]
            if self._settings.by_length:
                shares = _shares_by_length(blended)
                weights = shares / len(shares) if weights is None else weights * shares
            targets.append(Target(directions(blended), weights))
            del blended  # free the memory before the next search makes its copies
        return targets

    def _mix(self) -> Tensor:
        """Return the share of the style in the target of each position, (positions, 1).

        The shape is () if all positions have the same share.
        """
        share = torch.tensor(self._scene.task.style_mix, device=self._scene.device)
        factors = protection(self._scene, grid(self._scene.size))
        return share if factors is None else share.pow(factors).unsqueeze(1)

    def _usable(self, masks: Sequence[Tensor], pictures: Sequence[Tensor]) -> Tensor:
        """Return flags, bool (R, candidates), of the candidates in each region of a style.

        `masks` and `pictures` are the mask and the picture of the style in each rotation.
        """
        flags = [
            region_flags(mask, grid(width_height(picture))).flatten(1)
            for mask, picture in zip(masks, pictures, strict=True)
        ]
        return torch.cat(flags, dim=1).to(self._scene.device)

    def _match(
        self, queries: _Rows, selected: Tensor | None, candidates: _Rows, usable: Tensor | None
    ) -> Tensor:
        """Return the index (positions,) of the nearest candidate for each query.

        `selected` flags the queries in a region, and `usable` flags the candidates. None selects
        all.
        """
        settings = self._settings
        factor = math.sqrt(settings.brightness)
        return nearest_neighbors(
            _side(queries, selected, factor),
            _side(candidates, usable, factor),
            settings.hub_penalty,
            settings.dimensions,
        )

    def _outside(self, content: _Rows) -> tuple[Target, ...]:
        """Return the target for the area outside of the regions: the hypercolumns of the content.

        The tuple is empty without regions, or if the area is smaller than one position.
        """
        if self._regions is None:
            return ()
        share = (1 - self._regions.sum(0)).clamp(min=0)
        if share.sum() < 1:  # less than one position is an error of rounding
            return ()
        return (Target(directions(content.columns), share / len(share)),)


def _shares_by_length(rows: Tensor) -> Tensor:
    """Return weights (R,), 0..1, of rows (R, N) by their lengths.

    The weight is the length divided by the root mean square length, and at most 1.
    """
    lengths = torch.linalg.vector_norm(rows, dim=1)
    shares: Tensor = lengths / lengths.square().mean().clamp(min=TINY).sqrt()
    return shares.clamp(max=1)


def _side(rows: _Rows, counted: Tensor | None, factor: float) -> Side:
    """Return rows as one side of a search, with their standardized brightness times `factor`.

    With a `factor` of 0 the side has no brightness.
    """
    if not factor:
        return Side(rows.columns, counted)
    return Side(rows.columns, counted, factor * _standardized(rows.brightness, counted))


def _standardized(values: Tensor, counted: Tensor | None) -> Tensor:
    """Standardize values (positions,) by the mean and the deviation of the `counted` positions.

    The deviation is at least `_LEAST_DEVIATION`. `counted` None stands for all positions. If no
    position counts, the values are returned unchanged.
    """
    some = values if counted is None else values[counted]
    if not len(some):
        return values
    return (values - some.mean()) / some.std(correction=0).clamp(min=_LEAST_DEVIATION)


def _mixed(content: Tensor, start: Tensor, share: float) -> Tensor:
    """Return the picture to match: `share` of the content and 1 - `share` of the start.

    The content's finest detail first replaces that of the start: an enlarged start has no fine
    detail that could match edges of the style. Pictures are (1, 3, height, width).
    """
    sharp = start - finest_detail(start) + finest_detail(content)
    return torch.lerp(sharp, content, share)


# hypercolumns and their distance


def grid(size: Size) -> Grid:
    """Return the numbers of rows and columns, at least 1, of the grid for a picture of `size`."""
    return max(1, size.height // _COARSER), max(1, size.width // _COARSER)


def hypercolumns_on_grid(
    maps: Mapping[LayerName, Tensor], shape: Grid, factors: Mapping[LayerName, float]
) -> list[Tensor]:
    """Return the hypercolumns on a grid of `shape` as one part (positions, N), float32, per layer.

    `maps` maps layers to features (N, rows, columns). The parts have the order of `factors`; each
    is multiplied by the factor of its layer and divided by N.
    """
    return [
        operations.OnGrid.apply(maps[layer], shape) * (factor / len(maps[layer]))
        for layer, factor in factors.items()
    ]


def distance(rows: Sequence[Tensor], regions: Sequence[Target]) -> Tensor:
    """Return the mean cosine distance () of hypercolumns to targets, summed over `regions`.

    `rows` are the parts (positions, N) of the hypercolumns, one for each layer. There must be at
    least one region.
    """
    apply = operations.CosineDistance.apply
    distances = [apply(target.columns, target.weights, *rows) for target in regions]
    distance: Tensor = sum(distances[1:], distances[0])
    return distance
