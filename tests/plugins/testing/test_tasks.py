"""The small tasks of the conformance suite, and its ways to look at what comes out."""

import numpy as np
import pytest

from stylewatch_painter.recipes.book import check
from stylewatch_painter.stage import Losses, Stage, Step, Term, Wish
from stylewatch_plugins.testing.tasks import (
    OPTIMIZERS,
    SMALL_FIRST,
    after,
    kept,
    picture,
    pictures,
    sample,
    stages,
    terms,
)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_makes_a_recipe_that_checks(optimizer: str) -> None:
    recipe = sample({"optimizer": OPTIMIZERS[optimizer], **SMALL_FIRST}).recipe
    assert check(recipe.model_dump()) == recipe


def test_a_picture_is_the_same_for_a_seed_and_has_other_colors_for_another() -> None:
    assert np.array_equal(picture(7, 5, seed=3), picture(7, 5, seed=3))
    assert abs(picture(7, 5, seed=3).mean() - picture(7, 5, seed=4).mean()) > 1
    assert picture(7, 5).shape == (5, 7, 3)


def test_a_task_is_changed_in_its_recipe_and_in_itself() -> None:
    task = sample({"steps": 9}, seed=4, content=None)
    assert (task.recipe.schedule.steps, task.seed, task.content) == (9, 4, None)
    assert len(pictures(task)) == 1
    assert len(pictures(sample())) == 2


def test_a_wish_after_a_step_waits_for_it() -> None:
    assert after(3, Wish.STOP) == (Wish.GO_ON, Wish.GO_ON, Wish.STOP)


def test_only_stages_have_pictures() -> None:
    losses = Losses(0.0)
    steps = [
        Step(1, 2, (1, 1), losses, 0.0),
        Stage(2, 2, (1, 1), losses, 0.0, picture=picture(1, 1)),
    ]
    assert stages(steps) == {2: picture(1, 1).tobytes()}


def test_every_term_of_a_loss_is_found() -> None:
    one, two, three = Term(1, 1), Term(2, 1), Term(3, 1)
    losses = Losses(6, {"conv1_1": one}, {"style-1": {"conv1_1": two}}, three)
    assert list(terms(losses)) == [one, two, three]


def test_a_checkpoint_goes_through_a_file() -> None:
    given = {"step": np.array(3), "u": picture(2, 2)}
    back = kept(given)
    assert all(np.array_equal(back[name], given[name]) for name in given)
    assert back["u"] is not given["u"]


def test_a_checkpoint_that_is_missing_or_no_plain_array_is_found_out() -> None:
    with pytest.raises(AssertionError, match="none was yielded"):
        kept(None)
    with pytest.raises(ValueError, match="pickle"):
        kept({"state": np.array([object()])})
