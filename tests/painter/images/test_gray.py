"""Gray of every depth becomes RGB without being rounded to 8 bits."""

import numpy as np
import pytest
from PIL import Image
from tests.painter import profiles

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.decode import Raster
from stylewatch_painter.images.depth import Depth
from stylewatch_painter.images.read import from_gray
from stylewatch_painter.stage import Pixels


def gray(
    image: Image.Image, depth: Depth | None = None, profile: bytes = b""
) -> tuple[Pixels, tuple[str, ...]]:
    if profile:
        image.info["icc_profile"] = profile
    return from_gray(image, Raster(image, depth or Depth(), ()))


def plane(*values: float, kind: type[np.generic]) -> Image.Image:
    return Image.fromarray(np.array([values], dtype=kind))


def test_16_bits_keep_steps_finer_than_those_of_8() -> None:
    values = (0, 1, 25700, 25701, 65535)
    pixels, said = gray(plane(*values, kind=np.uint16), Depth(16, 65535))
    assert np.allclose(pixels[0, :, 1], np.array(values) / 257, rtol=1e-6)
    assert pixels[0, 2, 0] != pixels[0, 3, 0]
    assert said == ("16-bit gray to RGB, unrounded, white at 65535",)


def test_12_bits_go_up_to_4095_and_inverted_planes_down_to_0() -> None:
    twelve, _ = gray(plane(0, 4095, kind=np.uint16), Depth(12, 4095))
    assert twelve[0, :, 0].tolist() == [0, 255]
    inverted, _ = gray(plane(0, 257, 65535, kind=np.uint16), Depth(16, 65535, inverted=True))
    assert np.allclose(inverted[0, :, 0], [255, 254, 0])


@pytest.mark.parametrize(
    ("values", "white"), [((0, 200), 255), ((-9, 40_000), 65535), ((0, 2**30), 2**31 - 1)]
)
def test_32_bits_are_scaled_by_the_smallest_white_that_holds_them(
    values: tuple[int, int], white: int
) -> None:
    pixels, said = gray(plane(*values, kind=np.int32), Depth(32))
    assert np.allclose(pixels[0, :, 0], [0, values[1] * 255 / white])
    assert said == (f"32-bit gray to RGB, unrounded, white at {white}",)


@pytest.mark.parametrize(
    ("values", "white"),
    [((0, 0.25, 1), 1), ((0, 1.5, 200.25), 255), ((0, 2.0**31 - 128), 2**31 - 1)],
)
def test_floats_are_scaled_likewise_and_may_end_at_1(values: tuple[float, ...], white: int) -> None:
    pixels, said = gray(plane(*values, kind=np.float32), Depth(32))
    assert np.allclose(pixels[0, :, 0], np.array(values) * 255 / white)
    assert said == (f"float gray to RGB, unrounded, white at {white}",)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_an_error(value: float) -> None:
    with pytest.raises(PictureError, match="no numbers; export it again"):
        gray(plane(0, value, kind=np.float32))


def test_a_profile_is_applied_between_the_levels_of_8_bits_too() -> None:
    values = np.arange(25_700, 26_215, 8)
    pixels, said = gray(
        plane(*values, kind=np.uint16), Depth(16, 65535), profile=profiles.gray(gamma=1.0)
    )
    light = values / 65535
    srgb = 255 * (1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(pixels[0, :, 0] - srgb).max() < 1
    assert len(np.unique(pixels[0, :, 0])) == len(values)
    assert said[1:] == ("colors from profile 'hand made' to sRGB",)
