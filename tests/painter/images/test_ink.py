"""Drawings in one ink are recognized, and pictures get their colors."""

import numpy as np
import pytest

from stylewatch_painter.images.color import to_lab
from stylewatch_painter.images.ink import Ink
from stylewatch_painter.stage import Pixels

PAPER, INK = (246.0, 241.0, 228.0), (28.0, 24.0, 60.0)


def mixture(shares: Pixels, color: tuple[float, float, float] = INK) -> Pixels:
    """Mix ink and paper; `shares` (height, width) are those of the ink."""
    paper, ink = np.array(PAPER), np.array(color)
    mixed: Pixels = (paper + shares[..., None] * (ink - paper)).astype(np.float32)
    return mixed


def drawing(seed: int = 0, color: tuple[float, float, float] = INK) -> Pixels:
    """Return lines of ink, by default blue, on cream paper, with soft edges."""
    lines = np.random.default_rng(seed).random((60, 80)) ** 4
    return mixture(lines.astype(np.float32), color)


def photograph(seed: int = 1) -> Pixels:
    return np.random.default_rng(seed).uniform(0, 255, (50, 70, 3)).astype(np.float32)


def stained(amount: float) -> Pixels:
    """Return a drawing whose paper lacks up to `amount` levels of blue toward the right."""
    picture = drawing()
    picture[..., 2] -= amount * np.linspace(0, 1, picture.shape[1]) * picture[..., 2] / 255
    return picture


@pytest.mark.parametrize(
    ("styles", "share"),
    [
        ([drawing()], 1),
        ([stained(20)], 1),
        ([photograph().mean(axis=2, keepdims=True).repeat(3, axis=2)], 1),
        ([np.full((8, 9, 3), 200, np.float32)], 1),
        ([photograph()], 0),
        ([drawing(), drawing(2)], 1),
        ([drawing(), drawing(2, (150, 60, 40))], 0),
    ],
    ids=["drawing", "old paper", "gray", "flat", "colors", "two of one ink", "two inks"],
)
def test_a_style_is_drawn_in_one_ink_if_its_lightness_tells_its_color(
    styles: list[Pixels], share: float
) -> None:
    assert Ink.of(styles).share == share


def test_a_style_that_is_not_surely_drawn_in_one_ink_counts_in_part() -> None:
    shares = [Ink.of([stained(amount)]).share for amount in (20, 35, 40, 45, 200)]
    assert shares == sorted(shares, reverse=True)
    assert any(0 < share < 1 for share in shares) and shares[-1] == 0


def test_a_picture_in_ink_has_the_colors_of_the_drawing_at_its_own_lightness() -> None:
    style, picture = drawing(), photograph()
    ink = Ink.of([style])
    drawn = ink.drawn(picture, np.ones(picture.shape[:2], np.float32))
    assert Ink.of([drawn]).share == 1
    light, own = to_lab(drawn)[..., 0], to_lab(picture)[..., 0]
    inside = (own > ink.darkest) & (own < ink.lightest)
    np.testing.assert_allclose(light[inside], own[inside], atol=2e-3)
    assert light.min() > ink.darkest - 2e-3 and light.max() < ink.lightest + 2e-3
    white, black = np.full((1, 1, 3), 255, np.float32), np.zeros((1, 1, 3), np.float32)
    for pixel, expected in ((white, PAPER), (black, INK)):
        np.testing.assert_allclose(
            ink.drawn(pixel, np.ones((1, 1), np.float32))[0, 0], expected, atol=12
        )


def test_a_share_mixes_the_ink_with_the_picture() -> None:
    picture = photograph()
    shares = np.zeros(picture.shape[:2], np.float32)
    shares[:, 20:40] = 0.5
    shares[:, 40:] = 1
    ink = Ink.of([drawing()])
    mixed, whole = ink.drawn(picture, shares), ink.drawn(picture, np.ones_like(shares))
    np.testing.assert_array_equal(mixed[:, :20], picture[:, :20])
    np.testing.assert_allclose(mixed[:, 20:40], (picture + whole)[:, 20:40] / 2, atol=1e-3)
    np.testing.assert_array_equal(mixed[:, 40:], whole[:, 40:])
