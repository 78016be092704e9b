"""Relaxed optimal transport: hypercolumns at sampled positions, compared with those of a style.

Kolkin, Salavon, Shakhnarovich 2019, "Style Transfer by Relaxed Optimal Transport and
Self-Similarity" (arXiv 1904.12785), and their program. A hypercolumn holds the color and the
features of all layers at one position.

P positions are drawn from the painting for every step, Q from a style for every size. D is the
length of a hypercolumn, N the number of feature maps of a layer, M the number of its positions.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylewatch_painter.algorithm.canvas import Canvas
from stylewatch_painter.algorithm.gram import feature_sums
from stylewatch_painter.algorithm.neighbors import directions
from stylewatch_painter.algorithm.padding import features, width_height
from stylewatch_painter.algorithm.regions import planes, region_factors, region_flags
from stylewatch_painter.algorithm.scales import Level, Size, map_size, pools_before
from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.network.vgg19 import FeatureMaps
from stylewatch_painter.recipes import recipe
from stylewatch_painter.recipes.recipe import LayerName
from stylewatch_painter.stage import Regions

Positions = NDArray[np.int64]
"""Pixels of a picture, (P,), counted row by row."""

Flags = NDArray[np.bool_]
"""The pixels of a region, (height, width)."""

_GRID_PIXELS = 128**2
"""Pixels from which positions are drawn; those of larger pictures form a grid."""

_TINY = 1e-12
"""Added to divisors."""

_LEAST_SQUARE = 1e-5
"""Least squared distance of two colors: below, the square root has a steep gradient."""

_GRAY = 1 / math.sqrt(3)
_NEAR, _FAR = (1 + _GRAY) / 2, (_GRAY - 1) / 2
_DECORRELATED = ((_GRAY, _GRAY, _GRAY), (-_GRAY, _NEAR, _FAR), (-_GRAY, _FAR, _NEAR))
"""Rotation of RGB whose first axis is the brightness."""


# Positions


def generator(seed: int, *key: int) -> np.random.Generator:
    """A generator for `seed` and a place in the painting; on the CPU for every device."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def style_positions(region: Flags, count: int, draw: np.random.Generator) -> Positions:
    """Draw up to `count` different positions of a region."""
    return draw.permutation(np.flatnonzero(region))[:count]


