"""Adam, pyramids and Fourier filters, against formulas in plain Python and NumPy."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from tests.laws import plans
from tests.painter import small
from tests.painter.tensor_bytes import peak
from torch import Tensor
from torch.nn import functional

from stylewatch_classics.rmsprop import RmspropSettings
from stylewatch_classics.sgd import SgdSettings
from stylewatch_painter import optimizers
from stylewatch_painter.optimizers.adam import Adam, AdamSettings
from stylewatch_painter.optimizers.fourier import FourierFilter
from stylewatch_painter.optimizers.lbfgs import Lbfgs, LbfgsSettings
from stylewatch_painter.optimizers.optimizer import Evaluation, OptimizerSettings
from stylewatch_painter.optimizers.pyramid import LaplacianPyramid
from stylewatch_painter.paint.memory import FILTERED
from stylewatch_painter.paint.state import PaintState
from stylewatch_painter.recipes.book import change, find
from stylewatch_painter.scene.canvas import Canvas
from stylewatch_plugins.testing import tasks

ADAM = AdamSettings(kind="adam")
PYRAMID = AdamSettings(kind="adam", rate=0.1, epsilon=1e-12, pyramid=2)
CPU = torch.device("cpu")


def slope(gradient: Tensor, project: Callable[[Tensor], Tensor] | None = None) -> Evaluation:
    return Evaluation(torch.zeros(1), torch.zeros(()), gradient, project)


def test_adam_has_epsilon_outside_the_bias_correction() -> None:
    """TensorFlow's form: rate sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon)."""
    made = Adam(ADAM.model_copy(update={"epsilon": 1e-4}))
    x, m, v, expected = torch.zeros(1, 3, 1, 1), 0.0, 0.0, 0.0
    for t, g in enumerate((1e-3, 3e-3, -2e-3), start=1):
        made.step(x, partial(lambda g, x: slope(torch.full_like(x, g)), g))
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        expected -= 2 * (1 - 0.999**t) ** 0.5 / (1 - 0.9**t) * m / (v**0.5 + 1e-4)
        assert x.flatten().tolist() == pytest.approx([expected] * 3, rel=1e-4)


def left(move: Tensor) -> Tensor:
    """A projection that fixes the right half."""
    return torch.cat([move[..., :2], 0 * move[..., 2:]], -1)


@pytest.mark.parametrize("settings", [ADAM, PYRAMID, RmspropSettings(kind="rmsprop")])
def test_step_moves_only_what_the_projection_allows(settings: OptimizerSettings) -> None:
    """Whatever the moments contain, and although each pixel has its own rate."""
    x, made = torch.zeros(1, 3, 4, 4), settings.new()
    for step, project in enumerate((None, left)):
        before, evaluation = x.clone(), slope(torch.ones_like(x), project)
        made.step(x, partial(lambda evaluation, _: evaluation, evaluation))
        moved = (x - before).abs() > 0
        assert moved[..., :2].all() and moved[..., 2:].all() == (step == 0)


def dome(x: Tensor) -> Evaluation:
    """A loss that falls in all directions from its maximum at 0."""
    return Evaluation(torch.zeros(1), -5 * x.square().sum(), -10 * x)


@pytest.mark.parametrize(
    "settings",
    [
        AdamSettings(kind="adam", rate=20),
        SgdSettings(kind="sgd", rate=0.5),
        RmspropSettings(kind="rmsprop", rate=20),
        LbfgsSettings(kind="lbfgs", first_step=9, line_search="strong_wolfe"),
    ],
)
def test_bounds_hold(settings: OptimizerSettings) -> None:
    bounds = torch.full((1, 3, 1, 1), -9.0), torch.full((1, 3, 1, 1), 6.0)
    for limits, stays in ((None, False), (bounds, True)):
        x = torch.linspace(-9, 6, 105).view(1, 3, 7, 5)
        settings.new(limits).step(x, dome)
        assert (x.min() >= -9 and x.max() <= 6) == stays


@pytest.mark.parametrize("shape", [(6, 9), (7, 1), (1, 1)])
def test_filters_follow_the_frequency(shape: tuple[int, int]) -> None:
    """Frequencies below one cycle per long side count as one cycle."""
    x = np.random.Generator(np.random.PCG64(0)).standard_normal((3, *shape))
    down, right = np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij")
    f = np.hypot(down, right)
    seen = np.maximum(1 - 7.5 * np.abs(down * right), 0.1)
    for made, factors in (
        (FourierFilter.scaling(shape, 0.0, CPU, diagonals=True), 1 / seen),
        (FourierFilter.scaling(shape, 2.0, CPU), np.maximum(f, 1 / max(shape)) ** -4),
        (FourierFilter.high_pass(shape, 0.4, CPU), f >= 0.4),
    ):
        expected = np.fft.ifft2(np.fft.fft2(x) * factors).real
        filtered = small.array(made(small.tensor(x)))
        np.testing.assert_allclose(filtered, expected, atol=1e-5 * max(1, np.abs(expected).max()))


def test_steps_along_diagonals_are_longer_at_the_final_size_alone() -> None:
    """By ten, along the finest diagonal wave; at a coarse scale it would become colored specks."""
    changes = {"scales": [{"scale": 0.5, "steps": 1}], "smallest": 1, "optimizer.fourier_power": 0}
    task, vgg = small.wide_task("best", changes), small.network()
    canvas = Canvas(task, vgg.mean, vgg.device)
    for number, (level, longer) in enumerate(zip(task.levels(), (1, 10), strict=True)):
        state = PaintState(canvas, canvas.start(level.size), level=number)
        x = torch.zeros_like(state.u)
        stripes = torch.ones_like(x)
        stripes[..., ::2] = -1
        diagonal = stripes.clone()
        diagonal[..., ::2, :] *= -1
        state.optimizer.step(x, partial(lambda g, _: slope(g), stripes + diagonal))
        moved = float((x * diagonal).mean() / (x * stripes).mean())
        assert moved == pytest.approx(longer, rel=1e-4)


