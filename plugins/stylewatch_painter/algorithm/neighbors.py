"""Neighbor matching: every position of the painting follows its nearest neighbor in a style.

Kolkin, Kucera, Paris, Sykora, Shechtman, Shakhnarovich 2022, "Neural Neighbor Style Transfer"
(arXiv 2203.13215). A hypercolumn holds the features of all layers at one position of a grid that
has a quarter of the picture's rows and columns; each layer is divided by its number of maps, so
that layers with many maps do not outweigh the others.

The letters are those of `losses`: B pictures, N feature maps, M positions.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stylewatch_painter.algorithm.canvas import Canvas, finest_detail
from stylewatch_painter.algorithm.optimizers import interpolation
from stylewatch_painter.algorithm.padding import features, width_height
from stylewatch_painter.algorithm.regions import planes, region_factors, region_flags
from stylewatch_painter.algorithm.scales import Level, Size, channels, map_size, pools_before
from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.images.color import LUMA_WEIGHTS
from stylewatch_painter.network.vgg19 import FeatureMaps
from stylewatch_painter.recipes.recipe import LayerName, Neighbors
from stylewatch_painter.stage import Regions

Grid = tuple[int, int]
"""Rows and columns of positions."""

_COARSER = 4
"""Pixels between two positions of the grid of hypercolumns."""

SEARCH_BYTES = 64 * 2**20
"""Memory for a block of similarities during a search."""

MOST_SAMPLED = 64
"""A match of single layers takes every n-th position of a map: n is its long side // this."""

_MAX_HUB_QUERIES = 1021
"""Positions of the painting that decide which ones of the style are hubs: a prime number, so that
they do not form columns of the grid."""

_NEAR_HUB = 0.05
"""Share of these positions, the nearest ones, that count for a hub."""

_LEAST_DEVIATION = 1e-3
"""Least standard deviation of brightness (0..1) to divide by: in a plain picture it is about 0."""

_TINY = 1e-12
"""Added to squared lengths, so that a black area has a direction."""


