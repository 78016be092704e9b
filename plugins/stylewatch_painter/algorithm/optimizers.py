"""Optimizers: their interface, Adam and gradient descent; L-BFGS is in `lbfgs`."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from stylewatch_painter.recipes import recipe


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Evaluation of a batch of B pictures.

    `terms` (B, K) float32 are the loss terms, `objective` (B,) their weighted sums, `gradient`
    (B, 3, height, width) the gradient of the objective. `project` removes from a step what must not
    change; the gradient is already projected, but not every optimizer steps along gradients only.
    """

    terms: Tensor
    objective: Tensor
    gradient: Tensor
    project: Callable[[Tensor], Tensor] | None = None


Bounds = tuple[Tensor, Tensor]
"""The lowest and highest colors in network units, (1, 3, 1, 1) each."""

Evaluate = Callable[[Tensor], Evaluation]
"""Evaluates pictures (B, 3, height, width) in network units."""


_LARGE = 2**20
"""Above this number of coefficients per plane, planes are scaled one by one to save memory."""


class Scaling:
    """Multiplies the Fourier coefficients of pictures by 1 / f^(2p).

    The gradient by coefficients scaled with 1 / f^p, transformed back to pixels, is the gradient by
    pixels times the square of that scale. f is in cycles per pixel, at least one cycle per long
    side, which also stands for the frequency 0.
    """

    def __init__(self, shape: tuple[int, ...], power: float, device: torch.device) -> None:
        height, width = shape
        f = _frequencies(height, width, device).clamp_(min=1 / max(height, width))
        self._scale = f.pow_(-2 * power)

    def __call__(self, q: Tensor) -> Tensor:
        """Scale q (B, 3, height, width) into a new tensor of the same shape."""
        return _multiplied(q, self._scale)


class HighPass:
    """Removes all frequencies below `slowest` cycles per pixel; an orthogonal projection."""

    def __init__(self, shape: tuple[int, ...], slowest: float, device: torch.device) -> None:
        height, width = shape
        self._kept = _frequencies(height, width, device) >= slowest

    def __call__(self, q: Tensor) -> Tensor:
        """The high frequencies of q (B, 3, height, width), a new tensor."""
        return _multiplied(q, self._kept)


def _multiplied(q: Tensor, factors: Tensor) -> Tensor:
    """Multiply the Fourier coefficients of q (B, 3, height, width) by `factors`.

    `factors` are (height, width // 2 + 1).
    """
    if factors.numel() <= _LARGE:
        return _at_once(q, factors)
    made = torch.empty_like(q)
    for channel in range(q.shape[1]):
        made[:, channel] = _at_once(q[:, channel], factors)
    return made


def _at_once(q: Tensor, factors: Tensor) -> Tensor:
    made: Tensor = torch.fft.irfft2(torch.fft.rfft2(q).mul_(factors), s=q.shape[-2:])
    return made


def _frequencies(height: int, width: int, device: torch.device) -> Tensor:
    """Frequencies of a real FFT in cycles per pixel, (height, width // 2 + 1)."""
    down = torch.fft.fftfreq(height, device=device).unsqueeze(1)
    right = torch.fft.rfftfreq(width, device=device)
    f: Tensor = (down.square() + right.square()).sqrt_()
    return f


