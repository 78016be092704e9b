"""Style loss: distances of Gram matrices, or of the moments of features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal, Self

from pydantic import model_validator

from stylewatch_painter.late import late, torch
from stylewatch_painter.losses.loss import (
    FLOAT,
    AdditiveLoss,
    Extent,
    Label,
    LayerSettings,
    LossBytes,
    Side,
    Weight,
    added,
    largest_bytes,
    maps_bytes,
)
from stylewatch_painter.regions import for_region
from stylewatch_painter.vgg import LayerName, channels

if TYPE_CHECKING:
    from torch import Tensor

    from stylewatch_painter.losses import operations
    from stylewatch_painter.scene.scene import Maps, Scene
    from stylewatch_painter.scene.task import Style
    from stylewatch_painter.scene.tiles import Tile
    from stylewatch_painter.size import Size
    from stylewatch_painter.stage import Regions
else:
    operations = late("stylewatch_painter.losses.operations")

_PRODUCTS = 3  # Gram matrices of the output, their difference from the target, and its square
_ROOTS = 5  # float32 matrices that the root of a matrix and its gradient take
_MIN_REGION_WEIGHT = 1e-12  # divisor for an empty region

_VARIANCE_FLOOR = 1e-4
"""Minimum variance in every direction, as a share of the target's mean variance. Without a minimum,
the gradient is unbounded in a direction in which only one of two pictures varies."""
_MIN_VARIANCE = 1e-8
"""Minimum variance if the target has no variance."""

Grams = Mapping[LayerName, "Tensor"]
"""Gram matrices A (R, N, N), float32, by layer; R is the number of regions, 1 without a mask. With
`gram: moments` they are moment matrices (R, N + 1, N + 1)."""


class StyleSettings(LayerSettings):
    """Settings of `GramStyle`."""

    name = "style"
    compared = frozenset[Side]({"style"})
    gram: Literal["sum", "mean", "mean_maps", "moments"]
    loss: Literal["paper", "keras", "mean", "relative", "wasserstein"]
    several: Literal["losses", "grams"] = "losses"
    """Treatment of several styles: `losses` adds their losses, `grams` averages their Gram matrices
    into one target."""

    @model_validator(mode="after")
    def _moments_for_wasserstein(self) -> Self:
        if (self.gram == "moments") != (self.loss == "wasserstein"):
            raise ValueError(
                "gram: moments and loss: wasserstein go together: the distance is between means "
                "and covariances, and no other loss is"
            )
        return self

    @property
    def formula(self) -> type[GramStyle]:
        """The class that computes the loss."""
        return GramStyle

    @property
    def sums_bytes(self) -> int:
        """Bytes of the sums over the positions of one region: a Gram matrix for each layer.

        With `wasserstein` they include the memory for the root of each matrix and for its gradient.
        """
        matrices = sum(channels(layer) ** 2 for layer in self.layers)
        return matrices * FLOAT * (_ROOTS if self.loss == "wasserstein" else 1)

    def memory(self, extent: Extent) -> LossBytes:
        """Return an upper bound of the memory of the loss for pictures of `extent`."""
        matrices = self.sums_bytes * extent.regions
        numbers = sum(channels(layer) ** 2 for layer in self.layers) * extent.regions
        is_exact = self.loss == "wasserstein"  # roots of covariances, in float64
        targets = numbers * (2 if is_exact else 1) * FLOAT * (len(extent.styles) + 1)
        largest = max(extent.pixels, *extent.styles, 0.0)
        weighted = largest_bytes(self.layers, largest, extent.value)
        maps = maps_bytes(self.layers, extent.pixels, extent.value)
        products = matrices * _PRODUCTS
        kept = targets
        while_kept = weighted + 2 * matrices
        if extent.has_mask:  # the maps of each region, multiplied by their weights
            saved = maps * extent.regions
            gradients = maps + 2 * weighted + products
            return LossBytes(kept, while_kept, saved, gradients)
        gradients = products if extent.in_place else products + maps
        return LossBytes(kept, while_kept, saved=0, gradients=gradients, features=maps)

    def weighed(self, content: float, style: float) -> Self:
        """Return settings with the weights multiplied by the factor for style losses."""
        return self.times(style)


@dataclass(frozen=True, eq=False)
class Sums:
    """Weighted sums of the features of a layer over positions; `+` adds the sums of two tiles.

    `products` (N, N) is F F^T. `values` (N,) is the sum of each map, or None if it was not
    requested. Both are float32.
    """

    products: Tensor
    values: Tensor | None

    def __add__(self, other: Sums) -> Sums:
        values = None
        if self.values is not None and other.values is not None:
            values = self.values + other.values
        return Sums(self.products + other.products, values)

    def scaled(self, factor: float) -> Sums:
        """Return the sums multiplied by a factor."""
        values = None if self.values is None else self.values * factor
        return Sums(self.products * factor, values)

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors through which gradients flow: `products`, then `values` if present."""
        return [self.products] if self.values is None else [self.products, self.values]

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> Self:
        """Return the sums with these `tensors`, in the order of the property `tensors`."""
        products, *values = tensors
        return cls(products, values[0] if values else None)


