"""The loss `transport`: relaxed optimal transport between hypercolumns at sampled positions.

Kolkin, Salavon, Shakhnarovich 2019, "Style Transfer by Relaxed Optimal Transport and
Self-Similarity" (arXiv 1904.12785), and their program. A hypercolumn holds the color and the
features of all layers at one position.

P positions are drawn from the painting in every step, Q from a style for every size. D is the
length of a hypercolumn, N the number of feature maps of a layer, M the number of its positions.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field

from stylewatch_painter import fields
from stylewatch_painter.late import late, np, torch
from stylewatch_painter.losses.gram import feature_sums
from stylewatch_painter.losses.loss import (
    FLOAT,
    Extent,
    Label,
    LayerSettings,
    Loss,
    LossBytes,
    Side,
    SomeWeights,
    Weight,
    largest_bytes,
    maps_bytes,
)
from stylewatch_painter.losses.nearest import directions
from stylewatch_painter.regions import for_region, planes, region_flags
from stylewatch_painter.resample import width_height
from stylewatch_painter.vgg import LayerName, channels, pools_before

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from stylewatch_classics import selected_columns
    from stylewatch_painter.scene.scene import Maps, Scene
    from stylewatch_painter.scene.task import Style
    from stylewatch_painter.size import Size
    from stylewatch_painter.stage import Regions

    Positions = NDArray[np.int64]
    """Indices of pixels of a picture, (P,), row by row."""

    Flags = NDArray[np.bool_]
    """Flags of the pixels in a region, (height, width)."""
else:
    selected_columns = late("stylewatch_classics.selected_columns")

_GRID_PIXELS = 128**2
"""Approximate number of positions on the grid from which positions are drawn. In a picture with
less than twice as many pixels, the grid has all pixels."""

_TINY = 1e-12
"""Value added to divisors that could be zero."""

_LEAST_SQUARE = 1e-5
"""Minimum squared distance of two colors; below it the square root has a steep gradient."""

_GRAY = 1 / math.sqrt(3)
_DIAGONAL = (1 + _GRAY) / 2
_OTHER = (_GRAY - 1) / 2
_DECORRELATED = (
    (_GRAY, _GRAY, _GRAY),
    (-_GRAY, _DIAGONAL, _OTHER),
    (-_GRAY, _OTHER, _DIAGONAL),
)
"""Rotation of RGB whose first axis is the brightness."""

_OF_DRAWN, _OF_PAIRS, _COVARIANCES = 8, 3, 5
"""Numbers of matrices that exist at once in a step: of distances among drawn positions, of
distances from drawn positions to positions of a style, and of covariances."""

_SELF_SIMILARITY = Label("content", "self-similarity")


class TransportSettings(LayerSettings):
    """Settings of `Transport`.

    The weights of self-similarity, transport and moments add up to 1.
    """

    name = "transport"
    compared = frozenset[Side]({"content", "style"})
    layers: SomeWeights
    """Layers of a hypercolumn, each with the factor of its features."""
    pixels: fields.Weight = 1.0
    """Factor of the colors (0..1) in a hypercolumn."""
    samples: Annotated[fields.Whole, Field(ge=2, le=100_000)] = 1024
    """Maximum number of positions drawn in each step from the picture, and from each region."""
    style_samples: Annotated[fields.Whole, Field(ge=2, le=100_000)] = 5000
    """Maximum number of positions drawn for each scale from a style, or from each region of it."""
    content_weight: fields.Weight = 1.0
    content_side: fields.SideLength | None = None
    """Long side, in pixels, of a scale with exactly `content_weight`. The weight is inversely
    proportional to the long side. null: all scales have the same weight."""
    palette: bool = True
    """True if colors are also compared separately."""

    def is_possible(self, pictures: Collection[Side]) -> bool:
        """Return whether `pictures` has the content, a style or both."""
        return not self.compared.isdisjoint(pictures)

    def memory(self, extent: Extent) -> LossBytes:
        """Return an upper bound of the memory of the loss."""
        drawn = self.samples
        of_style = self.style_samples
        length = 3 + sum(map(channels, self.layers))
        widest = max(map(channels, self.layers))
        columns = drawn * length * FLOAT
        style_columns = of_style * length * FLOAT
        covariance = length**2 * FLOAT
        around = 8 * widest * FLOAT  # features at four corners, and their products with weights
        maps = maps_bytes(self.layers, extent.pixels)
        style_maps = maps_bytes(self.layers, max(extent.styles, default=0.0))
        largest = largest_bytes(self.layers, extent.pixels)
        kept = maps + (style_columns + covariance) * len(extent.styles) * extent.regions
        targets = style_maps + 3 * style_columns + of_style * around + 2 * covariance
        pairs = drawn * (_OF_DRAWN * drawn + _OF_PAIRS * of_style) * FLOAT
        compared = len(extent.styles) * extent.regions
        saved = (
            (4 * columns + drawn * around) * (1 + extent.regions)
            + pairs * compared
            + _COVARIANCES * covariance * compared
        )
        return LossBytes(kept, targets, saved, gradients=maps + 3 * largest)

    def weighed(self, content: float, style: float) -> Self:
        """Return settings with the content's weight multiplied by `content / style`.

        The weights add up to 1, so that only their ratio can change.
        """
        return self.model_copy(update={"content_weight": self.content_weight * content / style})

    @property
    def formula(self) -> type[Transport]:
        """The class that computes the loss."""
        return Transport

    @property
    def can_blend(self) -> bool:
        """False: the loss cannot mix its targets from style and content."""
        return False


@dataclass(frozen=True, eq=False)
class PictureFeatures:
    """The colors (1, 3, height, width), 0..1, and the maps (N, M) of a picture of `size`.

    `shapes` has the numbers of rows and columns of the maps of each layer.
    """

    size: Size
    colors: Tensor
    maps: Mapping[LayerName, Tensor]
    shapes: Mapping[LayerName, tuple[int, int]]


@dataclass(frozen=True, eq=False)
class _Sample:
    """Sample of a region of a style.

    `columns` (Q, D) are hypercolumns of length 1, and `colors` (Q, 3) the colors, 0..1, at their
    positions. `mean` (D,) and `covariance` (D, D) are those of the hypercolumns before
    normalization.
    """

    columns: Tensor
    colors: Tensor
    mean: Tensor
    covariance: Tensor


class Transport(Loss):
    """Self-similarity with the content, and transport, moments and palette of each style.

    Self-similarity is compared in the whole picture, and the other terms region by region. With the
    content weight a, the weights are a / (a + 2) for self-similarity, 1 / (a + 2) for transport and
    for moments, and 1 / (a + 2) / max(a, 1) for the palette.
    """

    rereads_maps = False

    is_capturable = False
    varies = True

    def __init__(self, settings: TransportSettings, scene: Scene) -> None:
        task = scene.task
        self._settings = settings
        self._scene = scene
        self.layers = frozenset(settings.layers)
        content = scene.content
        self._samples = [self._sampled(style, number) for number, style in enumerate(task.styles)]
        self._content = None
        if content is not None:
            self._content = self._picture(content, _exact(scene.content_maps(self.layers)))
        self._regions = pixels_of_regions(task.content_mask, scene.size)
        self._region_factors = scene.region_factors()
        self.weights = self._weights()

    def _weights(self) -> dict[Label, Weight]:
        task = self._scene.task
        side = self._settings.content_side
        a = 0.0
        if task.content is not None:
            larger = 1.0 if side is None else self._scene.size.long / side
            a = self._settings.content_weight * task.content_factor / larger
        style_weight = 1 / (a + 2)
        terms = {"transport": style_weight, "moments": style_weight}
        if self._settings.palette:
            terms["palette"] = style_weight / max(a, 1.0)
        weights = {}
        if task.content is not None:
            weights[_SELF_SIMILARITY] = Weight(a * style_weight)
        for style in task.styles:
            for name, weight in terms.items():
                share = task.style_weight(style)
                weights[Label("style", name, style.name)] = Weight(weight * share)
        return weights

    def _picture(self, u: Tensor, maps: Mapping[LayerName, Tensor]) -> PictureFeatures:
        size = width_height(u)
        shapes = {layer: self._scene.map_shape(layer, size) for layer in maps}
        return PictureFeatures(size, self._scene.canvas.colors(u), maps, shapes)

    def _sampled(self, style: Style, number: int) -> list[_Sample]:
        """Draw a sample of each region of a style, whose index among the styles is `number`."""
        scene = self._scene
        settings = self._settings
        pixels = scene.style(style)
        picture = self._picture(pixels, _exact(scene.maps(pixels, settings.layers)))
        draw = generator(scene.task.seed, *scene.size, number)
        samples = []
        for region in pixels_of_regions(style.mask, picture.size):
            at = style_positions(region, settings.style_samples, draw)
            columns = hypercolumns_at(picture, at, settings, bilinear=False)
            colors = _at(picture.colors.flatten(2)[0], at).mT
            samples.append(_Sample(directions(columns), colors, *moments(columns)))
        return samples

    def values(self, u: Tensor, maps: Maps, step: int) -> dict[Label, Tensor]:
        """Return the unweighted losses (), at positions drawn for the step after `step` steps."""
        picture = self._picture(u, {layer: maps[layer] for layer in self._settings.layers})
        drawn = self._drawn(step)
        columns = [hypercolumns_at(picture, at, self._settings) for at in drawn]
        values: dict[Label, Tensor] = {}
        if self._content is not None:
            content = hypercolumns_at(self._content, drawn[0], self._settings)
            values[_SELF_SIMILARITY] = self_similarity_loss(columns[0], content)
        of_regions = slice(-len(self._regions), None)
        colors = picture.colors.flatten(2)[0]
        palettes = [_at(colors, at).mT for at in drawn[of_regions]]
        for number, style in enumerate(self._scene.task.styles):
            terms = self._style_terms(columns[of_regions], palettes, self._samples[number])
            factors = 1 if self._region_factors is None else self._region_factors[number]
            for name, losses in terms.items():
                label = Label("style", name, style.name)
                values[label] = (torch.stack(losses) * factors).sum()
        return values

    def _drawn(self, step: int) -> list[Positions]:
        """Draw positions in the whole picture, and then in each region if there are regions."""
        scene = self._scene
        draw = generator(scene.task.seed, *scene.size, step, 0)
        regions = pixels_of_regions(None, scene.size)
        if self._region_factors is not None:
            regions += self._regions
        return [positions(region, self._settings.samples, draw) for region in regions]

    def _style_terms(
        self, columns: Sequence[Tensor], palettes: Sequence[Tensor], samples: Sequence[_Sample]
    ) -> dict[str, list[Tensor]]:
        """Return the losses () of each term of a style, region by region.

        `columns` and `palettes` are hypercolumns and colors of the painting's regions, `samples`
        are those of the style.
        """
        used = [for_region(samples, region) for region in range(len(columns))]
        pairs = list(zip(columns, used, strict=True))
        terms = {
            "transport": [transport_loss(x, sample.columns) for x, sample in pairs],
            "moments": [moment_loss(x, sample.mean, sample.covariance) for x, sample in pairs],
        }
        if self._settings.palette:
            of_colors = zip(palettes, used, strict=True)
            terms["palette"] = [palette_loss(x, sample.colors) for x, sample in of_colors]
        return terms


def _exact(maps: dict[LayerName, Tensor]) -> dict[LayerName, Tensor]:
    """Return contiguous maps in float32, and empty `maps`.

    The maps are removed from `maps` one by one, so that only one exists twice. They are contiguous
    because the memory format affects the last bits of sums.
    """
    return {layer: maps.pop(layer).float().contiguous() for layer in list(maps)}


# positions


def generator(seed: int, *key: int) -> np.random.Generator:
    """Return a NumPy generator for `seed` and the `key` of a step or style.

    It draws on the CPU, and therefore the same positions for every device.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def style_positions(region: Flags, count: int, draw: np.random.Generator) -> Positions:
    """Draw up to `count` distinct positions of a region."""
    return draw.permutation(np.flatnonzero(region))[:count]