class Optimizer(Protocol):
    """Moves pictures towards smaller objectives, each row of a batch by itself."""

    def step(self, x: Tensor, evaluate: Evaluate) -> Evaluation:
        """Move x (B, 3, height, width) in place; return the evaluation before the step."""
        ...

    def stays_in_place(self, device: torch.device) -> bool:
        """True if every step runs the same kernels on the same tensors."""
        ...

    def taken_back(self) -> Tensor | None:
        """Number of steps taken back, (B,); None if the optimizer never does that."""
        ...

    def state(self) -> dict[str, Tensor]:
        """All that is needed to continue in the same bytes; later steps do not change it.

        A tensor without dimensions holds for the batch; others have one row per picture.
        """
        ...

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned."""
        ...


class Adam:
    """Adam, Kingma and Ba 2014 (arXiv 1412.6980), in the form of the end of section 2.

    There, and in TensorFlow, epsilon is outside the bias correction:
    x -= rate sqrt(1 - beta2^t) / (1 - beta1^t)  m / (sqrt(v) + epsilon).
    """

    def __init__(self, settings: recipe.Adam, bounds: Bounds | None = None) -> None:
        self._settings = settings
        self._bounds = bounds
        self._t = 0
        self._m: Tensor | None = None
        self._v: Tensor | None = None

    def step(self, x: Tensor, evaluate: Evaluate) -> Evaluation:
        """Make one step; x and the moments change in place."""
        s = self._settings
        seen = evaluate(x)
        m = torch.zeros_like(x) if self._m is None else self._m
        v = torch.zeros_like(x) if self._v is None else self._v
        self._t += 1
        m.mul_(s.beta1).add_(seen.gradient, alpha=1 - s.beta1)
        v.mul_(s.beta2).addcmul_(seen.gradient, seen.gradient, value=1 - s.beta2)
        rate = s.rate * math.sqrt(1 - s.beta2**self._t) / (1 - s.beta1**self._t)
        spread = v.sqrt().add_(s.epsilon)
        if seen.project is None:
            x.addcdiv_(m, spread, value=-rate)
        else:  # each pixel goes at a pace of its own, and together they would move what is held
            x.sub_(seen.project(m / spread), alpha=rate)
        _within(x, self._bounds)
        self._m, self._v = m, v
        return seen

    def stays_in_place(self, device: torch.device) -> bool:
        """False: the rate changes at every step, as a number of Python's."""
        return False

    def taken_back(self) -> Tensor | None:
        """None: no step is taken back."""
        return None

    def state(self) -> dict[str, Tensor]:
        """The step count and both moments."""
        moments = {"m": self._m, "v": self._v}
        kept = {name: moment.clone() for name, moment in moments.items() if moment is not None}
        return {"t": torch.tensor(self._t), **kept}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned."""
        self._t = int(state["t"])
        self._m, self._v = state.get("m"), state.get("v")


class Sgd:
    """Gradient descent. The rate at step i (from 0) is rate x decay^(i / decay_steps)."""

    def __init__(self, settings: recipe.Sgd, bounds: Bounds | None = None) -> None:
        self._settings = settings
        self._bounds = bounds
        self._i = 0

    def step(self, x: Tensor, evaluate: Evaluate) -> Evaluation:
        """Make one step; x changes in place."""
        s = self._settings
        seen = evaluate(x)
        rate = s.rate * s.decay ** (self._i / s.decay_steps)
        _within(x.sub_(seen.gradient * rate), self._bounds)
        self._i += 1
        return seen

    def stays_in_place(self, device: torch.device) -> bool:
        """False: the rate changes at every step, as a number of Python's."""
        return False

    def taken_back(self) -> Tensor | None:
        """None: no step is taken back."""
        return None

    def state(self) -> dict[str, Tensor]:
        """The step count."""
        return {"i": torch.tensor(self._i)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned."""
        self._i = int(state["i"])


def of_rows(state: Mapping[str, Tensor], rows: list[int]) -> dict[str, Tensor]:
    """Select some rows of an optimizer's `state`."""
    return {name: one[rows] if one.ndim else one for name, one in state.items()}


def enlarged(state: Mapping[str, Tensor], size: tuple[int, int]) -> dict[str, Tensor]:
    """Resize the moments in a `state` of Adam to `size`, (width, height) in pixels.

    First moments by a bicubic filter; second moments, which must not become negative, by a bilinear
    one. On the CPU, so that every device gets the same values.
    """
    other = (size[1], size[0])
    filters = {"m": "bicubic", "v": "bilinear"}
    return {
        name: functional.interpolate(one.cpu(), other, mode=filters[name]).to(one.device)
        if name in filters
        else one
        for name, one in state.items()
    }


def _within(x: Tensor, bounds: Bounds | None) -> None:
    """Clamp x to the bounds, in place."""
    if bounds is not None:
        x.clamp_(*bounds)
