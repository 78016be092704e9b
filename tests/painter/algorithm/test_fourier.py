"""The scaling of Fourier coefficients, and quick waves, held against NumPy's transform."""

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.plain_vgg19 import Array

from stylewatch_painter.algorithm import optimizers
from stylewatch_painter.algorithm.optimizers import HighPass, Scaling

SHAPES = pytest.mark.parametrize(
    "shape", [(8, 8), (5, 7), (6, 9), (9, 6), (1, 6), (7, 1), (1, 2), (1, 1)]
)
CPU = torch.device("cpu")


def some(shape: tuple[int, int], seed: int = 0) -> Array:
    """Numbers by chance, (3, height, width)."""
    return np.random.Generator(np.random.PCG64(seed)).standard_normal((3, *shape))


def scaled(x: Array, power: float) -> Array:
    return small.array(Scaling(x.shape[-2:], power, CPU)(small.tensor(x)))


def by_numpy(x: Array, power: float) -> Array:
    """All coefficients, not half of them; f is never under one cycle per long side."""
    height, width = x.shape[-2:]
    down, right = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    f = np.maximum(np.sqrt(down**2 + right**2), 1 / max(height, width))
    return np.asarray(np.fft.ifft2(np.fft.fft2(x) / f ** (2 * power)).real)


@SHAPES
@pytest.mark.parametrize("power", [0.25, 0.5, 1.0, 2.0])
def test_coefficients_are_scaled_by_a_power_of_their_frequency(
    shape: tuple[int, int], power: float
) -> None:
    x = some(shape)
    wanted = by_numpy(x, power)
    np.testing.assert_allclose(scaled(x, power), wanted, atol=1e-5 * np.abs(wanted).max())


@SHAPES
@pytest.mark.parametrize("slowest", [0.1, 0.25, 0.4])
def test_slow_waves_are_taken_out_and_quick_ones_left(
    shape: tuple[int, int], slowest: float
) -> None:
    x = some(shape)
    down, right = np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij")
    wanted = np.fft.ifft2(np.fft.fft2(x) * (np.hypot(down, right) >= slowest)).real
    quick = HighPass(shape, slowest, CPU)
    once = quick(small.tensor(x))
    np.testing.assert_allclose(small.array(once), wanted, atol=1e-5)
    np.testing.assert_allclose(small.array(quick(once)), small.array(once), atol=1e-5)


def test_planes_of_large_pictures_are_scaled_one_by_one_to_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = some((6, 9))
    wanted = scaled(x, 0.5)
    monkeypatch.setattr(optimizers, "_LARGE", 1)
    np.testing.assert_allclose(scaled(x, 0.5), wanted, rtol=1e-5, atol=1e-6)