def positions(region: Flags, count: int, draw: np.random.Generator) -> Positions:
    """Draw up to `count` different positions of a region, from a grid with a random offset."""
    apart = math.sqrt(region.size // _GRID_PIXELS)
    down, right = max(1, math.floor(apart)), max(1, math.ceil(apart))
    grid = np.zeros_like(region)
    grid[draw.integers(down) :: down, draw.integers(right) :: right] = True
    on_grid = region & grid
    return style_positions(on_grid if on_grid.any() else region, count, draw)


def pixels_of_regions(mask: Regions | None, size: Size) -> list[Flags]:
    """The pixels of each region of a mask, in a picture of `size`; all of them without a mask."""
    shape = size[1], size[0]
    if mask is None:
        return [np.ones(shape, dtype=np.bool_)]
    return list(region_flags(planes(mask), shape).numpy())


# Hypercolumns


@dataclass(frozen=True, eq=False)
class Picture:
    """The colors (1, 3, height, width), 0..1, and the maps (N, M) of a picture of `size`."""

    size: Size
    colors: Tensor
    maps: Mapping[LayerName, Tensor]


class _Columns(torch.autograd.Function):
    """Select columns of a matrix, as float32 at least.

    The gradient adds up in one order on every device; that of torch's own indexing does not.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, index: Tensor) -> Tensor:
        """The columns `index` (P,) of a matrix (N, M), as (N, P)."""
        ctx.save_for_backward(index)
        ctx.matrix = matrix.shape, matrix.dtype
        return matrix.index_select(1, index).to(torch.promote_types(matrix.dtype, torch.float32))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """The gradient of the matrix, zero where nothing was selected."""
        (index,), (gradient,) = ctx.saved_tensors, gradients
        (rows, columns), dtype = ctx.matrix
        back = gradient.new_zeros(columns, rows)
        if gradient.is_cuda:  # which sorts this one, and adds for the other in any order
            back.index_put_((index,), gradient.mT, accumulate=True)
        else:
            back.index_add_(0, index, gradient.mT)
        return back.mT.to(dtype), None


def hypercolumns(
    picture: Picture,
    at: Positions,
    terms: recipe.Transport,
    settings: recipe.Network,
    *,
    bilinear: bool = True,
) -> Tensor:
    """The hypercolumns (P, D) at some positions, each layer multiplied by its factor.

    Coordinates are halved behind each pool. Maps are interpolated between positions, or read at
    the position that contains the pixel.
    """
    parts = [_at(picture.colors.flatten(2)[0], at) * terms.pixels]
    corners: dict[int, tuple[NDArray[np.int64], NDArray[np.float32]]] = {}
    for layer, factor in terms.layers.items():
        maps, halvings = picture.maps[layer], pools_before(layer)
        if halvings not in corners:
            shape = map_size(picture.size, layer, settings)
            corners[halvings] = _corners(at, picture.size[0], halvings, shape, bilinear=bilinear)
        index, shares = corners[halvings]
        around = _at(maps, index.ravel()).unflatten(1, index.shape)
        parts.append((around * torch.from_numpy(shares).to(around)).sum(1) * factor)
    return torch.cat(parts).mT.contiguous()


def _at(matrix: Tensor, index: Positions) -> Tensor:
    columns: Tensor = _Columns.apply(matrix, torch.from_numpy(index).to(matrix.device))
    return columns


def _corners(
    at: Positions, width: int, halvings: int, shape: tuple[int, int], *, bilinear: bool
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The positions (4, P) of maps of `shape` around pixels, and their shares (4, P)."""
    ends, shares = [], []
    for pixels, length in zip(np.divmod(at, width), shape, strict=True):
        before = pixels >> halvings
        after = pixels / 2**halvings - before if bilinear else np.zeros(at.shape)
        ends.append(np.clip([before, before + 1], 0, length - 1))
        shares.append(np.stack([1 - after, after]))
    index = ends[0][:, None] * shape[1] + ends[1]
    products = shares[0][:, None] * shares[1]
    return index.reshape(4, -1), products.reshape(4, -1).astype(np.float32)


# Losses


def transport_loss(columns: Tensor, style: Tensor) -> Tensor:
    """The relaxed earth mover's distance () by cosines, from (P, D) to (Q, D) of length 1.

    Each side moves to the nearest of the other side; the larger mean distance counts.
    """
    own = directions(columns)
    with torch.no_grad():
        costs = 1 - own @ style.mT
    some, others = _nearest(costs, own, style)
    return 1 - (some * others).sum(-1).mean()


def palette_loss(colors: Tensor, style: Tensor) -> Tensor:
    """The relaxed earth mover's distance () between colors (P, 3) and (Q, 3).

    The distance of two colors is that of their cosine and their root mean square difference, added;
    both are of decorrelated colors.
    """
    rotation = torch.tensor(_DECORRELATED).to(colors)
    own, style = colors @ rotation.mT, style @ rotation.mT
    with torch.no_grad():
        apart = torch.cdist(own, style, compute_mode="donot_use_mm_for_euclid_dist").square()
        costs = 1 - directions(own) @ directions(style).mT + _root(apart)
    some, others = _nearest(costs, own, style)
    cosines = (directions(some) * directions(others)).sum(-1)
    return (1 - cosines + _root((some - others).square().sum(-1))).mean()


def _root(squares: Tensor) -> Tensor:
    return (squares.clamp(min=_LEAST_SQUARE) / 3).sqrt()


def _nearest(costs: Tensor, own: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
    """Pair each row of one side with the cheapest of the other, by `costs` (P, Q).

    It is the side with the larger mean cost.
    """
    there, back = costs.min(1), costs.min(0)
    if there.values.mean() > back.values.mean():
        return own, style[there.indices]
    return _Columns.apply(own.mT, back.indices).mT, style


def moments(columns: Tensor) -> tuple[Tensor, Tensor]:
    """The mean (D,) and the covariance (D, D) of hypercolumns."""
    mean = columns.mean(0)
    centered = columns - mean
    return mean, feature_sums(centered.mT[None]).products[0] / len(columns)


def moment_loss(columns: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """The mean absolute difference () of means, and that of covariances."""
    own_mean, own_covariance = moments(columns)
    return (own_mean - mean).abs().mean() + (own_covariance - covariance).abs().mean()


def self_similarity_loss(columns: Tensor, content: Tensor) -> Tensor:
    """The mean over positions (P) of the summed differences () of their `_distances` to all others.

    That is between hypercolumns (P, D) of the picture and (P, D) of the content.
    """
    return (_distances(columns) - _distances(content)).abs().sum(0).mean()


def _distances(columns: Tensor) -> Tensor:
    """The cosine distances (P, P) between hypercolumns (P, D), each column divided by its sum."""
    unit = directions(columns)
    distances = (1 - feature_sums(unit[None]).products[0]).clamp(min=0)
    return distances / (distances.sum(0) + _TINY)


# A painting at one size


@dataclass(frozen=True, eq=False)
class _Sample:
    """Hypercolumns of a region of a style: of length 1, their colors, mean and covariance."""

    columns: Tensor
    colors: Tensor
    mean: Tensor
    covariance: Tensor


@dataclass(frozen=True, eq=False)
class Target:
    """The content, samples of each region for each style, and the regions of the painting.

    `region_factors` (styles, regions) are the factors of the losses; None without regions.
    """

    content: Picture | None
    samples: Sequence[Sequence[_Sample]]
    regions: Sequence[Flags]
    region_factors: Tensor | None


@torch.no_grad()
def targets(canvas: Canvas, network: FeatureMaps, level: Level) -> Target | None:
    """Sample the styles of a painting and compute the maps of its content."""
    task, settings = canvas.task, canvas.task.recipe.objective.network
    terms = task.terms(level).transport
    if terms is None:
        return None

    def seen(u: Tensor) -> Picture:
        maps = features(network, u, terms.layers, settings)
        # contiguous whatever the network's memory format: it decides the last bits of sums
        # and one by one, so that only one map exists twice
        flat = {layer: maps.pop(layer)[0].float().flatten(1).contiguous() for layer in list(maps)}
        return Picture(width_height(u), canvas.colors(u), flat)

    content = canvas.content(level.size)
    samples = []
    for number, style in enumerate(task.styles):
        picture = seen(canvas.style(style, level))
        draw = generator(task.seed, *level.size, number)
        drawn = []
        for region in pixels_of_regions(style.mask, picture.size):
            at = style_positions(region, terms.style_samples, draw)
            columns = hypercolumns(picture, at, terms, settings, bilinear=False)
            colors = _at(picture.colors.flatten(2)[0], at).mT
            drawn.append(_Sample(directions(columns), colors, *moments(columns)))
        samples.append(drawn)
        del picture  # whose maps would exist beside those of the next one
    in_regions = region_factors(task, len(task.styles))
    return Target(
        None if content is None else seen(content),
        samples,
        pixels_of_regions(task.content_mask, level.size),
        None if in_regions is None else in_regions.to(network.device),
    )


def losses(
    task: Task, level: Level, target: Target | None, picture: Picture, step: int
) -> list[Tensor]:
    """The losses () of a painting after `step` steps.

    They are self-similarity with a content, then transport, moments and palette of each style.
    Self-similarity is compared in the whole picture, the others region by region.
    """
    terms, settings = task.terms(level).transport, task.recipe.objective.network
    if terms is None or target is None:
        return []
    draw = generator(task.seed, *level.size, step, 0)
    whole = pixels_of_regions(None, level.size)
    regions = whole if target.region_factors is None else [*whole, *target.regions]
    drawn = [positions(region, terms.samples, draw) for region in regions]
    columns = [hypercolumns(picture, at, terms, settings) for at in drawn]
    values = []
    if target.content is not None:
        content = hypercolumns(target.content, drawn[0], terms, settings)
        values.append(self_similarity_loss(columns[0], content))
    of_regions = slice(len(columns) - len(target.regions), None)
    colors = picture.colors.flatten(2)[0]
    palettes = [_at(colors, at).mT for at in drawn[of_regions]] if terms.palette else []
    for number, samples in enumerate(target.samples):
        used = [samples[region % len(samples)] for region in range(len(target.regions))]
        own = list(zip(columns[of_regions], used, strict=True))
        each = [
            [transport_loss(x, sample.columns) for x, sample in own],
            [moment_loss(x, sample.mean, sample.covariance) for x, sample in own],
        ]
        if terms.palette:
            each.append([palette_loss(x, s.colors) for x, s in zip(palettes, used, strict=True)])
        factors = 1 if target.region_factors is None else target.region_factors[number]
        values += [(torch.stack(term) * factors).sum() for term in each]
    return values


def weights(task: Task, level: Level, terms: recipe.Transport) -> tuple[float, float, float]:
    """The weights of self-similarity, of transport and of moments, and of the palette.

    With the content weight a: a / (a + 2), 1 / (a + 2), and 1 / (a + 2) / max(a, 1).
    """
    content = 0.0
    if task.content is not None:
        side = terms.content_side
        larger = 1.0 if side is None else max(level.size) / side
        content = terms.content_weight * task.content_factor / larger
    style = 1 / (content + 2)
    return content * style, style, style / max(content, 1.0)
