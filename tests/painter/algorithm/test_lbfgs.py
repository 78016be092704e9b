"""L-BFGS, held against torch's own and against plain NumPy, step by step."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.painter import plain_optimizers, small, valley
from tests.painter.plain_vgg19 import Array
from tests.painter.walks import broken_off, same_way, walk
from torch import Tensor

from stylewatch_painter.algorithm.lbfgs import Lbfgs, strong_wolfe
from stylewatch_painter.algorithm.optimizers import Evaluate, Evaluation
from stylewatch_painter.recipes import recipe

STEPS = 8


def settings(**changed: object) -> recipe.Lbfgs:
    return recipe.Lbfgs.model_validate({"kind": "lbfgs", **changed})


def by_torch(steps: int, history: int) -> list[Array]:
    """The path of torch.optim.LBFGS, one iteration a step, as the program pastiche drives it."""
    x = torch.from_numpy(valley.start()).requires_grad_()
    made: Any = torch.optim.LBFGS([x], lr=1.0, max_iter=1, history_size=history)
    path = []

    def closure() -> float:
        here = x.detach().numpy()
        x.grad = torch.from_numpy(valley.slope(here))
        return valley.height(here)

    for _ in range(steps):
        made.step(closure)
        path.append(x.detach().numpy().copy())
    return path


@pytest.mark.parametrize("history", [2, 100])
def test_matches_torch(history: int) -> None:
    same_way(walk(Lbfgs(settings(history=history)), STEPS), by_torch(STEPS, history))


@pytest.mark.parametrize("history", [2, 100])
def test_matches_numpy(history: int) -> None:
    wanted = plain_optimizers.lbfgs(valley.start(), valley.slope, STEPS, history)
    same_way(walk(Lbfgs(settings(history=history)), STEPS), wanted)


BOUNDS = torch.full((1, 3, 1, 1), -9.0), torch.full((1, 3, 1, 1), 6.0)


@pytest.mark.parametrize("line_search", ["none", "strong_wolfe"])
def test_bounds_hold(line_search: str) -> None:
    free, held = (
        np.abs(walk(Lbfgs(settings(first_step=9, line_search=line_search), bounds), 1)[0] + 1.5)
        for bounds in (None, BOUNDS)
    )
    assert free.max() > 7.5
    assert held.max() == 7.5


def levels(move: Array) -> float:
    """The size of a move: its root mean square."""
    return float(np.sqrt(np.square(move).mean()))


@pytest.mark.parametrize("power", [0.0, 0.5])
def test_first_step_has_the_requested_length(power: float) -> None:
    made = Lbfgs(settings(first_step=3, fourier_power=power))
    assert levels(walk(made, 1)[0] - valley.start()) == pytest.approx(3, rel=1e-5)


def scaled(x: Array, power: float) -> Array:
    """Every wave of a picture times 1 / f^power, f in cycles per pixel; the mean as the slowest."""
    height, width = x.shape[-2:]
    down, right = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :]
    f = np.maximum(np.hypot(down, right), 1 / max(height, width))
    return np.fft.ifft2(np.fft.fft2(x) / f**power).real


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_fourier_power_equals_scaled_coefficients(power: float) -> None:
    """The same as plain L-BFGS on z where x = scaled(z), whose slope is the slope scaled."""

    def as_long_as_asked(_: Array, direction: Array) -> float:
        return 2 / levels(scaled(direction, power))

    path = plain_optimizers.lbfgs(
        scaled(valley.start(), -power),
        lambda z: scaled(valley.slope(scaled(z, power)), power),
        STEPS,
        first=as_long_as_asked,
    )
    found = walk(Lbfgs(settings(first_step=2, fourier_power=power)), STEPS)
    same_way(found, [scaled(z, power) for z in path])


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"history": 2},
        {"first_step": 3, "fourier_power": 0.5},
        {"line_search": "strong_wolfe"},
        {"first_step": 60, "step_back": 1.01},
    ],
    ids=["plain", "short", "rounder", "wolfe", "back"],
)
@pytest.mark.parametrize("after", [0, 1, 2, 6])
def test_resumed_walk_is_byte_identical(changed: dict[str, object], after: int) -> None:
    whole = walk(Lbfgs(settings(**changed)), 9)
    rest = broken_off(settings(**changed), after, 9)
    assert all(np.array_equal(a, b) for a, b in zip(rest, whole[after:], strict=True))


def test_negative_curvature_is_skipped() -> None:
    """On a dome no pair is taken in, and the way is that of the steepest descent."""

    def dome(x: torch.Tensor) -> Evaluation:
        value = -x.square().sum() / 2
        return Evaluation(value.view(1), value, -x.clone())

    made, x = Lbfgs(settings()), small.tensor(valley.start())
    made.step(x, dome)
    there = x.clone()
    made.step(x, dome)
    torch.testing.assert_close(x, 2 * there)
    assert made.state()["0.inverse"] == 0


def with_a_cliff(beyond: float, what: float, seen: list[float]) -> Evaluate:
    """The valley, but for a place where the picture's first value is under `beyond`."""

    def evaluate(x: torch.Tensor) -> Evaluation:
        found = valley.evaluate(x)
        seen.append(float(x[0, 0, 0, 0]))
        if seen[-1] >= beyond:
            return found
        return Evaluation(found.terms * what, found.objective * what, found.gradient * what)

    return evaluate


