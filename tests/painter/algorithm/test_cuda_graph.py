"""Recording steps, where that is of any use."""

import pytest
import torch
from tests.painter import small

from stylewatch_painter.algorithm.canvas import Canvas, optimizer
from stylewatch_painter.algorithm.objective import Target
from stylewatch_painter.algorithm.paint import recorded


@pytest.mark.parametrize("times", [1, 1000])
def test_on_the_cpu_each_step_is_made_as_it_is(times: int) -> None:
    """There Python has asked for the next kernel long before one is done."""
    network = small.network()
    canvas = Canvas(small.task("best"), network.mean, network.device)
    level = canvas.levels()[-1]
    target = Target([canvas], network, level)
    settings = canvas.task.recipe.schedule.optimizer
    u, other = canvas.start(level.size), canvas.start(level.size)
    made, plain = optimizer(settings), optimizer(settings)
    step = recorded(made, u, target, times)
    for _ in range(4):
        assert torch.equal(step().terms, plain.step(other, target).terms)
        assert torch.equal(u, other)
