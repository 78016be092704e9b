"""Of a picture only the part counts that its weights show."""

import numpy as np
import pytest

from stylewatch_painter.images.weighted import Weighted
from stylewatch_painter.stage import Pixels, Plane


def picture(height: int = 12, width: int = 16) -> Pixels:
    return np.random.default_rng(0).uniform(0, 255, (height, width, 3)).astype(np.float32)


def box(height: int = 12, width: int = 16) -> Plane:
    """Return weights of rows 2 to 9 and columns 4 to 14."""
    weights = np.zeros((height, width), np.float32)
    weights[2:10, 4:15] = 1
    return weights


@pytest.mark.parametrize("weight", [0, 0.5, 1])
def test_weights_that_are_all_the_same_are_none(weight: float) -> None:
    part = Weighted(picture(), np.full((3, 4), weight, np.float32))
    assert part.weights is None and part.plane is None
    assert part.total == 12 * 16 and part.cropped() is part and part.without_rim() is part


def test_what_does_not_count_is_cropped() -> None:
    part = Weighted(picture(), box()).cropped()
    np.testing.assert_array_equal(part.pixels, picture()[2:10, 4:15])
    assert part.weights is None
    weights = box()
    weights[2, 4] = 0
    part = Weighted(picture(), weights).cropped()
    assert part.plane is not None and part.plane.shape == (8, 11) and part.total == 87


def test_the_rim_of_a_part_does_not_count_but_that_of_the_picture_does() -> None:
    weights = np.zeros((12, 16), np.float32)
    weights[:, 4:] = 1
    inner = Weighted(picture(), weights).without_rim().plane
    assert inner is not None
    np.testing.assert_array_equal(inner > 0, np.arange(16)[None].repeat(12, 0) >= 5)


def test_the_rim_is_that_of_the_coarser_of_picture_and_weights() -> None:
    """No pixel counts for which a coarse mask, or a coarse picture, has a mixture."""
    coarse = np.zeros((12, 16), np.float32)
    coarse[2:10, 4:14] = 1
    coarse[2] = 0.5 * coarse[2]  # the edge lies within a pixel
    large = Weighted(picture(48, 64), coarse).without_rim().plane
    assert large is not None and not large[:11].any() and large[16:34, 24:50].all()
    fine = coarse.repeat(4, axis=0).repeat(4, axis=1)
    small = Weighted(picture(), fine).without_rim().plane
    assert small is not None and small[:3].max() < 0.02 and small[4:9, 6:12].all()


def test_lines_count_although_they_are_all_rim() -> None:
    lines = np.zeros((12, 16), np.float32)
    lines[::3] = 1
    inner = Weighted(picture(), lines).without_rim().plane
    np.testing.assert_array_equal(inner, lines)


def test_a_part_that_is_smaller_than_a_pixel_leaves_the_whole() -> None:
    speck = np.zeros((1200, 1600), np.float32)
    speck[3, 3] = 1e-45
    part = Weighted(picture(), speck)
    assert part.plane is None and part.total == 12 * 16 and part.cropped() is part
