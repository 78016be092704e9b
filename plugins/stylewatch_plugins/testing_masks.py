"""The conformance suite on masks: where they are claimed they count, else they change nothing."""

from dataclasses import replace

import numpy as np
import pytest

from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.stage import Losses, Pixels, Plane, Wish
from stylewatch_painter.task import Style, Task
from stylewatch_plugins.capabilities import capabilities
from stylewatch_plugins.contract import Backend
from stylewatch_plugins.testing_tasks import Suite, after, kept, painted, picture, sample, terms


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


def masked_content(side: str) -> Task:
    """To be measured at its own content, which is another one in its right half.

    Of the content one `side` is shown.
    """
    content = picture(24, 18)
    start = np.where(half(content, "left")[..., None] == 1, content, 255 - content)
    return sample({"start": "picture"}, init=start, content_mask=half(content, side))


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

    def test_the_content_is_looked_at_where_its_mask_says(self, backend: Backend) -> None:
        """What is changed outside of the mask hardly counts; unclaimed, all of it does."""
        left, right = (
            weighed(backend.measure(masked_content(side)), "content") for side in ("left", "right")
        )
        assert left < right if capabilities(backend).masks else left == right

    def test_a_checkpoint_under_another_mask_is_refused(self, backend: Backend) -> None:
        """Where masks are claimed, they are part of what a painting is."""
        can = capabilities(backend)
        if can.masks and can.resume:
            for masked in (masked_style, masked_content):
                stopped = painted(backend, masked("left"), *after(2, Wish.STOP))[-1]
                again = replace(masked("right"), resume=kept(stopped.checkpoint))
                with pytest.raises(CheckpointError):
                    painted(backend, again)
