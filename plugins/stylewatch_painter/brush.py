"""Brush strokes: layer upon layer of bristles, broad to fine, along a field of directions.

Coordinates are shares of the picture's height: y runs down from 0 to 1, x from 0 to width/height.
Every random choice comes from the generator that is handed in.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

OVERSAMPLING = 2  # strokes are drawn this many times larger, then reduced: soft edges
POINTS = 9  # along each stroke


class Scene(Protocol):
    """What is painted. Arrays hold one number for each stroke: (n,); colors are (n, 3), 0..255."""

    def place(self, x: Floats, y: Floats) -> Places:
        """What lies there, as a number that the other methods understand."""
        ...

    def heading(self, place: Places, x: Floats, y: Floats) -> Floats:
        """Where a stroke goes from there, in radians."""
        ...

    def breadth(self, place: Places) -> Floats:
        """How broad strokes are there; 1 is the layer's own breadth."""
        ...

    def color(self, place: Places, x: Floats, y: Floats, rng: Generator) -> Floats:
        """The color a brush takes up for a stroke that starts there."""
        ...


@dataclass(frozen=True)
class Layer:
    """So many strokes of one brush; width and length as shares of the picture's height."""

    strokes: int
    width: float
    length: float
    bristles: int


@dataclass(frozen=True)
class Stroke:
    """One stroke on the oversampled canvas, in pixels.

    `spine` (POINTS, 2) is its middle; `side` (POINTS, 2) reaches across it from edge to edge.
    """

    spine: Floats
    side: Floats
    color: Floats
    bristles: int


def paint(
    scene: Scene, layers: Sequence[Layer], size: tuple[int, int], rng: Generator
) -> Image.Image:
    """Paint the scene, size (width, height) in pixels, as an RGB picture."""
    large = (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING)
    canvas = _ground(scene, large, rng)
    relief = Image.new("L", large, 110)
    colors, heights = ImageDraw.Draw(canvas), ImageDraw.Draw(relief)
    for layer in layers:
        for stroke in _strokes(scene, layer, large, rng):
            _draw(stroke, colors, heights, rng)
    return _lit(canvas, relief).resize(size, Image.Resampling.LANCZOS)


def _ground(scene: Scene, size: tuple[int, int], rng: Generator) -> Image.Image:
    """A loose first coat, so that nothing bare shows between the strokes."""
    columns, rows = max(2, size[0] // 32), max(2, size[1] // 32)
    x = np.tile(np.linspace(0, size[0] / size[1], columns), rows)
    y = np.repeat(np.linspace(0, 1, rows), columns)
    coat = scene.color(scene.place(x, y), x, y, rng).reshape(rows, columns, 3)
    return Image.fromarray(coat.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)


def _strokes(scene: Scene, layer: Layer, size: tuple[int, int], rng: Generator) -> Iterator[Stroke]:
    """The layer's strokes in the order in which they are laid, from just outside the canvas on."""
    n = layer.strokes
    x = rng.uniform(-0.02, size[0] / size[1] + 0.02, n)
    y = rng.uniform(-0.02, 1.02, n)
    place = scene.place(x, y)
    color = scene.color(place, x, y, rng)
    scale = scene.breadth(place) * rng.uniform(0.6, 1.35, n)
    width = layer.width * scale
    pace = layer.length * scale * rng.uniform(0.6, 1.2, n) / POINTS
    spine, side = np.empty((n, POINTS, 2)), np.empty((n, POINTS, 2))
    along = np.linspace(0, 1, POINTS)
    taper = np.minimum(1, np.minimum(0.35 + 5 * along, 0.15 + 2.5 * (1 - along)))
    for point in range(POINTS):
        heading = scene.heading(place, x, y)
        step = np.stack([np.cos(heading), np.sin(heading)], axis=-1)
        spine[:, point] = np.stack([x, y], axis=-1)
        side[:, point] = step[:, ::-1] * [-1, 1] * (width * taper[point])[:, None]
        x, y = x + pace * step[:, 0], y + pace * step[:, 1]
    bristles = np.maximum(3, layer.bristles * scale).astype(int).tolist()
    for i in range(n):
        yield Stroke(spine[i] * size[1], side[i] * size[1], color[i], bristles[i])


def _draw(
    stroke: Stroke, colors: ImageDraw.ImageDraw, heights: ImageDraw.ImageDraw, rng: Generator
) -> None:
    """Draw each bristle: streaks in color, and the ridges of paint that it leaves in height."""
    n = stroke.bristles
    across = np.linspace(-0.5, 0.5, n) + rng.normal(0, 0.03, n)
    lines = stroke.spine + stroke.side * across[:, None, None] + rng.normal(0, 0.6, (n, 1, 2))
    phase, finer = rng.uniform(0, 6, 2)
    streak = 14 * np.sin(6 * across + phase) + 6 * np.sign(np.sin(19 * across + finer))
    tint = stroke.color + (streak + rng.normal(0, 9, n))[:, None] + rng.normal(0, 5, (n, 3))
    height = 120 + 90 * (2 * np.abs(across)) ** 3 + rng.normal(0, 26, n)
    inks = np.clip(tint, 0, 255).astype(int).tolist()
    ridges = np.clip(height, 0, 255).astype(int).tolist()
    thick = max(1, int(np.ceil(1.35 * np.hypot(*stroke.side[POINTS // 2]) / n)))
    starts, ends = rng.integers(0, 3, n), POINTS - rng.integers(0, 3, n)  # ragged ends
    for i in range(n):
        path = lines[i, starts[i] : ends[i]].ravel().tolist()
        colors.line(path, fill=tuple(inks[i]), width=thick)
        heights.line(path, fill=ridges[i], width=thick)


def _lit(canvas: Image.Image, relief: Image.Image) -> Image.Image:
    """The canvas with light from the upper left upon the ridges of its paint."""
    color = np.asarray(canvas, dtype=np.float64)
    down, right = np.gradient(np.asarray(relief, dtype=np.float64))
    light = np.clip(-0.006 * (down + 0.7 * right), -0.28, 0.28)[..., None]
    lit = np.where(light > 0, color + 0.8 * light * (255 - color), color * (1 + light))
    return Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))
