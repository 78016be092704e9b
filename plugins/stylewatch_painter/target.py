"""Target: what a painting is held to at one size, and how far a picture is from it."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from stylewatch_painter.canvas import Canvas
from stylewatch_painter.evaluation import Evaluation
from stylewatch_painter.looks import Grams, Looks
from stylewatch_painter.losses import Extent, content_value, gram, maps, style_value, tv_value
from stylewatch_painter.pyramid import Level
from stylewatch_painter.recipe import LayerName, Network
from stylewatch_painter.recipe import Style as StyleLosses
from stylewatch_painter.stage import Losses, Term
from stylewatch_painter.task import Style
from stylewatch_painter.vgg19 import Mean

_SUMS = frozenset({"half_sum", "sum", "power", "squared"})  # values that grow with the picture


_LEAF = torch.zeros(1, requires_grad=True)
_EARLY = _LEAF * 1  # made before any painting, and so the last of what torch has to do


def _let_go() -> None:
    """Free the maps of an evaluation that failed on its way back, for want of memory say.

    Torch would hold on to them: on the CPU what was still to do stays in its queue, where the
    next gradient, of younger nodes, comes before it.
    """
    torch.autograd.grad(_EARLY, _LEAF, retain_graph=True)


class FeatureMaps(Protocol):
    """A network: gives the feature maps of a picture, differentiable by torch."""

    @property
    def mean(self) -> Mean:
        """What is subtracted from a picture, RGB, 0..255."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        ...

    def __call__(
        self, x: Tensor, layers: Collection[LayerName], network: Network
    ) -> dict[LayerName, Tensor]:
        """Features after ReLU, (1, N, height, width) each, of x (1, 3, height, width)."""
        ...


@dataclass(frozen=True)
class _Label:
    """What a term is called, and how much it counts in the total and in the gradient."""

    side: str
    layer: str
    weight: float
    pull: float
    style: str = ""


