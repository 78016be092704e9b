"""Grain of color that a style does not have is smoothed; brightness and edges stay."""

import numpy as np
import pytest
from tests.daemon.faults import replaced

from stylewatch_painter.images import grain
from stylewatch_painter.images.grain import smoothed, with_grain_of
from stylewatch_painter.stage import Pixels

BRIGHTNESS = np.array((0.2126, 0.7152, 0.0722))


def speckled(amount: float, seed: int = 0, height: int = 60, width: int = 80) -> Pixels:
    """Return an even picture with speckles of color, but none of brightness."""
    speckles = np.random.default_rng(seed).uniform(-amount, amount, (height, width, 3))
    picture: Pixels = (150 + speckles - (speckles @ BRIGHTNESS)[..., None]).astype(np.float32)
    return picture


def everywhere(picture: Pixels) -> Pixels:
    return np.ones(picture.shape[:2], np.float32)


def test_a_picture_gets_the_grain_of_its_style() -> None:
    picture = speckled(30)
    for amount in (0, 10, 20):
        made = with_grain_of(picture, [speckled(amount, 1)], everywhere(picture))
        least = grain.grain(smoothed(picture))
        wanted = max(least, grain.grain(speckled(amount, 1)))
        assert grain.grain(made) == pytest.approx(wanted, rel=0.15)
        np.testing.assert_allclose(made @ BRIGHTNESS, picture @ BRIGHTNESS, atol=1e-3)


def test_of_several_styles_the_one_with_the_most_grain_counts() -> None:
    picture = speckled(30)
    made = with_grain_of(picture, [speckled(0), speckled(40)], everywhere(picture))
    np.testing.assert_array_equal(made, picture)


def test_chroma_is_not_smoothed_across_an_edge_of_brightness() -> None:
    picture = np.full((20, 20, 3), (30, 40, 120), np.float32)
    picture[:, 10:] = (240, 230, 90)
    np.testing.assert_allclose(smoothed(picture), picture, atol=0.5)


def test_a_picture_whose_grain_is_all_along_edges_of_brightness_stays() -> None:
    stripes = np.zeros((20, 20, 3), np.float32)
    stripes[:, ::2] = (255, 250, 0)
    made = with_grain_of(stripes, [speckled(0)], everywhere(stripes))
    np.testing.assert_allclose(made, stripes, atol=1)


def test_a_share_keeps_the_rest_of_the_grain() -> None:
    picture = speckled(30)
    shares = everywhere(picture)
    shares[:, :30] = 0
    shares[:, 30:50] = 0.5
    part, whole = (
        with_grain_of(picture, [speckled(0)], each) for each in (shares, everywhere(picture))
    )
    np.testing.assert_array_equal(part[:, :30], picture[:, :30])
    np.testing.assert_allclose(part[:, 30:50], (picture + whole)[:, 30:50] / 2, atol=1e-3)
    np.testing.assert_array_equal(part[:, 50:], whole[:, 50:])


def test_bands_do_not_show() -> None:
    picture = speckled(30, height=300)
    with replaced(grain, _BAND=80 * 7):
        in_bands = with_grain_of(picture, [speckled(0)], everywhere(picture))
    whole = with_grain_of(picture, [speckled(0)], everywhere(picture))
    np.testing.assert_array_equal(in_bands, whole)


def test_the_grain_of_a_large_picture_is_measured_all_over() -> None:
    left = speckled(30, height=300, width=300)
    picture = np.concatenate([left, speckled(0, height=300, width=300)], axis=1)
    assert grain.grain(picture) == pytest.approx(grain.grain(left) / np.sqrt(2), rel=0.1)
