"""What a painting has room for, and what that leaves of its optimizer."""

import pytest
import torch

from stylewatch_painter.algorithm.canvas import optimizer
from stylewatch_painter.algorithm.optimizers import Evaluation
from stylewatch_painter.algorithm.task import AMPLE, Room
from stylewatch_painter.recipes import recipe
from stylewatch_painter.recipes.book import find

LBFGS = recipe.Lbfgs(kind="lbfgs", history=20, first_step=3)


def test_ample_room_leaves_everything_as_it_is() -> None:
    assert AMPLE.optimizer(LBFGS) is LBFGS
    adam = recipe.Adam(kind="adam", rate=7)
    assert Room(history=1).optimizer(adam) is adam


def test_a_shorter_history_is_the_same_but_for_its_pairs() -> None:
    assert Room(history=5).optimizer(LBFGS) == LBFGS.model_copy(update={"history": 5})


def test_under_three_pairs_adam_paints() -> None:
    assert isinstance(Room(history=3).optimizer(LBFGS), recipe.Lbfgs)
    assert isinstance(Room(history=2).optimizer(LBFGS), recipe.Adam)


@pytest.mark.parametrize("slope", [1.0, 1e-12])
def test_that_adam_goes_as_far_however_small_the_slopes_of_a_large_picture(slope: float) -> None:
    settings = Room(history=0).optimizer(LBFGS)
    x = torch.zeros(1, 3, 2, 2)
    seen = Evaluation(torch.zeros(1, 1), torch.zeros(1), torch.full_like(x, slope))
    optimizer(settings).step(x, lambda _: seen)
    assert torch.allclose(x, torch.full_like(x, -2.5))


def test_a_recipe_that_wants_no_more_than_that_keeps_it() -> None:
    short = find("best").schedule.optimizer.model_copy(update={"history": 2})
    assert Room(history=2).optimizer(short) is short


@pytest.mark.parametrize(("history", "pairs"), [(0, 15), (1, 19), (2, 20), (9, 20)])
def test_at_half_the_sides_there_is_room_for_more(history: int, pairs: int) -> None:
    """Four times 2 h + 10 vectors, less the ten beside them, in pairs."""
    found = Room(history=history).optimizer(LBFGS, larger=4)
    assert isinstance(found, recipe.Lbfgs)
    assert found.history == pairs
