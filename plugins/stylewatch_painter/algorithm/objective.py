"""Objective: the loss terms of a painting at one size, and their gradient.

The targets are the content features P and the style Gram matrices A.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import chain
from operator import add

import numpy as np
import torch
from torch import Tensor

from stylewatch_painter.algorithm import neighbors, transport
from stylewatch_painter.algorithm.caches import StyleCache
from stylewatch_painter.algorithm.canvas import Canvas
from stylewatch_painter.algorithm.gram import LayerSums, gram
from stylewatch_painter.algorithm.losses import (
    ContentNorm,
    content_norm,
    content_value,
    style_target,
    style_value,
    temporal_value,
    tv_value,
)
from stylewatch_painter.algorithm.neighbors import column_loss, grid, hypercolumns, layer_loss
from stylewatch_painter.algorithm.optimizers import Evaluation, FourierFilter
from stylewatch_painter.algorithm.padding import width_height
from stylewatch_painter.algorithm.regions import region_factors
from stylewatch_painter.algorithm.scales import Level, map_size
from stylewatch_painter.algorithm.task import Style, Task, region_style_weights
from stylewatch_painter.algorithm.tiles import Tile, View, added, as_whole, tiles
from stylewatch_painter.network.vgg19 import FeatureMaps
from stylewatch_painter.recipes import recipe
from stylewatch_painter.recipes.recipe import LayerName
from stylewatch_painter.stage import Losses, Regions, Term

_EXTENSIVE = frozenset({"half_sum", "sum", "power", "squared"})  # losses that grow with the area

_LEAF = torch.zeros(1, requires_grad=True)
_EARLY = _LEAF * 1  # created before any evaluation, so autograd processes it last


def _release_graph() -> None:
    """Free the maps of an evaluation whose backward pass failed, for lack of memory for example.

    On the CPU torch leaves the rest of the failed pass in its queue and holds its maps. A later
    backward pass over an older node drains the queue first.
    """
    torch.autograd.grad(_EARLY, _LEAF, retain_graph=True)


Maps = Mapping[LayerName, Tensor]

Grams = Mapping[LayerName, Tensor]
"""A of each layer and region, (R, N, N) float32; R is 1 without regions."""


@dataclass(frozen=True, eq=False)
class ContentTargets:
    """P (1, N, M) float32 of each layer, tile by tile.

    `norms` are the divisors of the content losses. Maps that are not `kept` are computed when they
    are needed, by `view` from `picture` (1, 3, height, width): those of large pictures take
    hundreds of megabytes.
    """

    norms: Mapping[LayerName, ContentNorm] = field(default_factory=dict)
    kept: Mapping[Tile, Maps] = field(default_factory=dict)
    view: View | None = None
    picture: Tensor | None = None

    @torch.no_grad()
    def at(self, tile: Tile) -> Maps:
        """P of each layer at a tile."""
        if tile in self.kept or self.view is None or self.picture is None:
            return self.kept.get(tile, {})
        maps = self.view.at(tile, tile.of(self.picture))
        # contiguous whatever the network's memory format: it decides the last bits of sums
        return {layer: P.float().contiguous() for layer, P in maps.items()}


def _content_targets(canvas: Canvas, network: FeatureMaps, level: Level) -> ContentTargets:
    terms, picture = canvas.task.terms(level), canvas.content(level.size)
    if terms.content is None or not terms.content.layers or picture is None:
        return ContentTargets()
    view = View(network, canvas.task.recipe.objective.network, terms.content.layers)
    parts = tiles(level.size, _tile(canvas, terms), terms.layers)
    keep = canvas.memory_plan.keeps_content or len(parts) == 1
    targets = ContentTargets(view=view, picture=picture)
    norms: dict[LayerName, ContentNorm] = {}
    kept: dict[Tile, Maps] = {}
    for tile in parts:
        maps = targets.at(tile)
        for layer, P in maps.items():
            norm = content_norm(P)
            norms[layer] = norms[layer] + norm if layer in norms else norm
        if keep:
            kept[tile] = maps
    return ContentTargets(norms, kept) if keep else replace(targets, norms=norms)


def _tile(canvas: Canvas, terms: recipe.Terms) -> int | None:
    """The side of the tiles, unless a term needs whole pictures."""
    return None if terms.needs_whole_picture else canvas.memory_plan.tile


@dataclass(frozen=True, eq=False)
class StyleTarget:
    """A of a style, or of all styles blended; `weight` is its share among the styles."""

    name: str
    weight: float
    grams: Grams


@torch.no_grad()
def style_targets(
    canvas: Canvas, network: FeatureMaps, level: Level, cache: StyleCache
) -> tuple[StyleTarget, ...]:
    """Compute A of each style, or of one blend of all styles, for one painting."""
    task = canvas.task
    losses = task.terms(level).style
    if losses is None or not losses.layers or not task.styles:
        return ()
    source = _StyleGrams(canvas, network, cache, losses)
    targets = [
        StyleTarget(style.name, task.style_weight(style), source.scaled(style, level))
        for style in task.styles
    ]
    if losses.several == "grams" and len(targets) > 1:
        targets = [StyleTarget("blend", 1.0, _blended(canvas, targets))]
    content = source.of_content(level)

    def finished(grams: Grams) -> Grams:
        if content is not None:
            grams = {layer: content[layer].lerp(grams[layer], task.style_mix) for layer in grams}
        return {layer: style_target(A, losses) for layer, A in grams.items()}

    return tuple(replace(target, grams=finished(target.grams)) for target in targets)


def _blended(canvas: Canvas, targets: Sequence[StyleTarget]) -> Grams:
    """Average the Gram matrices of all styles, region by region."""
    parts = torch.from_numpy(region_style_weights(canvas.task)).to(canvas.device, torch.float32)
    return {
        layer: sum(
            (part.view(-1, 1, 1) * target.grams[layer]
             for part, target in zip(parts, targets, strict=True)),
            torch.tensor(0.0),
        )
        for layer in targets[0].grams
    }  # fmt: skip


@dataclass(frozen=True, eq=False)
class _StyleGrams:
    """Computes Gram matrices of the styles of a painting, as `network` sees them."""

    canvas: Canvas
    network: FeatureMaps
    cache: StyleCache
    losses: recipe.Style

    def scaled(self, style: Style, level: Level) -> Grams:
        """A of each layer, as for a style picture of the painting's scale.

        Shallow layers may see the style at a smaller scale: see `Task.style_views`. An unnormalized
        Gram matrix grows with its picture: without the division a style seen at another scale would
        ask for a brighter painting, not for larger strokes.
        """
        task, layers = self.canvas.task, self.losses.layers
        grams: dict[LayerName, Tensor] = {}
        for scale, seen in task.style_views(style, level.scale, layers).items():
            part = self._at(style, replace(level, scale=scale), seen)
            if self.losses.gram == "sum":
                # as if the style had been enlarged for shallow layers, too
                larger, style_scale = level.scale / scale, task.style_scale(style)
                part = {layer: A * larger**2 / style_scale**2 for layer, A in part.items()}
            grams |= part
        return {layer: grams[layer] for layer in layers}

    def of_content(self, level: Level) -> Grams | None:
        """The Gram matrices of the content, where the style's are mixed with them."""
        picture = self.canvas.content(level.size)
        if self.canvas.task.style_mix == 1 or picture is None:
            return None
        mask, layers = self.canvas.task.content_mask, self.losses.layers
        return self._grams(self._sums(picture, mask, layers))

    def _grams(self, sums: LayerSums) -> Grams:
        return {
            layer: torch.cat([gram(region, self.losses) for region in regions])
            for layer, regions in sums.items()
        }

    def _sums(
        self, picture: Tensor, mask: Regions | None, layers: Collection[LayerName]
    ) -> LayerSums:
        """Sum a picture (1, 3, height, width) over its regions, as if each filled it."""
        settings, size = self.canvas.task.recipe.objective.network, width_height(picture)
        view = View(self.network, settings, layers, self.losses.gram == "moments")
        weights = view.weights(mask, size)
        parts = tiles(size, self.canvas.memory_plan.tile, layers)
        return as_whole(view.total(picture, parts, weights), weights)

    def _at(self, style: Style, level: Level, layers: Collection[LayerName]) -> Grams:
        """A of some layers for a style at `level`, from cached sums if possible."""
        task, tile = self.canvas.task, self.canvas.memory_plan.tile
        network, schedule = task.recipe.objective.network, task.recipe.schedule
        size = task.style_size(style, level.scale)

        def compute() -> LayerSums:
            return self._sums(self.canvas.style(style, level), style.mask, layers)

        if style.digest is None:
            return self._grams(compute())
        mask = b""
        if style.mask is not None:
            plain = f"{style.mask.shape}".encode() + np.ascontiguousarray(style.mask).tobytes()
            mask = hashlib.sha256(plain).digest()
        decoded = style.picture.shape  # smaller than the file where the painting is small
        picture = (style.digest, decoded, size, schedule.resample, schedule.eight_bit, mask)
        settings = network.model_dump_json(), self.network.exact is self.network
        key = (*picture, *settings, self.losses.gram, tuple(layers), tile)
        return self._grams(self.cache.get(key, compute))


