"""Target: what paintings are held to at one size, and how far their pictures are from it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from operator import add

import torch
from torch import Tensor

from stylewatch_painter.algorithm.caches import Looks
from stylewatch_painter.algorithm.canvas import Canvas
from stylewatch_painter.algorithm.losses import (
    Extent,
    Sums,
    content_value,
    gram,
    style_value,
    tv_value,
)
from stylewatch_painter.algorithm.optimizers import Evaluation, QuickWaves
from stylewatch_painter.algorithm.padded import padded
from stylewatch_painter.algorithm.scales import Level
from stylewatch_painter.algorithm.targets import Contents, Grams, held_to, together
from stylewatch_painter.algorithm.tiles import Guides, Tile, View, added, tiles
from stylewatch_painter.network.vgg19 import FeatureMaps
from stylewatch_painter.recipes.recipe import LayerName, Objective, Style
from stylewatch_painter.stage import Losses, Term


@dataclass(frozen=True)
class Label:
    """What a term is called, and how much it counts in the total (weight) and the gradient (pull).

    `style` is the name of the style picture that a term of side `style` is about.
    """

    side: str
    layer: str
    weight: float
    pull: float
    style: str = ""


def label_terms(
    objective: Objective,
    contents: Collection[LayerName],
    styles: Sequence[tuple[str, float, Collection[LayerName]]],
) -> Iterator[Label]:
    """The labels of all terms: content layers, then the layers of each style, then smoothness.

    `styles` gives (name, share, layers) of each style.
    """
    if objective.content is not None:
        for layer in contents:
            weight = objective.content.layers[layer] * 16 ** (0.5 - objective.strength)
            yield Label("content", layer, weight, weight)
    if objective.style is not None:
        for name, share, layers in styles:
            for layer in layers:
                weight = objective.style.layers[layer] * share
                yield Label("style", layer, weight, weight, name)
    if objective.tv is not None:
        pull = objective.tv.gradient_weight
        weight = objective.tv.weight
        yield Label("tv", "", weight, weight if pull is None else pull)


def as_losses(labels: Sequence[Label], values: Sequence[float]) -> Losses:
    """The values of terms as a record: what each is of, and their weighted sum."""
    total = 0.0
    content: dict[str, Term] = {}
    style: dict[str, dict[str, Term]] = {}
    tv = None
    for label, value in zip(labels, values, strict=True):
        aside = label.pull if label.pull != label.weight else None
        term = Term(value, label.weight, aside)
        total += value * label.weight
        if label.side == "content":
            content[label.layer] = term
        elif label.side == "style":
            style.setdefault(label.style, {})[label.layer] = term
        else:
            tv = term
    return Losses(total, content, style, tv)


@dataclass(frozen=True, eq=False)
class Seen:
    """Of pictures (B, 3, height, width), or of a tile of them.

    `contents`: the value (B,) of each content layer. `styles`: the sums of each region, by layer.
    """

    contents: Sequence[Tensor] = ()
    styles: Mapping[LayerName, tuple[Sums, ...]] = field(default_factory=dict)

    def __add__(self, other: "Seen") -> "Seen":
        """What is seen of both."""
        contents = [a + b for a, b in zip(self.contents, other.contents, strict=True)]
        styles = {layer: added(one, other.styles[layer]) for layer, one in self.styles.items()}
        return Seen(contents, styles)

    @property
    def tensors(self) -> list[Tensor]:
        """All that can be differentiated."""
        sums = (one for regions in self.styles.values() for one in regions)
        return [*self.contents, *(tensor for one in sums for tensor in one.tensors)]

    def apart(self) -> "Seen":
        """The same, but as if it had not been seen of anything: its own slope can be asked for."""
        styles = {
            layer: tuple(
                one.made_of([tensor.detach().requires_grad_() for tensor in one.tensors])
                for one in regions
            )
            for layer, regions in self.styles.items()
        }
        return Seen([one.detach().requires_grad_() for one in self.contents], styles)


_SUMS = frozenset({"half_sum", "sum", "power", "squared"})  # values that grow with the picture


_LEAF = torch.zeros(1, requires_grad=True)
_EARLY = _LEAF * 1  # made before any painting, and so the last of what torch has to do


def _let_go() -> None:
    """Free the maps of an evaluation that failed on its way back, for want of memory say.

    Torch would hold on to them: on the CPU what was still to do stays in its queue, where the
    next gradient, of younger nodes, comes before it.
    """
    torch.autograd.grad(_EARLY, _LEAF, retain_graph=True)


@dataclass(eq=False)
class Target:
    """What the paintings on `canvases`, all of one shape (see `together`), are held to at one size.

    Calling it evaluates pictures u (B, 3, height, width) in network units, one for each canvas.
    `looks` are those of `network`: what it worked out of styles before. Paintings are held to what
    the network itself sees, so that what few bits do to all it sees is no difference; losses that
    are told are worked out in float32, beside targets in float32.

    Where the canvas has no room for the maps of a whole picture, it is looked at in tiles; the
    numbers are the same, but for rounding.
    """

    canvases: Sequence[Canvas]
    network: FeatureMaps
    level: Level
    looks: Looks = field(default_factory=Looks)
    _contents: Contents = field(init=False)
    _grams: list[Grams] = field(init=False)
    _labels: list[tuple[Label, ...]] = field(init=False)
    _tiles: tuple[Tile, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.network = padded(self.network)
        first, size = self.canvases[0], self.level.size
        objective = first.task.recipe.objective
        self._tiles = tiles(size, first.room.tile, objective.layers)
        # what is cut into tiles is large, and no room for targets of both kinds
        network = self.network if self.is_whole else self.network.exact
        each = [held_to(one, network, self.level, self.looks) for one in self.canvases]
        self._contents = together([one.contents for one in each])
        self._grams = [
            {layer: torch.stack([grams[layer] for _, _, grams in alike]) for layer in alike[0][2]}
            for alike in zip(*(one.styles for one in each), strict=True)
        ]
        self._labels = [
            tuple(label_terms(canvas.task.recipe.objective, one.contents.wholes, one.styles))
            for canvas, one in zip(self.canvases, each, strict=True)
        ]
        pulls = [[label.pull for label in labels] for labels in self._labels]
        self._pulls = torch.tensor(pulls, device=self.network.device)
        styles = tuple({layer: None for grams in self._grams for layer in grams})
        means = objective.style is not None and objective.style.gram == "moments"
        self._styles = View(self.network, objective.network, styles, means)
        self._all = replace(self._styles, layers=(*self._contents.wholes, *styles))
        self._guides = Guides.of(first.task, self._styles, size, len(self._grams))
        slowest, shape = self.level.slowest, (size[1], size[0])
        self._quick = QuickWaves(shape, slowest, self.network.device) if slowest else None

    @property
    def is_whole(self) -> bool:
        """Whether pictures are looked at in one piece."""
        return len(self._tiles) == 1

    def __call__(self, u: Tensor) -> Evaluation:
        """The terms at u, and the slope of the objectives there."""
        u = u.detach()
        try:
            seen = self._at_once(u) if self.is_whole else self._by_tiles(u)
        except RuntimeError:
            _let_go()
            raise
        if self._quick is None:
            return seen
        return replace(seen, gradient=self._quick(seen.gradient), free=self._quick)

    @torch.no_grad()
    def exactly(self, u: Tensor) -> Tensor:
        """The terms (B, K) at u, in float32 all the way."""
        if self.is_whole and self.network.exact is not self.network:
            return self._in_float32.exactly(u)
        view = replace(self._all, network=self.network.exact)
        seen = reduce(add, (self._seen(tile.of(u), tile, view) for tile in self._tiles))
        return self._terms(seen, u)

    @cached_property
    def _in_float32(self) -> "Target":
        return Target(self.canvases, self.network.exact, self.level, self.looks)

    @property
    def can_be_recorded(self) -> bool:
        """Whether a GPU can do it all by itself: eigenvalues are worked out with the CPU's help.

        What is painted in tiles is not small enough for that to matter.
        """
        style = self.canvases[0].task.recipe.objective.style
        return self.is_whole and (style is None or style.loss != "wasserstein")

    def losses(self, terms: Tensor) -> list[Losses]:
        """The terms (B, K) as a record for each picture: what each is of, and their sum."""
        return [as_losses(*one) for one in zip(self._labels, terms.tolist(), strict=True)]

    def _at_once(self, u: Tensor) -> Evaluation:
        (tile,) = self._tiles
        terms = self._terms(self._seen(u.requires_grad_(), tile, self._all), u)
        objective = (terms * self._pulls).sum(1)
        (gradient,) = torch.autograd.grad(objective.sum(), u)
        return Evaluation(terms.detach(), objective.detach(), gradient.contiguous())

    def _by_tiles(self, u: Tensor) -> Evaluation:
        """The same in two passes: what adds up over the tiles, then what each can do about it.

        The slope of the objective by those sums is the same for all tiles, and leads through a
        tile's own maps to the slope by its pixels. The values of the content are no part of any
        slope: the second pass is soon enough for them.
        """
        seen = Seen([u.new_zeros(len(u)) for _ in self._contents.wholes], self._styles_of(u))
        seen = seen.apart()
        terms = self._terms(seen, u.requires_grad_())
        *slopes, own = torch.autograd.grad(
            (terms * self._pulls).sum(), [*seen.tensors, u], materialize_grads=True
        )
        gradient, terms = own.contiguous(), terms.detach()
        for tile in self._tiles:
            x = tile.of(u).detach().requires_grad_()
            here = self._seen(x, tile, self._all)
            (slope,) = torch.autograd.grad(here.tensors, x, slopes)
            tile.of(gradient).add_(slope)
            for term, value in enumerate(self._content_terms(here)):
                terms[:, term] += value.detach()
        return Evaluation(terms, (terms * self._pulls).sum(1), gradient)

    @torch.no_grad()
    def _styles_of(self, u: Tensor) -> dict[LayerName, tuple[Sums, ...]]:
        """What adds up of all tiles at the layers that styles look at."""
        found: dict[LayerName, tuple[Sums, ...]] = {}
        for tile in self._tiles if self._styles.layers else ():
            here = self._sums(self._styles.at(tile, tile.of(u)), tile)
            found = (
                {layer: added(found[layer], one) for layer, one in here.items()} if found else here
            )
        return found

    def _seen(self, x: Tensor, tile: Tile, view: View) -> Seen:
        """What is seen of a tile, which shows x with its halo."""
        found, contents = view.at(tile, x), []
        content, wholes = self.canvases[0].task.recipe.objective.content, self._contents.wholes
        if content is not None:
            for layer, target in self._contents.at(tile).items():
                contents.append(content_value(found[layer], target, wholes[layer], content))
        return Seen(contents, self._sums(found, tile))

    def _sums(
        self, found: Mapping[LayerName, Tensor], tile: Tile
    ) -> dict[LayerName, tuple[Sums, ...]]:
        weights = self._guides.weights
        return {
            layer: self._styles.of_regions(tile, layer, found[layer], weights)
            for layer in self._styles.layers
        }

    def _terms(self, seen: Seen, u: Tensor) -> Tensor:
        return torch.stack(list(self._values(seen, u)), dim=1)

    def _values(self, seen: Seen, u: Tensor) -> Iterator[Tensor]:
        """Every term at u, (B,), in the order of the labels."""
        objective = self.canvases[0].task.recipe.objective
        yield from self._content_terms(seen)
        if objective.style is not None:
            yield from self._style_terms(seen, u.shape[-2] * u.shape[-1], objective.style)
        if objective.tv is not None:
            yield tv_value(u, objective.tv) * self._larger(objective.tv.loss)

    def _content_terms(self, seen: Seen) -> Iterator[Tensor]:
        content = self.canvases[0].task.recipe.objective.content
        for value in seen.contents:
            yield value * (1.0 if content is None else self._larger(content.loss))

    def _style_terms(self, seen: Seen, pixels: int, style: Style) -> Iterator[Tensor]:
        sums = {layer: self._guides.sums(layer, one) for layer, one in seen.styles.items()}
        here = {layer: [gram(one, style) for one in regions] for layer, regions in sums.items()}
        for number, grams in enumerate(self._grams):
            for layer, targets in grams.items():
                first = sums[layer][0]
                extent = Extent(first.products.shape[-1], first.count, pixels)
                yield self._guides.value(
                    number,
                    [
                        style_value(one, targets[:, region % targets.shape[1]], extent, style)
                        for region, one in enumerate(here[layer])
                    ],
                )

    def _larger(self, loss: str) -> float:
        """What a sum over positions would be at the first size: so the balance holds on the way."""
        if loss not in _SUMS:
            return 1.0
        first, here = self.canvases[0].task.first, self.level.size
        return first[0] * first[1] / (here[0] * here[1])
