"""Walks with the painter's optimizers: where they lead, and whether they can be broken off."""

import numpy as np
import torch
from tests.painter import small, valley
from tests.painter.plain_vgg19 import Array

from stylewatch_painter.algorithm.canvas import optimizer
from stylewatch_painter.algorithm.optimizers import Evaluate, Optimizer
from stylewatch_painter.recipes import recipe

Settings = recipe.Adam | recipe.Sgd | recipe.Lbfgs


def walk(made: Optimizer, steps: int, evaluate: Evaluate = valley.evaluate) -> list[Array]:
    """Where each step from the start of the valley leads, in float64."""
    x = torch.from_numpy(valley.start()).unsqueeze(0)
    path = []
    for _ in range(steps):
        made.step(x, evaluate)
        path.append(small.array(x))
    return path


def same_way(path: list[Array], wanted: list[Array]) -> None:
    """Both lead the same way; some constants of the painter are float32."""
    for here, there in zip(path, wanted, strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-5, atol=1e-5)


def broken_off(settings: Settings, after: int, steps: int) -> list[Array]:
    """The steps after a break, by an optimizer that got the state of the one before."""
    x = torch.from_numpy(valley.start()).unsqueeze(0)
    before = optimizer(settings)
    for _ in range(after):
        before.step(x, valley.evaluate)
    # through plain arrays, as a checkpoint goes
    state = {name: torch.from_numpy(t.numpy().copy()) for name, t in before.state().items()}
    again = optimizer(settings)
    again.load(state)
    path = []
    for _ in range(after, steps):
        again.step(x, valley.evaluate)
        path.append(small.array(x))
    return path