LayerSums = dict[LayerName, list[Sums]]
"""Lists of sums by layer, with one entry for each region."""

MapsOf = Callable[[Collection[LayerName], "Tile"], dict[LayerName, "Tensor"]]
"""Function that returns the maps (N, M) of some layers, for one tile of a picture."""


@dataclass(frozen=True, eq=False)
class _StyleGrams:
    """Gram matrices A of one style, or of a blend of all styles.

    `weight` is the share of this target in the style loss.
    """

    name: str
    weight: float
    grams: Grams


class GramStyle(AdditiveLoss):
    """Style loss of each style and layer; see `gram` and `style_value` for the formulas.

    If the content has a mask, the losses of its regions are added up, weighted by
    `Scene.region_factors`.
    """

    rereads_maps = False
    targets_in_tiles = True

    def __init__(self, settings: StyleSettings, scene: Scene) -> None:
        task = scene.task
        self._settings = settings
        self._scene = scene
        self.layers = frozenset(settings.layers)
        self.is_capturable = settings.loss != "wasserstein"  # eigenvalues need the CPU
        self.can_overwrite_maps = not scene.network.rereads_maps
        self._with_values = settings.gram == "moments"
        self._region_weights = scene.region_weights(task.content_mask, scene.size, settings.layers)
        # computed once, because an evaluation that reads numbers from a GPU cannot be captured
        self._region_counts = region_counts(self._region_weights)
        self._targets = self._style_targets()
        self._region_factors = scene.region_factors(blended=self._blends)
        self.weights = {
            Label("style", layer, target.name): Weight(settings.layers[layer] * target.weight)
            for target in self._targets
            for layer in settings.layers
        }

    def sums(self, maps: Maps, tile: Tile | None = None) -> Sequence[Tensor]:
        """Return the tensors of the sums of F over `tile`, or over the whole picture if it is None.

        They are ordered by layer, then by region, then as in `Sums.tensors`.
        """
        sums = self._tile_sums(maps, tile, self._region_weights)
        return [
            tensor
            for layer in self._settings.layers
            for region in sums[layer]
            for tensor in region.tensors
        ]

    def values_of(self, sums: Sequence[Tensor]) -> dict[Label, Tensor]:
        """Return the style loss, a tensor (), of each style and layer.

        `sums` are the tensors that the method `sums` returns, added up over all tiles.
        """
        pixels = self._scene.size.area
        grams = self._painted_grams(sums)
        values: dict[Label, Tensor] = {}
        for number, target in enumerate(self._targets):
            for layer, A in target.grams.items():
                count = self._positions(layer)
                regions_of_style = A.unbind()
                of_regions = [
                    style_value(
                        G, for_region(regions_of_style, region), count, pixels, self._settings
                    )
                    for region, G in enumerate(grams[layer])
                ]
                value = of_regions[0]
                if self._region_factors is not None:
                    value = (torch.stack(of_regions) * self._region_factors[number]).sum()
                values[Label("style", layer, target.name)] = value
        return values

    def _painted_grams(self, tensors: Sequence[Tensor]) -> dict[LayerName, list[Tensor]]:
        """Return the Gram matrix of each layer and region of the painting.

        `tensors` has the results of `sums`, added over all tiles.
        """
        per_region = 2 if self._with_values else 1
        start = 0
        grams: dict[LayerName, list[Tensor]] = {}
        for layer in self._settings.layers:
            positions = self._positions(layer)
            grams[layer] = []
            for count in self._region_counts.get(layer, [positions]):
                sums = Sums.of(tensors[start : start + per_region])
                start += per_region
                grams[layer].append(self._gram(sums, count, positions))
        return grams

    def _gram(self, sums: Sums, count: float, positions: float) -> Tensor:
        """Return G of sums over `count` positions, scaled to all `positions` of a map."""
        if count != positions:
            sums = sums.scaled(positions / max(count, _MIN_REGION_WEIGHT))
        return gram(sums, positions, self._settings)

    def _positions(self, layer: LayerName) -> float:
        """Return the number of positions of a layer's map."""
        rows, columns = self._scene.map_shape(layer)
        return float(rows * columns)

    def _tile_sums(self, maps: Maps, tile: Tile | None, weights: Maps) -> LayerSums:
        """Return the sums over each region of a tile, or over all positions without `weights`.

        If `tile` is None, `maps` are those of the whole picture. Maps that the loss does not use
        are skipped.
        """
        sums: LayerSums = {}
        for layer, F in maps.items():
            if layer not in self.layers:
                continue
            regions: Sequence[Tensor | None] = [None]
            if layer in weights:
                of_tile = weights[layer] if tile is None else tile.part(weights[layer], layer)
                regions = [region.flatten() for region in of_tile]
            sums[layer] = [
                feature_sums(F, region, values=self._with_values, replace=self.overwrites_maps)
                for region in regions
            ]
        return sums

    # targets

    def _style_targets(self) -> tuple[_StyleGrams, ...]:
        """Return the target matrices: those of each style, or those of one blend of all styles."""
        task = self._scene.task
        targets = [
            _StyleGrams(style.name, task.style_weight(style), self._scaled(style))
            for style in task.styles
        ]
        if self._blends:
            from stylewatch_painter.stage import BLEND  # loads NumPy, which settings need not

            targets = [_StyleGrams(BLEND, 1.0, self._blended(targets))]
        content = self._content_grams()
        return tuple(
            replace(target, grams=self._prepared(target.grams, content)) for target in targets
        )

    def _prepared(self, grams: Grams, content: Grams | None) -> Grams:
        """Return target matrices in the form for the loss, blended with the content's if any."""
        if content is not None:
            mix = self._scene.task.style_mix
            grams = {layer: content[layer].lerp(A, mix) for layer, A in grams.items()}
        if self._settings.loss == "wasserstein":
            grams = {layer: wasserstein_target(A) for layer, A in grams.items()}
        return grams

    @property
    def _blends(self) -> bool:
        """True if the styles share one blended target, even if only one fits this size."""
        several = len(self._scene.canvas.task.styles) > 1
        return self._settings.several == "grams" and several

    def _blended(self, targets: Sequence[_StyleGrams]) -> Grams:
        """Return the weighted mean of the Gram matrices of all styles, for each region."""
        weights = torch.from_numpy(self._scene.task.region_style_weights())
        shares = weights.to(self._scene.device, torch.float32).unsqueeze(-1).unsqueeze(-1)
        return {
            layer: sum(
                (
                    share * target.grams[layer]
                    for share, target in zip(shares, targets, strict=True)
                ),
                torch.tensor(0.0),
            )
            for layer in targets[0].grams
        }

    def _scaled(self, style: Style) -> Grams:
        """Return the Gram matrices of a style by layer.

        Shallow layers may see the style at a smaller size (see `Task.style_views`). With `gram:
        sum` a matrix grows with its picture and is therefore scaled to the size of the painting.
        Without the scaling, a style at another scale would change the brightness of the painting,
        not the size of its strokes.
        """
        task = self._scene.task
        layers = self._settings.layers
        level_scale = self._scene.level.scale
        grams: dict[LayerName, Tensor] = {}
        for view in task.style_views(style, level_scale, layers):
            maps_of = partial(self._style_maps, self._scene.canvas.style(style, view.size))
            of_view = self._grams(maps_of, view.size, style.mask, view.layers)
            if self._settings.gram == "sum":
                # as if the style had been enlarged for shallow layers as well
                larger = level_scale / view.scale
                style_scale = task.style_scale(style)
                of_view = {layer: A * larger**2 / style_scale**2 for layer, A in of_view.items()}
            grams |= of_view
        return {layer: grams[layer] for layer in layers}

    def _style_maps(
        self, picture: Tensor, layers: Collection[LayerName], tile: Tile
    ) -> dict[LayerName, Tensor]:
        """Return the maps (N, M) of a tile of a style picture (1, 3, height, width)."""
        return self._scene.maps(tile.of(picture), layers, tile)

    def _content_grams(self) -> Grams | None:
        """Return the Gram matrices of the content by layer.

        None if the task mixes nothing of the content into targets, or has no content.
        """
        scene = self._scene
        if scene.task.style_mix == 1 or scene.content is None:
            return None
        mask = scene.task.content_mask
        return self._grams(scene.content_maps, scene.size, mask, self._settings.layers)

    def _grams(
        self, maps_of: MapsOf, size: Size, mask: Regions | None, layers: Collection[LayerName]
    ) -> dict[LayerName, Tensor]:
        """Return the matrices of a picture of `size` by layer, in the form of `Grams`.

        Each matrix is scaled as if its region filled the picture. `maps_of` returns the maps of one
        tile of the picture.
        """
        total: LayerSums = {}
        positions: Counter[LayerName] = Counter()
        weights = self._scene.region_weights(mask, size, layers)
        for tile in self._scene.tiles(size, layers):
            maps = maps_of(layers, tile)
            sums = self._tile_sums(maps, tile, weights)
            for layer, regions in sums.items():
                total[layer] = added(total.get(layer), regions)
                positions[layer] += maps[layer].shape[-1]
        counts = region_counts(weights)
        grams: dict[LayerName, Tensor] = {}
        for layer, regions in total.items():
            M = float(positions[layer])
            of_regions = zip(regions, counts.get(layer, [M]), strict=True)
            grams[layer] = torch.stack([self._gram(sums, count, M) for sums, count in of_regions])
        return grams


