"""The suite on masks finds out backends that do not look at them as they say."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from tests.plugins.promises import keeps

from stylewatch_painter.algorithm.task import Style, Task
from stylewatch_painter.stage import Losses, Regions, Step, Wish
from stylewatch_plugins.contract import Capabilities
from stylewatch_plugins.sketch import Sketch
from stylewatch_plugins.testing import BackendConformance
from stylewatch_plugins.testing.tasks import half, picture, two_halves
from stylewatch_tones.backend import Tones

PROMISES = [name for name in dir(BackendConformance) if re.match("test_.*(mask|region)", name)]


def changed(task: Task, change: Callable[[Regions | None], Regions | None]) -> Task:
    """The task with all of its masks changed."""
    styles = tuple(replace(style, mask=change(style.mask)) for style in task.styles)
    return replace(task, styles=styles, content_mask=change(task.content_mask))


class _ClaimsOnly(Sketch):
    capabilities = Capabilities(masks=True)


class _ClaimsNothing(Tones):
    capabilities = Capabilities()


class _TakesWhatIsHidden(Tones):
    def measure(self, task: Task) -> Losses:
        return super().measure(changed(task, lambda mask: None if mask is None else 1 - mask))


class _MixesRegionsUp(Tones):
    def measure(self, task: Task) -> Losses:
        return super().measure(
            replace(
                task,
                content_mask=None if task.content_mask is None else task.content_mask[..., ::-1],
            )
        )


class _SeesTheFirstRegionOnly(Tones):
    def measure(self, task: Task) -> Losses:
        return super().measure(changed(task, lambda m: None if m is None else m[..., :1]))


class _ServesTheFirstRegionOnly(Tones):
    """With styles that have no mask."""

    def measure(self, task: Task) -> Losses:
        def first(style: Style) -> Style:
            mask = np.zeros((*style.picture.shape[:2], 2), np.float32)
            mask[..., 0] = 1
            return replace(style, mask=mask) if style.mask is None else style

        return super().measure(replace(task, styles=tuple(map(first, task.styles))))


class _DimsEverything(Sketch):
    def measure(self, task: Task) -> Losses:
        found = super().measure(task)
        return found if task.content_mask is None else replace(found, total=found.total / 2)


class _GoesOnUnderAnyMask(Tones):
    def paint(self, task: Task, wish: Callable[[], Wish]) -> Iterator[Step]:
        return super().paint(changed(task, lambda mask: None), wish)


@pytest.mark.parametrize(
    ("wrong", "promise"),
    [
        (_ClaimsOnly, "a_style_is_looked_at_where_its_mask_says"),
        (_ClaimsOnly, "a_style_acts_where_the_contents_mask_says"),
        (_ClaimsOnly, "each_region_is_held_to_the_same_region_of_the_style"),
        (_ClaimsNothing, "a_style_is_looked_at_where_its_mask_says"),
        (_ClaimsNothing, "a_style_acts_where_the_contents_mask_says"),
        (_ClaimsNothing, "each_region_is_held_to_the_same_region_of_the_style"),
        (_TakesWhatIsHidden, "a_style_is_looked_at_where_its_mask_says"),
        (_TakesWhatIsHidden, "a_style_acts_where_the_contents_mask_says"),
        (_MixesRegionsUp, "each_region_is_held_to_the_same_region_of_the_style"),
        (_SeesTheFirstRegionOnly, "regions_may_come_in_any_order"),
        (_ServesTheFirstRegionOnly, "a_style_without_a_mask_serves_every_region"),
        (_DimsEverything, "masks_that_show_everything_change_nothing"),
        (_GoesOnUnderAnyMask, "a_checkpoint_under_another_mask_is_refused"),
    ],
)
def test_a_backend_that_is_not_as_it_says_is_found_out(wrong: type[Sketch], promise: str) -> None:
    assert not keeps(wrong, f"test_{promise}")


@pytest.mark.parametrize("promise", PROMISES)
@pytest.mark.parametrize("right", [Sketch, Tones])
def test_a_backend_that_is_as_it_says_is_not(right: type[Sketch], promise: str) -> None:
    assert keeps(right, promise)


def test_half_a_picture_is_shown_by_half_a_mask() -> None:
    left, right = (half(picture(5, 3), side) for side in ("left", "right"))
    assert np.array_equal(left + right, np.ones((3, 5)))
    shown = two_halves(picture(6, 4), picture(6, 4))
    assert (shown[:, :3].max() <= 51, shown[:, 3:].min() >= 200) == (True, True)
