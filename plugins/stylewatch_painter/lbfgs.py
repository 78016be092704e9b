"""L-BFGS with a bounded history, in pixels or in coordinates that make the valley rounder.

Nocedal and Wright, "Numerical Optimization", 2nd edition: algorithm 7.4 (two loops) and 7.5.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stylewatch_painter import recipe
from stylewatch_painter.evaluation import Evaluate, Evaluation
from stylewatch_painter.fourier import Scaling
from stylewatch_painter.line_search import strong_wolfe

_LEAST_CURVATURE = 1e-10  # a pair below it says nothing, or that the valley bends the wrong way
_LEAST_GRADIENT = 1e-7
_LEAST_SLOPE = 1e-9


@dataclass(frozen=True, eq=False)
class _Pair:
    """A move s, the change y of the gradient along it, and their product, the curvature."""

    s: Tensor
    y: Tensor
    curvature: Tensor


class Lbfgs:
    """L-BFGS as torch and Torch7 have it: without a line search, a step is one evaluation.

    `coordinates` p > 0 makes it the L-BFGS on Fourier coefficients scaled by 1 / f^p. That is
    the same as starting the two loops from that scaling, squared, in place of the identity.
    """

    def __init__(self, settings: recipe.Lbfgs) -> None:
        self._settings = settings
        self._steps = 0
        self._pairs: list[_Pair] = []
        self._last: tuple[Tensor, Tensor] | None = None  # the move made, the gradient before it
        self._ahead: Evaluation | None = None  # a line search ends where the next step begins
        self._scaling: Scaling | None = None

    def step(self, x: Tensor, evaluate: Evaluate) -> Evaluation:
        """One step; x changes in place. Nothing moves where the slope is gone."""
        seen = self._ahead or evaluate(x)
        self._ahead = None
        self._steps += 1
        g = seen.gradient
        self._remember(g)
        direction = self._direction(g)
        if self._is_flat(g, direction):
            self._last = None
            return seen
        length = self._length(g, direction)
        if self._settings.line_search == "strong_wolfe":
            length, self._ahead = strong_wolfe(evaluate, x, direction, seen, length)
        move = direction.mul_(length)
        x.add_(move)
        self._last = (move, g)
        return seen

    def _is_flat(self, g: Tensor, direction: Tensor) -> bool:
        """Whether there is nowhere to go: by torch's own limits where its bytes are wanted.

        They are absolute, and large pictures, of whose loss each pixel is a small part, have
        slopes below them from the start.
        """
        slope = _dot(g, direction)
        if self._settings.first_step is not None:
            return not bool(slope < 0)
        return bool(g.abs().max() <= _LEAST_GRADIENT or slope > -_LEAST_SLOPE)

    def _remember(self, g: Tensor) -> None:
        """Take in the last move, now that the gradient after it is known."""
        if self._last is None:
            return
        move, before = self._last
        change = g - before
        curvature = _dot(move, change)
        if curvature > _LEAST_CURVATURE:
            self._pairs = [*self._pairs, _Pair(move, change, curvature)]
            self._pairs = self._pairs[-self._settings.history :]

    def _direction(self, g: Tensor) -> Tensor:
        """- H g by the two loops of algorithm 7.4."""
        q = g.clone()
        shares = []
        for pair in reversed(self._pairs):
            share = float(_dot(pair.s, q) / pair.curvature)
            q.add_(pair.y, alpha=-share)
            shares.append(share)
        r = self._scaled(q)
        if self._pairs:
            newest = self._pairs[-1]
            r.mul_(newest.curvature / _dot(newest.y, self._scaled(newest.y)))
        for pair, share in zip(self._pairs, reversed(shares), strict=True):
            r.add_(pair.s, alpha=share - float(_dot(pair.y, r) / pair.curvature))
        return r.neg_()

    def _scaled(self, q: Tensor) -> Tensor:
        """Bring q into rounder coordinates; in pixels it stays as it is."""
        power = self._settings.coordinates
        if not power:
            return q
        if self._scaling is None:
            self._scaling = Scaling(q.shape[-2:], power, q.device)
        return self._scaling(q)

    def _length(self, g: Tensor, direction: Tensor) -> float:
        """How far to go along the direction: all the way, but for the first step.

        With a `first_step` that also holds while no pair is known. Without one it does not:
        then torch and Torch7, whose bytes a recipe may want, go all the way from the second on.
        """
        s = self._settings
        if s.first_step is not None and not self._pairs:
            return s.rate * s.first_step / float(direction.square().mean().sqrt())
        if s.first_step is None and self._steps == 1:
            return s.rate * min(1.0, 1.0 / float(g.abs().sum()))
        return s.rate

    def state(self) -> dict[str, Tensor]:
        """The pairs, and the move that waits for its gradient."""
        kept = {"steps": torch.tensor(self._steps)}
        for i, pair in enumerate(self._pairs):
            kept |= {f"{i}.s": pair.s, f"{i}.y": pair.y, f"{i}.curvature": pair.curvature}
        if self._last is not None:
            kept["move"], kept["gradient"] = self._last
        return kept

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        self._steps = int(state["steps"])
        count = sum(1 for name in state if name.endswith(".s"))
        self._pairs = [
            _Pair(state[f"{i}.s"], state[f"{i}.y"], state[f"{i}.curvature"]) for i in range(count)
        ]
        self._last = (state["move"], state["gradient"]) if "move" in state else None


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return torch.dot(a.view(-1), b.view(-1))
