"""L-BFGS against torch's own and the textbook; its line search; steps that are taken back.

It walks through a bent, stretched bowl with a known gradient.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.plain_vgg19 import Array
from torch import Tensor

from stylewatch_painter.optimizers.lbfgs import Lbfgs, LbfgsSettings
from stylewatch_painter.optimizers.line_search import strong_wolfe
from stylewatch_painter.optimizers.optimizer import Evaluation, Optimizer

STEPS, SHAPE = 8, (3, 4, 5)
STEEPNESS = np.geomspace(0.5, 5, 60).reshape(SHAPE)


def start() -> Array:
    """A point high up, in numbers that float32 holds exactly."""
    generator = np.random.Generator(np.random.PCG64(5))
    return generator.integers(-20, 21, SHAPE).astype(np.float64)


def height(x: Array) -> float:
    """Sum of k x^2 / 2, of (x / 10)^4, and of 0.1 x times its neighbor."""
    bowl = (STEEPNESS * x**2).sum() / 2 + ((x / 10) ** 4).sum()
    return float(bowl + 0.1 * (x * np.roll(x, 1, axis=-1)).sum())


def rise(x: Array) -> Array:
    """The gradient of `height`."""
    neighbors = np.roll(x, 1, axis=-1) + np.roll(x, -1, axis=-1)
    return np.asarray(STEEPNESS * x + 4 * x**3 / 10**4 + 0.1 * neighbors)


def evaluate(x: Tensor) -> Evaluation:
    """The bowl as an objective of the painter, for x (1, 3, 4, 5) of any precision."""
    point = small.array(x)
    value = torch.tensor(height(point), dtype=x.dtype)
    gradient = torch.from_numpy(rise(point)).unsqueeze(0).to(x.dtype)
    return Evaluation(value.unsqueeze(0), value, gradient)


def walk(optimizer: Optimizer, steps: int) -> list[Array]:
    """The point after each step from the start, in float64."""
    x = torch.from_numpy(start()).unsqueeze(0)
    path = []
    for _ in range(steps):
        optimizer.step(x, evaluate)
        path.append(small.array(x))
    return path


def assert_close(path: list[Array], expected: list[Array]) -> None:
    """Compare two paths; some constants of the painter are float32."""
    np.testing.assert_allclose(path, expected, rtol=1e-5, atol=1e-5)


def lbfgs(**changes: object) -> Lbfgs:
    return Lbfgs(LbfgsSettings.model_validate({"kind": "lbfgs", **changes}))


def torch_path(settings: dict[str, Any], slope: Callable[[Array], Array], x: Array) -> list[Array]:
    """The points that torch's own L-BFGS visits, without a line search."""
    u = torch.from_numpy(x).requires_grad_()
    reference: Any = torch.optim.LBFGS([u], max_iter=1, **settings)
    path = []

    def closure() -> float:
        u.grad = torch.from_numpy(slope(u.detach().numpy()))
        return 0.0

    for _ in range(STEPS):
        reference.step(closure)
        reference.param_groups[0]["lr"] = 1.0
        path.append(u.detach().numpy().copy())
    return path


