"""The scene of the sample painting has its places, its colors and its whirling sky."""

import numpy as np
from numpy.random import default_rng
from numpy.testing import assert_allclose, assert_array_equal

from stylewatch_painter import landscape
from stylewatch_painter.brush import Floats


def at(*points: tuple[float, float]) -> tuple[Floats, Floats]:
    x, y = np.array(points).T
    return x, y


def colors(x: float, y: float) -> Floats:
    """The colors of 200 strokes that start at one point, as (200, 3)."""
    many = np.full(200, x), np.full(200, y)
    scene = landscape.Landscape()
    return scene.color(scene.place(*many), *many, default_rng(0))


def test_the_sky_is_above_the_hills_and_the_field_below() -> None:
    places = landscape.Landscape().place(*at((0.5, 0.1), (0.5, 0.66), (0.5, 0.95)))
    assert_array_equal(places, [0, 1, 2])


def test_the_wind_goes_round_the_sun() -> None:
    x, y, radius = landscape.SUN
    around = at((x + radius, y), (x - radius, y), (x, y - radius), (x, y + radius))
    right, left, above, below = landscape.Landscape().heading(np.zeros(4, np.int64), *around)
    assert np.sin(right) * np.sin(left) < -0.5, "down on one side, up on the other"
    assert np.cos(above) * np.cos(below) < -0.5, "forth above, back below"


def test_the_sky_is_blue_the_sun_yellow_and_the_field_golden() -> None:
    red, _, blue = np.median(colors(0.34, 0.22), axis=0)
    assert blue > red + 60
    x, y, _ = landscape.SUN
    red, green, blue = np.median(colors(x, y), axis=0)
    assert red > 220 and green > 220
    red, _, blue = np.median(colors(0.1, 0.75), axis=0)
    assert red > blue + 60


def test_colors_stay_in_range_and_are_never_twice_the_same() -> None:
    many = colors(0.98, 0.33)
    assert many.min() >= 0 and many.max() <= 255
    assert len(np.unique(many.round(3), axis=0)) > 190


def test_the_whole_painting_is_full_of_color_and_repeatable() -> None:
    picture = landscape.draw(seed=7)
    assert picture.size == landscape.SIZE and picture.mode == "RGB"
    saturation = np.asarray(picture.convert("HSV"))[..., 1]
    assert saturation.mean() > 128
    assert_allclose(np.asarray(picture), np.asarray(landscape.draw(seed=7)))
