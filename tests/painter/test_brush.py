"""Strokes follow the scene's directions and take its colors; chance comes from outside."""

import numpy as np
from numpy.random import Generator, default_rng
from numpy.testing import assert_array_equal

from stylewatch_painter.brush import Floats, Layer, Places, paint

LAYERS = (Layer(60, 0.2, 0.5, 12), Layer(80, 0.1, 0.4, 6))


class Meadow:
    """One color everywhere, and one direction."""

    def __init__(self, radians: float) -> None:
        self.radians = radians

    def place(self, x: Floats, y: Floats) -> Places:
        return np.zeros(len(x), dtype=np.int64)

    def heading(self, place: Places, x: Floats, y: Floats) -> Floats:
        return np.full(len(x), self.radians)

    def breadth(self, place: Places) -> Floats:
        return np.ones(len(place))

    def color(self, place: Places, x: Floats, y: Floats, rng: Generator) -> Floats:
        return np.tile([40.0, 160.0, 80.0], (len(x), 1))


def painted(radians: float, seed: int = 1) -> Floats:
    return np.asarray(paint(Meadow(radians), LAYERS, (96, 64), default_rng(seed)), np.float64)


def roughness(picture: Floats) -> tuple[float, float]:
    """Mean change from row to row, and from column to column."""
    return (
        float(np.abs(np.diff(picture, axis=0)).mean()),
        float(np.abs(np.diff(picture, axis=1)).mean()),
    )


def test_the_picture_has_the_size_asked_for() -> None:
    assert painted(0.0).shape == (64, 96, 3)


def test_the_same_seed_gives_the_same_picture_and_another_seed_another() -> None:
    assert_array_equal(painted(0.3), painted(0.3))
    assert np.any(painted(0.3) != painted(0.3, seed=2))


def test_strokes_run_where_the_scene_heads() -> None:
    down, across = roughness(painted(0.0))
    assert down > 1.5 * across, "level strokes change most from row to row"
    down, across = roughness(painted(np.pi / 2))
    assert across > 1.5 * down, "upright strokes change most from column to column"


def test_the_scene_gives_the_color_and_bristles_vary_it() -> None:
    picture = painted(0.7)
    assert np.abs(np.median(picture, axis=(0, 1)) - [40, 160, 80]).max() < 20
    assert picture.std(axis=(0, 1)).min() > 5
