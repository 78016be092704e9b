"""How paintings of the default recipe look, with the real network: fine lines and strength."""

from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest
from bench.measures import content_distance, high_frequency_share, style_distance

from stylewatch_painter.images.read import read
from stylewatch_painter.images.resize import resize
from stylewatch_painter.recipes import book
from stylewatch_painter.sample import CONTENT, STYLE
from stylewatch_painter.scene.task import Style, Task
from stylewatch_painter.stage import Pixels, Stage, go_on
from stylewatch_plugins import registry

SIZE = (256, 171)
CHECKERBOARD = 10 * (-1.0) ** np.add.outer(np.arange(SIZE[1]), np.arange(SIZE[0]))[..., None]
"""Ten levels above and below, from pixel to pixel."""


def painted(changes: Mapping[str, object]) -> Pixels:
    """The sample pair, painted by the default recipe on the CPU in float32."""
    recipe = book.change(book.find("best"), changes)
    task = Task(recipe, read(CONTENT).pixels, (Style(read(STYLE).pixels),))
    backend = registry.load("torch", {"device": "cpu", "precision": "fp32"})
    *_, last = backend.paint(task, go_on)
    assert isinstance(last, Stage)
    return np.clip(last.picture, 0, 255)


@cache
def default() -> Pixels:
    """The painting at the default strength."""
    return painted({"size": str(SIZE[0])})


@pytest.fixture(scope="module")
def style() -> Pixels:
    """The style, as large as the painting sees it."""
    pixels = read(STYLE).pixels
    height, width = pixels.shape[:2]
    factor = (SIZE[0] * SIZE[1] / (width * height)) ** 0.5
    size = round(width * factor), round(height * factor)
    return np.clip(resize(pixels, size, "lanczos"), 0, 255)


def test_fine_lines_are_no_stronger_than_in_the_style(style: Pixels) -> None:
    most = 1.2 * high_frequency_share(style)
    assert high_frequency_share(default()) < most
    assert high_frequency_share(np.clip(default() + CHECKERBOARD, 0, 255)) > most


def test_strength_moves_from_the_photograph_to_the_style(style: Pixels) -> None:
    content = resize(read(CONTENT).pixels, (112, 75), "lanczos")
    weak, strong = (painted({"size": "112", "strength": strength}) for strength in (0.1, 0.9))
    assert content_distance(strong, content) > 1.5 * content_distance(weak, content)
    assert style_distance(strong, style) < 0.9 * style_distance(weak, style)
