"""Line search with the strong Wolfe conditions.

Nocedal and Wright, "Numerical Optimization", 2nd edition: algorithms 3.5 (bracket) and 3.6 (zoom),
with cubic interpolation, equation 3.59. The search of torch is private to its own optimizer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stylewatch_painter.late import torch
from stylewatch_painter.optimizers.optimizer import Evaluate, Evaluation

if TYPE_CHECKING:
    from torch import Tensor

_DECREASE = 1e-4  # c1
_CURVATURE = 0.9  # c2
_MOST = 25  # evaluations


@dataclass(frozen=True, eq=False)
class _Point:
    """A point on the search line: step length, objective, and derivative along the line."""

    length: float
    value: float
    slope: float
    evaluation: Evaluation


def strong_wolfe(
    evaluate: Evaluate, x: Tensor, direction: Tensor, evaluation: Evaluation, length: float
) -> tuple[float, Evaluation]:
    """Return a step length that satisfies the strong Wolfe conditions, and the evaluation there.

    The search starts at x along `direction` with `length`; `evaluation` is the evaluation at x. If
    it finds no such length, it returns the best length with a sufficient decrease, or 0 for x
    itself.
    """
    start = _Point(
        0.0,
        float(evaluation.objective),
        float(torch.sum(evaluation.gradient * direction)),
        evaluation,
    )

    def at(length: float) -> _Point:
        evaluation = evaluate(x + length * direction)
        slope = float(torch.sum(evaluation.gradient * direction))
        return _Point(length, float(evaluation.objective), slope, evaluation)

    previous = start
    point = at(length)
    for tries in range(_MOST):
        if not _falls_enough(start, point) or (tries and point.value >= previous.value):
            low, high = previous, point
            break
        if _flat_enough(start, point):
            return point.length, point.evaluation
        if point.slope >= 0:
            low, high = point, previous
            break
        previous = point
        point = at(2 * point.length)
    else:  # still falling: there is no minimum nearby
        return previous.length, previous.evaluation
    return _narrow(at, start, low, high)


def _narrow(
    at: Callable[[float], _Point], start: _Point, low: _Point, high: _Point
) -> tuple[float, Evaluation]:
    """Run algorithm 3.6 between `low`, the best point so far, and `high`.

    Return the length and the evaluation of the point that satisfies the strong Wolfe conditions, or
    of the best point so far if there is none.
    """
    for _ in range(_MOST):
        if abs(high.length - low.length) * abs(low.slope) < 1e-9 * max(1.0, abs(low.value)):
            break
        point = at(_between(low, high))
        if not _falls_enough(start, point) or point.value >= low.value:
            high = point
            continue
        if _flat_enough(start, point):
            return point.length, point.evaluation
        if point.slope * (high.length - low.length) >= 0:
            high = low
        low = point
    return low.length, low.evaluation


def _falls_enough(start: _Point, point: _Point) -> bool:
    """Return whether the decrease is sufficient, equation 3.6a; False if not finite."""
    return point.value <= start.value + _DECREASE * point.length * start.slope


def _flat_enough(start: _Point, point: _Point) -> bool:
    """Return whether the strong curvature condition holds, equation 3.7b."""
    return abs(point.slope) <= -_CURVATURE * start.slope


def _between(a: _Point, b: _Point) -> float:
    """Return the length at the minimum of the cubic through both points.

    The length stays a tenth of the interval away from both points. It is the middle of the interval
    if there is no finite minimum.
    """
    middle = (a.length + b.length) / 2
    width = abs(b.length - a.length)
    d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.length - b.length)
    inside = d1**2 - a.slope * b.slope
    if not inside >= 0:  # also if a value is NaN
        return middle
    d2 = math.copysign(math.sqrt(inside), b.length - a.length)
    bottom = b.slope - a.slope + 2 * d2
    if bottom == 0:
        return middle
    best = b.length - (b.length - a.length) * (b.slope + d2 - d1) / bottom
    near_edge = 0.1 * width
    low, high = min(a.length, b.length) + near_edge, max(a.length, b.length) - near_edge
    return min(max(best, low), high) if math.isfinite(best) else middle
