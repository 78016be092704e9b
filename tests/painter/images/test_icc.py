"""Colors come to sRGB by the profile that belongs to them."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.painter import profiles

from stylewatch_painter.images import icc


def swatch(*color: int, mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (2, 1), color)


def srgb_of_adobe_like(color: tuple[int, int, int], gamma: float) -> NDArray[np.float64]:
    """By hand: linear light, through both sets of primaries at D50, sRGB's curve."""
    wide = np.array(
        [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]
    )
    srgb = np.array(
        [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
    )
    light = np.linalg.solve(srgb, wide @ (np.array(color) / 255) ** gamma)
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("color", [(128, 128, 128), (200, 120, 60), (60, 90, 130), (0, 0, 0)])
def test_colors_of_a_wide_profile_are_those_worked_out_by_hand(
    color: tuple[int, int, int],
) -> None:
    converted = icc.to_srgb(swatch(*color), profiles.rgb(gamma=1.8))
    assert np.abs(np.asarray(converted)[0, 0] - srgb_of_adobe_like(color, 1.8)).max() <= 1.5


def test_a_gray_profile_gives_a_curve() -> None:
    curve = icc.gray_curve(profiles.gray(gamma=1.0))
    assert curve is not None and curve.shape == (256, 3)
    assert (curve[[0, 255]] == [[0] * 3, [255] * 3]).all()
    assert abs(int(curve[55, 0]) - 128) <= 1  # 55/255 of the light is sRGB 128


def test_inks_come_out_as_their_profile_says() -> None:
    inks = {(0, 0, 0, 0): 255, (255, 0, 0, 0): 119, (0, 255, 255, 0): 119, (0, 0, 0, 255): 0}
    for ink, gray in inks.items():
        converted = icc.to_srgb(swatch(*ink, mode="CMYK"), profiles.cmyk())
        assert np.abs(np.asarray(converted).astype(int) - gray).max() <= 2


def test_the_black_of_a_print_that_is_a_dark_gray_becomes_black() -> None:
    converted = icc.to_srgb(swatch(0, 0, 0, 255, mode="CMYK"), profiles.cmyk(darkest=40))
    assert np.asarray(converted).max() <= 3


@pytest.mark.parametrize("profile", [b"no profile at all", profiles.rgb()[:200]])
def test_a_damaged_profile_is_an_error(profile: bytes) -> None:
    with pytest.raises(icc.ProfileError):
        icc.to_srgb(swatch(1, 2, 3), profile)