# sums over positions


def feature_sums(
    maps: Tensor, weights: Tensor | None = None, *, values: bool = False, replace: bool = False
) -> Sums:
    """Return the sums of F (N, M) over its positions, weighted by `weights` (M,) if given.

    With `values` the sum of each map is included. With `replace` and without `weights`, the
    backward pass may overwrite F in memory (see `Loss.overwrites_maps`).
    """
    if weights is None:
        totals = maps.sum(-1, dtype=torch.float32) if values else None
        return Sums(operations.Products.apply(maps, replace), totals)
    totals = maps.float() @ weights if values else None
    # both factors of a product carry the square root of the weight
    products = operations.Products.apply(maps * weights.sqrt().to(maps.dtype), True)
    return Sums(products, totals)


def region_counts(weights: Maps) -> dict[LayerName, list[float]]:
    """Return the number of positions in each region, the sum of their `weights`, by layer."""
    # on the CPU, because not every device has float64
    return {
        layer: regions.cpu().double().sum((1, 2)).tolist() for layer, regions in weights.items()
    }


# formulas


def gram(sums: Sums, M: float, style: StyleSettings) -> Tensor:
    """Return the Gram matrix G (N, N) of sums over M positions, float32.

    - `sum`: G = F F^T, equation 3 of Gatys et al. (see `loss`)
    - `mean`: G / M
    - `mean_maps`: G / (N M)
    - `moments`: the `moment_matrix` of F, (N + 1, N + 1)
    """
    G = sums.products
    N = len(G)
    match style.gram:
        case "sum":
            return G
        case "mean":
            return G / M
        case "mean_maps":
            return G / (N * M)
        case "moments":
            assert sums.values is not None
            return moment_matrix(G / M, sums.values / M)


