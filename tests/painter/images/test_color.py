"""Oklab, and the transfer of color statistics."""

from collections.abc import Sequence

import numpy as np
import pytest

from stylewatch_painter.images.color import (
    Spread,
    lightness,
    lit_like,
    recolored,
    with_matched_chroma,
)
from stylewatch_painter.images.weighted import Weighted
from stylewatch_painter.stage import Pixels


def noise(seed: int = 0, shape: tuple[int, ...] = (30, 40, 3)) -> Pixels:
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


def narrow() -> Pixels:
    """A picture whose channels differ in variance and are correlated, unlike noise."""
    picture = noise(5, (20, 26, 3))
    picture[..., 1] = 0.4 * picture[..., 0] + 30
    picture[..., 2] = 0.2 * picture[..., 2] + 100
    return picture


def flat(*color: float) -> Pixels:
    return np.full((6, 7, 3), color, dtype=np.float32)


def like(style: Pixels, content: Pixels) -> Pixels:
    return recolored(style, Spread.of(style), Spread.of(content))


def test_statistics_are_transferred() -> None:
    wanted = Spread.of(narrow())
    spread = Spread.of(like(noise(), narrow()))
    assert np.allclose(spread.mean, wanted.mean, atol=1e-6)
    assert np.allclose(spread.covariance, wanted.covariance, atol=1e-6)


def test_single_color_becomes_the_mean() -> None:
    blue = flat(9, 99, 200)
    from_flat, to_flat = like(blue, noise()), like(noise(), blue)
    assert np.allclose(Spread.of(from_flat).mean, Spread.of(noise()).mean, atol=1e-6)
    assert np.ptp(from_flat.reshape(-1, 3), axis=0).max() < 0.01
    assert np.allclose(to_flat, (9, 99, 200), atol=0.05)


def test_hidden_pixels_do_not_count() -> None:
    seen, hidden = noise(), noise() / 4
    both, alpha = np.concatenate([seen, hidden]), np.ones((60, 40), dtype=np.float32)
    alpha[30:] = 0
    result, wanted = Spread.of(both, alpha), Spread.of(seen)
    assert np.allclose(result.mean, wanted.mean)
    assert np.allclose(result.covariance, wanted.covariance)


def test_lightness_statistics_are_transferred() -> None:
    soft = 0.3 * noise(3) + 90
    result = lit_like(noise(), soft, (None, None))
    assert np.array_equal(result[..., 0], result[..., 2])
    light, wanted = lightness(result), lightness(soft)
    assert np.isclose(light.mean(), wanted.mean(), atol=1e-3)
    assert np.isclose(light.std(), wanted.std(), atol=1e-3)
    assert np.allclose(lit_like(flat(1, 2, 3), flat(90, 90, 90), (None, None)), 90, atol=0.01)


# For each picture of styles below: means and deviations of red, green and blue, and their products
# with a fixed direction. By the formulas of Kolkin et al. 2022 in plain loops and float64.
MATCHED: list[tuple[list[Pixels], Sequence[float]]] = [
    ([narrow(), 0.4 * noise(4, (5, 6, 3))],
     (157.23, 116.75, 172.34, 45.06, 34.69, 47.46, 764.5, 1373.8, 802.8)),
    ([np.repeat(noise(3, (8, 7, 1)) / 2 + 60, 3, axis=-1)],
     (124.74, 124.74, 124.74, 32.80, 32.79, 32.79, 324.5, 1380.9, 642.5)),
]  # fmt: skip


@pytest.mark.parametrize(("styles", "expected"), MATCHED, ids=["two styles", "gray"])
def test_chroma_is_matched_as_in_the_source(
    styles: list[Pixels], expected: Sequence[float]
) -> None:
    """The picture has values outside of 0..255, as an optimizer's may have."""
    shape = (9, 11, 3)
    matched = with_matched_chroma(
        1.3 * noise(0, shape) - 30, noise(1, shape), [*map(Weighted, styles)]
    )
    direction = np.random.Generator(np.random.PCG64(3)).standard_normal(shape)
    products = (matched * direction).sum((0, 1))
    seen = [*matched.mean((0, 1)), *matched.std((0, 1)), *products]
    assert seen == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("inside", [noise(3, (14, 18, 3)), narrow()], ids=["noise", "narrow"])
def test_chroma_is_matched_to_the_part_of_a_style_that_counts(inside: Pixels) -> None:
    """Less its rim, which is mixed with the rest where pictures are resized."""
    height, width, _ = inside.shape
    sheet = np.full((60, 70, 3), (255, 255, 0), np.float32)
    sheet[10 : 10 + height, 20 : 20 + width] = inside
    weights = np.zeros((60, 70), np.float32)
    weights[10 : 10 + height, 20 : 20 + width] = 1
    picture, content = noise(0, (9, 11, 3)), noise(1, (9, 11, 3))
    made = with_matched_chroma(picture, content, [Weighted(sheet, weights)])
    alone = with_matched_chroma(picture, content, [Weighted(inside[1:-1, 1:-1])])
    np.testing.assert_allclose(made, alone, atol=0.01)