@dataclass(frozen=True)
class TermLabel:
    """Identity of a loss term and its weight in the total.

    `style` is the name of the style picture for a term of side `style`. Without a
    `gradient_weight` the weight in the gradient is the same.
    """

    side: str
    layer: str
    weight: float
    style: str = ""
    gradient_weight: float | None = None


def term_labels(
    task: Task, level: Level, contents: Sequence[LayerName], styles: Sequence[StyleTarget]
) -> Iterator[TermLabel]:
    """Label all terms: content layers, layers of each style, neighbors, transport, smoothness."""
    terms = task.terms(level)
    if terms.content is not None:
        for layer in contents:
            yield TermLabel("content", layer, terms.content.layers[layer] * task.content_factor)
    yield from _style_labels(task, terms, styles)
    if terms.transport is not None:
        yield from _transport_labels(task, level, terms.transport)
    if (tv := terms.tv) is not None:
        mix = task.style_mix  # the photograph itself is not smoothed
        yield TermLabel("tv", "", tv.weight * mix, "", (tv.gradient_weight or 0) * mix or None)
    if task.prior is not None:
        yield TermLabel("temporal", "", task.recipe.objective.temporal * task.prior.unit)


def _style_labels(
    task: Task, terms: recipe.Terms, styles: Sequence[StyleTarget]
) -> Iterator[TermLabel]:
    if terms.style is not None:
        for target in styles:
            for layer in target.grams:
                weight = terms.style.layers[layer] * target.weight
                yield TermLabel("style", layer, weight, target.name)
    if terms.neighbors is not None:
        for style in task.styles:
            weight = terms.neighbors.weight * task.style_weight(style)
            yield TermLabel("style", "neighbors", weight, style.name)


