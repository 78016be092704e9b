"""RMSprop against that of torch, and gradient descent against the rates of Keras."""

from functools import partial

import pytest
import torch
from tests.painter import small
from torch import Tensor

from stylewatch_classics.rmsprop import Rmsprop, RmspropSettings
from stylewatch_classics.sgd import Sgd, SgdSettings
from stylewatch_painter.optimizers.optimizer import Evaluation
from stylewatch_painter.recipes.book import find


def slope(gradient: Tensor) -> Evaluation:
    return Evaluation(torch.zeros(1), torch.zeros(()), gradient)


def test_rmsprop_is_the_one_of_torch() -> None:
    settings = RmspropSettings(kind="rmsprop", rate=0.3, decay=0.9, epsilon=1e-3)
    made, x = Rmsprop(settings), torch.zeros(1, 3, 2, 2)
    expected = torch.zeros_like(x).requires_grad_()
    theirs = torch.optim.RMSprop([expected], lr=0.3, alpha=0.9, eps=1e-3)
    for seed in range(4):
        gradient = small.tensor(small.plain(small.picture(seed, 2, 2))) / 255 - 0.5
        made.step(x, partial(lambda g, _: slope(g), gradient))
        expected.grad = gradient
        theirs.step()
        torch.testing.assert_close(x, expected.detach())


def test_sgd_rate_decays_as_in_keras() -> None:
    """100 at first, 96 after a hundred steps; in between the power."""
    settings = find("keras").schedule.optimizer
    assert isinstance(settings, SgdSettings)
    made, x = Sgd(settings), torch.zeros(1, 3, 1, 1)
    moved = []
    for _ in range(101):
        before = x.clone()
        made.step(x, lambda x: slope(torch.ones_like(x)))
        moved.append(float((before - x)[0, 0, 0, 0]))
    assert [moved[0], moved[50], moved[100]] == pytest.approx([100, 97.97959, 96], rel=1e-4)
