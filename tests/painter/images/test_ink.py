"""Drawings in one ink are recognized, and pictures get their colors."""

import numpy as np
import pytest

from stylewatch_painter.images.color import to_lab
from stylewatch_painter.images.ink import Ink, drawn
from stylewatch_painter.images.weighted import Weighted
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
    assert Ink.of([*map(Weighted, styles)]).share == share


def test_a_style_that_is_not_surely_drawn_in_one_ink_counts_in_part() -> None:
    shares = [Ink.of([Weighted(stained(amount))]).share for amount in (20, 35, 40, 45, 200)]
    assert shares == sorted(shares, reverse=True)
    assert any(0 < share < 1 for share in shares) and shares[-1] == 0


def test_a_picture_in_ink_has_the_colors_of_the_drawing_at_its_own_lightness() -> None:
    style, picture = drawing(), photograph()
    ink = Ink.of([Weighted(style)])
    made = drawn(picture, [(ink, np.ones(picture.shape[:2], np.float32))])
    assert Ink.of([Weighted(made)]).share == 1
    light, own = to_lab(made)[..., 0], to_lab(picture)[..., 0]
    inside = (own > ink.darkest) & (own < ink.lightest)
    np.testing.assert_allclose(light[inside], own[inside], atol=2e-3)
    assert light.min() > ink.darkest - 2e-3 and light.max() < ink.lightest + 2e-3
    white, black = np.full((1, 1, 3), 255, np.float32), np.zeros((1, 1, 3), np.float32)
    for pixel, expected in ((white, PAPER), (black, INK)):
        np.testing.assert_allclose(
            drawn(pixel, [(ink, np.ones((1, 1), np.float32))])[0, 0], expected, atol=12
        )


def test_a_share_mixes_the_ink_with_the_picture() -> None:
    picture = photograph()
    shares = np.zeros(picture.shape[:2], np.float32)
    shares[:, 20:40] = 0.5
    shares[:, 40:] = 1
    ink = Ink.of([Weighted(drawing())])
    mixed, whole = (drawn(picture, [(ink, each)]) for each in (shares, np.ones_like(shares)))
    np.testing.assert_array_equal(mixed[:, :20], picture[:, :20])
    np.testing.assert_allclose(mixed[:, 20:40], (picture + whole)[:, 20:40] / 2, atol=1e-3)
    np.testing.assert_array_equal(mixed[:, 40:], whole[:, 40:])


def framed(picture: Pixels, around: Pixels) -> Weighted:
    """Return a sheet with a picture in its middle, which alone counts."""
    sheet = around.copy()
    top, left = ((sheet.shape[axis] - picture.shape[axis]) // 2 for axis in (0, 1))
    box = slice(top, top + picture.shape[0]), slice(left, left + picture.shape[1])
    sheet[box] = picture
    weights = np.zeros(sheet.shape[:2], np.float32)
    weights[box] = 1
    return Weighted(sheet, weights)


def colorful(height: int, width: int) -> Pixels:
    return np.random.default_rng(4).uniform(0, 255, (height, width, 3)).astype(np.float32)


@pytest.mark.parametrize("coarseness", [1, 4], ids=["fine mask", "coarse mask"])
@pytest.mark.parametrize("sheet", [(120, 140), (500, 640)], ids=["small", "large"])
def test_only_the_part_that_counts_tells_whether_a_style_is_drawn_in_one_ink(
    sheet: tuple[int, int], coarseness: int
) -> None:
    gray = np.full((*sheet, 3), 180, np.float32)
    for part, share in (
        (framed(photograph(), gray), 0),
        (framed(drawing(), colorful(*sheet)), 1),
    ):
        assert part.weights is not None
        mask = part.weights[::coarseness, ::coarseness]
        assert Ink.of([Weighted(part.pixels, mask)]).share == share


def test_ink_and_paper_are_those_of_the_part_that_counts() -> None:
    """So is their color, also where the weights are not all the same."""
    framed_drawing = framed(drawing(), colorful(200, 240))
    alone, part = Ink.of([Weighted(drawing())]), Ink.of([framed_drawing])
    assert part.darkest == pytest.approx(alone.darkest, abs=0.02)
    assert part.lightest == pytest.approx(alone.lightest, abs=0.02)
    np.testing.assert_allclose(part.chroma, alone.chroma, atol=0.01)
    both, weights = np.concatenate([drawing(), np.zeros((60, 80, 3))]), np.ones((120, 80))
    weights[60:] = 1e-4
    part = Ink.of([Weighted(both.astype(np.float32), weights.astype(np.float32))])
    assert part.share == 1
    assert part.darkest == pytest.approx(alone.darkest, abs=0.02)


def test_the_part_that_counts_is_not_measured_smaller_because_its_sheet_is_large() -> None:
    colors = colorful(40, 60)
    colors[:, 1::2] = 255 - colors[:, ::2]  # gray in the mean
    assert Ink.of([framed(colors, np.full((300, 2000, 3), 180, np.float32))]).share == 0


def test_the_order_of_inks_does_not_count() -> None:
    picture = photograph()
    left = np.broadcast_to(np.linspace(1, 0, 70, dtype=np.float32), (50, 70))
    inks = [
        (Ink.of([Weighted(drawing(0, color))]), shares)
        for color, shares in ((INK, left), ((150.0, 60.0, 40.0), 1 - left))
    ]
    made = drawn(picture, inks)
    np.testing.assert_allclose(made, drawn(picture, inks[::-1]), atol=1e-3)
    one, other = (drawn(picture, [(ink, np.ones_like(left))]) for ink, _ in inks)
    np.testing.assert_allclose(made[:, 34:36], (one + other)[:, 34:36] / 2, atol=3)