def _transport_labels(task: Task, level: Level, settings: recipe.Transport) -> Iterator[TermLabel]:
    """Label the terms in the order of `transport.losses`."""
    content_weight, style_weight, palette_weight = transport.weights(task, level, settings)
    if task.content is not None:
        yield TermLabel("content", "self-similarity", content_weight)
    terms = {"transport": style_weight, "moments": style_weight, "palette": palette_weight}
    if not settings.palette:
        del terms["palette"]
    for style in task.styles:
        for name, weight in terms.items():
            yield TermLabel("style", name, weight * task.style_weight(style), style.name)


def as_losses(labels: Sequence[TermLabel], values: Sequence[float]) -> Losses:
    """Combine labels and values of the terms of one picture into a record with their total."""
    total = 0.0
    content: dict[str, Term] = {}
    style: dict[str, dict[str, Term]] = {}
    others: dict[str, Term] = {}
    for label, value in zip(labels, values, strict=True):
        term = Term(value, label.weight, label.gradient_weight)
        total += value * label.weight
        if label.side == "content":
            content[label.layer] = term
        elif label.side == "style":
            style.setdefault(label.style, {})[label.layer] = term
        else:
            others[label.side] = term
    return Losses(total, content, style, others.get("tv"), others.get("temporal"))


@dataclass(frozen=True, eq=False)
class Observation:
    """The part of an evaluation that adds up over tiles.

    `contents`: the value (1,) of each content layer. `styles`: the sums of each region, by layer.
    `compared`: the values (1,) of neighbors and transport, which do not add up: such pictures have
    one tile.
    """

    contents: Sequence[Tensor]
    styles: LayerSums
    compared: Sequence[Tensor] = ()

    def __add__(self, other: "Observation") -> "Observation":
        contents = [a + b for a, b in zip(self.contents, other.contents, strict=True)]
        return Observation(contents, added(self.styles, other.styles))

    @property
    def tensors(self) -> list[Tensor]:
        """The differentiable parts."""
        all_sums = (sums for regions in self.styles.values() for sums in regions)
        return [*self.contents, *(tensor for sums in all_sums for tensor in sums.tensors)]


