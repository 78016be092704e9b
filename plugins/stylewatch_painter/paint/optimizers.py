"""Optimizers: their interface, Adam, RMSprop and gradient descent; L-BFGS is in `lbfgs`."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeGuard

import torch
from torch import Tensor
from torch.nn import functional

from stylewatch_painter.recipes import recipe
from stylewatch_painter.scene.resample import interpolation


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Evaluation of a picture.

    `terms` (K,) float32 are the loss terms, `objective` () is their weighted sum, `gradient` (1, 3,
    height, width) the gradient of the objective. `varies` if another step evaluates something else
    at the same picture, such as other random positions. `project` removes from a step what must not
    change. The gradient is already projected, but the steps of some optimizers are not linear in
    it.
    """

    terms: Tensor
    objective: Tensor
    gradient: Tensor
    project: Callable[[Tensor], Tensor] | None = None
    varies: bool = False

    def copied(self) -> "Evaluation":
        """Return a copy with its own tensors."""
        terms, objective = self.terms.clone(), self.objective.clone()
        return replace(self, terms=terms, objective=objective, gradient=self.gradient.clone())


Bounds = tuple[Tensor, Tensor]
"""The lowest and the highest color in network units, (1, 3, 1, 1) each."""

Evaluate = Callable[[Tensor], Evaluation]
"""Function that evaluates a picture (1, 3, height, width) in network units."""


Settings = recipe.Adam | recipe.Sgd | recipe.Rmsprop | recipe.Lbfgs


def searches_line(settings: Settings) -> TypeGuard[recipe.Lbfgs]:
    """Return whether a step of the optimizer may need several evaluations of the objective."""
    return isinstance(settings, recipe.Lbfgs) and settings.line_search != "none"


_LARGE = 2**20
"""Number of coefficients per plane above which planes are scaled one at a time, to save memory."""


_DIAGONAL_LOSS = 7.5
"""Loss of response to diagonal waves. conv1_1 of VGG19 responds to a gray wave with about 1 - 7.5
|fx fy| of the energy of its response to a horizontal or vertical wave of the same f: on the
diagonal 0.66 at 0.3, 0.11 at 0.49."""
_LEAST_SEEN = 0.1
"""Minimum response to divide by, so that no step becomes more than ten times longer."""


class FourierFilter:
    """Filter that multiplies the Fourier coefficients of pictures by real factors."""

    def __init__(self, factors: Tensor) -> None:
        self._factors = factors  # (height, width // 2 + 1)

    @classmethod
    def scaling(
        cls, shape: Sequence[int], power: float, device: torch.device, *, diagonals: bool = False
    ) -> "FourierFilter":
        """Return a filter with the factors 1 / f^(2p), for pictures of `shape` (height, width).

        The gradient with respect to coefficients scaled by 1 / f^p, transformed back to pixels, is
        the gradient with respect to pixels times the square of that scale. f is in cycles per
        pixel, and at least one cycle per long side, also for the frequency 0. With `diagonals` the
        factors are also divided by the network's relative response to diagonal waves.
        """
        factors = _frequencies(shape, device).clamp_(min=1 / max(shape)).pow_(-2 * power)
        if diagonals:
            down, right = _axes(shape, device)
            factors.div_((1 - _DIAGONAL_LOSS * (down * right).abs_()).clamp_(min=_LEAST_SEEN))
        return cls(factors)

    @classmethod
    def high_pass(
        cls, shape: Sequence[int], slowest: float, device: torch.device
    ) -> "FourierFilter":
        """Return a filter that removes frequencies below `slowest` cycles per pixel.

        It is an orthogonal projection.
        """
        return cls(_frequencies(shape, device) >= slowest)

    def __call__(self, q: Tensor) -> Tensor:
        """Filter q (1, 3, height, width) into a new tensor of the same shape."""
        if self._factors.numel() <= _LARGE:
            return self._filtered(q)
        filtered = torch.empty_like(q)
        for channel in range(q.shape[1]):
            filtered[:, channel] = self._filtered(q[:, channel])
        return filtered

    def _filtered(self, q: Tensor) -> Tensor:
        coefficients = torch.fft.rfft2(q).mul_(self._factors)
        filtered: Tensor = torch.fft.irfft2(coefficients, s=q.shape[-2:])
        return filtered


