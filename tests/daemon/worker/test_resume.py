"""A picture with some steps behind it has the others before it."""

import numpy as np
import pytest

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.worker.resume import coarse, onward
from stylewatch_painter.algorithm import scales
from stylewatch_painter.algorithm.scales import Level
from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Recipe

LEVELS = (Level((16, 12), 0.25, 10), Level((32, 24), 0.5, 20), Level((64, 48), 1.0, 30))


@pytest.fixture
def recipe() -> Recipe:
    passes = [
        {"scale": 0.125, "steps": 5},
        {"scale": 0.25, "steps": 10},
        {"scale": 0.5, "steps": 20},
    ]
    changes = {"start": "picture", "scales": passes, "steps": 30, "smallest": 16}
    return book.change(book.find("gatys"), changes)


@pytest.mark.parametrize("step", [1, 25, 59])
def test_what_is_behind_is_left_out(recipe: Recipe, step: int) -> None:
    left = onward(recipe, LEVELS, step)
    assert left == book.change(recipe, {"done": step})


def test_the_sizes_that_were_too_small_stay_left_out(recipe: Recipe) -> None:
    levels = scales.levels(recipe, (128, 96))
    assert [level.size[0] for level in levels] == [32, 64, 128]
    left = scales.after(levels, onward(recipe, levels, 5).schedule.done)
    assert [(level.size, level.steps) for level in left] == [
        ((32, 24), 5), ((64, 48), 20), ((128, 96), 30)
    ]  # fmt: skip


def test_the_first_of_what_is_left_has_no_more_steps_than_that(recipe: Recipe) -> None:
    """What the schedule has for the smallest size is behind it."""
    begun = book.change(recipe, {"initial_steps": 99})
    levels = scales.levels(begun, (128, 96))
    assert [level.steps for level in levels] == [99, 20, 30]
    left = scales.after(levels, onward(begun, levels, 98).schedule.done)
    assert [level.steps for level in left] == [1, 20, 30]


@pytest.mark.parametrize("step", [60, 61])
def test_where_nothing_is_left_it_says_so(recipe: Recipe, step: int) -> None:
    with pytest.raises(SettingsError, match="leaves nothing to do, there are 60 steps"):
        onward(recipe, LEVELS, step)


def test_it_takes_a_picture_to_go_on_from(recipe: Recipe) -> None:
    content = book.change(recipe, {"start": "content"})
    with pytest.raises(SettingsError, match=r"drop it as init\.png"):
        onward(content, LEVELS, 1)


def test_a_stage_that_was_made_smaller_is_told_of(recipe: Recipe) -> None:
    content = np.zeros((48, 64, 3), dtype=np.float32)
    plain = book.change(recipe, {"size": "64", "scales": []})
    task = Task(plain, content, (), init=content[::2, ::2])
    assert list(coarse(task, 35)) == [
        "it goes on from a stage of 32x24 pixels, enlarged to 64x48: stages.size made it smaller"
    ]
    assert not list(coarse(task, 0)) and not list(coarse(Task(plain, content, ()), 35))
    assert not list(coarse(Task(plain, content, (), init=content), 35))
