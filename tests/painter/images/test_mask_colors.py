"""The colors of a mask are those of its flat areas, whatever lies between them."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from stylewatch_painter.images.masks import BLACK, WHITE, near, regions_of

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
