"""Adam and gradient descent, held against the same in plain NumPy, step by step."""

from functools import partial

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.plain_vgg19 import Array
from tests.painter.walks import Settings, broken_off, same_way, walk
from torch import Tensor

from stylewatch_painter.algorithm import optimizers
from stylewatch_painter.algorithm.canvas import optimizer
from stylewatch_painter.algorithm.optimizers import (
    Adam,
    Evaluation,
    FourierFilter,
    Sgd,
    enlarged,
)
from stylewatch_painter.recipes import recipe
from stylewatch_painter.recipes.book import find

ADAM = recipe.Adam(kind="adam")
SGD = recipe.Sgd(kind="sgd", rate=0.05, decay=0.5, decay_steps=2)


def test_adam_has_epsilon_outside_the_bias_correction() -> None:
    """Its size shows where the slope is as small: by hand, for one step from slope g.

    m = 0.1 g, v = 0.001 g^2: the step is rate sqrt(0.001) / 0.1 x 0.1 g / (sqrt(0.001) g + eps).
    """
    slope, epsilon = 1e-3, 1e-4
    x = torch.zeros(1, 3, 1, 1)
    seen = Evaluation(torch.zeros(1), torch.zeros(()), torch.full_like(x, slope))
    Adam(ADAM.model_copy(update={"epsilon": epsilon})).step(x, lambda _: seen)
    root = 0.001**0.5
    wanted = -2 * root * slope / (root * slope + epsilon)
    assert x.flatten().tolist() == pytest.approx([wanted] * 3, rel=1e-5)


def test_adam_moves_only_what_the_projection_allows() -> None:
    """Whatever it remembers of the rest: here the right half is held from the second step on."""

    def left(move: Tensor) -> Tensor:
        return torch.cat([move[..., :2], 0 * move[..., 2:]], -1)

    x, made = torch.zeros(1, 3, 4, 4), Adam(ADAM)
    for step, free in enumerate((None, left)):
        before, slope = x.clone(), torch.ones_like(x)
        seen = Evaluation(torch.zeros(1), torch.zeros(()), slope, free)
        made.step(x, partial(lambda seen, _: seen, seen))
        moved = (x - before).abs() > 0
        assert moved[..., :2].all() and moved[..., 2:].all() == (step == 0)


def test_sgd_rate_decays_as_in_keras() -> None:
    """100 at first, 96 after a hundred steps; in between the power, not stairs."""
    settings = find("keras").schedule.optimizer
    assert isinstance(settings, recipe.Sgd)
    made, x = Sgd(settings), torch.zeros(1, 3, 1, 1)
    seen = Evaluation(torch.zeros(1), torch.zeros(()), torch.ones_like(x))
    moved = []
    for _ in range(101):
        before = x.clone()
        made.step(x, lambda _: seen)
        moved.append(float((before - x)[0, 0, 0, 0]))
    assert [moved[0], moved[50], moved[100]] == pytest.approx([100, 97.97959, 96], rel=1e-4)


@pytest.mark.parametrize("settings", [ADAM, SGD], ids=["adam", "sgd"])
def test_bounds_hold(settings: Settings) -> None:
    low, high = torch.full((1, 3, 1, 1), -17.0), torch.full((1, 3, 1, 1), 16.5)
    free, held = walk(optimizer(settings), 2), walk(optimizer(settings, (low, high)), 2)
    same_way(held, [free[0].clip(-17, 16.5), held[1]])
    assert np.abs(free[0]).max() > 17
    assert held[1].min() >= -17 and held[1].max() <= 16.5


@pytest.mark.parametrize("settings", [ADAM, SGD], ids=["adam", "sgd"])
@pytest.mark.parametrize("after", [0, 1, 4])
def test_resumed_walk_is_byte_identical(settings: Settings, after: int) -> None:
    whole = walk(optimizer(settings), 6)
    rest = broken_off(settings, after, 6)
    assert all(np.array_equal(a, b) for a, b in zip(rest, whole[after:], strict=True))


