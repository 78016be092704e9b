"""A line search that ends in a point where the strong Wolfe conditions hold.

Nocedal and Wright, "Numerical Optimization", 2nd edition: algorithms 3.5 (find a bracket) and 3.6
(narrow it), with cubic interpolation by equation 3.59.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stylewatch_painter.algorithm.evaluation import Evaluate, Evaluation

_DECREASE = 1e-4  # c1
_CURVATURE = 0.9  # c2
_MOST = 25  # evaluations


@dataclass(frozen=True, eq=False)
class _Point:
    """A point on the line: how far along, the objective there, and its slope along the line."""

    length: float
    value: float
    slope: float
    seen: Evaluation


def strong_wolfe(
    evaluate: Evaluate, x: Tensor, direction: Tensor, seen: Evaluation, length: float
) -> tuple[float, Evaluation]:
    """How far to go from x along `direction`, trying `length` first, and what is known there.

    `seen` is what is known at x. Where no better point is found, the best that was met; that
    may be x itself (length 0).
    """
    start = _Point(0.0, float(seen.objective), float(torch.sum(seen.gradient * direction)), seen)

    def at(length: float) -> _Point:
        there = evaluate(x + length * direction)
        slope = float(torch.sum(there.gradient * direction))
        return _Point(length, float(there.objective), slope, there)

    before, found = start, at(length)
    for tries in range(_MOST):
        if not _falls_enough(start, found) or (tries and found.value >= before.value):
            low, high = before, found
            break
        if _flat_enough(start, found):
            return found.length, found.seen
        if found.slope >= 0:
            low, high = found, before
            break
        before, found = found, at(2 * found.length)
    else:  # it falls and falls: no bottom is near
        return before.length, before.seen
    return _narrow(at, start, low, high)


def _narrow(
    at: Callable[[float], _Point], start: _Point, low: _Point, high: _Point
) -> tuple[float, Evaluation]:
    """Algorithm 3.6: `low` is the best point so far, the wanted one lies between it and `high`."""
    for _ in range(_MOST):
        if abs(high.length - low.length) * abs(low.slope) < 1e-9 * max(1.0, abs(low.value)):
            break
        found = at(_between(low, high))
        if not _falls_enough(start, found) or found.value >= low.value:
            high = found
            continue
        if _flat_enough(start, found):
            return found.length, found.seen
        if found.slope * (high.length - low.length) >= 0:
            high = low
        low = found
    return low.length, low.seen


def _falls_enough(start: _Point, found: _Point) -> bool:
    """The first Wolfe condition, equation 3.6a; a value that is no number falls nowhere."""
    return found.value <= start.value + _DECREASE * found.length * start.slope


def _flat_enough(start: _Point, found: _Point) -> bool:
    """The second, strong, Wolfe condition, equation 3.7b."""
    return abs(found.slope) <= -_CURVATURE * start.slope


def _between(a: _Point, b: _Point) -> float:
    """Where the cubic through both points is least; the middle, if that is no help."""
    middle = (a.length + b.length) / 2
    width = abs(b.length - a.length)
    d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.length - b.length)
    inside = d1**2 - a.slope * b.slope
    if not inside >= 0:  # also where a value is no number
        return middle
    d2 = math.copysign(math.sqrt(inside), b.length - a.length)
    bottom = b.slope - a.slope + 2 * d2
    if bottom == 0:
        return middle
    best = b.length - (b.length - a.length) * (b.slope + d2 - d1) / bottom
    near_edge = 0.1 * width
    low, high = min(a.length, b.length) + near_edge, max(a.length, b.length) - near_edge
    return min(max(best, low), high) if math.isfinite(best) else middle