def moment_matrix(products: Tensor, means: Tensor) -> Tensor:
    """Combine second moments (N, N) and means (N,) into one matrix (N + 1, N + 1).

    It is the mean outer product, with itself, of the vector of N features and a constant 1. Like a
    Gram matrix, it can be averaged over tiles and styles.
    """
    column = means.unsqueeze(-1)
    above = torch.cat([products, column], -1)
    return torch.cat([above, torch.cat([column.mT, torch.ones_like(column[:1])], -1)])


def style_value(G: Tensor, A: Tensor, M: float, S: int, style: StyleSettings) -> Tensor:
    """Return the style loss () of G and A (N, N), for maps of M positions and S pixels.

    - `paper`: sum (G - A)^2 / (4 N^2 M^2), equation 4 of Gatys et al. (see `loss`)
    - `keras`: sum (G - A)^2 / (4 3^2 S^2), as in keras-io
    - `mean`: sum (G - A)^2 / N^2
    - `relative`, which is ours: sum (G - A)^2 / sum A^2, so that all layers and style pictures have
      equal influence
    - `wasserstein`: W2^2 / N of two normal distributions; G is a `moment_matrix` and A is a
      `wasserstein_target`, both (N + 1, N + 1)
    """
    N = len(G)
    if style.loss == "wasserstein":
        return wasserstein_squared(G, A) / (N - 1)
    square = (G - A).square().sum()
    match style.loss:
        case "paper":
            return square / (4 * N**2 * M**2)
        case "keras":
            return square / (4 * 3**2 * S**2)
        case "mean":
            return square / N**2
        case "relative":
            energy = A.square().sum()
            return square / torch.where(energy > 0, energy, 1.0)  # finite for a black style


