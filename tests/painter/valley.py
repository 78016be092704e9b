"""A bent, stretched bowl with a known gradient, and paths of optimizers through it."""

import numpy as np
import torch
from tests.painter import small
from tests.painter.plain_vgg19 import Array
from torch import Tensor

from stylewatch_painter.paint.optimizers import Evaluation, Optimizer

SHAPE = (3, 4, 5)
STEEPNESS = np.geomspace(0.5, 5, 60).reshape(SHAPE)


def start() -> Array:
    """A point high up, in numbers that float32 holds exactly."""
    generator = np.random.Generator(np.random.PCG64(5))
    return generator.integers(-20, 21, SHAPE).astype(np.float64)


def height(x: Array) -> float:
    """Sum of k x^2 / 2, of (x / 10)^4, and of 0.1 x times its neighbor."""
    bowl = (STEEPNESS * x**2).sum() / 2 + ((x / 10) ** 4).sum()
    return float(bowl + 0.1 * (x * np.roll(x, 1, axis=-1)).sum())


def slope(x: Array) -> Array:
    """The gradient of `height`."""
    neighbors = np.roll(x, 1, axis=-1) + np.roll(x, -1, axis=-1)
    return np.asarray(STEEPNESS * x + 4 * x**3 / 10**4 + 0.1 * neighbors)


def evaluate(x: Tensor) -> Evaluation:
    """The bowl as an objective of the painter, for x (1, 3, 4, 5) of any precision."""
    point = small.array(x)
    value = torch.tensor(height(point), dtype=x.dtype)
    gradient = torch.from_numpy(slope(point)).unsqueeze(0).to(x.dtype)
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
