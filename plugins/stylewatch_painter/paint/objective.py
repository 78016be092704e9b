"""Objective: the weighted sum of all losses of a scene, and its gradient."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
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


_LEAF = torch.zeros(1, requires_grad=True)
_OLDEST = _LEAF * 1
"""Result of an autograd operation that precedes every evaluation; see `_release_graph`."""


def _release_graph() -> None:
    """Free the maps of an evaluation whose backward pass failed, for example for lack of memory.

    On the CPU, after a failed pass, torch leaves the nodes that it did not reach in the queue of
    the thread, and they keep their maps. The next backward pass takes these nodes from the queue
    and drops them before it runs its own. `_OLDEST` makes this work even if the queue is ordered by
    age alone, newest first.
    """
    torch.autograd.grad(_OLDEST, _LEAF, retain_graph=True)


@torch.no_grad()
def losses_of(scene: Scene) -> list[Loss]:
    """Return the losses that a scene uses, including their targets.

    If the task has a prior, the temporal loss comes last. The features of the content, from which
    targets are computed, are freed at the end. Raises PictureError if a style is too small.
    """
    losses = [settings.formula(settings, scene) for settings in scene.terms if settings.is_used]
    if scene.task.prior is not None:
        losses.append(Temporal(scene.task.prior, scene))
    scene.free_content_features()
    return losses


def _let_overwrite(losses: Sequence[Loss]) -> None:
    """Set `overwrites_maps` of each loss.

    It becomes True if the loss can overwrite maps and no other loss rereads maps of the same
    layers.
    """
    for loss in losses:
        readers = (each for each in losses if each is not loss and each.rereads_maps)
        is_alone = not any(reader.layers & loss.layers for reader in readers)
        loss.overwrites_maps = loss.can_overwrite_maps and is_alone


def _is_last(loss: Loss) -> bool:
    """Return whether a loss is evaluated after all losses that do not overwrite maps.

    The backward pass runs in reverse order. It first writes the gradients of such losses over the
    maps, and then adds the gradients of the other losses.
    """
    return loss.overwrites_maps


class Objective:
    """Weighted sum of the losses of a scene, by default of all losses of its recipe.

    A call evaluates a picture u (1, 3, height, width) in network units. If the scene has tiles, the
    evaluation makes two passes over the tiles, and the results equal those in one piece except for
    rounding. `step` is the number of previous steps: losses that sample positions draw new ones in
    each step. Raises RecipeError if two losses have the same term.
    """

    def __init__(self, scene: Scene, losses: Sequence[Loss] | None = None) -> None:
        self.scene = scene
        self.step = 0
        self.losses = losses_of(scene) if losses is None else losses
        self.weights: dict[Label, Weight] = {}
        _let_overwrite(self.losses)
        for loss in self.losses:
            self.weights |= loss.weights
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
        """Return the terms, the objective and its gradient at u (1, 3, height, width)."""
        u = u.detach()
        try:
            evaluation = self._evaluate_whole(u) if self.is_whole else self._evaluate_tiles(u)
        except RuntimeError:
            _release_graph()
            raise
        evaluation = replace(evaluation, varies=any(loss.varies for loss in self.losses))
        if self.scene.task.is_photograph:  # the gradient consists of rounding errors
            evaluation.gradient.zero_()
        if self._high_pass is None:
            return evaluation
        gradient = self._high_pass(evaluation.gradient)
        return replace(evaluation, gradient=gradient, project=self._high_pass)

    @torch.no_grad()
    def evaluate_terms(self, u: Tensor) -> Tensor:
        """Return the terms (K,) at u (1, 3, height, width), without a gradient."""
        if self.is_whole:
            return self._stacked(self._values(u))
        return self._stacked(self._values_of(u, self._total(u, self._additive)))

    def record(self, terms: Tensor) -> Losses:
        """Convert terms (K,), in the order of `weights`, to `Losses`."""
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
        for loss in sorted(self.losses, key=_is_last):
            values |= loss.values(u, maps, self.step)
        return values

    def _evaluate_whole(self, u: Tensor) -> Evaluation:
        terms = self._stacked(self._values(u.requires_grad_()))
        objective = (terms * self._factors).sum()
        (gradient,) = torch.autograd.grad(objective, u)
        return Evaluation(terms.detach(), objective.detach(), gradient.contiguous())

    # in tiles

    def _evaluate_tiles(self, u: Tensor) -> Evaluation:
        """Evaluate u in two passes, in which only the maps of one tile at a time take memory.

        The first pass sums over all tiles, and ends with the gradient of the objective with respect
        to the sums, which is the same for every tile. The second pass continues the gradient to the
        pixels of each tile.
        """
        with torch.no_grad():
            sums = self._total(u, self._additive)
        leaves = [tensor.requires_grad_() for total in sums.values() for tensor in total]
        terms = self._stacked(self._values_of(u.requires_grad_(), sums))
        objective = (terms * self._factors).sum()
        # the objective may be independent of a sum, and of the pixels themselves
        *slopes, by_pixels = torch.autograd.grad(objective, [*leaves, u], materialize_grads=True)
        gradient = by_pixels.contiguous()
        for tile in self._tiles:
            tile.of(gradient).add_(self._gradient_by_tile(tile.of(u), tile, slopes))
        return Evaluation(terms.detach(), objective.detach(), gradient)

    def _gradient_by_tile(self, pixels: Tensor, tile: Tile, slopes: Sequence[Tensor]) -> Tensor:
        """Return the gradient with respect to the `pixels` of a tile and its halo.

        `slopes` has the gradient of the objective with respect to each sum.
        """
        x = pixels.detach().requires_grad_()
        sums = [tensor for own in self._sums(x, tile, self._additive).values() for tensor in own]
        # a sum may be a constant, such as a count
        depends = [tensor.requires_grad for tensor in sums]
        if not any(depends):
            return torch.zeros_like(x)
        outputs = list(compress(sums, depends))
        (gradient,) = torch.autograd.grad(outputs, x, list(compress(slopes, depends)))
        return gradient

    @property
    def _additive(self) -> list[AdditiveLoss]:
        return [loss for loss in self.losses if isinstance(loss, AdditiveLoss)]

    def _total(self, u: Tensor, losses: Sequence[AdditiveLoss]) -> dict[AdditiveLoss, _Sums]:
        """Return the sums of `losses` over all tiles of u, by loss."""
        totals: dict[AdditiveLoss, _Sums] = {}
        for tile in self._tiles if losses else ():
            for loss, sums in self._sums(tile.of(u), tile, losses).items():
                totals[loss] = added(totals.get(loss), sums)
        return totals

    def _sums(
        self, x: Tensor, tile: Tile, losses: Sequence[AdditiveLoss]
    ) -> dict[AdditiveLoss, _Sums]:
        """Return the sums of `losses` over a tile, by loss; x includes the tile's halo."""
        maps = self.scene.maps(x, {layer for loss in losses for layer in loss.layers}, tile)
        sums = {loss: list(loss.sums(maps, tile)) for loss in sorted(losses, key=_is_last)}
        return {loss: sums[loss] for loss in losses}

    def _values_of(self, u: Tensor, sums: Mapping[AdditiveLoss, _Sums]) -> dict[Label, Tensor]:
        """Return the value () of each term.

        Additive losses are computed from their `sums`, all others from the pixels u.
        """
        values: dict[Label, Tensor] = {}
        for loss in self.losses:
            if isinstance(loss, AdditiveLoss):
                values |= loss.values_of(sums[loss])
            else:
                values |= loss.values(u, {}, self.step)
        return values
