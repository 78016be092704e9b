"""The conformance suite on masks: where they are claimed they count, else they change nothing."""

from dataclasses import replace

import numpy as np
import pytest

from stylewatch_painter.algorithm.task import Style, Task
from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.stage import Losses, Pixels, Plane, Wish
from stylewatch_plugins.capabilities import capabilities
from stylewatch_plugins.contract import Backend
from stylewatch_plugins.testing.tasks import Suite, after, kept, painted, picture, sample, terms


def half(shown: Pixels, side: str) -> Plane:
    """A mask that shows the `left` or the `right` half of a picture."""
    mask = np.zeros_like(shown[..., 0])
    middle = shown.shape[1] // 2
    mask[:, slice(middle) if side == "left" else slice(middle, None)] = 1
    return mask


def two_halves(dark: Pixels, bright: Pixels) -> Pixels:
    """Dark on the left, bright on the right."""
    middle = dark.shape[1] // 2
    return np.concatenate([0.2 * dark[:, :middle], 200 + 0.2 * bright[:, middle:]], axis=1)


def masked_style(side: str) -> Task:
    """To be measured at a dark picture, with a style that is dark on the left, bright on the right.

    Of the style one `side` is shown.
    """
    shown = two_halves(picture(20, 22, seed=1), picture(20, 22, seed=2))
    style = Style(shown, mask=half(shown, side))
    return sample({"start": "picture"}, init=0.2 * picture(24, 18, seed=1), styles=(style,))


def masked_painting(side: str) -> Task:
    """To be measured at a picture that is as bright as its style on the left, dark on the right.

    The style acts on one `side`.
    """
    start = two_halves(picture(24, 18, seed=1), picture(24, 18, seed=2))[:, ::-1]
    style = Style(200 + 0.2 * picture(20, 22, seed=2))
    mask = half(start, side)
    return sample({"start": "picture"}, init=start, styles=(style,), content_mask=mask)


def two_regions(first: str) -> Task:
    """To be measured at a picture that is dark on the left, bright on the right, as its style is.

    Both have two regions; the `first` of the style is its left or its right half.
    """
    start = two_halves(picture(24, 18, seed=1), picture(24, 18, seed=2))
    shown = two_halves(picture(20, 22, seed=3), picture(20, 22, seed=4))
    second = {"left": "right", "right": "left"}[first]
    mask = np.stack([half(shown, first), half(shown, second)], axis=2)
    regions = np.stack([half(start, "left"), half(start, "right")], axis=2)
    style = Style(shown, mask=mask)
    return sample({"start": "picture"}, init=start, styles=(style,), content_mask=regions)


def weighed(losses: Losses, side: str) -> float:
    """What one side of the objective, `content` or `style`, adds to the total."""
    one = Losses(0.0, losses.content) if side == "content" else Losses(0.0, {}, losses.style)
    return sum(term.value * term.weight for term in terms(one))


class Masks(Suite):
    """What every backend promises about masks, those that look at them and those that do not."""

    def test_masks_that_show_everything_change_nothing(self, backend: Backend) -> None:
        """A mask of ones is none."""
        content, style = picture(24, 18), picture(20, 22, seed=1)
        everything = sample(
            content_mask=np.ones_like(content[..., 0]),
            styles=(Style(style, mask=np.ones_like(style[..., 0])),),
        )
        found, plain = backend.measure(everything).total, backend.measure(sample()).total
        assert found == pytest.approx(plain, rel=self.closeness)

    def test_a_style_is_looked_at_where_its_mask_says(self, backend: Backend) -> None:
        """What is like the shown half is nearer to it than to the other; unclaimed, all is one."""
        left, right = (
            weighed(backend.measure(masked_style(side)), "style") for side in ("left", "right")
        )
        assert left < right if capabilities(backend).masks else left == right

    def test_a_style_acts_where_the_contents_mask_says(self, backend: Backend) -> None:
        """Outside of it nothing is held to the style, but all to the content; unclaimed, all is."""
        both = [backend.measure(masked_painting(side)) for side in ("left", "right")]
        left, right = (weighed(losses, "style") for losses in both)
        assert left < right if capabilities(backend).masks else left == right
        here, there = (weighed(losses, "content") for losses in both)
        assert here == pytest.approx(there, rel=self.closeness)

    def test_each_region_is_held_to_the_same_region_of_the_style(self, backend: Backend) -> None:
        """Regions go by their order in the masks; unclaimed, there is but one."""
        right, swapped = (
            weighed(backend.measure(two_regions(first)), "style") for first in ("left", "right")
        )
        assert right < swapped if capabilities(backend).masks else right == swapped

    def test_regions_may_come_in_any_order(self, backend: Backend) -> None:
        """Each of them counts, the second as the first does."""
        task = two_regions("right")
        (style,) = task.styles
        assert task.content_mask is not None and style.mask is not None
        turned = replace(
            task,
            content_mask=task.content_mask[..., ::-1],
            styles=(replace(style, mask=style.mask[..., ::-1]),),
        )
        found, plain = backend.measure(turned).total, backend.measure(task).total
        assert found == pytest.approx(plain, rel=self.closeness)

    def test_a_style_without_a_mask_serves_every_region(self, backend: Backend) -> None:
        """With all of it, as if its mask were white there."""
        task = two_regions("left")
        (style,) = task.styles
        unmasked, white = (
            backend.measure(replace(task, styles=(replace(style, mask=mask),))).total
            for mask in (None, np.ones_like(style.mask))
        )
        assert unmasked == pytest.approx(white, rel=self.closeness)

    def test_a_checkpoint_under_another_mask_is_refused(self, backend: Backend) -> None:
        """Where masks are claimed, they are part of what a painting is."""
        can = capabilities(backend)
        if can.masks and can.resume:
            for masked in (masked_style, masked_painting, two_regions):
                stopped = painted(backend, masked("left"), *after(2, Wish.STOP))[-1]
                again = replace(masked("right"), resume=kept(stopped.checkpoint))
                with pytest.raises(CheckpointError):
                    painted(backend, again)