@pytest.mark.parametrize("shape", [(9, 13), (16, 16), (2, 30), (1, 4)])
def test_pyramid_is_that_of_bilinear_differences(shape: tuple[int, int]) -> None:
    """Analysis by torch's interpolation, its inverse, and the gradient by autograd."""
    x, pyramid = torch.randn(2, 3, *shape), LaplacianPyramid(shape, 3, CPU)
    levels: list[Tensor] = []
    below = x
    while len(levels) < 3 and min(below.shape[-2:]) > 1 and max(below.shape[-2:]) > 3:
        small_size = [side // 2 for side in below.shape[-2:]]
        smaller = functional.interpolate(below, small_size, mode="bilinear")
        levels.append(below - functional.interpolate(smaller, below.shape[-2:], mode="bilinear"))
        below = smaller
    expected = torch.cat([level.flatten(2) for level in (*levels, below)], -1)
    torch.testing.assert_close(pyramid.analysis(x), expected)
    torch.testing.assert_close(pyramid.synthesis(pyramid.analysis(x)), x)
    coefficients, weights = torch.randn_like(expected).requires_grad_(), torch.randn_like(x)
    (by_hand,) = torch.autograd.grad(
        (pyramid.synthesis(coefficients) * weights).sum(), coefficients
    )
    torch.testing.assert_close(pyramid.adjoint(weights), by_hand)


def quartic(x: Tensor) -> Evaluation:
    """A steep bowl around a ramp."""
    ramp = torch.arange(35.0).view(7, 5) / 9
    return Evaluation(torch.zeros(1), ((x - ramp) ** 4).sum(), 4 * (x - ramp) ** 3)


def test_adam_on_a_pyramid_is_torchs_on_its_coefficients() -> None:
    """Which has epsilon at another place, so that it is tiny here. It continues from its state."""
    x = torch.randn(1, 3, 7, 5)
    pyramid = LaplacianPyramid((7, 5), 2, CPU)
    coefficients = pyramid.analysis(x).requires_grad_()
    made, other = PYRAMID.new(), torch.optim.Adam([coefficients], lr=0.1, eps=1e-12)
    for _ in range(12):
        made.step(x, quartic)
        state = made.state()
        made = PYRAMID.new()
        made.load(state)
        objective = quartic(pyramid.synthesis(coefficients)).objective.sum()
        (coefficients.grad,) = torch.autograd.grad(objective, coefficients)
        other.step()
        torch.testing.assert_close(
            x, pyramid.synthesis(coefficients).detach(), rtol=1e-4, atol=1e-4
        )
    state = made.state()
    saved = {name: tensor.clone() for name, tensor in state.items()}
    made.step(x, quartic)
    assert state.keys() == {"t", "m", "v", "coefficients"}
    assert all(torch.equal(state[name], saved[name]) for name in saved)


def of_recipe(changes: Mapping[str, Any]) -> OptimizerSettings:
    return change(find("gram"), {"optimizer": dict(changes)}).schedule.optimizer


@pytest.mark.parametrize("name", plans.OPTIMIZERS)
@pytest.mark.parametrize("is_filtered", [False, True])
def test_a_step_takes_the_memory_that_is_declared(name: str, is_filtered: bool) -> None:
    settings = of_recipe(plans.OPTIMIZERS[name])
    x = torch.linspace(0, 1, 3 * 64 * 96).view(1, 3, 64, 96).sin()
    project = FourierFilter.high_pass((64, 96), 0.05, CPU) if is_filtered else None
    optimizer = settings.new()
    with peak() as measured:
        for _ in range(4):
            optimizer.step(x, lambda u: replace(bowl(u), project=project))
    declared = settings.vectors(4) + (FILTERED if is_filtered else 0)
    assert measured.peak / x.nbytes < declared + 0.5, "and scalars, rows and columns"


def test_a_history_that_is_allocated_in_advance_is_declared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a GPU, in the first step."""
    settings = of_recipe({"kind": "lbfgs", "history": 6, "line_search": "none"})
    monkeypatch.setattr(Lbfgs, "stays_in_place", lambda *_: True)
    x = torch.linspace(0, 1, 3 * 64 * 96).view(1, 3, 64, 96).sin()
    with peak() as measured:
        settings.new().step(x, bowl)
    assert 12 < measured.peak / x.nbytes < settings.vectors(1) + 0.5


@pytest.mark.parametrize("name", plans.OPTIMIZERS)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_gradient_that_is_no_number_reaches_the_picture(name: str, value: float) -> None:
    """By this a divergence is noticed."""
    x = torch.ones(1, 3, 8, 8)
    optimizer = of_recipe(plans.OPTIMIZERS[name]).new()
    for _ in range(3):
        optimizer.step(x, lambda u: replace(bowl(u), gradient=torch.full_like(u, value)))
    assert not x.isfinite().all()


@pytest.mark.parametrize("known", [plans.OPTIMIZERS, tasks.OPTIMIZERS])
def test_every_optimizer_is_tried_by_the_laws_and_the_conformance_suite(
    known: Mapping[str, Mapping[str, Any]],
) -> None:
    kinds = {type(of_recipe(settings)) for settings in known.values()}
    assert kinds >= {*optimizers.kinds().values()}


def bowl(x: Tensor) -> Evaluation:
    return Evaluation(torch.zeros(1), 0.1 * x.square().sum(), 0.2 * x)
