"""A low sun and a whirling sky over a field with poppies: the scene of the sample painting.

The sky's strokes follow the level lines of one function, the `stream`, and its bands of color
are slices of the same function: so the colors whirl with the strokes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from stylewatch_painter.brush import Floats, Layer, Places, paint

SIZE = (640, 512)
LAYERS = (
    Layer(700, 0.068, 0.293, 20),
    Layer(1300, 0.039, 0.205, 14),
    Layer(2000, 0.023, 0.127, 9),
    Layer(2600, 0.013, 0.078, 6),
)


def _palette(*colors: int) -> Floats:
    return np.array([[c >> 16, c >> 8 & 255, c & 255] for c in colors], dtype=np.float64)


SKY = _palette(
    0x101C5C, 0x17379A, 0x2360C8, 0x3F93D6, 0x7CC4CF, 0xE9DCAE, 0xF6B98A, 0xD9789A
)  # fmt: skip
GLOW = _palette(0xFFFBE0, 0xFFEC8C, 0xFFC938, 0xF8952A, 0xEC5F3A, 0xD9789A)
HILLS = _palette(0x1C2A6B, 0x34489B, 0x2B7A86, 0x6A4FA0, 0x2F5F5A, 0xA05A8A)
STRAW = _palette(0x7A2F12, 0xB8621A, 0xE09A22, 0xF6C83A, 0xFBE884)
GRASS = _palette(0x1F5A4A, 0x5F9A3A, 0xB9C24A)
POPPY = _palette(0x9C1420, 0xE2341E, 0xF4704A)
ACCENTS = _palette(0xF0A060, 0xF0B060, 0x3A5FC0)  # the complement of sky, hills, field

SUN = (0.98, 0.33, 0.13)  # x, y, radius
WHORLS = (  # x, y, radius, strength; the sign says which way it turns
    (0.34, 0.22, 0.15, 0.22),
    (0.62, 0.13, 0.09, -0.10),
    (0.08, 0.42, 0.09, -0.10),
    (0.60, 0.40, 0.08, 0.09),
    (1.20, 0.12, 0.10, -0.12),
    (*SUN[:2], 0.16, 0.24),
)


class Landscape:
    """The scene; its places are 0 the sky, 1 the hills, 2 the field."""

    def place(self, x: Floats, y: Floats) -> Places:
        """Sky above the ridge, field below the hedge, hills between."""
        ridge = 0.60 + 0.035 * np.sin(4.2 * x + 0.6) + 0.02 * np.sin(9.5 * x)
        hedge = 0.70 + 0.03 * np.sin(3.1 * x + 2.2)
        return np.add(y > ridge, y > hedge, dtype=np.int64)

    def heading(self, place: Places, x: Floats, y: Floats) -> Floats:
        """Round the whorls in the sky, along the hills, upwards and swaying in the field."""
        near = 1e-3
        across = _stream(x, y + near) - _stream(x, y - near)
        down = _stream(x - near, y) - _stream(x + near, y)
        hills = 0.15 * np.cos(4.2 * x + 0.6) + 0.35 * np.sin(8 * x + 9 * y)
        stalks = 0.75 * np.sin(5.5 * x + 2.5 * y + 0.5) + 0.35 * np.sin(17 * x - 4 * y) - np.pi / 2
        return _choose(place, (np.arctan2(down, across), hills, stalks))

    def breadth(self, place: Places) -> Floats:
        """Broad in the sky, finer below it."""
        return np.array([1.0, 0.8, 0.65])[place]

    def color(self, place: Places, x: Floats, y: Floats, rng: Generator) -> Floats:
        """The place's color, never twice the same, now and then its complement instead."""
        n = len(x)
        picked = _choose(place, (_sky(x, y, rng), _hills(x, y, rng), _field(x, y, rng)))
        picked = np.where(_strewn(np.full(n, 0.02), rng), ACCENTS[place], picked)
        return np.clip(picked + rng.normal(0, 7, (n, 3)) + rng.normal(0, 8, (n, 1)), 0, 255)


def draw(seed: int) -> Image.Image:
    """Paint it as an RGB picture of SIZE pixels; the same seed gives the same picture."""
    return paint(Landscape(), LAYERS, SIZE, np.random.default_rng(seed))


def _stream(x: Floats, y: Floats) -> Floats:
    """The function whose level lines the wind follows."""
    stream = 0.55 * y + 0.03 * np.sin(5 * x + 2 * y) + 0.02 * np.sin(9 * x - 7 * y + 1)
    for at_x, at_y, radius, strength in WHORLS:
        stream += strength * np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / radius**2)
    return stream


def _sky(x: Floats, y: Floats, rng: Generator) -> Floats:
    """Bands of blue, warmer towards the ridge; the sun's glow frays into them."""
    n = len(x)
    band = 0.5 + 0.5 * np.sin(34 * _stream(x, y) + rng.normal(0, 0.45, n))
    low = np.clip(y / 0.62, 0, 1) ** 2.2
    wind = _mix(SKY, 0.5 * band**1.3 + 0.55 * low - 0.04 + rng.normal(0, 0.05, n))
    off = np.hypot(x - SUN[0], y - SUN[1]) / SUN[2]
    glow = _mix(GLOW, off / 2.2 + 0.06 * np.sin(9 * off) + rng.normal(0, 0.05, n))
    return np.where(_strewn(2.3 - off, rng), glow, wind)


def _hills(x: Floats, y: Floats, rng: Generator) -> Floats:
    return _mix(HILLS, 0.5 + 0.5 * np.sin(24 * y + 9 * x + rng.normal(0, 0.8, len(x))))


def _field(x: Floats, y: Floats, rng: Generator) -> Floats:
    """Straw, darker towards the viewer, with drifts of grass and of poppies."""
    n = len(x)
    ripe = 0.78 - 1.33 * (y - 0.7) + 0.30 * np.sin(7 * x + 16 * y) + rng.normal(0, 0.14, n)
    drift = np.sin(6 * x - 14 * y + 2)
    patch = np.sin(9 * x + 2) * np.sin(31 * y + 5 * x)
    grassy = _strewn(np.clip(9 * (drift - 0.35), 0, 0.5), rng)
    poppies = _strewn(np.clip(9 * (patch - 0.52), 0, 0.6), rng)
    field = np.where(grassy, _mix(GRASS, rng.random(n)), _mix(STRAW, ripe))
    return np.where(poppies, _mix(POPPY, rng.random(n)), field)


def _strewn(chance: Floats, rng: Generator) -> NDArray[np.bool_]:
    """Which strokes it falls on, as a column (n, 1), each with its own chance."""
    return (rng.random(len(chance)) < chance)[:, None]


def _choose(place: Places, choices: Sequence[Floats]) -> Floats:
    """For each stroke the entry of the choice that its place names."""
    picked: Floats = np.stack(choices)[place, np.arange(len(place))]
    return picked


def _mix(palette: Floats, share: Floats) -> Floats:
    """Colors between the palette's neighbors, `share` from 0 (its first) to 1 (its last)."""
    where = np.clip(share, 0, 1) * (len(palette) - 1)
    below = np.minimum(where.astype(np.int64), len(palette) - 2)
    part = (where - below)[:, None]
    mixed: Floats = palette[below] * (1 - part) + palette[below + 1] * part
    return mixed
