"""How paintings of the default recipe look, with the real network: fine lines and strength."""

from collections.abc import Mapping

import numpy as np
from bench.measures import content_distance, high_frequency_share, style_distance

from stylewatch_painter.images.read import read
from stylewatch_painter.images.resize import resize
from stylewatch_painter.recipes import book
from stylewatch_painter.sample import CONTENT, STYLE
from stylewatch_painter.scene.task import Style, Task
from stylewatch_painter.stage import Pixels, Stage, go_on
from stylewatch_plugins import registry

SIZE = (112, 75)


def painted(changes: Mapping[str, object]) -> Pixels:
    """The sample pair, painted by the default recipe on the CPU in float32."""
    recipe = book.change(book.find("best"), changes)
    task = Task(recipe, read(CONTENT).pixels, (Style(read(STYLE).pixels),))
    backend = registry.load("torch", {"device": "cpu", "precision": "fp32"})
    *_, last = backend.paint(task, go_on)
    assert isinstance(last, Stage)
    return np.clip(last.picture, 0, 255)


def test_strength_moves_from_the_photograph_to_the_style_without_finer_lines() -> None:
    content = resize(read(CONTENT).pixels, SIZE, "lanczos")
    pixels = read(STYLE).pixels
    height, width = pixels.shape[:2]
    factor = (SIZE[0] * SIZE[1] / (width * height)) ** 0.5  # as large as the painting sees it
    style = np.clip(resize(pixels, (round(width * factor), round(height * factor))), 0, 255)
    weak, strong = (painted({"size": "112", "strength": strength}) for strength in (0.1, 0.9))
    assert content_distance(strong, content) > 1.5 * content_distance(weak, content)
    assert style_distance(strong, style) < 0.9 * style_distance(weak, style)
    assert high_frequency_share(strong) < 1.2 * high_frequency_share(style)
