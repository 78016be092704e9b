"""Color spaces, luminance, and the transfer of color statistics."""

import numpy as np
import pytest

from stylewatch_painter.images.color import (
    Space,
    Spread,
    lit_like,
    luminance,
    recolored,
    to_space,
)
from stylewatch_painter.stage import Pixels

SPACES: tuple[Space, ...] = ("linear", "srgb", "oklab")


def noise(seed: int = 0, shape: tuple[int, ...] = (30, 40, 3)) -> Pixels:
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


def colored(*color: float) -> Pixels:
    return np.full((1, 1, 3), color, dtype=np.float32)


def test_luminance_by_space() -> None:
    red = colored(255, 0, 0)
    assert np.isclose(luminance(red, "linear").item(), 0.2126)
    assert np.isclose(luminance(red, "oklab").item(), 0.62796, atol=1e-4)  # Ottosson's own example
    half = colored(128, 128, 128)
    assert np.isclose(luminance(half, "linear").item(), 0.21586, atol=1e-5)
    assert np.isclose(luminance(half, "srgb").item(), 128 / 255)


def narrow() -> Pixels:
    """A picture whose channels vary and hang together otherwise than noise does."""
    picture = noise(5, (20, 26, 3))
    picture[..., 1] = 0.4 * picture[..., 0] + 30
    picture[..., 2] = 0.2 * picture[..., 2] + 100
    return picture


def flat(*color: float) -> Pixels:
    return np.full((6, 7, 3), color, dtype=np.float32)


def like(style: Pixels, content: Pixels, space: Space) -> Pixels:
    return recolored(style, Spread.of(style, space), Spread.of(content, space), space)


@pytest.mark.parametrize("space", SPACES)
def test_statistics_are_transferred(space: Space) -> None:
    wanted = Spread.of(narrow(), space)
    spread = Spread.of(like(noise(), narrow(), space), space)
    assert np.allclose(spread.mean, wanted.mean, atol=1e-6)
    assert np.allclose(spread.covariance, wanted.covariance, atol=1e-6)


def test_colors_are_moved_as_little_as_their_statistics_allow() -> None:
    """By no more than the Wasserstein distance of the two normal distributions of colors.

    Olkin and Pukelsheim 1982: |m - m'|^2 + tr(C + C' - 2 (C^1/2 C' C^1/2)^1/2).
    """
    mixture = np.array([[0.5, 0.2, 0], [0, 0.4, 0.1], [0.1, 0.3, 0.3]], dtype=np.float32)
    style, content = noise() @ mixture, noise(3)
    own, wanted = Spread.of(style, "srgb"), Spread.of(content, "srgb")
    moved = to_space(like(style, content, "srgb"), "srgb") - to_space(style, "srgb")
    overlap = np.sqrt(np.linalg.eigvals(own.covariance @ wanted.covariance).real).sum()
    least = np.trace(own.covariance + wanted.covariance) - 2 * overlap
    least += ((own.mean - wanted.mean) ** 2).sum()
    assert np.isclose((moved**2).sum(-1).mean(), least, rtol=1e-3)


@pytest.mark.parametrize("space", SPACES)
def test_single_color_becomes_the_mean(space: Space) -> None:
    color = flat(9, 99, 200)
    from_flat, to_flat = like(color, noise(), space), like(noise(), color, space)
    assert np.allclose(Spread.of(from_flat, space).mean, Spread.of(noise(), space).mean, atol=1e-6)
    assert np.ptp(from_flat.reshape(-1, 3), axis=0).max() < 0.01
    assert np.allclose(to_flat, (9, 99, 200), atol=0.05)


def test_hidden_pixels_do_not_count() -> None:
    seen, hidden = noise(), noise() / 4
    both, alpha = np.concatenate([seen, hidden]), np.ones((60, 40), dtype=np.float32)
    alpha[30:] = 0
    result, wanted = Spread.of(both, "oklab", alpha), Spread.of(seen, "oklab")
    assert np.allclose(result.mean, wanted.mean) and np.allclose(
        result.covariance, wanted.covariance
    )
    nothing = Spread.of(seen, "oklab", np.zeros((30, 40), dtype=np.float32))
    assert np.allclose(nothing.mean, wanted.mean)


@pytest.mark.parametrize("space", SPACES)
def test_luminance_statistics_are_transferred(space: Space) -> None:
    soft = 0.3 * noise(3) + 90
    result = lit_like(noise(), soft, space, (None, None))
    assert np.array_equal(result[..., 0], result[..., 2])
    light, wanted = luminance(result, space), luminance(soft, space)
    assert np.isclose(light.mean(), wanted.mean(), atol=1e-3)
    assert np.isclose(light.std(), wanted.std(), atol=1e-3)
    assert np.allclose(
        lit_like(flat(1, 2, 3), flat(90, 90, 90), space, (None, None)), 90, atol=0.01
    )