def test_fixed_memory_gives_the_same_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a step that is captured in a CUDA graph."""
    changes = {"history": 3, "first_step": 60, "step_back": 1.01}
    expected = walk(lbfgs(**changes), STEPS)
    monkeypatch.setattr(Lbfgs, "stays_in_place", lambda *_: True)
    assert_close(walk(lbfgs(**changes), STEPS), expected)


def scaled(x: Array, power: float) -> Array:
    """Fourier coefficients over f^power, f in cycles per pixel, at least one per long side."""
    height, width = x.shape[-2:]
    down, right = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :]
    f = np.maximum(np.hypot(down, right), 1 / max(height, width))
    return np.asarray(np.fft.ifft2(np.fft.fft2(x) / f**power).real)


def test_fourier_power_equals_plain_lbfgs_on_scaled_coefficients() -> None:
    """On z where x = scaled(z), with a first step of a given length; torch divides it by |g|."""
    z = scaled(start(), -0.5)

    def slope(z: Array) -> Array:
        return scaled(rise(scaled(z, 0.5)), 0.5)

    first = slope(z)
    length = np.abs(first).sum() * 2 / np.sqrt(np.square(scaled(first, 0.5)).mean())
    path = torch_path({"lr": length, "history_size": 2}, slope, z)
    walked = walk(lbfgs(first_step=2, fourier_power=0.5, history=2), STEPS)
    assert_close(walked, [scaled(z, 0.5) for z in path])


def test_negative_curvature_is_skipped() -> None:
    """On a dome no pair is stored, and the direction stays that of steepest descent."""

    def dome(x: Tensor) -> Evaluation:
        value = -x.square().sum() / 2
        return Evaluation(value.view(1), value, -x.clone())

    optimizer, x = lbfgs(), small.tensor(start())
    optimizer.step(x, dome)
    there = x.clone()
    optimizer.step(x, dome)
    torch.testing.assert_close(x, 2 * there)
    assert optimizer.state()["0.inverse"] == 0


@pytest.mark.parametrize("factor", [1e6, math.nan])
def test_overshooting_step_is_taken_back_and_shortened(factor: float) -> None:
    """To a quarter of the step; the reported evaluation belongs to the position before it."""
    optimizer = lbfgs(first_step=30, step_back=2)
    x = torch.from_numpy(start()).unsqueeze(0)
    first = optimizer.step(x, evaluate)
    begin, there = start(), small.array(x)
    edge = float(there[0, 0, 0]) + 1e-6

    def with_cliff(x: Tensor) -> Evaluation:
        at = evaluate(x)
        if float(x[0, 0, 0, 0]) >= edge:
            return at
        return Evaluation(at.terms * factor, at.objective * factor, at.gradient * factor)

    evaluation = optimizer.step(x, with_cliff)
    assert_close([small.array(x)], [begin + 0.25 * (there - begin)])
    assert torch.equal(evaluation.terms, first.terms)
    assert int(optimizer.state()["taken_back"]) == 1
    for _ in range(8):
        evaluation = optimizer.step(x, with_cliff)
    assert evaluation.objective < first.objective / 10


Line = Callable[[float], tuple[float, float]]
"""Value and slope at some length along a line; at 0 the slope is negative."""

LINES: dict[str, Line] = {
    "bowl": lambda t: ((t - 3) ** 2, 2 * (t - 3)),
    "waves": lambda t: (t**2 / 20 - math.sin(4 * t), t / 10 - 4 * math.cos(4 * t)),
    "wall": lambda t: (math.exp(min(t - 5, 80)) - t, math.exp(min(t - 5, 80)) - 1),
}


def search(line: Line, first: float) -> float:
    """The length that a search from 0 chooses if it tries `first` first."""

    def evaluate(x: Tensor) -> Evaluation:
        value, slope = line(float(x))
        objective = torch.tensor(value, dtype=x.dtype)
        return Evaluation(objective.view(1), objective, torch.full_like(x, slope))

    x = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    length, evaluation = strong_wolfe(evaluate, x, torch.ones_like(x), evaluate(x), first)
    assert float(evaluation.objective) == line(length)[0]
    return length


@pytest.mark.parametrize("first", [1e-3, 1.0, 50.0])
@pytest.mark.parametrize("line", LINES)
def test_line_search_ends_with_wolfe_conditions(line: str, first: float) -> None:
    """Sufficient decrease (c1 = 1e-4) and curvature (c2 = 0.9)."""
    length = search(LINES[line], first)
    (before, steep), (after, slope) = LINES[line](0.0), LINES[line](length)
    assert length > 0
    assert after <= before + 1e-4 * length * steep
    assert abs(slope) <= 0.9 * abs(steep)
