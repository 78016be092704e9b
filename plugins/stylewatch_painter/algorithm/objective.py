"""Objective: the loss terms of a batch of paintings at one size, and their gradient."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from operator import add

import torch
from torch import Tensor

from stylewatch_painter.algorithm.caches import StyleCache
from stylewatch_painter.algorithm.canvas import Canvas
from stylewatch_painter.algorithm.losses import (
    StyleNorm,
    Sums,
    content_value,
    gram,
    style_value,
    tv_value,
)
from stylewatch_painter.algorithm.optimizers import Evaluation, HighPass
from stylewatch_painter.algorithm.padded import padded
from stylewatch_painter.algorithm.scales import Level
from stylewatch_painter.algorithm.targets import ContentTargets, Grams, StyleTarget, Targets
from stylewatch_painter.algorithm.tiles import RegionWeights, Tile, View, added, tiles
from stylewatch_painter.network.vgg19 import FeatureMaps
from stylewatch_painter.recipes import recipe
from stylewatch_painter.recipes.recipe import LayerName
from stylewatch_painter.stage import Losses, Term

_EXTENSIVE = frozenset({"half_sum", "sum", "power", "squared"})  # losses that grow with the area

_LEAF = torch.zeros(1, requires_grad=True)
_EARLY = _LEAF * 1  # created before any evaluation, so autograd processes it last


def _release_graph() -> None:
    """Free the maps of an evaluation whose backward pass failed, for lack of memory for example.

    On the CPU torch leaves the rest of the failed pass in its queue and holds its maps. A later
    backward pass over an older node drains the queue first.
    """
    torch.autograd.grad(_EARLY, _LEAF, retain_graph=True)


@dataclass(frozen=True)
class TermLabel:
    """Identity of a loss term, its weight in the total and its weight in the gradient.

    `style` is the name of the style picture for a term of side `style`.
    """

    side: str
    layer: str
    weight: float
    gradient_weight: float
    style: str = ""


def term_labels(
    objective: recipe.Objective, contents: Sequence[LayerName], styles: Sequence[StyleTarget]
) -> Iterator[TermLabel]:
    """Label all terms: content layers, then the layers of each style, then smoothness."""
    if objective.content is not None:
        for layer in contents:
            weight = objective.content.layers[layer] * 16 ** (0.5 - objective.strength)
            yield TermLabel("content", layer, weight, weight)
    if objective.style is not None:
        for style in styles:
            for layer in style.grams:
                weight = objective.style.layers[layer] * style.share
                yield TermLabel("style", layer, weight, weight, style.name)
    if objective.tv is not None:
        weight, gradient_weight = objective.tv.weight, objective.tv.gradient_weight
        yield TermLabel("tv", "", weight, weight if gradient_weight is None else gradient_weight)


def as_losses(labels: Sequence[TermLabel], values: Sequence[float]) -> Losses:
    """Combine labels and values of the terms of one picture into a record with their total."""
    total = 0.0
    content: dict[str, Term] = {}
    style: dict[str, dict[str, Term]] = {}
    tv = None
    for label, value in zip(labels, values, strict=True):
        own = label.gradient_weight if label.gradient_weight != label.weight else None
        term = Term(value, label.weight, own)
        total += value * label.weight
        if label.side == "content":
            content[label.layer] = term
        elif label.side == "style":
            style.setdefault(label.style, {})[label.layer] = term
        else:
            tv = term
    return Losses(total, content, style, tv)


@dataclass(frozen=True, eq=False)
class Observation:
    """The part of an evaluation that adds up over tiles.

    `contents`: the value (B,) of each content layer. `styles`: the sums of each region, by layer.
    """

    contents: Sequence[Tensor] = ()
    styles: Mapping[LayerName, tuple[Sums, ...]] = field(default_factory=dict)

    def __add__(self, other: "Observation") -> "Observation":
        contents = [a + b for a, b in zip(self.contents, other.contents, strict=True)]
        styles = {layer: added(sums, other.styles[layer]) for layer, sums in self.styles.items()}
        return Observation(contents, styles)

    @property
    def tensors(self) -> list[Tensor]:
        """The differentiable parts."""
        all_sums = (sums for regions in self.styles.values() for sums in regions)
        return [*self.contents, *(tensor for sums in all_sums for tensor in sums.tensors)]

    def as_leaves(self) -> "Observation":
        """A copy whose tensors are leaves, so that the gradient by them can be computed."""
        styles = {
            layer: tuple(
                sums.with_tensors([tensor.detach().requires_grad_() for tensor in sums.tensors])
                for sums in regions
            )
            for layer, regions in self.styles.items()
        }
        return Observation([value.detach().requires_grad_() for value in self.contents], styles)


class Objective:
    """The objective of the paintings on `canvases`, all of one shape (see `paint.shape`).

    Calling it evaluates pictures u (B, 3, height, width) in network units, one for each canvas.
    `styles` caches sums of styles for `network`. Targets are computed in the same precision as the
    pictures, so that rounding errors cancel; reported losses are computed in float32, against
    targets in float32. Where the canvas has no room for the maps of a whole picture, it is
    evaluated in tiles; the results are equal but for rounding.
    """

    def __init__(
        self,
        canvases: Sequence[Canvas],
        network: FeatureMaps,
        level: Level,
        styles: StyleCache | None = None,
    ) -> None:
        self.canvases, self.level = canvases, level
        self.network = padded(network)
        self._cache = StyleCache() if styles is None else styles
        self._recipe = canvases[0].task.recipe.objective
        self._tiles = tiles(level.size, canvases[0].room.tile, self._recipe.layers)
        self._compute_targets()
        layers = tuple({layer: None for grams in self._grams for layer in grams})
        moments = self._recipe.style is not None and self._recipe.style.gram == "moments"
        self._style_view = View(self.network, self._recipe.network, layers, moments)
        self._view = replace(self._style_view, layers=(*self._contents.norms, *layers))
        self._regions = RegionWeights.of(
            canvases[0].task, self._style_view, level.size, len(self._grams)
        )
        width, height = level.size
        slowest, device = level.slowest, self.network.device
        self._high_pass = HighPass((height, width), slowest, device) if slowest else None

    def _compute_targets(self) -> None:
        # a picture in tiles is large: there is no memory for targets in two precisions
        network = self.network if self.is_whole else self.network.exact
        targets = [Targets(canvas, network, self.level, self._cache) for canvas in self.canvases]
        contents = [one.contents() for one in targets]
        styles = [one.styles() for one in targets]
        self._contents = ContentTargets.batched(contents)
        self._grams: list[Grams] = [
            {layer: torch.stack([one.grams[layer] for one in batch]) for layer in batch[0].grams}
            for batch in zip(*styles, strict=True)
        ]
        self._labels = [
            tuple(term_labels(canvas.task.recipe.objective, tuple(content.norms), style))
            for canvas, content, style in zip(self.canvases, contents, styles, strict=True)
        ]
        weights = [[label.gradient_weight for label in labels] for labels in self._labels]
        self._weights = torch.tensor(weights, device=self.network.device)

    @property
    def is_whole(self) -> bool:
        """True if pictures are evaluated in one piece."""
        return len(self._tiles) == 1

    @property
    def is_capturable(self) -> bool:
        """True if a CUDA graph can capture an evaluation: eigenvalues need the CPU.

        Pictures in tiles are so large that a graph would not help.
        """
        style = self._recipe.style
        return self.is_whole and (style is None or style.loss != "wasserstein")

    def __call__(self, u: Tensor) -> Evaluation:
        """Evaluate the terms at u and the gradient of the objectives."""
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
    def exact_terms(self, u: Tensor) -> Tensor:
        """Evaluate the terms (B, K) at u in float32."""
        if self.is_whole and self.network.exact is not self.network:
            return self._in_float32.exact_terms(u)
        view = replace(self._view, network=self.network.exact)
        observed = reduce(add, (self._observe(tile.of(u), tile, view) for tile in self._tiles))
        return self._terms(observed, u)

    @cached_property
    def _in_float32(self) -> "Objective":
        return Objective(self.canvases, self.network.exact, self.level, self._cache)

    def losses(self, terms: Tensor) -> list[Losses]:
        """Convert terms (B, K) to a record for each picture."""
        pairs = zip(self._labels, terms.tolist(), strict=True)
        return [as_losses(labels, values) for labels, values in pairs]

    def _evaluate_whole(self, u: Tensor) -> Evaluation:
        (tile,) = self._tiles
        terms = self._terms(self._observe(u.requires_grad_(), tile, self._view), u)
        objective = (terms * self._weights).sum(1)
        (gradient,) = torch.autograd.grad(objective.sum(), u)
        return Evaluation(terms.detach(), objective.detach(), gradient.contiguous())

    def _evaluate_tiles(self, u: Tensor) -> Evaluation:
        """Evaluate in two passes: sum over the tiles, then backpropagate through each tile.

        The gradient by the sums is the same for all tiles. Content values have no part in it, so
        the second pass computes them.
        """
        # first pass: the style sums of the whole picture, and the gradient by them
        zeros = [u.new_zeros(len(u)) for _ in self._contents.norms]
        observed = Observation(zeros, self._style_sums(u)).as_leaves()
        terms = self._terms(observed, u.requires_grad_())
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

    @torch.no_grad()
    def _style_sums(self, u: Tensor) -> dict[LayerName, tuple[Sums, ...]]:
        """The sums of u over all tiles at the style layers."""
        totals: dict[LayerName, tuple[Sums, ...]] = {}
        for tile in self._tiles if self._style_view.layers else ():
            here = self._sums(self._style_view.at(tile, tile.of(u)), tile)
            totals = {
                layer: added(totals[layer], sums) if totals else sums
                for layer, sums in here.items()
            }
        return totals

    def _observe(self, x: Tensor, tile: Tile, view: View) -> Observation:
        """Observe a tile; x includes its halo."""
        maps, contents = view.at(tile, x), []
        if self._recipe.content is not None:
            for layer, P in self._contents.at(tile).items():
                norm = self._contents.norms[layer]
                contents.append(content_value(maps[layer], P, norm, self._recipe.content))
        return Observation(contents, self._sums(maps, tile))

    def _sums(
        self, maps: Mapping[LayerName, Tensor], tile: Tile
    ) -> dict[LayerName, tuple[Sums, ...]]:
        weights = self._regions.weights
        return {
            layer: self._style_view.region_sums(tile, layer, maps[layer], weights)
            for layer in self._style_view.layers
        }

    def _terms(self, observed: Observation, u: Tensor) -> Tensor:
        """All terms (B, K), in the order of the labels."""
        terms = list(self._content_terms(observed))
        if self._recipe.style is not None:
            pixels = u.shape[-2] * u.shape[-1]
            terms.extend(self._style_terms(observed, pixels, self._recipe.style))
        if (tv := self._recipe.tv) is not None:
            terms.append(tv_value(u, tv) * self._area_ratio(tv.loss))
        return torch.stack(terms, dim=1)

    def _content_terms(self, observed: Observation) -> Iterator[Tensor]:
        content = self._recipe.content
        for value in observed.contents:
            yield value * (1.0 if content is None else self._area_ratio(content.loss))

    def _style_terms(
        self, observed: Observation, pixels: int, style: recipe.Style
    ) -> Iterator[Tensor]:
        sums = {
            layer: self._regions.scaled(layer, regions)
            for layer, regions in observed.styles.items()
        }
        grams = {layer: [gram(region, style) for region in sums[layer]] for layer in sums}
        for number, targets in enumerate(self._grams):
            for layer, A in targets.items():
                first = sums[layer][0]
                norm = StyleNorm(first.products.shape[-1], first.count, pixels)
                values = [
                    style_value(G, A[:, region % A.shape[1]], norm, style)
                    for region, G in enumerate(grams[layer])
                ]
                yield self._regions.value(number, values)

    def _area_ratio(self, loss: str) -> float:
        """Scale a sum over positions to the first size, so that all scales balance alike."""
        if loss not in _EXTENSIVE:
            return 1.0
        first, here = self.canvases[0].task.first, self.level.size
        return first[0] * first[1] / (here[0] * here[1])
