"""A picture in another light keeps its hue, and has the luminance that was asked for."""

import numpy as np
import pytest

from stylewatch_painter.images.color import (
    Space,
    by_rows,
    from_space,
    luminance,
    to_space,
    with_luminance,
)
from stylewatch_painter.stage import Pixels, Plane

SPACES: tuple[Space, ...] = ("linear", "srgb", "oklab")


def noise(seed: int = 0, shape: tuple[int, ...] = (30, 40, 3)) -> Pixels:
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


def light(seed: int = 1) -> Plane:
    return np.random.default_rng(seed).uniform(0, 1, (30, 40)).astype(np.float32)


def hue(pixels: Pixels) -> Plane:
    """The direction of a color's chroma in Oklab."""
    lab = to_space(pixels, "oklab")
    return np.arctan2(lab[..., 2], lab[..., 1]).astype(np.float32)


def colored(*color: float) -> Pixels:
    return np.full((1, 1, 3), color, dtype=np.float32)


@pytest.mark.parametrize("space", SPACES)
def test_a_space_there_and_back_is_where_it_was(space: Space) -> None:
    wide = 2 * noise() - 120  # beyond black and white, too
    assert np.allclose(from_space(to_space(wide, space), space), wide, atol=2e-3)


def test_luminance_is_that_of_physics_of_video_or_of_the_eye() -> None:
    red = colored(255, 0, 0)
    assert np.isclose(luminance(red, "linear").item(), 0.2126)
    assert np.isclose(luminance(red, "oklab").item(), 0.62796, atol=1e-4)  # Ottosson's own example
    half = colored(128, 128, 128)
    assert np.isclose(luminance(half, "linear").item(), 0.21586, atol=1e-5)
    assert np.isclose(luminance(half, "srgb").item(), 128 / 255)


@pytest.mark.parametrize("space", SPACES)
def test_in_another_light_luminance_is_exactly_that_and_every_color_can_be_shown(
    space: Space,
) -> None:
    found = with_luminance(noise(), light(), space)
    assert np.abs(luminance(found, space) - light()).max() < 1e-3
    assert found.min() > -0.01 and found.max() < 255.01


def test_in_another_light_hue_stays() -> None:
    found = with_luminance(noise(), light(), "oklab")
    lab = to_space(found, "oklab")
    clear = np.hypot(lab[..., 1], lab[..., 2]) > 0.02  # near gray, hue is a matter of rounding
    turned = np.angle(np.exp(1j * (hue(found) - hue(noise()))))
    assert clear.sum() > 500 and np.abs(turned[clear]).max() < 0.01


def test_band_after_band_is_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = with_luminance(noise(), light(), "oklab")
    monkeypatch.setattr("stylewatch_painter.images.color._BAND", 90)
    assert np.array_equal(with_luminance(noise(), light(), "oklab"), whole)
    assert by_rows(lambda one: one[:1], noise()).shape == (15, 40, 3)
