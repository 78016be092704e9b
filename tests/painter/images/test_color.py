"""Oklab, and the transfer of color statistics."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from stylewatch_painter.images.color import (
    Floats,
    Spread,
    lightness,
    lit_like,
    recolored,
    to_lab,
    with_matched_chroma,
)
from stylewatch_painter.stage import Pixels


def noise(seed: int = 0, shape: tuple[int, ...] = (30, 40, 3)) -> Pixels:
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


def narrow() -> Pixels:
    """A picture whose channels vary and hang together otherwise than noise does."""
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


def test_colors_are_moved_as_little_as_their_statistics_allow() -> None:
    """By no more than the Wasserstein distance of the two normal distributions of colors.

    Olkin and Pukelsheim 1982: |m - m'|^2 + tr(C + C' - 2 (C^1/2 C' C^1/2)^1/2).
    """
    mixture = np.array([[0.5, 0.2, 0], [0, 0.4, 0.1], [0.1, 0.3, 0.3]], dtype=np.float32)
    style, content = noise() @ mixture, noise(3)
    own, wanted = Spread.of(style), Spread.of(content)
    moved = to_lab(like(style, content)) - to_lab(style)
    overlap = np.sqrt(np.linalg.eigvals(own.covariance @ wanted.covariance).real).sum()
    least = np.trace(own.covariance + wanted.covariance) - 2 * overlap
    least += ((own.mean - wanted.mean) ** 2).sum()
    assert np.isclose((moved**2).sum(-1).mean(), least, rtol=1e-3)


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


# Kolkin et al. 2022 give Oklab in an earlier version of its numbers; they differ by less than 2e-4.
TO_CONES = np.array([
    [0.4121656120, 0.5362752080, 0.0514575653],
    [0.2118591070, 0.6807189584, 0.1074065790],
    [0.0883097947, 0.2818474174, 0.6302613616],
])  # fmt: skip
TO_LAB = np.array([
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
])  # fmt: skip


def oklab(pixels: NDArray[np.floating]) -> Floats:
    """Of colors (..., 3), whose values 0..1 are taken for linear light."""
    lab: Floats = np.cbrt(np.clip(pixels.astype(np.float64) / 255, 0, 1) @ TO_CONES.T) @ TO_LAB.T
    return lab


def rgb(lab: Floats) -> Floats:
    linear = (lab @ np.linalg.inv(TO_LAB).T) ** 3 @ np.linalg.inv(TO_CONES).T
    return np.asarray(255 * np.clip(linear, 0, 1))


def statistics(colors: Floats) -> tuple[Floats, Floats]:
    away = colors - colors.mean(0)
    return colors.mean(0), away.T @ away / len(colors)


def whitened_and_colored(colors: Floats, others: Floats) -> Floats:
    """By eigenvectors of the covariances, to which 1e-4 is added."""
    (mean, before), (wanted, after) = statistics(colors), statistics(others)
    (lows, u), (highs, v) = (
        np.linalg.eigh(matrix + 1e-4 * np.eye(len(matrix))) for matrix in (before, after)
    )
    white = (colors - mean) @ u @ np.diag(lows**-0.5) @ u.T
    return np.asarray(white @ v @ np.diag(highs**0.5) @ v.T + wanted)


def filtered(chroma: Floats, light: Floats) -> Floats:
    """Pixel by pixel: five means over 3x3 neighbors, the rims repeated."""
    height, width = light.shape
    for _ in range(5):
        result = np.zeros_like(chroma)
        for row in range(height):
            for column in range(width):
                total = 0.0
                for down in (-1, 0, 1):
                    for right in (-1, 0, 1):
                        y = min(max(row + down, 0), height - 1)
                        x = min(max(column + right, 0), width - 1)
                        weight = np.exp(-5 * abs(light[row, column] - light[y, x])) ** 2
                        result[row, column] += weight * chroma[y, x]
                        total += weight
                result[row, column] /= total
        chroma = result
    return chroma


def plainly_matched(picture: Pixels, content: Pixels, styles: Sequence[Pixels]) -> Floats:
    lab, own = oklab(picture), oklab(content)
    theirs = np.concatenate([oklab(style).reshape(-1, 3) for style in styles])
    low, high = theirs.min(0), theirs.max(0)
    lab[..., 0] = lab[..., 0].clip(low[0], high[0])
    if np.abs(statistics(theirs)[1][1:, 1:]).max() < 6e-5:
        lab = whitened_and_colored(lab.reshape(-1, 3), theirs).reshape(lab.shape)
    else:
        chroma = whitened_and_colored(own[..., 1:].reshape(-1, 2), theirs[:, 1:])
        lab[..., 1:] = filtered(chroma.reshape(own[..., 1:].shape), lab[..., 0])
    return rgb(lab.clip(low, high))


SMALL = (9, 11, 3)


@pytest.mark.parametrize(
    "styles",
    [
        [narrow(), 0.4 * noise(4, (5, 6, 3))],
        [np.repeat(noise(3, (8, 7, 1)) / 2 + 60, 3, axis=-1)],
    ],
    ids=["two styles", "gray"],
)
def test_chroma_is_matched_as_in_the_source(styles: list[Pixels]) -> None:
    """Also outside of 0..255, which the picture of an optimizer may be."""
    picture, content = 1.3 * noise(0, SMALL) - 30, noise(1, SMALL)
    matched = with_matched_chroma(picture, content, styles)
    assert matched.dtype == np.float32
    np.testing.assert_allclose(matched, plainly_matched(picture, content, styles), atol=0.3)