def test_later_steps_do_not_change_the_state_of_adam() -> None:
    made, x = Adam(ADAM), torch.zeros(1, 3, 2, 2)
    seen = Evaluation(torch.zeros(1), torch.zeros(()), torch.ones_like(x))
    made.step(x, lambda _: seen)
    state = made.state()
    before = {name: tensor.clone() for name, tensor in state.items()}
    made.step(x, lambda _: seen)
    assert before.keys() == {"t", "m", "v"}
    assert all(torch.equal(state[name], before[name]) for name in before)


def test_adam_moments_are_resized() -> None:
    """Flat moments stay what they are, steps are counted on, and no square falls below 0."""
    made, x = Adam(ADAM), torch.zeros(2, 3, 4, 6)
    slope = torch.zeros_like(x)
    slope[..., 3:] = 9.0
    made.step(x, lambda _: Evaluation(torch.zeros(2, 1), torch.zeros(2), slope))
    larger = enlarged(made.state(), (9, 6))
    assert {name: tuple(one.shape) for name, one in larger.items()} == {
        "t": (), "m": (2, 3, 6, 9), "v": (2, 3, 6, 9)
    }  # fmt: skip
    assert int(larger["t"]) == 1
    torch.testing.assert_close(larger["m"][..., -1], torch.full((2, 3, 6), 0.1 * 9))
    assert larger["v"].min() == 0
    assert larger["m"].min() < 0  # the bicubic filter overshoots


SHAPES = pytest.mark.parametrize(
    "shape", [(8, 8), (5, 7), (6, 9), (9, 6), (1, 6), (7, 1), (1, 2), (1, 1)]
)
CPU = torch.device("cpu")


def some(shape: tuple[int, int], seed: int = 0) -> Array:
    """Numbers by chance, (3, height, width)."""
    return np.random.Generator(np.random.PCG64(seed)).standard_normal((3, *shape))


def scaled(x: Array, power: float) -> Array:
    return small.array(FourierFilter.scaling(x.shape[-2:], power, CPU)(small.tensor(x)))


def by_numpy(x: Array, power: float) -> Array:
    """All coefficients, not half of them; f is never under one cycle per long side."""
    height, width = x.shape[-2:]
    down, right = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    f = np.maximum(np.sqrt(down**2 + right**2), 1 / max(height, width))
    return np.asarray(np.fft.ifft2(np.fft.fft2(x) / f ** (2 * power)).real)


@SHAPES
@pytest.mark.parametrize("power", [0.25, 0.5, 1.0, 2.0])
def test_coefficients_scale_with_frequency(shape: tuple[int, int], power: float) -> None:
    x = some(shape)
    wanted = by_numpy(x, power)
    np.testing.assert_allclose(scaled(x, power), wanted, atol=1e-5 * np.abs(wanted).max())


@SHAPES
@pytest.mark.parametrize("slowest", [0.1, 0.25, 0.4])
def test_high_pass_removes_low_frequencies(shape: tuple[int, int], slowest: float) -> None:
    x = some(shape)
    down, right = np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij")
    wanted = np.fft.ifft2(np.fft.fft2(x) * (np.hypot(down, right) >= slowest)).real
    quick = FourierFilter.high_pass(shape, slowest, CPU)
    once = quick(small.tensor(x))
    np.testing.assert_allclose(small.array(once), wanted, atol=1e-5)
    np.testing.assert_allclose(small.array(quick(once)), small.array(once), atol=1e-5)


def test_planes_of_large_pictures_give_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = some((6, 9))
    wanted = scaled(x, 0.5)
    monkeypatch.setattr(optimizers, "_LARGE", 1)
    np.testing.assert_allclose(scaled(x, 0.5), wanted, rtol=1e-5, atol=1e-6)
