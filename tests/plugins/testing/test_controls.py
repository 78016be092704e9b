"""The suite on controls finds out backends that break a promise where one is used."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from tests.plugins.promises import keeps

from stylewatch_painter.algorithm.task import Style, Task
from stylewatch_painter.images.resize import resize
from stylewatch_painter.recipes.book import change
from stylewatch_painter.stage import Losses, Pixels, Stage, Step, Wish
from stylewatch_plugins.sketch import Sketch
from stylewatch_plugins.testing import BackendConformance
from stylewatch_plugins.testing.tasks import SMOOTHED, everything, pictures
from stylewatch_tones.backend import Tones

PROMISES = [
    name for name in dir(BackendConformance) if re.match("test_.*(control|size_said)", name)
]
PLAIN = {"average": 0.0, "carry": False, "objective.network.padding": "zeros", "objective.tv": None}
Wishes = Callable[[], Wish]


class _AveragesAnew(Sketch):
    """Shows averages, and does not keep them."""

    def paint(self, task: Task, wish: Wishes) -> Iterator[Step]:
        seen: list[Pixels] = []
        for step in super().paint(task, wish):
            if isinstance(step, Stage) and task.recipe.schedule.average:
                seen.append(step.picture)
                yield replace(step, picture=np.mean(seen, axis=0))
            else:
                yield step


class _GoesOnWithoutMasks(Tones):
    def paint(self, task: Task, wish: Wishes) -> Iterator[Step]:
        if task.resume is not None:
            styles = tuple(replace(style, mask=None) for style in task.styles)
            bare = replace(task, content_mask=None, styles=styles, resume=None)
            left = next(super().paint(bare, lambda: Wish.STOP)).checkpoint
            assert left is not None
            task = replace(bare, resume={**task.resume, "task": left["task"]})
        yield from super().paint(task, wish)


class _GoesOnUnderAnyControl(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Iterator[Step]:
        return super().paint(replace(task, recipe=change(task.recipe, PLAIN)), wish)


class _OverlooksSizesOfTheirOwn(Sketch):
    """Looks at styles in the size that the recipe has for all."""

    def paint(self, task: Task, wish: Wishes) -> Iterator[Step]:
        def seen(style: Style) -> Style:
            size = task.style_size(replace(style, size=None))
            return replace(style, picture=resize(style.picture, size))

        return super().paint(replace(task, styles=tuple(map(seen, task.styles))), wish)


class _CountsWhatItDoesNotTell(Sketch):
    """A smoothness that is in the total, and no term of its own."""

    def paint(self, task: Task, wish: Wishes) -> Iterator[Step]:
        for step in super().paint(task, wish):
            tv = task.recipe.objective.tv
            more = tv.weight if tv is not None and tv.loss == "isotropic" else 0.0
            yield replace(step, losses=replace(step.losses, total=step.losses.total + more))


class _MeasuresWithoutRims(Sketch):
    def measure(self, task: Task) -> Losses:
        padded = task.recipe.objective.network.padding != "zeros"
        start = {"start": "noise"} if padded else {}
        return super().measure(replace(task, recipe=change(task.recipe, start)))


WRONG = [
    (_AveragesAnew, "with_every_control_it_goes_on_in_the_same_bytes"),
    (_GoesOnWithoutMasks, "with_every_control_it_goes_on_in_the_same_bytes"),
    (_GoesOnUnderAnyControl, "a_checkpoint_under_another_control_is_refused"),
    (_OverlooksSizesOfTheirOwn, "a_size_said_of_a_style_is_as_if_said_of_all"),
    (_CountsWhatItDoesNotTell, "the_total_is_the_sum_of_value_times_weight"),
    (_MeasuresWithoutRims, "measuring_gives_the_losses_before_the_first_step"),
]


@pytest.mark.parametrize(("wrong", "promise"), WRONG)
def test_a_backend_that_is_wrong_under_a_control_is_found_out(
    wrong: type[Sketch], promise: str
) -> None:
    assert not keeps(wrong, f"test_{promise}")


@pytest.mark.parametrize("promise", PROMISES)
def test_a_backend_that_looks_at_masks_too_is_not(promise: str) -> None:
    assert keeps(Tones, promise)


def test_everything_is_every_control_at_once() -> None:
    task = everything()
    plain = task.recipe.model_dump()
    assert all(plain["schedule"][name] == SMOOTHED[name] for name in ("average", "carry"))
    assert plain["objective"]["network"]["padding"] == SMOOTHED["objective.network.padding"]
    assert [style.size for style in task.styles] == ["16", None]
    assert task.content_mask is not None and task.content_mask.shape[2] == 2
    assert len(pictures(task)) == 4
