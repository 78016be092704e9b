"""Grain of color that a style does not have is smoothed; brightness and edges stay."""

import numpy as np
import pytest
from tests.daemon.faults import replaced

from stylewatch_painter.images import grain
from stylewatch_painter.images.grain import smoothed
from stylewatch_painter.images.weighted import Weighted
from stylewatch_painter.stage import Pixels, Plane

BRIGHTNESS = np.array((0.2126, 0.7152, 0.0722))


def speckled(amount: float, seed: int = 0, height: int = 60, width: int = 80) -> Pixels:
    """Return an even picture with speckles of color, but none of brightness."""
    speckles = np.random.default_rng(seed).uniform(-amount, amount, (height, width, 3))
    picture: Pixels = (150 + speckles - (speckles @ BRIGHTNESS)[..., None]).astype(np.float32)
    return picture


def everywhere(picture: Pixels) -> Pixels:
    return np.ones(picture.shape[:2], np.float32)


def with_grain_of(picture: Pixels, styles: list[Pixels], shares: Plane) -> Pixels:
    """Return a picture of a single region with the grain of styles."""
    return grain.with_grain_of(picture, [([*map(Weighted, styles)], shares)])


def grain_of(picture: Pixels) -> float:
    return grain.grain(Weighted(picture))


def test_a_picture_gets_the_grain_of_its_style() -> None:
    picture = speckled(30)
    for amount in (0, 10, 20):
        made = with_grain_of(picture, [speckled(amount, 1)], everywhere(picture))
        least = grain_of(smoothed(picture))
        wanted = max(least, grain_of(speckled(amount, 1)))
        assert grain_of(made) == pytest.approx(wanted, rel=0.15)
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
    assert grain_of(picture) == pytest.approx(grain_of(left) / np.sqrt(2), rel=0.1)


def half(picture: Pixels) -> Plane:
    """Return the shares of a region that is the left half of a picture."""
    shares = np.zeros(picture.shape[:2], np.float32)
    shares[:, : picture.shape[1] // 2] = 1
    return shares


def test_only_the_part_of_a_style_that_counts_has_grain() -> None:
    picture = speckled(30)
    style = np.concatenate([speckled(0, width=40), speckled(80, width=40)], axis=1)
    for part, alone in (
        (Weighted(style, half(style)), speckled(0)),
        (Weighted(style, 1 - half(style)), speckled(80)),
        (Weighted(style, half(style)[::4, ::4]), speckled(0)),
    ):
        made = grain.with_grain_of(picture, [([part], everywhere(picture))])
        expected = with_grain_of(picture, [alone], everywhere(picture))
        np.testing.assert_allclose(made, expected, atol=1e-3)


@pytest.mark.parametrize("amount", [0, 90])
def test_the_grain_of_a_region_depends_on_no_other_region(amount: float) -> None:
    left, right = speckled(30, width=40), speckled(amount, 1, width=40)
    picture = np.concatenate([left, right], axis=1)
    one = ([Weighted(speckled(10, 2))], half(picture))
    other = ([Weighted(speckled(20, 3))], 1 - half(picture))
    made = grain.with_grain_of(picture, [one, other])
    np.testing.assert_array_equal(made, grain.with_grain_of(picture, [other, one]))
    inner = slice(2, 38), slice(2, 34)  # the other region is smoothed into the rest
    alone = with_grain_of(left, [speckled(10, 2)], everywhere(left))
    np.testing.assert_allclose(made[inner], alone[inner], atol=1)


def test_a_region_between_the_tiles_of_a_large_picture_is_measured() -> None:
    """Its pixels are in the middle of each side; one in a corner hardly counts."""
    picture = speckled(0, height=1500, width=1500)
    shares = np.zeros((1500, 1500), np.float32)
    for rows, columns in ((0, 745), (1490, 745), (745, 0), (745, 1490)):
        place = slice(rows, rows + 10), slice(columns, columns + 10)
        picture[place] = speckled(30, height=10, width=10)
        shares[place] = 1
    wanted = grain_of(speckled(30, height=10, width=10))
    for corner in (0, 1e-6):
        shares[:3, :3] = corner
        part = Weighted(picture, shares).without_rim()
        assert grain.grain(part) == pytest.approx(wanted, rel=0.1)
