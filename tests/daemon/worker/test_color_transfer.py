"""Before it is painted: styles in the photograph's colors, or all in black and white."""

from typing import Any

import numpy as np
import pytest

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.worker.color_transfer import Coloring
from stylewatch_painter.images.color import Spread, luminance
from stylewatch_painter.images.read import Picture


def picture(seed: int, scale: float, alpha: Any = None) -> Picture:
    pixels = np.random.default_rng(seed).uniform(0, 255, (20, 30, 3)) * scale
    return Picture(pixels.astype(np.float32), alpha, ("turned upright",), str(seed) * 64, 1)


CONTENT, STYLE = picture(1, 0.5), picture(2, 1.0)


def coloring(content: Picture = CONTENT, **settings: Any) -> Coloring:
    return Coloring.of(JobSettings.model_validate(settings), content, 1)


@pytest.mark.parametrize("color", ["style", "content"])
def test_where_the_painting_is_as_ever_nothing_is_done(color: str) -> None:
    one = coloring(color=color)
    assert one.style(STYLE) is STYLE and one.digest(STYLE) == STYLE.sha256
    assert one.painted(CONTENT.pixels) is CONTENT.pixels


def test_match_gives_the_style_the_contents_colors_and_says_so() -> None:
    found = coloring(color="match", color_space="linear").style(STYLE)
    own, wanted = (Spread.of(one.pixels, "linear") for one in (found, CONTENT))
    assert np.allclose(own.mean, wanted.mean, atol=1e-6)
    assert np.allclose(own.covariance, wanted.covariance, atol=1e-6)
    assert found.converted == (
        "turned upright",
        "recolored by mean and covariance of the content's colors (linear)",
    )
    assert coloring(color="match").painted(CONTENT.pixels) is CONTENT.pixels


def test_luminance_takes_color_from_everything_that_is_painted() -> None:
    one = coloring(color="luminance")
    style, content = one.style(STYLE), one.painted(CONTENT.pixels)
    for gray in (style.pixels, content):
        assert np.array_equal(gray[..., 0], gray[..., 1])
    light = luminance(CONTENT.pixels, "oklab")
    assert np.allclose(luminance(content, "oklab"), light, atol=1e-5)
    assert np.isclose(luminance(style.pixels, "oklab").mean(), light.mean(), atol=0.01)
    assert style.converted[-1].startswith("reduced to its luminance")


def test_a_style_that_was_recolored_is_another_to_whoever_keeps_it() -> None:
    asked = [
        coloring(picture(seed, 0.5), color=color, color_space=space).digest(STYLE)
        for seed in (1, 3)
        for color in ("match", "luminance")
        for space in ("linear", "oklab")
    ]
    assert len({STYLE.sha256, *asked}) == 9
    assert coloring(color="match").digest(STYLE) == coloring(color="match").digest(STYLE)


@pytest.mark.parametrize("color", ["match", "luminance"])
def test_what_is_hidden_of_the_photograph_does_not_count(color: str) -> None:
    alpha = np.ones((20, 30), dtype=np.float32)
    alpha[10:] = 0
    half = Picture(CONTENT.pixels[:10], None, (), "", 1)
    both = Picture(CONTENT.pixels, alpha, (), "", 1)
    found, wanted = (coloring(one, color=color).style(STYLE).pixels for one in (both, half))
    assert np.allclose(found, wanted, atol=0.01)


@pytest.mark.parametrize(
    ("color", "content", "styles", "told"),
    [
        ("content", None, 1, "color: content goes by a photograph, and there is none"),
        ("match", CONTENT, 0, "color: match recolors the styles, and there are none"),
    ],
)
def test_colors_of_pictures_that_are_not_there_are_refused(
    color: str, content: Picture | None, styles: int, told: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        Coloring.of(JobSettings.model_validate({"color": color}), content, styles)
    assert str(caught.value) == told
