"""The colors of a mask are those of its flat areas, whatever lies between them."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from stylewatch_painter.images.masks import BLACK, MOST, WHITE, away, near, regions_of

Pixels = NDArray[np.uint8]
RED, GREEN, BLUE = (255, 0, 0), (0, 128, 0), (0, 0, 255)


def painted(*colors: tuple[int, int, int], side: int = 120) -> Pixels:
    """Upright bands of these colors."""
    bands = np.zeros((side, side, 3), dtype=np.uint8)
    for number, color in enumerate(colors):
        bands[:, number * side // len(colors) :] = color
    return bands


def through(pixels: Pixels, **how: object) -> Pixels:
    """As a JPEG that was read again."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **how)
    return np.asarray(Image.open(file).convert("RGB"))


def test_each_flat_color_but_black_is_a_region() -> None:
    assert regions_of(painted(RED, BLACK, BLUE)) == tuple(sorted((RED, BLUE)))
    assert regions_of(painted(WHITE, RED)) == tuple(sorted((WHITE, RED)))


def test_grays_are_one_region_however_many_there_are() -> None:
    assert regions_of(painted(BLACK, (90, 90, 90), (180, 180, 180), WHITE)) == (WHITE,)


def test_what_is_black_has_no_region() -> None:
    assert regions_of(painted(BLACK, (20, 0, 9))) == ()


@pytest.mark.parametrize("quality", [60, 90])
def test_noise_of_jpeg_makes_no_colors(quality: int) -> None:
    found = regions_of(through(painted(RED, GREEN, BLUE, BLACK), quality=quality))
    assert len(found) == 3
    assert all(any(near(one, other) for other in found) for one in (RED, GREEN, BLUE))


def test_soft_edges_make_no_colors() -> None:
    soft = Image.fromarray(painted(RED, BLUE)).filter(ImageFilter.GaussianBlur(1.5))
    assert regions_of(np.asarray(soft)) == tuple(sorted((RED, BLUE)))


def test_a_speck_is_no_region() -> None:
    speckled = painted(RED, BLUE)
    speckled[60:62, 60:62] = GREEN
    assert regions_of(speckled) == tuple(sorted((RED, BLUE)))


def test_of_too_many_colors_one_too_many_is_told() -> None:
    many = [(85 * red, 85 * green, 85 * blue) for red in range(4) for green in range(4)
            for blue in range(4)]  # fmt: skip
    assert len(regions_of(painted(*many, side=640))) == MOST + 1


def test_colors_that_hardly_differ_are_one() -> None:
    assert near((255, 0, 0), (237, 28, 36))  # the red of one program and that of another
    assert not near((255, 0, 0), (200, 0, 0))


def test_how_far_colors_are_apart_is_told_in_squares() -> None:
    assert away(np.array([[[3, 0, 4]]], dtype=np.uint8), BLACK).tolist() == [[25]]