def grid(size: Size) -> Grid:
    """The grid of hypercolumns of a picture of `size` (width, height)."""
    return max(1, size[1] // _COARSER), max(1, size[0] // _COARSER)


def hypercolumns(
    maps: Mapping[LayerName, Tensor], shape: Grid, factors: Mapping[LayerName, float]
) -> list[Tensor]:
    """The rows (B, positions, N) of each layer of maps (B, N, height, width) on a grid.

    Together they are the hypercolumns. Each layer is multiplied by its factor and divided by N.
    """
    return [
        _OnGrid.apply(maps[layer], shape) * (factor / maps[layer].shape[1])
        for layer, factor in factors.items()
    ]


class _OnGrid(torch.autograd.Function):
    """Sample maps on a grid: bilinear, corners on corners."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, shape: Grid) -> Tensor:
        """Maps (B, N, height, width) to float32 rows (B, positions, N)."""
        ctx.maps, ctx.grid = (maps.shape, maps.dtype), shape
        if maps.is_cuda:
            down, right = interpolation(maps.shape, shape, maps.device, corners=True)
            sampled = down @ maps.float() @ right.mT
        else:
            last = maps.float().permute(0, 2, 3, 1)
            # torch reads the memory format off the strides, and flat maps lose that of the batch
            maps = last.flatten().view(last.shape).permute(0, 3, 1, 2)
            sampled = functional.interpolate(maps, shape, mode="bilinear", align_corners=True)
        return sampled.permute(0, 2, 3, 1).flatten(1, 2).contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """The gradient of the maps, zero at positions between the samples."""
        shape, dtype = ctx.maps
        gradient = gradients[0].unflatten(1, ctx.grid).permute(0, 3, 1, 2)
        if gradient.is_cuda:  # torch's own backward pass is not deterministic there
            down, right = interpolation(shape, ctx.grid, gradient.device, corners=True)
            back = down.mT @ gradient @ right
        else:
            back = torch.ops.aten.upsample_bilinear2d_backward(gradient, ctx.grid, shape, True)
        return back.to(dtype), None


def directions(rows: Tensor) -> Tensor:
    """Scale rows (..., N) to length 1."""
    return rows / _lengths(rows)


def _lengths(rows: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    return (lengths.square() + _TINY).sqrt()


def nearest(
    queries: Tensor,
    candidates: Tensor,
    hub_penalty: float = 0.0,
    selected: Tensor | slice = slice(None),
    brightness: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """The index (Q,), int64, of the nearest candidate for each query, by centered cosine distance.

    `queries` (Q, N) are centered by the mean of those that `selected` gives, `candidates` (C, N) by
    their own. Two terms can be added to the distance: the squared difference of `brightness`, (Q,)
    and (C,), and `hub_penalty` times the candidate's `hubness` among the selected queries. The
    search is exact.
    """
    candidates = candidates - candidates.mean(0)
    candidates /= _lengths(candidates)  # in place: they are most of the memory of a painting
    queries = queries - queries[selected].mean(0).nan_to_num()  # of no query the mean is NaN
    if hub_penalty or brightness:
        queries /= _lengths(queries)  # otherwise it does not change which candidate is nearest
    asked = _evenly(torch.arange(len(queries), device=queries.device)[selected])
    best = queries.new_full((len(queries),), -math.inf)
    chosen, before = torch.zeros_like(best, dtype=torch.int64), 0
    for block in candidates.split(max(1, SEARCH_BYTES // (4 * len(queries)))):
        similarities = block @ queries.T
        if brightness:
            own, others = brightness
            similarities -= (own - others[before : before + len(block), None]).square_()
        if hub_penalty:
            similarities -= hub_penalty * hubness(similarities[:, asked]).unsqueeze(1)
        values, places = similarities.max(0)
        chosen = torch.where(values > best, places + before, chosen)
        best, before = torch.maximum(values, best), before + len(block)
        del similarities  # which would exist beside those of the next block
    return chosen


def _evenly(positions: Tensor) -> Tensor:
    """Up to `_MAX_HUB_QUERIES` of some positions, evenly spaced."""
    count = min(_MAX_HUB_QUERIES, len(positions))
    return positions[torch.arange(count, device=positions.device) * len(positions) // max(1, count)]


def hubness(similarities: Tensor) -> Tensor:
    """The mean similarity (C,) of each candidate to its nearest queries, of similarities (C, Q).

    A hub is nearest to many queries: in a plain area of the painting all positions would follow the
    same few of the style. Conneau et al. 2018, "Word Translation Without Parallel Data" (arXiv
    1710.04087), equation (3), has half of it as a penalty.
    """
    candidates, asked = similarities.shape
    if not asked:
        return similarities.new_zeros(candidates)
    return similarities.topk(max(1, round(_NEAR_HUB * asked))).values.mean(1)


@dataclass(frozen=True)
class Search:
    """A search for the neighbors of so many rows of N features."""

    queries: float
    candidates: float
    features: int


def neighbor_searches(task: Task, level: Level) -> list[Search]:
    """The searches for neighbors at a size: for each style, where single layers match for each."""
    match = task.terms(level).neighbors
    if match is None:
        return []
    turns = 4 if match.rotations else 1
    styles = [task.style_size(style, level.scale) for style in task.styles]
    if match.each == "column":
        length, queries = sum(map(channels, match.layers)), math.prod(grid(level.size))
        return [Search(queries, turns * math.prod(grid(style)), length) for style in styles]
    searches = []
    for layer in match.layers:
        stride = max(1, (max(level.size) >> pools_before(layer)) // MOST_SAMPLED)
        apart = 4 ** pools_before(layer) * stride**2
        for style in styles:
            queries, candidates = math.prod(level.size) / apart, turns * math.prod(style) / apart
            searches.append(Search(queries, candidates, channels(layer)))
    return searches


@dataclass(frozen=True, eq=False)
class Target:
    """Target directions of the hypercolumns of a picture, for one style and one region.

    `columns` (positions, sum of N) have length 1; `weights` (positions,) are the shares of the
    positions in the loss, or None where all count alike.
    """

    columns: Tensor
    weights: Tensor | None = None


def column_loss(rows: Sequence[Tensor], regions: Sequence[Target]) -> Tensor:
    """The mean cosine distance () between hypercolumns and their targets, summed over regions.

    `rows` (positions, N) are the layers of the hypercolumns of one picture.
    """
    losses = [_CosineDistance.apply(target.columns, target.weights, *rows) for target in regions]
    loss: Tensor = sum(losses[1:], losses[0])
    return loss


class _CosineDistance(torch.autograd.Function):
    """Weighted mean of 1 - cos. Autograd alone would hold several copies of all columns."""

    @staticmethod
    def forward(ctx: Any, targets: Tensor, weights: Tensor | None, *rows: Tensor) -> Tensor:
        """Targets of length 1 and the parts of each column to a loss ()."""
        parts = targets.split([part.shape[-1] for part in rows], dim=-1)
        square, product = targets.new_zeros(len(targets)), targets.new_zeros(len(targets))
        for part, target in zip(rows, parts, strict=True):
            square += part.square().sum(-1)
            product += (part * target).sum(-1)
        length = (square + _TINY).sqrt()
        ctx.save_for_backward(targets, weights, length, product, *rows)
        distance = 1 - product / length
        return distance.mean() if weights is None else distance @ weights

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of each part."""
        targets, weights, length, product, *rows = ctx.saved_tensors
        share = gradients[0] * (1 / len(length) if weights is None else weights)
        towards, away = (-share / length).unsqueeze(-1), (share * product / length**3).unsqueeze(-1)
        parts = targets.split([part.shape[-1] for part in rows], dim=-1)
        return (
            None,
            None,
            *(target * towards + part * away for part, target in zip(rows, parts, strict=True)),
        )


@dataclass(frozen=True, eq=False)
class LayerTarget:
    """The features of one style for a match of each layer by itself, and its factor in each region.

    `maps` has the features (N, rows, columns) of the style and of its turned copies. The flags
    `painted` and `usable` (R, rows, columns) show the regions of the painting and of those maps;
    they are empty without masks.
    """

    factors: Mapping[LayerName, float]
    maps: Mapping[LayerName, Sequence[Tensor]]
    painted: Mapping[LayerName, Tensor]
    usable: Mapping[LayerName, Sequence[Tensor]]
    region_factors: Sequence[float]


def layer_loss(
    maps: Mapping[LayerName, Tensor], target: LayerTarget, draw: np.random.Generator
) -> Tensor:
    """The mean centered cosine distance () to the nearest features, summed over the layers.

    `maps` (N, rows, columns) are those of one picture. Of maps with a side of 128 positions and
    more, `draw` chooses one position in every square, the same in painting and style.
    """
    loss = torch.zeros((), device=next(iter(maps.values())).device)
    for layer, factor in target.factors.items():
        stride = max(1, max(maps[layer].shape[-2:]) // MOST_SAMPLED)
        down, right = draw.integers(0, stride, 2).tolist()
        sampled = (..., slice(down, None, stride), slice(right, None, stride))
        queries = maps[layer][sampled].flatten(1).mT
        candidates = torch.cat([m[sampled].flatten(1).mT for m in target.maps[layer]])
        for region, region_factor in enumerate(target.region_factors):
            some, others = queries, candidates
            if target.painted:
                some = queries[target.painted[layer][region][sampled].flatten()]
            if target.usable:
                flags = [m[region][sampled].flatten() for m in target.usable[layer]]
                others = candidates[torch.cat(flags)]
            if len(some) and len(others):
                loss = loss + factor * region_factor * _nearest_distance(
                    some.float(), others.float()
                )
    return loss


def _nearest_distance(queries: Tensor, candidates: Tensor) -> Tensor:
    """The mean centered cosine distance () of rows (Q, N) to the nearest candidates (C, N)."""
    with torch.no_grad():
        chosen = directions(candidates[nearest(queries, candidates)] - candidates.mean(0))
    return 1 - (directions(queries - queries.mean(0)) * chosen).sum(-1).mean()


@torch.no_grad()
def layer_targets(canvas: Canvas, network: FeatureMaps, level: Level) -> tuple[LayerTarget, ...]:
    """The features of each style of a painting."""
    task, settings = canvas.task, canvas.task.recipe.objective.network
    terms = task.terms(level).neighbors
    if terms is None or canvas.content(level.size) is None:
        return ()
    layers = terms.layers

    def flags(regions: Tensor, size: Size) -> dict[LayerName, Tensor]:
        """The positions (R, rows, columns) of each layer in each region."""
        return {
            layer: region_flags(regions, map_size(size, layer, settings)).to(network.device)
            for layer in layers
        }

    in_regions = region_factors(task, len(task.styles))
    painted = {} if task.content_mask is None else flags(planes(task.content_mask), level.size)
    by_style = []
    for number, style in enumerate(task.styles):
        turned = _turned(canvas.style(style, level), terms)
        maps = [features(network, picture, layers, settings) for picture in turned]
        usable = []
        if style.mask is not None:
            masks = _turned(planes(style.mask), terms)
            usable = [flags(mask, width_height(x)) for mask, x in zip(masks, turned, strict=True)]
        by_style.append(
            LayerTarget(
                layers,
                {layer: [own[layer][0] for own in maps] for layer in layers},
                painted,
                {layer: [own[layer] for own in usable] for layer in layers if usable},
                [1.0] if in_regions is None else in_regions[number].tolist(),
            )
        )
    return tuple(by_style)


@dataclass(frozen=True, eq=False)
class _Columns:
    """The hypercolumns (positions, sum of N) of pictures, and the brightness (positions,), 0..1."""

    rows: Tensor
    brightness: Tensor

    def at(self, positions: Tensor | slice) -> "_Columns":
        """The hypercolumns and the brightness of some positions."""
        return _Columns(self.rows[positions], self.brightness[positions])


def _rows(canvas: Canvas, network: FeatureMaps, terms: Neighbors, picture: Tensor) -> Tensor:
    """The hypercolumns (positions, sum of N) of one picture; maps and layers end with the call."""
    settings, shape = canvas.task.recipe.objective.network, grid(width_height(picture))
    layers = hypercolumns(features(network, picture, terms.layers, settings), shape, terms.layers)
    return torch.cat([layer[0] for layer in layers], dim=-1)


def _columns(
    canvas: Canvas, network: FeatureMaps, terms: Neighbors, pictures: Sequence[Tensor]
) -> _Columns:
    """The hypercolumns and the brightness of pictures (1, 3, height, width), concatenated."""
    rows, brightness = [], []
    for picture in pictures:
        shape = grid(width_height(picture))
        rows.append(_rows(canvas, network, terms, picture))
        colors = functional.adaptive_avg_pool2d(canvas.colors(picture), shape).flatten(2)[0]
        brightness.append(torch.from_numpy(LUMA_WEIGHTS).to(colors) @ colors)
    return _Columns(torch.cat(rows), torch.cat(brightness))


@torch.no_grad()
def targets(
    canvas: Canvas, network: FeatureMaps, level: Level, start: Tensor | None
) -> tuple[tuple[Target, ...], ...]:
    """Match a painting with its styles: the targets of each region, for each style.

    Outside of the regions, where no style acts, the target is the content itself.
    `start` (1, 3, height, width) is the picture that the level starts from.
    """
    task = canvas.task
    terms, content = task.terms(level).neighbors, canvas.content(level.size)
    if terms is None or content is None:
        return ()
    own = queries = _columns(canvas, network, terms, [content])
    if start is not None and terms.content_share < 1:
        mixed = _columns(canvas, network, terms, [_mixed(content, start, terms.content_share)])
        queries = _Columns(mixed.rows, own.brightness)
    in_regions, regions = region_factors(task, len(task.styles)), None
    if task.content_mask is not None:
        mask = functional.adaptive_avg_pool2d(planes(task.content_mask), grid(level.size))
        regions = mask.flatten(1).to(network.device)
    outside = _outside(regions, own.rows)
    by_style = []
    for number, style in enumerate(task.styles):
        turned = _turned(canvas.style(style, level), terms)
        whole = _columns(canvas, network, terms, turned)
        usable = [slice(None)] if style.mask is None else _candidates(style.mask, turned, terms)
        parts = []
        for region in range(1 if regions is None else len(regions)):
            selected = slice(None) if regions is None else regions[region] > 0
            matched = _matched(queries, whole.at(usable[region % len(usable)]), terms, selected)
            weights = None
            if regions is not None and in_regions is not None:
                total = regions[region].sum().clamp(min=_TINY)
                weights = regions[region] / total * in_regions[number, region].to(total)
            parts.append(Target(directions(own.rows.lerp(matched, task.style_mix)), weights))
            del matched  # which would exist beside the copies of the next search
        by_style.append((*parts, *outside))
        del whole  # which would exist beside the columns of the next style
    return tuple(by_style)


def _matched(
    queries: _Columns, candidates: _Columns, terms: Neighbors, selected: Tensor | slice
) -> Tensor:
    """The nearest of the candidates for each query (positions, sum of N)."""
    brightness = None
    if terms.brightness:
        factor = math.sqrt(terms.brightness)
        brightness = (
            factor * _standardized(queries.brightness, selected),
            factor * _standardized(candidates.brightness, slice(None)),
        )
    penalty = terms.hub_penalty
    return candidates.rows[nearest(queries.rows, candidates.rows, penalty, selected, brightness)]


def _standardized(values: Tensor, at: Tensor | slice) -> Tensor:
    """Shift and scale values (positions,) to a mean of 0 and a deviation of 1 among those `at`."""
    some = values[at]
    if not len(some):
        return values
    return (values - some.mean()) / some.std(correction=0).clamp(min=_LEAST_DEVIATION)


def _outside(regions: Tensor | None, own: Tensor) -> tuple[Target, ...]:
    """The target outside of the `regions` (R, positions): the content's `own` columns."""
    if regions is None:
        return ()
    share = (1 - regions.sum(0)).clamp(min=0)
    is_rounding = share.sum() < 1  # less than a position
    return () if is_rounding else (Target(directions(own), share / len(share)),)


def _mixed(content: Tensor, start: Tensor, share: float) -> Tensor:
    """The picture that is matched: `share` of the content, and the start with its finest detail.

    The start was enlarged and has no detail of its own that could find edges in the style.
    """
    sharp = start - finest_detail(start) + finest_detail(content)
    return torch.lerp(sharp, content, share)


def _turned(picture: Tensor, terms: Neighbors) -> list[Tensor]:
    """A picture (..., height, width), turned by 0, or by 0, 90 ... degrees."""
    turns = range(4 if terms.rotations else 1)
    return [picture.rot90(quarter, (-2, -1)).contiguous() for quarter in turns]


def _candidates(mask: Regions, turned: Sequence[Tensor], terms: Neighbors) -> Tensor:
    """Flags (R, candidates) of the positions in each region of a style's mask."""
    flags = [
        region_flags(regions, grid(width_height(x))).flatten(1)
        for regions, x in zip(_turned(planes(mask), terms), turned, strict=True)
    ]
    return torch.cat(flags, dim=1).to(turned[0].device)
