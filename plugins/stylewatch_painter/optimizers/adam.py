"""The Adam optimizer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from stylewatch_painter.fields import Positive, Real
from stylewatch_painter.late import functional, torch
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

    from stylewatch_painter.size import Size


class AdamSettings(OptimizerSettings):
    """Adam with epsilon outside the bias correction, as in TensorFlow."""

    kind: Literal["adam"]
    rate: Positive = 2.0
    beta1: Annotated[Real, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[Real, Field(ge=0, lt=1)] = 0.999
    epsilon: Positive = 1e-8
    pyramid: Levels = 0

    def new(self, bounds: Bounds | None = None) -> Optimizer:
        """Return a new optimizer. With `bounds` it clamps pictures after every step."""
        return on_pyramid(partial(Adam, self), self.pyramid, bounds)

    def vectors(self, steps: int) -> int:
        """Return the maximum number of float32 vectors of the picture's size during a step."""
        return 9 if self.pyramid else 4

    def why_not_carried(self) -> str | None:
        """Return why moments cannot be carried to the next scale, with advice; None if they can."""
        if not self.pyramid:
            return None
        return (
            "carry_moments resizes moments as pictures, and those of a pyramid are none: set "
            "carry_moments=false, or optimizer.pyramid=0"
        )


class Adam(Optimizer):
    """Adam, Kingma and Ba 2014 (arXiv 1412.6980), in the form at the end of section 2.

    In that form, and in TensorFlow, epsilon is outside the bias correction:
    x -= rate sqrt(1 - beta2^t) / (1 - beta1^t)  m / (sqrt(v) + epsilon).
    """

    def __init__(self, settings: AdamSettings, bounds: Bounds | None = None) -> None:
        super().__init__(bounds)
        self._settings = settings
        self._t = 0
        self._m: Tensor | None = None
        self._v: Tensor | None = None

    def step(self, x: Tensor, evaluate: Evaluate) -> Evaluation:
        """Make one step, which changes x in place, and return the evaluation before the step."""
        s = self._settings
        evaluation = evaluate(x)
        m = torch.zeros_like(x) if self._m is None else self._m
        v = torch.zeros_like(x) if self._v is None else self._v
        self._t += 1
        m.mul_(s.beta1).add_(evaluation.gradient, alpha=1 - s.beta1)
        v.mul_(s.beta2).addcmul_(evaluation.gradient, evaluation.gradient, value=1 - s.beta2)
        rate = s.rate * math.sqrt(1 - s.beta2**self._t) / (1 - s.beta1**self._t)
        spread = v.sqrt().add_(s.epsilon)
        if evaluation.project is None:
            x.addcdiv_(m, spread, value=-rate)
        else:  # each pixel has its own rate, so the step must be projected
            x.sub_(evaluation.project(m / spread), alpha=rate)
        self._clamp(x)
        self._m = m
        self._v = v
        return evaluation

    def state(self) -> dict[str, Tensor]:
        """Return the step count `t`, and copies of the moments `m` and `v` after the first step."""
        moments = {"m": self._m, "v": self._v}
        kept = {name: moment.clone() for name, moment in moments.items() if moment is not None}
        return {"t": torch.tensor(self._t), **kept}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore the result of `state`. Later steps change its moments in place."""
        self._t = int(state["t"])
        self._m = state.get("m")
        self._v = state.get("v")

    def enlarged(self, state: Mapping[str, Tensor], size: Size) -> dict[str, Tensor]:
        """Return a copy of `state` with its moments (1, 3, height, width) resized to `size`.

        First moments are resized by a bicubic filter; second moments, which must not become
        negative, by a bilinear one. This runs on the CPU, so that every device gets the same
        values.
        """
        larger = dict(state)
        for name, mode in (("m", "bicubic"), ("v", "bilinear")):
            if name in state:
                moment = functional.interpolate(state[name].cpu(), size.shape, mode=mode)
                larger[name] = moment.to(state[name].device)
        return larger
