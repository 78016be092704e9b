"""The line search ends where the strong Wolfe conditions hold, on lines known in closed form."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from stylewatch_painter.algorithm.lbfgs import strong_wolfe
from stylewatch_painter.algorithm.optimizers import Evaluate, Evaluation

Line = Callable[[float], tuple[float, float]]
"""Value and slope at some length along the line; at 0 the slope is negative."""

LINES: dict[str, Line] = {
    "a bowl": lambda t: ((t - 3) ** 2, 2 * (t - 3)),
    "a narrow bowl": lambda t: (1e4 * (t - 0.01) ** 2, 2e4 * (t - 0.01)),
    "a far bowl": lambda t: ((t / 100 - 1) ** 2, (t / 100 - 1) / 50),
    "waves": lambda t: (t**2 / 20 - math.sin(4 * t), t / 10 - 4 * math.cos(4 * t)),
    "a wall": lambda t: (math.exp(min(t - 5, 80)) - t, math.exp(min(t - 5, 80)) - 1),
    "a quartic": lambda t: (t**4 - 2 * t**3 - t, 4 * t**3 - 6 * t**2 - 1),
}


def along(line: Line) -> Evaluate:
    """The line as an objective of a single number x (1, 1, 1, 1)."""

    def evaluate(x: Tensor) -> Evaluation:
        value, slope = line(float(x))
        there = torch.tensor(value, dtype=x.dtype)
        return Evaluation(there.view(1), there, torch.full_like(x, slope))

    return evaluate


def search(line: Line, first: float) -> tuple[float, Evaluation]:
    """Where a search from 0 ends that tries `first` first, and what it says is known there."""
    evaluate, x = along(line), torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    return strong_wolfe(evaluate, x, torch.ones_like(x), evaluate(x), first)


@pytest.mark.parametrize("first", [1e-3, 1.0, 50.0])
@pytest.mark.parametrize("line", LINES)
def test_the_wolfe_conditions_hold_where_it_ends(line: str, first: float) -> None:
    """It falls by a share of what the slope promised (c1 = 1e-4), and is flatter (c2 = 0.9)."""
    length, _ = search(LINES[line], first)
    (before, steep), (after, slope) = LINES[line](0.0), LINES[line](length)
    assert length > 0
    assert after <= before + 1e-4 * length * steep
    assert abs(slope) <= 0.9 * abs(steep)


def test_between_two_places_it_looks_where_the_cubic_through_them_is_least() -> None:
    """Of a cubic that is its very bottom, here at 1."""
    looked = []

    def cubic(t: float) -> tuple[float, float]:
        looked.append(t)
        return t**3 / 3 - t, t**2 - 1

    length, _ = search(cubic, 2.5)
    assert length == pytest.approx(1)
    assert len(looked) == 3


def test_where_the_numbers_end_it_turns_back() -> None:
    """A painting that overflowed has a value that is no number; that is no fall."""
    for nothing in (math.nan, math.inf):

        def cliff(t: float, nothing: float = nothing) -> tuple[float, float]:
            return LINES["a bowl"](t) if t < 4 else (nothing, nothing)

        length, there = search(cliff, 50.0)
        assert 0 < length < 4
        assert float(there.objective) < 9


def test_without_a_better_place_it_stays() -> None:
    """A slope that lies: it is told to fall, and only rises."""
    length, there = search(lambda t: (t, -1.0), 1.0)
    assert length == 0
    assert float(there.objective) == 0
