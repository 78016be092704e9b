"""A valley to walk down: a bent, stretched bowl, known in closed form, for tests of optimizers."""

import numpy as np
import torch
from tests.painter.plain_vgg19 import Array
from torch import Tensor

from stylewatch_painter.algorithm.optimizers import Evaluation

SHAPE = (3, 4, 5)
STEEPNESS = np.geomspace(0.5, 5, 60).reshape(SHAPE)


def start() -> Array:
    """A place high up, in numbers that float32 holds exactly."""
    high = np.random.Generator(np.random.PCG64(5)).integers(-20, 21, SHAPE)
    return high.astype(np.float64)


def height(x: Array) -> float:
    """Sum of k x^2 / 2, of (x / 10)^4, and of 0.1 x times its neighbor."""
    bowl = (STEEPNESS * x**2).sum() / 2 + ((x / 10) ** 4).sum()
    return float(bowl + 0.1 * (x * np.roll(x, 1, axis=-1)).sum())


def slope(x: Array) -> Array:
    """The slope of `height`."""
    around = np.roll(x, 1, axis=-1) + np.roll(x, -1, axis=-1)
    found: Array = STEEPNESS * x + 4 * x**3 / 10**4 + 0.1 * around
    return found


def evaluate(x: Tensor) -> Evaluation:
    """The valley as one of the painter's objectives, for x (1, 3, 4, 5) of any precision."""
    here = x.detach().squeeze(0).numpy().astype(np.float64)
    value = torch.tensor([height(here)], dtype=x.dtype)
    gradient = torch.from_numpy(slope(here)).unsqueeze(0).to(x.dtype)
    return Evaluation(value.unsqueeze(0), value, gradient)