class Objective:
    """The objective of the painting on `canvas`.

    `start` (1, 3, height, width) is the picture that the level starts from; without it that is the
    content.

    Calling it evaluates a picture u (1, 3, height, width) in network units. `styles` caches sums of
    styles for `network`. Targets are computed in the same precision as the picture, so that
    rounding errors cancel. Where the canvas has no room for the maps of a whole picture, it is
    evaluated in tiles; the results are equal but for rounding.

    `step` counts the steps so far: terms that sample positions draw new ones at each step.
    """

    def __init__(
        self,
        canvas: Canvas,
        network: FeatureMaps,
        level: Level,
        styles: StyleCache | None = None,
        start: Tensor | None = None,
    ) -> None:
        self.canvas, self.level, self.network = canvas, level, network
        task = canvas.task
        self._terms = task.terms(level)
        self._settings = task.recipe.objective.network
        self.step = 0
        self._tiles = tiles(level.size, _tile(canvas, self._terms), self._terms.layers)
        self._compute_targets(StyleCache() if styles is None else styles, start)
        layers = tuple({layer: None for grams in self._grams for layer in grams})
        moments = self._terms.style is not None and self._terms.style.gram == "moments"
        self._style_view = View(network, self._settings, layers, moments)
        compared = [term.layers for term in (self._terms.neighbors, self._terms.transport) if term]
        needed = dict.fromkeys(chain(self._contents.norms, layers, *compared))
        self._view = replace(self._style_view, layers=tuple(needed))
        self._region_weights = self._style_view.weights(task.content_mask, level.size)
        factors = region_factors(task, len(self._grams))
        self._region_factors = None if factors is None else factors.to(network.device)
        self._high_pass = None
        if level.slowest:
            shape = level.size[::-1]
            self._high_pass = FourierFilter.high_pass(shape, level.slowest, network.device)

    def _compute_targets(self, cache: StyleCache, start: Tensor | None) -> None:
        # a picture in tiles is large: there is no memory for targets in two precisions
        network = self.network if self.is_whole else self.network.exact
        canvas, level = self.canvas, self.level
        self._contents = _content_targets(canvas, network, level)
        if self._terms.matches_layers:
            self._layer_targets = neighbors.layer_targets(canvas, network, level)
        else:
            self._neighbors = neighbors.targets(canvas, network, level, start)
        self._transport = transport.targets(canvas, network, level)
        self._prior = canvas.prior(level.size)
        styles = style_targets(canvas, network, level, cache)
        self._grams = [target.grams for target in styles]
        self._labels = tuple(term_labels(canvas.task, level, tuple(self._contents.norms), styles))
        weights = [
            x.weight if x.gradient_weight is None else x.gradient_weight for x in self._labels
        ]
        self._weights = torch.tensor(weights, device=self.network.device)

    @property
    def is_whole(self) -> bool:
        """True if pictures are evaluated in one piece."""
        return len(self._tiles) == 1

    @property
    def is_capturable(self) -> bool:
        """True if a CUDA graph can capture an evaluation, which excludes terms that need the CPU.

        Eigenvalues (`wasserstein`) and random positions (`transport`, neighbors of single layers)
        need it. Pictures in tiles are so large that a graph would not help.
        """
        style = self._terms.style
        is_fixed = not self._terms.matches_layers and self._terms.transport is None
        return self.is_whole and is_fixed and (style is None or style.loss != "wasserstein")

    def __call__(self, u: Tensor) -> Evaluation:
        """Evaluate the terms at u and the gradient of the objective."""
        u = u.detach()
        try:
            evaluation = self._evaluate_whole(u) if self.is_whole else self._evaluate_tiles(u)
        except RuntimeError:
            _release_graph()
            raise
        if self._high_pass is None:
            return evaluation
        gradient = self._high_pass(evaluation.gradient)
        return replace(evaluation, gradient=gradient, project=self._high_pass)

    @torch.no_grad()
    def evaluate_terms(self, u: Tensor) -> Tensor:
        """Evaluate the terms (K,) at u without a gradient."""
        parts = (self._observe(tile.of(u), tile, self._view) for tile in self._tiles)
        observed = reduce(add, parts)
        return self._term_values(observed, u)[0]

    def losses(self, terms: Tensor) -> Losses:
        """Convert terms (K,) to a record."""
        return as_losses(self._labels, terms.tolist())

    def _evaluate_whole(self, u: Tensor) -> Evaluation:
        (tile,) = self._tiles
        terms = self._term_values(self._observe(u.requires_grad_(), tile, self._view), u)
        objective = (terms * self._weights).sum(1)
        (gradient,) = torch.autograd.grad(objective.sum(), u)
        return Evaluation(terms.detach(), objective.detach(), gradient.contiguous())

    def _evaluate_tiles(self, u: Tensor) -> Evaluation:
        """Evaluate in two passes: sum over the tiles, then backpropagate through each tile.

        The gradient by the sums is the same for all tiles. Content values have no part in it, so
        the second pass computes them.
        """
        # first pass: the style sums of the whole picture, and the gradient by them
        contents = [u.new_zeros(len(u)).requires_grad_() for _ in self._contents.norms]
        total = self._style_view.total(u, self._tiles, self._region_weights)
        sums = {layer: tuple(part.as_leaves() for part in total[layer]) for layer in total}
        observed = Observation(contents, sums)
        terms = self._term_values(observed, u.requires_grad_())
        *slopes, own = torch.autograd.grad(
            (terms * self._weights).sum(), [*observed.tensors, u], materialize_grads=True
        )
        gradient, terms = own.contiguous(), terms.detach()
        # second pass: from the sums to the pixels of each tile
        for tile in self._tiles:
            x = tile.of(u).detach().requires_grad_()
            here = self._observe(x, tile, self._view)
            (slope,) = torch.autograd.grad(here.tensors, x, slopes)
            tile.of(gradient).add_(slope)
            for term, value in enumerate(self._content_terms(here)):
                terms[:, term] += value.detach()
        return Evaluation(terms, (terms * self._weights).sum(1), gradient)

    def _observe(self, x: Tensor, tile: Tile, view: View) -> Observation:
        """Observe a tile; x includes its halo."""
        maps, contents = view.at(tile, x), []
        if self._terms.content is not None:
            for layer, P in self._contents.at(tile).items():
                norm = self._contents.norms[layer]
                contents.append(content_value(maps[layer], P, norm, self._terms.content))
        # before the backward pass of sums replaces maps
        compared = [*self._neighbor_values(maps), *self._transport_values(x, maps)]
        sums = self._style_view.sums(tile, maps, self._region_weights)
        return Observation(contents, sums, compared)

    def _neighbor_values(self, maps: Maps) -> Iterator[Tensor]:
        """The neighbor loss (1,) of each style."""
        settings = self._terms.neighbors
        if settings is None:
            return
        size = self.level.size
        shaped = {
            layer: maps[layer].unflatten(-1, map_size(size, layer, self._settings))
            for layer in settings.layers
        }
        columns: list[tuple[Tensor, ...]] = []
        if settings.each == "column":
            columns = [x.unbind() for x in hypercolumns(shaped, grid(size), settings.layers)]

        # a step draws its own positions
        seed = [self.canvas.task.seed, *size, self.step]
        for style in range(len(self.canvas.task.styles)):
            if columns:
                yield column_loss([part[0] for part in columns], self._neighbors[style])[None]
            else:
                draw = np.random.Generator(np.random.PCG64(seed))
                own = {layer: shaped[layer][0] for layer in shaped}
                yield layer_loss(own, self._layer_targets[style], draw)[None]

    def _transport_values(self, u: Tensor, maps: Maps) -> list[Tensor]:
        """The value (1,) of each term of transport."""
        if self._terms.transport is None:
            return []
        own = {layer: maps[layer][0] for layer in self._terms.transport.layers}
        picture = transport.Picture(self.level.size, self.canvas.colors(u), own)
        task, level = self.canvas.task, self.level
        values = transport.losses(task, level, self._transport, picture, self.step)
        return [value[None] for value in values]

    def _term_values(self, observed: Observation, u: Tensor) -> Tensor:
        """All terms (1, K), in the order of the labels."""
        terms = list(self._content_terms(observed))
        if self._terms.style is not None:
            pixels = u.shape[-2] * u.shape[-1]
            terms.extend(self._style_terms(observed, pixels, self._terms.style))
        terms.extend(observed.compared)
        if (tv := self._terms.tv) is not None:
            terms.append(tv_value(u, tv) * self._area_ratio(tv.loss))
        if self._prior is not None:
            before, trust = self._prior
            terms.append(temporal_value(self.canvas.colors(u), before, trust))
        return torch.stack(terms, dim=1)

    def _content_terms(self, observed: Observation) -> Iterator[Tensor]:
        content = self._terms.content
        for value in observed.contents:
            yield value * (1.0 if content is None else self._area_ratio(content.loss))

    def _style_terms(
        self, observed: Observation, pixels: int, style: recipe.Style
    ) -> Iterator[Tensor]:
        sums = as_whole(observed.styles, self._region_weights)
        grams = {layer: [gram(region, style) for region in sums[layer]] for layer in sums}
        for number, targets in enumerate(self._grams):
            for layer, A in targets.items():
                count = sums[layer][0].count
                values = [
                    style_value(G, A[None, region % len(A)], count, pixels, style)
                    for region, G in enumerate(grams[layer])
                ]
                if self._region_factors is None:
                    yield values[0]
                else:
                    yield (torch.stack(values, dim=1) * self._region_factors[number]).sum(1)

    def _area_ratio(self, loss: str) -> float:
        """Scale a sum over positions to the first size, so that all scales balance alike."""
        if loss not in _EXTENSIVE:
            return 1.0
        first, here = self.canvas.task.first, self.level.size
        return first[0] * first[1] / (here[0] * here[1])
