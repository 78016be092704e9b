"""The optimizer RMSprop."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field

from stylewatch_painter.fields import Positive, Real
from stylewatch_painter.late import torch
from stylewatch_painter.optimizers.optimizer import (
    Bounds,
    Evaluate,
    Evaluation,
    Optimizer,
    OptimizerSettings,
)
from stylewatch_painter.optimizers.pyramid import Levels, on_pyramid

if TYPE_CHECKING:
    from torch import Tensor


class RmspropSettings(OptimizerSettings):
    """RMSprop, as in torch: epsilon is added to the root of the mean square."""

    kind: Literal["rmsprop"]
    rate: Positive = 1.0
    final_rate: Positive | None = None
    """Rate at the final size; null: `rate`."""
    decay: Annotated[Real, Field(ge=0, lt=1)] = 0.99
    epsilon: Positive = 1e-8
    pyramid: Levels = 0

    def new(self, bounds: Bounds | None = None) -> Optimizer:
        """Return a new optimizer; with `bounds` it clamps pictures."""
        return on_pyramid(partial(Rmsprop, self), self.pyramid, bounds)

    def vectors(self, steps: int) -> int:
        """Return the number of float32 vectors of the picture's size that exist during a step.

        It does not depend on the number of `steps` before.
        """
        return 7 if self.pyramid else 4

    def at(self, *, is_coarse: bool, is_final: bool) -> Self:
        """Return the settings for one size.

        `is_coarse` is True at a size with the terms of `objective.coarse`. `is_final` is True at
        the size `Task.first` and all larger ones, which have `final_rate` if it is set.
        """
        if not is_final or self.final_rate is None:
            return self
        return self.model_copy(update={"rate": self.final_rate})


class Rmsprop(Optimizer):
    """RMSprop, Tieleman and Hinton 2012: x -= rate g / (sqrt(v) + epsilon).

    v is the exponential moving average of the squares of g, starting from 0.
    """

    def __init__(self, settings: RmspropSettings, bounds: Bounds | None = None) -> None:
        super().__init__(bounds)
        self._settings = settings
        self._v: Tensor | None = None

    def step(self, x: Tensor, evaluate: Evaluate) -> Evaluation:
        """Move x (1, 3, height, width) in place; return the evaluation before the step."""
        s = self._settings
        evaluation = evaluate(x)
        g = evaluation.gradient
        v = torch.zeros_like(x) if self._v is None else self._v
        v.mul_(s.decay).addcmul_(g, g, value=1 - s.decay)
        move = g / v.sqrt().add_(s.epsilon)
        if evaluation.project is not None:  # each pixel has its own rate
            move = evaluation.project(move)
        self._clamp(x.sub_(move, alpha=s.rate))
        self._v = v
        return evaluation

    def state(self) -> dict[str, Tensor]:
        """Return the moving average of the squares as tensor `v`, or {} before the first step."""
        return {} if self._v is None else {"v": self._v.clone()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state that `state` returned."""
        self._v = state.get("v")
