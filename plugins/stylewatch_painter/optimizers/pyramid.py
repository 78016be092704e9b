"""Optimization of the coefficients of a Laplacian pyramid in place of pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from stylewatch_painter.fields import Whole
from stylewatch_painter.late import torch
from stylewatch_painter.optimizers.optimizer import (
    Bounds,
    Evaluate,
    Evaluation,
    Optimizer,
)
from stylewatch_painter.resample import interpolation

if TYPE_CHECKING:
    from torch import Tensor


Levels = Annotated[Whole, Field(ge=0, le=20)]
"""Number of detail levels of a Laplacian pyramid whose coefficients replace pixels as variables. 0
optimizes pixels. A small picture has fewer levels."""


def on_pyramid(
    new: Callable[[Bounds | None], Optimizer], levels: int, bounds: Bounds | None
) -> Optimizer:
    """Return an optimizer of pixels if `levels` is 0, or else of pyramid coefficients.

    `new` makes the optimizer from its bounds. The pyramid has up to `levels` detail levels.
    `bounds` clamp the pixels of the picture.
    """
    return OnPyramid(new(None), levels, bounds) if levels else new(bounds)


class LaplacianPyramid:
    """Laplacian pyramid of pictures of `shape` (height, width), with up to `levels` detail levels.

    Burt and Adelson 1983, "The Laplacian Pyramid as a Compact Image Code", with bilinear
    interpolation. Each level has half the rows and columns of the previous level. There is no level
    with a side of 0, or of a single pixel. The last level holds the remainder. Coefficients (1, 3,
    K) are the values of all levels, finest first.
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
        """Return the coefficients (1, 3, K) of a picture (1, 3, height, width)."""
        levels = []
        for smaller, larger in zip(self._smaller, self._larger, strict=True):
            below = _applied(smaller, x)
            levels.append(x - _applied(larger, below))
            x = below
        return torch.cat([level.flatten(2) for level in (*levels, x)], dim=-1)

    def synthesis(self, coefficients: Tensor) -> Tensor:
        """Return the picture (1, 3, height, width) with these coefficients (1, 3, K)."""
        levels = self._split(coefficients)
        x = levels.pop()
        for larger in reversed(self._larger):
            x = levels.pop() + _applied(larger, x)
        return x

    def adjoint(self, gradient: Tensor) -> Tensor:
        """Return the gradient with respect to coefficients (1, 3, K).

        `gradient` (1, 3, height, width) is that with respect to pixels.
        """
        levels = [gradient]
        for down, right in self._larger:
            levels.append(down.mT @ levels[-1] @ right)
        return torch.cat([level.flatten(2) for level in levels], dim=-1)

    def _split(self, coefficients: Tensor) -> list[Tensor]:
        lengths = [rows * columns for rows, columns in self._shapes]
        levels = coefficients.split(lengths, -1)
        return [
            level.unflatten(-1, shape) for level, shape in zip(levels, self._shapes, strict=True)
        ]


def _applied(matrices: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
    down, right = matrices
    return down @ x @ right.mT


class OnPyramid(Optimizer):
    """Optimizer that applies an inner optimizer to the coefficients of a Laplacian pyramid."""

    def __init__(self, inner: Optimizer, levels: int, bounds: Bounds | None = None) -> None:
        super().__init__(bounds)
        self._inner = inner
        self._levels = levels
        self._pyramid: LaplacianPyramid | None = None
        self._coefficients: Tensor | None = None

    def step(self, x: Tensor, evaluate: Evaluate) -> Evaluation:
        """Make one step of the inner optimizer, which changes x in place.

        Return the evaluation before the step, with the gradient of the coefficients (1, 3, K).
        """
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
        """Return the state of the inner optimizer, with the coefficients if a step was made."""
        if self._coefficients is None:
            return self._inner.state()
        return {**self._inner.state(), "coefficients": self._coefficients.clone()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore the result of `state`."""
        self._inner.load(state)
        self._coefficients = state.get("coefficients")