def wasserstein_target(moments: Tensor) -> Tensor:
    """Convert the `moment_matrix` (..., N + 1, N + 1) of a target for `wasserstein_squared`.

    The result has the same shape. It holds the square root of the covariance, the means in the last
    row and column, and in the last corner the floor that is added to both covariances. It is
    float64, because the traces nearly cancel.
    """
    mean, covariance = _gaussian(_as_float64(moments))
    # rounding may make the trace negative; for a single position it is only rounding error
    floor = _VARIANCE_FLOOR * _trace(covariance).clamp(min=0) / covariance.shape[-1] + _MIN_VARIANCE
    values, vectors = torch.linalg.eigh(covariance)
    roots = (values.clamp(min=0) + floor.unsqueeze(-1)).sqrt()
    target = torch.empty_like(moments, dtype=torch.float64, device=mean.device)
    target[..., :-1, :-1] = vectors * roots.unsqueeze(-2) @ vectors.mT
    target[..., :-1, -1] = target[..., -1, :-1] = mean
    target[..., -1, -1] = floor
    return target


def wasserstein_squared(moments: Tensor, target: Tensor) -> Tensor:
    """Return the squared 2-Wasserstein distance W2^2 () of two normal distributions.

    `moments` is the `moment_matrix` of one distribution, and `target` is the `wasserstein_target`
    of the other, both (N + 1, N + 1). Olkin and Pukelsheim 1982, "The distance between two random
    vectors with given dispersion matrices": |m - m'|^2 + tr(C + C' - 2 (C'^1/2 C C'^1/2)^1/2). The
    floor under both covariances bounds the gradient for any rank. Moments that are not finite give
    NaN.
    """
    finite = moments.isfinite().all()
    mean, covariance = _gaussian(_as_float64(torch.where(finite, moments, 0.0)))
    root = target[:-1, :-1]
    target_mean = target[:-1, -1]
    floor = target[-1, -1]
    covariance = covariance + floor * torch.eye(len(root)).to(root)
    values = torch.linalg.eigvalsh(root @ covariance @ root)
    # values below the floor's square are rounding errors of float32
    overlap = values.maximum(floor.square()).sqrt().sum()
    spread = _trace(covariance) + root.square().sum() - 2 * overlap
    distance = (mean - target_mean).square().sum() + spread
    return torch.where(finite, distance.to(moments), torch.nan)


def _gaussian(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean (..., N) and the covariance (..., N, N) of a `moment_matrix`."""
    mean = moments[..., :-1, -1]
    return mean, moments[..., :-1, :-1] - mean.unsqueeze(-1) * mean.unsqueeze(-2)


def _trace(square: Tensor) -> Tensor:
    return square.diagonal(dim1=-2, dim2=-1).sum(-1)


def _as_float64(x: Tensor) -> Tensor:
    """Convert to float64, on the CPU if the device has no float64."""
    return (x.cpu() if x.device.type == "mps" else x).double()