@pytest.mark.parametrize("what", [1e6, float("nan"), float("inf")])
def test_overshooting_step_is_taken_back_and_shortened(what: float) -> None:
    """From where the step began, and by a quarter of it; what is told belongs to that place."""
    made, seen = Lbfgs(settings(first_step=30, step_back=2)), list[float]()
    x = torch.from_numpy(valley.start()).unsqueeze(0)
    first = made.step(x, valley.evaluate)
    begun, there = valley.start(), small.array(x)
    edge = float(there[0, 0, 0]) + 1e-6
    told = made.step(x, with_a_cliff(edge, what, seen))
    same_way([small.array(x)], [begun + 0.25 * (there - begun)])
    assert torch.equal(told.terms, first.terms)
    assert made.state()["taken_back"].tolist() == [1]
    for _ in range(8):
        told = made.step(x, with_a_cliff(edge, what, seen))
    assert told.objective < first.objective / 10


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
def test_line_search_ends_with_wolfe_conditions(line: str, first: float) -> None:
    """It falls by a share of what the slope promised (c1 = 1e-4), and is flatter (c2 = 0.9)."""
    length, _ = search(LINES[line], first)
    (before, steep), (after, slope) = LINES[line](0.0), LINES[line](length)
    assert length > 0
    assert after <= before + 1e-4 * length * steep
    assert abs(slope) <= 0.9 * abs(steep)


def test_zoom_uses_the_minimum_of_the_cubic() -> None:
    """Of a cubic that is its very bottom, here at 1."""
    looked = []

    def cubic(t: float) -> tuple[float, float]:
        looked.append(t)
        return t**3 / 3 - t, t**2 - 1

    length, _ = search(cubic, 2.5)
    assert length == pytest.approx(1)
    assert len(looked) == 3


def test_line_search_turns_back_from_values_that_are_not_finite() -> None:
    """A painting that overflowed has a value that is no number; that is no fall."""
    for nothing in (math.nan, math.inf):

        def cliff(t: float, nothing: float = nothing) -> tuple[float, float]:
            return LINES["a bowl"](t) if t < 4 else (nothing, nothing)

        length, there = search(cliff, 50.0)
        assert 0 < length < 4
        assert float(there.objective) < 9


def test_line_search_without_a_better_point_stays() -> None:
    """A slope that lies: it is told to fall, and only rises."""
    length, there = search(lambda t: (t, -1.0), 1.0)
    assert length == 0
    assert float(there.objective) == 0
