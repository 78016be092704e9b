"""Target: what paintings are held to at one size, and how far their pictures are from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from stylewatch_painter.canvas import Canvas
from stylewatch_painter.evaluation import Evaluation
from stylewatch_painter.feature_maps import FeatureMaps
from stylewatch_painter.fourier import QuickWaves
from stylewatch_painter.held import held_to
from stylewatch_painter.labels import Label, as_losses, label_terms
from stylewatch_painter.looks import Looks
from stylewatch_painter.losses import Extent, content_value, gram, maps, style_value, tv_value
from stylewatch_painter.padded import padded
from stylewatch_painter.pyramid import Level
from stylewatch_painter.recipe import LayerName
from stylewatch_painter.stage import Losses

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
    `looks` are those of `network`: what it worked out of styles before. What they are held to is
    worked out in float32, whatever the network paints with.
    """

    canvases: Sequence[Canvas]
    network: FeatureMaps
    level: Level
    looks: Looks = field(default_factory=Looks)
    _contents: dict[LayerName, Tensor] = field(init=False)
    _grams: list[dict[LayerName, Tensor]] = field(init=False)
    _labels: list[tuple[Label, ...]] = field(init=False)

    def __post_init__(self) -> None:
        self.network = padded(self.network)
        each = [held_to(one, self.network.exact, self.level, self.looks) for one in self.canvases]
        self._contents = {
            layer: torch.cat([one.contents[layer] for one in each]) for layer in each[0].contents
        }
        self._grams = [
            {layer: torch.stack([grams[layer] for _, _, grams in alike]) for layer in alike[0][2]}
            for alike in zip(*(one.styles for one in each), strict=True)
        ]
        self._labels = [
            tuple(label_terms(canvas.task.recipe.objective, one.contents, one.styles))
            for canvas, one in zip(self.canvases, each, strict=True)
        ]
        pulls = [[label.pull for label in labels] for labels in self._labels]
        self._pulls = torch.tensor(pulls, device=self.network.device)
        (width, height), slowest = self.level.size, self.level.slowest
        waves = QuickWaves((height, width), slowest, self.network.device) if slowest else None
        self._quick = waves

    def __call__(self, u: Tensor) -> Evaluation:
        """The terms at u, and the slope of the objectives there."""
        u = u.detach().requires_grad_()
        terms = self._terms(u, self.network)
        objective = (terms * self._pulls).sum(1)
        try:
            (gradient,) = torch.autograd.grad(objective.sum(), u)
        except RuntimeError:
            _let_go()
            raise
        if self._quick is not None:
            gradient = self._quick(gradient)
        return Evaluation(terms.detach(), objective.detach(), gradient.contiguous())

    @torch.no_grad()
    def exactly(self, u: Tensor) -> Tensor:
        """The terms (B, K) at u, in float32 all the way."""
        return self._terms(u, self.network.exact)

    @property
    def can_be_recorded(self) -> bool:
        """Whether a GPU can do it all by itself: eigenvalues are worked out with the CPU's help."""
        style = self.canvases[0].task.recipe.objective.style
        return style is None or style.loss != "wasserstein"

    def losses(self, terms: Tensor) -> list[Losses]:
        """The terms (B, K) as a record for each picture: what each is of, and their sum."""
        return [as_losses(*one) for one in zip(self._labels, terms.tolist(), strict=True)]

    def _terms(self, u: Tensor, network: FeatureMaps) -> Tensor:
        return torch.stack(list(self._values(u, network)), dim=1)

    def _values(self, u: Tensor, network: FeatureMaps) -> Iterator[Tensor]:
        """Every term at u, (B,), in the order of the labels."""
        objective = self.canvases[0].task.recipe.objective
        wanted = {*self._contents, *(layer for grams in self._grams for layer in grams)}
        found = {layer: maps(f) for layer, f in network(u, wanted, objective.network).items()}
        if objective.content is not None:
            for layer, target in self._contents.items():
                value = content_value(found[layer], target, objective.content)
                yield value * self._larger(objective.content.loss)
        if objective.style is not None and self._grams:
            style = objective.style
            here = {layer: gram(found[layer], style) for layer in self._grams[0]}
            pixels = u.shape[-2] * u.shape[-1]
            for grams in self._grams:
                for layer, target in grams.items():
                    count, positions = found[layer].shape[-2:]
                    extent = Extent(count, positions, pixels)
                    yield style_value(here[layer], target, extent, style)
        if objective.tv is not None:
            yield tv_value(u, objective.tv) * self._larger(objective.tv.loss)

    def _larger(self, loss: str) -> float:
        """What a sum over positions would be at the first size: so the balance holds on the way."""
        if loss not in _SUMS:
            return 1.0
        first, here = self.canvases[0].task.first, self.level.size
        return first[0] * first[1] / (here[0] * here[1])
