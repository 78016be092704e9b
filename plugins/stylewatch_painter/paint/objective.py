"""Objective: the sum of all losses of a scene, with one forward pass and one gradient."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress

import torch
from torch import Tensor

from stylewatch_painter.errors import RecipeError
from stylewatch_painter.losses.loss import AdditiveLoss, Label, Loss, Weight, added
from stylewatch_painter.losses.temporal import Temporal
from stylewatch_painter.optimizers.fourier import FourierFilter
from stylewatch_painter.optimizers.optimizer import Evaluation
from stylewatch_painter.scene.scene import Scene
from stylewatch_painter.scene.tiles import Tile
from stylewatch_painter.stage import Losses, Term

_Sums = list[Tensor]


@dataclass(frozen=True, eq=False)
class _Total:
    """The sums over all tiles, and what follows from them.

    `slopes` has the gradient of the objective with respect to each tensor of the sums, in order.
    `gradient` (1, 3, height, width) is that of the losses that read pixels, `terms` (K,) are the
    terms, without those of linear losses. The second pass adds to both.
    """

    sums: dict[AdditiveLoss, _Sums]
    slopes: Sequence[Tensor]
    gradient: Tensor
    terms: Tensor


_LEAF = torch.zeros(1, requires_grad=True)
_OLDEST = _LEAF * 1
"""A result of autograd that is older than every evaluation; see `_release_graph`."""


def _release_graph() -> None:
    """Free the maps of an evaluation whose backward pass failed, for example by lack of memory.

    On the CPU torch leaves the rest of the failed pass in the queue of the thread, which keeps its
    maps. Newer nodes come first in the queue: a backward pass over the oldest node of all ends
    after it has dropped all others. Another result would leave those that are older than itself.
    """
    torch.autograd.grad(_OLDEST, _LEAF, retain_graph=True)


@torch.no_grad()
def losses_of(scene: Scene) -> list[Loss]:
    """Return the losses of a scene, including their targets.

    Raises PictureError if a style is too small.
    """
    losses = [settings.formula(settings, scene) for settings in scene.terms if settings.is_used]
    if scene.task.prior is not None:
        losses.append(Temporal(scene.task.prior, scene))
    scene.free_content_features()
    return losses


def _rereads(reader: Loss, loss: Loss) -> bool:
    """Return whether `reader` is another loss whose backward pass reads maps of `loss`."""
    return reader is not loss and reader.rereads_maps and bool(reader.layers & loss.layers)


class Objective:
    """The objective of a scene, by default with all losses of its recipe.

    Calling it evaluates a picture u (1, 3, height, width) in network units. If the scene has tiles,
    u is evaluated in two passes over them; the results are equal except for rounding. `step` is the
    number of previous steps: losses that sample positions draw new ones in each step.
    """

    def __init__(self, scene: Scene, losses: Sequence[Loss] | None = None) -> None:
        self.scene = scene
        self.step = 0
        self.losses = losses_of(scene) if losses is None else losses
        self.weights: dict[Label, Weight] = {}
        for loss in self.losses:
            self.weights |= loss.weights
            # the rule of `Loss.overwrites_maps`
            if any(_rereads(reader, loss) for reader in self.losses):
                loss.overwrites_maps = False
        terms = Counter(label.term for loss in self.losses for label in loss.weights)
        for term, count in terms.items():
            if count > 1:
                raise RecipeError(f"two losses have a term {term}: each needs a label of its own")
        self._factors = torch.tensor(
            [weight.gradient for weight in self.weights.values()], device=scene.device
        )
        self._layers = frozenset(layer for loss in self.losses for layer in loss.layers)
        self._tiles = scene.tiles(scene.size, scene.terms.layers)
        self._high_pass = None
        if scene.level.slowest:
            self._high_pass = FourierFilter.high_pass(
                scene.size.shape, scene.level.slowest, scene.device
            )

    @property
    def is_whole(self) -> bool:
        """True if pictures are evaluated in one piece."""
        return len(self._tiles) == 1

    @property
    def is_capturable(self) -> bool:
        """True if a CUDA graph can capture an evaluation.

        Pictures in tiles are so large that a graph would not help.
        """
        return self.is_whole and all(loss.is_capturable for loss in self.losses)

    def __call__(self, u: Tensor) -> Evaluation:
        """Evaluate the terms at u and the gradient of the objective."""
        u = u.detach()
        try:
            evaluation = self._evaluate_whole(u) if self.is_whole else self._evaluate_tiles(u)
        except RuntimeError:
            _release_graph()
            raise
        evaluation = replace(evaluation, varies=any(loss.varies for loss in self.losses))
        if self.scene.task.is_photograph:  # rounding errors are no gradient
            evaluation.gradient.zero_()
        if self._high_pass is None:
            return evaluation
        gradient = self._high_pass(evaluation.gradient)
        return replace(evaluation, gradient=gradient, project=self._high_pass)

    @torch.no_grad()
    def evaluate_terms(self, u: Tensor) -> Tensor:
        """Evaluate the terms (K,) at u without a gradient."""
        if self.is_whole:
            return self._stacked(self._values(u))
        return self._stacked(self._values_of(u, self._total(u, self._additive)))

    def record(self, terms: Tensor) -> Losses:
        """Convert terms (K,) to `Losses`."""
        total = 0.0
        content: dict[str, Term] = {}
        style: dict[str, dict[str, Term]] = {}
        further: dict[str, Term] = {}
        for (label, weight), value in zip(self.weights.items(), terms.tolist(), strict=True):
            term = Term(value, weight.total, weight.in_gradient)
            total += value * weight.total
            if label.side == "content":
                content[label.layer] = term
            elif label.side == "style":
                style.setdefault(label.style, {})[label.layer] = term
            else:
                further[label.side] = term
        return Losses(total, content, style, further.get("tv"), further.get("temporal"))

    def _stacked(self, values: Mapping[Label, Tensor]) -> Tensor:
        """Return the terms (K,), in the order of `weights`."""
        return torch.stack([values[label] for label in self.weights])

    # in one piece

    def _values(self, u: Tensor) -> dict[Label, Tensor]:
        maps = self.scene.maps(u, self._layers) if self._layers else {}
        values: dict[Label, Tensor] = {}
        for loss in sorted(self.losses, key=lambda loss: loss.overwrites_maps):
            values |= loss.values(u, maps, self.step)
        return values

    def _evaluate_whole(self, u: Tensor) -> Evaluation:
        terms = self._stacked(self._values(u.requires_grad_()))
        objective = (terms * self._factors).sum()
        (gradient,) = torch.autograd.grad(objective, u)
        return Evaluation(terms.detach(), objective.detach(), gradient.contiguous())

    # in tiles

    def _evaluate_tiles(self, u: Tensor) -> Evaluation:
        """Evaluate in two passes, because the maps of one tile at a time fit into memory.

        The first sums over all tiles, and finds how the objective depends on the sums. This is the
        same for every tile; the second goes on from there to the pixels of each tile.
        """
        total = self._differentiated_total(u)
        linear = [loss for loss in total.sums if loss.is_linear]
        indices = {label: index for index, label in enumerate(self.weights)}
        for tile in self._tiles:
            x = tile.of(u).detach().requires_grad_()
            sums = self._sums(x, tile, list(total.sums))
            tensors = [tensor for sums_of_loss in sums.values() for tensor in sums_of_loss]
            # a sum may be a constant, such as a count
            depends = [tensor.requires_grad for tensor in tensors]
            if any(depends):
                outputs = list(compress(tensors, depends))
                slopes = list(compress(total.slopes, depends))
                (by_tile,) = torch.autograd.grad(outputs, x, slopes)
                tile.of(total.gradient).add_(by_tile)
            for loss in linear:
                for label, value in loss.values_of(sums[loss]).items():
                    total.terms[indices[label]] += value.detach()
        objective = (total.terms * self._factors).sum()
        return Evaluation(total.terms, objective, total.gradient)

    def _differentiated_total(self, u: Tensor) -> "_Total":
        """Return the sums over all tiles, and the gradients that need them.

        The gradient with respect to linear sums does not depend on their values: zeros take their
        place, and the second pass adds up their terms. This saves a forward pass for each tile.
        """
        linear = [loss for loss in self._additive if loss.is_linear]
        nonlinear = [loss for loss in self._additive if not loss.is_linear]
        sums = {loss: [u.new_zeros(()) for _ in loss.weights] for loss in linear}
        with torch.no_grad():
            sums |= self._total(u, nonlinear)
        tensors = [tensor for sums_of_loss in sums.values() for tensor in sums_of_loss]
        leaves = [tensor.requires_grad_() for tensor in tensors]
        terms = self._stacked(self._values_of(u.requires_grad_(), sums))
        objective = (terms * self._factors).sum()
        *slopes, by_pixels = torch.autograd.grad(objective, [*leaves, u], materialize_grads=True)
        return _Total(sums, slopes, by_pixels.contiguous(), terms.detach())

    @property
    def _additive(self) -> list[AdditiveLoss]:
        return [loss for loss in self.losses if isinstance(loss, AdditiveLoss)]

    def _total(self, u: Tensor, losses: Sequence[AdditiveLoss]) -> dict[AdditiveLoss, _Sums]:
        """Return the sums of some losses over all tiles of u."""
        totals: dict[AdditiveLoss, _Sums] = {}
        for tile in self._tiles if losses else ():
            for loss, sums in self._sums(tile.of(u), tile, losses).items():
                totals[loss] = added(totals.get(loss), sums)
        return totals

    def _sums(
        self, x: Tensor, tile: Tile, losses: Sequence[AdditiveLoss]
    ) -> dict[AdditiveLoss, _Sums]:
        """Return the sums of some losses over a tile; x includes its halo."""
        maps = self.scene.maps(x, {layer for loss in losses for layer in loss.layers}, tile)
        in_order = sorted(losses, key=lambda loss: loss.overwrites_maps)
        sums = {loss: list(loss.sums(maps, tile)) for loss in in_order}
        return {loss: sums[loss] for loss in losses}

    def _values_of(self, u: Tensor, sums: Mapping[AdditiveLoss, _Sums]) -> dict[Label, Tensor]:
        """Return all terms: from the sums for additive losses, from the pixels u for others."""
        values: dict[Label, Tensor] = {}
        for loss in self.losses:
            if isinstance(loss, AdditiveLoss):
                values |= loss.values_of(sums[loss])
            else:
                values |= loss.values(u, {}, self.step)
        return values