@dataclass(eq=False)
class Target:
    """The content's features and the styles' Gram matrices at one size.

    Calling it evaluates a picture u (1, 3, height, width) in network units. `looks` are those
    of `network`: what it worked out of styles before.
    """

    canvas: Canvas
    network: FeatureMaps
    level: Level
    looks: Looks = field(default_factory=Looks)
    _contents: dict[LayerName, Tensor] = field(init=False, default_factory=dict)
    _grams: list[tuple[str, float, Grams]] = field(init=False)
    _labels: tuple[_Label, ...] = field(init=False)

    def __post_init__(self) -> None:
        with torch.no_grad():
            self._contents = self._content_targets()
            self._grams = self._style_targets()
        self._labels = tuple(self._name_terms())
        self._pulls = torch.tensor([label.pull for label in self._labels])
        self._pulls = self._pulls.to(self.canvas.device)

    def __call__(self, u: Tensor) -> Evaluation:
        """The terms at u, and the objective's gradient there."""
        u = u.detach().requires_grad_()
        terms = torch.stack(list(self._values(u)))
        objective = torch.dot(terms, self._pulls)
        try:
            (gradient,) = torch.autograd.grad(objective, u)
        except RuntimeError:
            _let_go()
            raise
        return Evaluation(terms.detach(), objective.detach(), gradient.contiguous())

    def losses(self, terms: Tensor) -> Losses:
        """Terms (K,) as a record: what each is of, and their weighted sum."""
        values: Sequence[float] = terms.tolist()
        total = 0.0
        content: dict[str, Term] = {}
        style: dict[str, dict[str, Term]] = {}
        tv = None
        for label, value in zip(self._labels, values, strict=True):
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

    def _content_targets(self) -> dict[LayerName, Tensor]:
        """P of each layer."""
        wanted = self.canvas.task.recipe.objective.content
        picture = self.canvas.content(self.level.size)
        if wanted is None or not wanted.layers or picture is None:
            return {}
        return {layer: maps(f) for layer, f in self._features(picture, wanted.layers).items()}

    def _style_targets(self) -> list[tuple[str, float, Grams]]:
        """(name, share, A of each layer) of each style, or of all of them blended."""
        wanted = self.canvas.task.recipe.objective.style
        styles = self.canvas.task.styles
        if wanted is None or not wanted.layers or not styles:
            return []
        whole = sum(style.weight for style in styles)
        targets: list[tuple[str, float, Grams]] = []
        for style in styles:
            grams = self._look(style, wanted)
            if wanted.gram == "sum":
                # an unnormalised Gram grows with the picture: one looked at in another scale
                # than the painting's would ask for a brighter painting, not for larger strokes
                asked = style.scale * self.canvas.task.recipe.schedule.style_scale
                grams = {layer: one / asked**2 for layer, one in grams.items()}
            targets.append((style.name, style.weight / whole, grams))
        if wanted.several == "losses" or len(targets) == 1:
            return targets
        blended = {
            layer: sum((share * grams[layer] for _, share, grams in targets), torch.tensor(0.0))
            for layer in wanted.layers
        }
        return [("blend", 1.0, blended)]

    def _look(self, style: Style, wanted: StyleLosses) -> Grams:
        """A of each layer, as the network sees `style` at this size; worked out only once."""

        def work_out() -> Grams:
            found = self._features(self.canvas.style(style, self.level), wanted.layers)
            return {layer: gram(maps(f), wanted) for layer, f in found.items()}

        if style.digest is None:
            return work_out()
        recipe, size = self.canvas.task.recipe, self.canvas.task.style_size(style, self.level.scale)
        seen_as = (size, recipe.schedule.resample, recipe.schedule.eight_bit)
        network = recipe.objective.network.model_dump_json()
        key = (style.digest, *seen_as, network, wanted.gram, tuple(wanted.layers))
        return self.looks.find(key, work_out)

    def _features(self, picture: Tensor, layers: Collection[LayerName]) -> dict[LayerName, Tensor]:
        return self.network(picture, layers, self.canvas.task.recipe.objective.network)

    def _values(self, u: Tensor) -> Iterator[Tensor]:
        """Every term at u, in the order of the labels."""
        objective = self.canvas.task.recipe.objective
        wanted = {*self._contents, *(layer for _, _, grams in self._grams for layer in grams)}
        found = {layer: maps(f) for layer, f in self._features(u, wanted).items()}
        if objective.content is not None:
            for layer, target in self._contents.items():
                value = content_value(found[layer], target, objective.content)
                yield value * self._larger(objective.content.loss)
        if objective.style is not None and self._grams:
            style = objective.style
            here = {layer: gram(found[layer], style) for layer in self._grams[0][2]}
            pixels = u.shape[-2] * u.shape[-1]
            for _, _, grams in self._grams:
                for layer, target in grams.items():
                    count, positions = found[layer].shape
                    extent = Extent(count, positions, pixels)
                    yield style_value(here[layer], target, extent, style)
        if objective.tv is not None:
            yield tv_value(u, objective.tv) * self._larger(objective.tv.loss)

    def _larger(self, loss: str) -> float:
        """What a sum over positions would be at the final size: so the balance holds on the way."""
        if loss not in _SUMS:
            return 1.0
        final, here = self.canvas.final, self.level.size
        return final[0] * final[1] / (here[0] * here[1])

    def _name_terms(self) -> Iterator[_Label]:
        """The labels of what `_values` yields."""
        objective = self.canvas.task.recipe.objective
        if objective.content is not None:
            for layer in self._contents:
                weight = objective.content.layers[layer] * 16 ** (0.5 - objective.strength)
                yield _Label("content", layer, weight, weight)
        if objective.style is not None:
            for name, share, grams in self._grams:
                for layer in grams:
                    weight = objective.style.layers[layer] * share
                    yield _Label("style", layer, weight, weight, name)
        if objective.tv is not None:
            pull = objective.tv.gradient_weight
            weight = objective.tv.weight
            yield _Label("tv", "", weight, weight if pull is None else pull)
