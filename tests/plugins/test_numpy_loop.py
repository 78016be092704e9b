"""The way from a start to the last stage, with moves of the simplest kind."""

from collections.abc import Iterator

import numpy as np
import pytest

from stylewatch_painter.algorithm.scales import Size
from stylewatch_painter.algorithm.task import Style, Task
from stylewatch_painter.errors import CheckpointError, DivergedError, RecipeError
from stylewatch_painter.stage import Losses, Pixels, Stage, Step, Wish
from stylewatch_plugins import numpy_loop
from stylewatch_plugins.testing.tasks import SMALL_FIRST, picture, sample


def brighter(size: Size) -> numpy_loop.Move:
    """Each step adds one level; the loss is the number of the step."""
    return lambda before, step: (Losses(float(step)), before + np.float32(1))


def painted(task: Task, *wishes: Wish) -> list[Step]:
    left = iter(wishes)
    return list(numpy_loop.paint(task, lambda: next(left, Wish.GO_ON), brighter))


def test_every_step_is_a_move_from_the_picture_before() -> None:
    steps = painted(sample({"steps": 3, "save_every": 2}))
    assert [(step.step, step.losses.total) for step in steps] == [(1, 1.0), (2, 2.0), (3, 3.0)]
    shown = {step.step: step.picture for step in steps if isinstance(step, Stage)}
    content = picture(24, 18)
    assert shown.keys() == {2, 3}
    assert shown[3] == pytest.approx(content + 3)


def test_moves_are_asked_for_once_at_each_size() -> None:
    sizes: list[Size] = []

    def at(size: Size) -> numpy_loop.Move:
        sizes.append(size)
        return brighter(size)

    steps = list(numpy_loop.paint(sample(SMALL_FIRST), lambda: Wish.GO_ON, at))
    assert sizes == [step.size for step in (steps[0], steps[-1])] == [(12, 9), (24, 18)]


def test_a_start_is_the_picture_that_the_recipe_names() -> None:
    init = picture(24, 18, seed=9)
    assert np.array_equal(numpy_loop.start(sample({"start": "picture"}, init=init), (24, 18)), init)
    half = numpy_loop.start(sample({"start": "mixed", "noise_ratio": 0.5}), (24, 18))
    noise = numpy_loop.start(sample({"start": "noise"}), (24, 18))
    assert half == pytest.approx(0.5 * noise + 0.5 * picture(24, 18), abs=1e-3)
    with pytest.raises(RecipeError, match="start: picture"):
        numpy_loop.start(sample({"start": "picture"}), (24, 18))


def test_a_loss_that_is_no_number_ends_it() -> None:
    def lost(size: Size) -> numpy_loop.Move:
        return lambda before, step: (Losses(float("nan")), before)

    with pytest.raises(DivergedError, match="step 1"):
        next(numpy_loop.paint(sample(), lambda: Wish.GO_ON, lost))


def others() -> Iterator[Task]:
    """Tasks that differ in one thing each."""
    mask = np.ones((18, 24), dtype=np.float32)
    yield sample(seed=1)
    yield sample({"steps": 9})
    yield sample(content=picture(24, 18, seed=8))
    yield sample(content_mask=mask)
    yield sample(styles=())
    yield sample(styles=(Style(picture(20, 22, seed=1), scale=0.5),))
    yield sample(styles=(Style(picture(20, 22, seed=1), size="12"),))


@pytest.mark.parametrize("other", list(others()))
def test_a_checkpoint_is_of_one_task_alone(other: Task) -> None:
    (stopped,) = painted(sample(), Wish.STOP)
    vars_of = {name: getattr(other, name) for name in ("content", "styles", "content_mask", "seed")}
    again = Task(other.recipe, resume=stopped.checkpoint, **vars_of)
    with pytest.raises(CheckpointError, match="another painting"):
        painted(again)


def test_what_is_kept_is_a_copy() -> None:
    seen: list[Pixels] = []
    for step in numpy_loop.paint(sample({"save_every": 1}), lambda: Wish.CHECKPOINT, brighter):
        assert isinstance(step, Stage) and step.checkpoint is not None
        assert not np.shares_memory(step.picture, step.checkpoint["picture"])
        seen.append(step.picture)
    assert not np.shares_memory(seen[0], seen[1])


def test_several_make_a_step_each_in_turn_as_each_does_alone() -> None:
    each = [painted(sample({"steps": steps}, seed=steps)) for steps in (3, 2, 3)]
    said = list(numpy_loop.by_turns([iter(steps) for steps in each]))
    assert [index for index, _ in said] == [0, 1, 2, 0, 1, 2, 0, 2]
    assert [[one for index, one in said if index == at] for at in range(3)] == each


def test_what_goes_wrong_with_one_of_several_is_its_end_alone() -> None:
    def lost(size: Size) -> numpy_loop.Move:
        return lambda before, step: (Losses(1.0 if step == 1 else float("nan")), before)

    task = sample({"steps": 3, "save_every": 3})
    paintings = [
        numpy_loop.paint(task, lambda: Wish.GO_ON, at) for at in (brighter, lost, brighter)
    ]
    said = [(index, type(one)) for index, one in numpy_loop.by_turns(paintings)]
    assert said == [
        *((index, Step) for index in range(3)), (0, Step), (1, DivergedError), (2, Step),
        (0, Stage), (2, Stage),
    ]  # fmt: skip
