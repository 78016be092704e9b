"""The conformance suite on what painters ask for: padding, averages, sizes, and all at once.

A backend may have no use for some of it; what it promises holds all the same.
"""

from dataclasses import replace

import pytest

from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.recipes.book import change
from stylewatch_plugins.contract import Backend
from stylewatch_plugins.testing.masks import two_regions
from stylewatch_plugins.testing.stops import left
from stylewatch_plugins.testing.tasks import SMALL_FIRST, SMOOTHED, Suite, painted, sample


def everything() -> Task:
    """Two regions, two styles each of a size of its own, two sizes on the way, all of SMOOTHED."""
    task = two_regions("left")
    (style,) = task.styles
    unmasked = replace(style, name="style-2", size=None, scale=0.5, mask=None)
    return replace(
        task,
        recipe=change(task.recipe, {**SMALL_FIRST, **SMOOTHED, "save_every": 1}),
        styles=(replace(style, size="16"), unmasked),
    )


class Controls(Suite):
    """What every backend promises about controls, whether it has a use for them or not."""

    def test_with_every_control_it_goes_on_in_the_same_bytes(self, backend: Backend) -> None:
        """Whatever a control has to remember is in the checkpoint."""
        self.check_going_on(backend, everything())

    def test_a_checkpoint_under_another_control_is_refused(self, backend: Backend) -> None:
        """They are part of what a painting is, for a backend that has no use for them as well."""
        checkpoint = left(backend, sample(), 2)
        for control, value in SMOOTHED.items():
            with pytest.raises(CheckpointError):
                painted(backend, sample({control: value}, resume=checkpoint))

    @pytest.mark.parametrize("size", ["side", "stretch", "16"])
    def test_a_size_said_of_a_style_is_as_if_said_of_all(self, backend: Backend, size: str) -> None:
        """The rule of a style goes before that of the recipe, and means the same."""
        (style,) = sample().styles
        of_its_own = sample({"style_size": "12"}, styles=(replace(style, size=size),))
        of_all = sample({"style_size": size})
        assert self.same(backend, painted(backend, of_its_own), painted(backend, of_all))