def positions(region: Flags, count: int, draw: np.random.Generator) -> Positions:
    """Draw up to `count` distinct positions of a region, from a grid with a random offset.

    They are drawn from the whole region if the grid has no position in it.
    """
    apart = math.sqrt(region.size // _GRID_PIXELS)
    down, right = max(1, math.floor(apart)), max(1, math.ceil(apart))
    grid = np.zeros_like(region)
    grid[draw.integers(down) :: down, draw.integers(right) :: right] = True
    on_grid = region & grid
    return style_positions(on_grid if on_grid.any() else region, count, draw)


def pixels_of_regions(mask: Regions | None, size: Size) -> list[Flags]:
    """Return flags of the pixels of each region of a mask, in a picture of `size`.

    Without a mask the only region is the whole picture.
    """
    if mask is None:
        return [np.ones(size.shape, dtype=np.bool_)]
    return list(region_flags(planes(mask), size.shape).numpy())


# hypercolumns


def hypercolumns_at(
    picture: PictureFeatures, at: Positions, settings: TransportSettings, *, bilinear: bool = True
) -> Tensor:
    """Return the hypercolumns (P, D) at the pixels `at`, each layer multiplied by its factor.

    Coordinates are halved after each pool. Maps are interpolated between positions if `bilinear`,
    or else read at the position that contains the pixel.
    """
    parts = [_at(picture.colors.flatten(2)[0], at) * settings.pixels]
    corners: dict[int, tuple[NDArray[np.int64], NDArray[np.float32]]] = {}
    for layer, factor in settings.layers.items():
        maps = picture.maps[layer]
        halvings = pools_before(layer)
        if halvings not in corners:
            corners[halvings] = _corners(
                at, picture.size.width, halvings, picture.shapes[layer], bilinear=bilinear
            )
        index, shares = corners[halvings]
        around = _at(maps, index.ravel()).unflatten(1, index.shape)
        parts.append((around * torch.from_numpy(shares).to(around)).sum(1) * factor)
    return torch.cat(parts).mT.contiguous()


def _at(matrix: Tensor, index: Positions) -> Tensor:
    columns: Tensor = selected_columns.SelectedColumns.apply(
        matrix, torch.from_numpy(index).to(matrix.device)
    )
    return columns


def _corners(
    at: Positions, width: int, halvings: int, shape: tuple[int, int], *, bilinear: bool
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the indices (4, P) of positions around pixels in maps of `shape`, and their weights.

    `at` are pixels of a picture with `width` columns. The weights (4, P), float32, are bilinear or,
    without `bilinear`, 1 for the position that contains the pixel and 0 for the others.
    """
    ends = []
    shares = []
    for pixels, length in zip(np.divmod(at, width), shape, strict=True):
        corner = pixels >> halvings
        fraction = pixels / 2**halvings - corner if bilinear else np.zeros(at.shape)
        ends.append(np.clip([corner, corner + 1], 0, length - 1))
        shares.append(np.stack([1 - fraction, fraction]))
    index = ends[0][:, None] * shape[1] + ends[1]
    products = shares[0][:, None] * shares[1]
    return index.reshape(4, -1), products.reshape(4, -1).astype(np.float32)


# formulas


def transport_loss(columns: Tensor, style: Tensor) -> Tensor:
    """Return the relaxed earth mover's distance, a scalar tensor, under the cosine distance.

    `columns` (P, D) are normalized; the rows of `style` (Q, D) must already have unit length. The
    mean distance to the nearest row of the other side is computed for each side, and the larger of
    both means is returned. No gradient flows through the choice of the nearest rows.
    """
    unit = directions(columns)
    with torch.no_grad():
        costs = 1 - unit @ style.mT
    rows, cheapest = _nearest(costs, unit, style)
    return 1 - (rows * cheapest).sum(-1).mean()


def palette_loss(colors: Tensor, style: Tensor) -> Tensor:
    """Return the relaxed earth mover's distance () between colors (P, 3) and (Q, 3).

    The distance of two colors is the sum of their cosine distance and their root mean square
    difference, both of decorrelated colors.
    """
    rotation = torch.tensor(_DECORRELATED).to(colors)
    rotated = colors @ rotation.mT
    style = style @ rotation.mT
    with torch.no_grad():
        apart = torch.cdist(rotated, style, compute_mode="donot_use_mm_for_euclid_dist").square()
        costs = 1 - directions(rotated) @ directions(style).mT + _root(apart)
    rows, cheapest = _nearest(costs, rotated, style)
    cosines = (directions(rows) * directions(cheapest)).sum(-1)
    return (1 - cosines + _root((rows - cheapest).square().sum(-1))).mean()


def _root(squares: Tensor) -> Tensor:
    return (squares.clamp(min=_LEAST_SQUARE) / 3).sqrt()


def _nearest(costs: Tensor, rows: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pairs of rows that determine the relaxed earth mover's distance.

    `costs` (P, Q) are the costs between `rows` and the rows of `style`. Each row of the side with
    the larger mean of minimum costs is paired with its cheapest partner. The results are the rows
    of the painting and of the style in these pairs.
    """
    forward = costs.min(1)
    backward = costs.min(0)
    if forward.values.mean() > backward.values.mean():
        return rows, style[forward.indices]
    return selected_columns.SelectedColumns.apply(rows.mT, backward.indices).mT, style


def moments(columns: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean (D,) and the covariance (D, D) of hypercolumns (P, D)."""
    mean = columns.mean(0)
    centered = columns - mean
    return mean, feature_sums(centered.mT).products / len(columns)


def moment_loss(columns: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """Return the mean absolute difference () of means, plus that of covariances.

    `mean` (D,) and `covariance` (D, D) are compared with those of the hypercolumns `columns` (P,
    D).
    """
    painted_mean, painted_covariance = moments(columns)
    return (painted_mean - mean).abs().mean() + (painted_covariance - covariance).abs().mean()


def self_similarity_loss(columns: Tensor, content: Tensor) -> Tensor:
    """Return the difference () between the self-similarities of two sets of hypercolumns (P, D).

    At each position the absolute differences of its `_distances` to all positions are added up. The
    result is the mean of these sums over positions.
    """
    return (_distances(columns) - _distances(content)).abs().sum(0).mean()


def _distances(columns: Tensor) -> Tensor:
    """Return the cosine distances (P, P) between hypercolumns (P, D), divided by column sums."""
    unit = directions(columns)
    distances = (1 - feature_sums(unit).products).clamp(min=0)
    return distances / (distances.sum(0) + _TINY)
