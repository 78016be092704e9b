"""One picture takes over the statistics of another's colors, exactly, whatever they are."""

import numpy as np
import pytest

from stylewatch_painter.images.color import Space, Spread, lit_like, luminance, recolored
from stylewatch_painter.stage import Pixels


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
def test_mean_and_covariance_become_those_of_the_other(space: Space) -> None:
    wanted = Spread.of(narrow(), space)
    found = Spread.of(like(noise(), narrow(), space), space)
    assert np.allclose(found.mean, wanted.mean, atol=1e-6)
    assert np.allclose(found.covariance, wanted.covariance, atol=1e-6)


@pytest.mark.parametrize("space", SPACES)
def test_one_color_becomes_the_mean_and_takes_all_to_itself(space: Space) -> None:
    from_flat, to_flat = (
        like(flat(9, 99, 200), noise(), space),
        like(noise(), flat(9, 99, 200), space),
    )
    assert np.allclose(Spread.of(from_flat, space).mean, Spread.of(noise(), space).mean, atol=1e-6)
    assert np.ptp(from_flat.reshape(-1, 3), axis=0).max() < 0.01
    assert np.allclose(to_flat, (9, 99, 200), atol=0.05)


def test_what_is_hidden_does_not_count() -> None:
    seen, hidden = noise(), noise() / 4
    both, alpha = np.concatenate([seen, hidden]), np.ones((60, 40), dtype=np.float32)
    alpha[30:] = 0
    found, wanted = Spread.of(both, "oklab", alpha), Spread.of(seen, "oklab")
    assert np.allclose(found.mean, wanted.mean) and np.allclose(found.covariance, wanted.covariance)
    nothing = Spread.of(seen, "oklab", np.zeros((30, 40), dtype=np.float32))
    assert np.allclose(nothing.mean, wanted.mean)


@pytest.mark.parametrize("space", SPACES)
def test_luminance_gets_mean_and_deviation_of_the_contents(space: Space) -> None:
    soft = 0.3 * noise(3) + 90
    found = lit_like(noise(), soft, space, (None, None))
    assert np.array_equal(found[..., 0], found[..., 2])
    light, wanted = luminance(found, space), luminance(soft, space)
    assert np.isclose(light.mean(), wanted.mean(), atol=1e-3)
    assert np.isclose(light.std(), wanted.std(), atol=1e-3)
    assert np.allclose(
        lit_like(flat(1, 2, 3), flat(90, 90, 90), space, (None, None)), 90, atol=0.01
    )
