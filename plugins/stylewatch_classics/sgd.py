"""Gradient descent with a decaying rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from stylewatch_painter.fields import Positive, Real, SomeSteps
from stylewatch_painter.late import torch
from stylewatch_painter.optimizers.optimizer import (
    Bounds,
    Evaluate,
    Evaluation,
    Optimizer,
    OptimizerSettings,
)

if TYPE_CHECKING:
    from torch import Tensor


class SgdSettings(OptimizerSettings):
    """Gradient descent. The rate at step i (from 0) is rate x decay^(i / decay_steps)."""

    kind: Literal["sgd"]
    rate: Positive = 100.0
    decay: Annotated[Real, Field(gt=0, le=1)] = 1.0
    decay_steps: SomeSteps = 100

    def new(self, bounds: Bounds | None = None) -> Sgd:
        """Return a new optimizer; with `bounds` it clamps pictures."""
        return Sgd(self, bounds)

    def vectors(self, steps: int) -> int:
        """Return the number of float32 vectors of the picture's size that exist during a step.

        It does not depend on the number of `steps` before.
        """
        return 2


class Sgd(Optimizer):
    """Gradient descent. The rate at step i (from 0) is rate x decay^(i / decay_steps)."""

    def __init__(self, settings: SgdSettings, bounds: Bounds | None = None) -> None:
        super().__init__(bounds)
        self._settings = settings
        self._i = 0

    def step(self, x: Tensor, evaluate: Evaluate) -> Evaluation:
        """Move x (1, 3, height, width) in place; return the evaluation before the step."""
        s = self._settings
        evaluation = evaluate(x)
        rate = s.rate * s.decay ** (self._i / s.decay_steps)
        self._clamp(x.sub_(evaluation.gradient * rate))
        self._i += 1
        return evaluation

    def state(self) -> dict[str, Tensor]:
        """Return the number of steps so far as tensor `i`."""
        return {"i": torch.tensor(self._i)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state that `state` returned."""
        self._i = int(state["i"])
