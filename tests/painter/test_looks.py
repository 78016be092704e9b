"""How paintings of the default recipe look, with the real network: artifacts and strength."""

from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest
from bench.measures import clipped_share, content_distance, high_frequency_share, style_distance

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


def test_fine_lines_have_all_directions(style: Pixels) -> None:
    """Else they form a lattice: the ratio is 0.9, and 9 without `fourier_diagonals`."""

    def straight_share(picture: Pixels) -> float:
        """The power of fine waves along rows and columns over that of diagonal ones."""
        gray = picture.mean(axis=2)
        height, width = gray.shape
        window = np.outer(np.hanning(height), np.hanning(width))
        power = np.abs(np.fft.fft2((gray - gray.mean()) * window)) ** 2
        down, right = np.abs(np.fft.fftfreq(height))[:, None], np.abs(np.fft.fftfreq(width))
        f, angle = np.hypot(down, right), np.degrees(np.arctan2(down, right))
        fine = (f > 0.4) & (f < 0.5)
        straight, diagonal = np.abs(angle - 45) > 37, np.abs(angle - 45) < 15
        return float(power[fine & straight].mean() / power[fine & diagonal].mean())

    assert straight_share(style) < 4 and straight_share(default()) < 4


def test_colors_are_not_blown_out(style: Pixels) -> None:
    most = clipped_share(style) + 0.05
    assert clipped_share(default()) < most
    assert clipped_share(np.clip(default() * 2, 0, 255)) > most


def test_there_is_no_rim() -> None:
    """The outermost pixels change as those next to them do: by 3 or 4; with zeros around by 12."""
    content = resize(read(CONTENT).pixels, SIZE, "lanczos")
    inside = np.minimum.outer(
        *(np.minimum(axis, axis[::-1]) for axis in map(np.arange, SIZE[::-1]))
    )

    def rim(picture: Pixels) -> float:
        """The distance of the mean changes of the two outer pixels and of the next four."""
        change = picture - content
        outer, next_ones = change[inside < 2], change[(inside >= 2) & (inside < 6)]
        return float(np.linalg.norm(outer.mean(0) - next_ones.mean(0)))

    framed = default() + 5 * (inside < 2)[..., None]
    assert rim(default()) < 6 < rim(framed)


def test_strength_moves_from_the_photograph_to_the_style(style: Pixels) -> None:
    content = resize(read(CONTENT).pixels, (112, 75), "lanczos")
    weak, strong = (painted({"size": "112", "strength": strength}) for strength in (0.1, 0.9))
    assert content_distance(strong, content) > 1.5 * content_distance(weak, content)
    assert style_distance(strong, style) < 0.9 * style_distance(weak, style)