def _frequencies(shape: Sequence[int], device: torch.device) -> Tensor:
    """Return the frequencies of a real FFT in cycles per pixel, (height, width // 2 + 1)."""
    down, right = _axes(shape, device)
    f: Tensor = (down.square() + right.square()).sqrt_()
    return f


def _axes(shape: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return vertical (height, 1) and horizontal (width // 2 + 1,) frequencies, as cycles/pixel."""
    down = torch.fft.fftfreq(shape[0], device=device).unsqueeze(1)
    return down, torch.fft.rfftfreq(shape[1], device=device)


class Optimizer(ABC):
    """Base class of optimizers, which move a picture towards smaller objectives.

    With `bounds` every step is clamped.
    """

    def __init__(self, bounds: Bounds | None = None) -> None:
        self._bounds = bounds

    @abstractmethod
    def step(self, x: Tensor, evaluate: Evaluate) -> Evaluation:
        """Move x (1, 3, height, width) in place; return the evaluation before the step."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Return the data needed to continue byte-identically; later steps do not change it."""

    @abstractmethod
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore the result of `state`."""

    def stays_in_place(self, device: torch.device) -> bool:
        """Return whether every step runs the same kernels with the same numbers in place."""
        return False

    def taken_back(self) -> Tensor | None:
        """Return the number of undone steps, a scalar; None if steps are never undone."""
        return None

    def _clamp(self, x: Tensor) -> None:
        if self._bounds is not None:
            x.clamp_(*self._bounds)


class Adam(Optimizer):
    """Adam, Kingma and Ba 2014 (arXiv 1412.6980), in the form at the end of section 2.

    In that form, and in TensorFlow, epsilon is outside the bias correction:
    x -= rate sqrt(1 - beta2^t) / (1 - beta1^t)  m / (sqrt(v) + epsilon).
    """

    def __init__(self, settings: recipe.Adam, bounds: Bounds | None = None) -> None:
        super().__init__(bounds)
        self._settings = settings
        self._t = 0
        self._m: Tensor | None = None
        self._v: Tensor | None = None

    def step(self, x: Tensor, evaluate: Evaluate) -> Evaluation:
        """Make one step; x and the moments change in place."""
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
        self._m, self._v = m, v
        return evaluation

    def state(self) -> dict[str, Tensor]:
        """Return the step count and both moments."""
        moments = {"m": self._m, "v": self._v}
        kept = {name: moment.clone() for name, moment in moments.items() if moment is not None}
        return {"t": torch.tensor(self._t), **kept}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore the result of `state`."""
        self._t = int(state["t"])
        self._m, self._v = state.get("m"), state.get("v")


class Sgd(Optimizer):
    """Gradient descent. The rate at step i (from 0) is rate x decay^(i / decay_steps)."""

    def __init__(self, settings: recipe.Sgd, bounds: Bounds | None = None) -> None:
        super().__init__(bounds)
        self._settings = settings
        self._i = 0

    def step(self, x: Tensor, evaluate: Evaluate) -> Evaluation:
        """Make one step; x changes in place."""
        s = self._settings
        evaluation = evaluate(x)
        rate = s.rate * s.decay ** (self._i / s.decay_steps)
        self._clamp(x.sub_(evaluation.gradient * rate))
        self._i += 1
        return evaluation

    def state(self) -> dict[str, Tensor]:
        """Return the step count."""
        return {"i": torch.tensor(self._i)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore the result of `state`."""
        self._i = int(state["i"])


class LaplacianPyramid:
    """Pictures of `shape` (height, width) as the levels of a Laplacian pyramid, concatenated.

    Burt and Adelson 1983, "The Laplacian Pyramid as a Compact Image Code", with bilinear
    interpolation. Each level has half the rows and columns of the one before, until one of them
    would be 0 or both would be 1; the last level holds the remainder. Coefficients are (1, 3, K).
    """

    def __init__(self, shape: Sequence[int], levels: int, device: torch.device) -> None:
        self._shapes = [(shape[0], shape[1])]
        for _ in range(levels):
            half = self._shapes[-1][0] // 2, self._shapes[-1][1] // 2
            if min(half) == 0 or max(half) == 1:
                break
            self._shapes.append(half)
        steps = list(pairwise(self._shapes))
        self._smaller = [interpolation(large, small, device) for large, small in steps]
        self._larger = [interpolation(small, large, device) for large, small in steps]

    def analysis(self, x: Tensor) -> Tensor:
        """Return the coefficients of a picture (1, 3, height, width)."""
        levels = []
        for smaller, larger in zip(self._smaller, self._larger, strict=True):
            below = _applied(smaller, x)
            levels.append(x - _applied(larger, below))
            x = below
        return torch.cat([level.flatten(2) for level in (*levels, x)], dim=-1)

    def synthesis(self, coefficients: Tensor) -> Tensor:
        """Return the picture (1, 3, height, width) with these coefficients."""
        levels = self._split(coefficients)
        x = levels.pop()
        for larger in reversed(self._larger):
            x = levels.pop() + _applied(larger, x)
        return x

    def adjoint(self, gradient: Tensor) -> Tensor:
        """Return the gradient of coefficients, given that of pixels (1, 3, height, width)."""
        levels = [gradient]
        for down, right in self._larger:
            levels.append(down.mT @ levels[-1] @ right)
        return torch.cat([level.flatten(2) for level in levels], dim=-1)

    def _split(self, coefficients: Tensor) -> list[Tensor]:
        parts = torch.split(coefficients, [rows * columns for rows, columns in self._shapes], -1)
        return [part.unflatten(-1, shape) for part, shape in zip(parts, self._shapes, strict=True)]


def _applied(matrices: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
    down, right = matrices
    return down @ x @ right.mT


class OnPyramid(Optimizer):
    """Optimizer that applies another one to the coefficients of a Laplacian pyramid."""

    def __init__(self, inner: Optimizer, levels: int, bounds: Bounds | None = None) -> None:
        super().__init__(bounds)
        self._inner, self._levels = inner, levels
        self._pyramid: LaplacianPyramid | None = None
        self._coefficients: Tensor | None = None

    def step(self, x: Tensor, evaluate: Evaluate) -> Evaluation:
        """Make one step of the inner optimizer; x changes in place."""
        if self._pyramid is None:
            self._pyramid = LaplacianPyramid(x.shape[-2:], self._levels, x.device)
        pyramid = self._pyramid
        if self._coefficients is None:
            self._coefficients = pyramid.analysis(x)
        project = None

        def on_pyramid(coefficients: Tensor) -> Evaluation:
            nonlocal project
            evaluation = evaluate(pyramid.synthesis(coefficients))
            project = evaluation.project
            gradient = pyramid.adjoint(evaluation.gradient)
            return replace(evaluation, gradient=gradient, project=None)

        evaluation = self._inner.step(self._coefficients, on_pyramid)
        moved = pyramid.synthesis(self._coefficients)
        x.copy_(moved if project is None else x + project(moved - x))
        self._clamp(x)
        if project is not None or self._bounds is not None:
            self._coefficients.copy_(pyramid.analysis(x))
        return evaluation

    def state(self) -> dict[str, Tensor]:
        """Return the state of the inner optimizer, and the coefficients."""
        if self._coefficients is None:
            return self._inner.state()
        return {**self._inner.state(), "coefficients": self._coefficients.clone()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore the result of `state`."""
        self._inner.load(state)
        self._coefficients = state.get("coefficients")


class Rmsprop(Optimizer):
    """RMSprop, Tieleman and Hinton 2012: x -= rate g / (sqrt(v) + epsilon).

    v is the exponential moving average of the squares of g, starting from 0.
    """

    def __init__(self, settings: recipe.Rmsprop, bounds: Bounds | None = None) -> None:
        super().__init__(bounds)
        self._settings = settings
        self._v: Tensor | None = None

    def step(self, x: Tensor, evaluate: Evaluate) -> Evaluation:
        """Make one step; x and the mean squares change in place."""
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
        """Return the moving average of the squares."""
        return {} if self._v is None else {"v": self._v.clone()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore the result of `state`."""
        self._v = state.get("v")


def enlarged(state: Mapping[str, Tensor], size: tuple[int, int]) -> dict[str, Tensor]:
    """Resize the moments in a `state` of Adam to `size`, (width, height) in pixels.

    First moments are resized by a bicubic filter; second moments, which must not become negative,
    by a bilinear one. This runs on the CPU, so that every device gets the same values.
    """
    shape, larger = (size[1], size[0]), dict(state)
    for name, mode in (("m", "bicubic"), ("v", "bilinear")):
        if name in state:
            moment = functional.interpolate(state[name].cpu(), shape, mode=mode)
            larger[name] = moment.to(state[name].device)
    return larger
