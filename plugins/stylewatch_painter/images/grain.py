"""Grain of color: differences in chroma between neighboring pixels.

A painting has more of it than its style, in even areas and as fringes along edges. Chroma is a
color minus its brightness Y' (ITU-R BT.709, of the coded values), so that smoothing it keeps the
brightness.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from stylewatch_painter.images import color
from stylewatch_painter.stage import Pixels, Plane

_PASSES, _STEEPNESS = 3, 0.04
"""How chroma is averaged along the brightness, of 0..255: see `color.smoothed`."""

_BAND = 1 << 16
"""Number of pixels that are smoothed at a time, so that they stay in the processor's cache."""

_TILE, _TILES = 128, 4
"""Side in pixels of the square tiles in which grain is measured, and their number in each direction
of a picture, over which they are spread."""


def with_grain_of(picture: Pixels, styles: Sequence[Pixels], shares: Plane) -> Pixels:
    """Return a picture (height, width, 3) without the grain that the `styles` do not have.

    The styles are in the size in which they are painted. As much grain remains as they have, or all
    if the picture has less. With a share below 1, of `shares` (height, width), a pixel keeps more.
    """
    own, theirs = grain(picture), max(map(grain, styles))
    if own <= theirs:
        return picture
    removable = own - grain(picture, smoothed)
    if removable <= 0:  # all differences are along edges of brightness
        return picture
    excess = np.float32(min(1.0, (own - theirs) / removable))
    result = np.empty_like(picture)
    for rows, wide, inner in color.with_margin(picture, _PASSES, _BAND):
        even = smoothed(picture[wide])[inner]
        result[rows] = picture[rows] + excess * shares[rows, :, None] * (even - picture[rows])
    return result


def grain(picture: Pixels, change: Callable[[Pixels], Pixels] = lambda tile: tile) -> float:
    """Return the root mean square of the difference in chroma from the 3x3 pixels around.

    It is measured in tiles, after a `change` of these.
    """
    squares = []
    for tile in _tiles(picture):
        chroma = _chroma(change(tile))[1]
        mean = sum(color.around(chroma)) / 9
        squares.append(np.mean(np.square(chroma - mean), dtype=np.float64))
    return float(np.sqrt(np.mean(squares)))


def smoothed(picture: Pixels) -> Pixels:
    """Average the chroma of a picture over small areas of even brightness; keep the brightness."""
    light, chroma = _chroma(picture)
    smooth: Pixels = light[..., None] + color.smoothed(chroma, light, _PASSES, _STEEPNESS)
    return smooth


def _tiles(picture: Pixels) -> Iterator[Pixels]:
    """Yield tiles that are spread evenly over a picture; a small picture has fewer."""
    tops, lefts = (
        sorted({*np.linspace(0, max(0, side - _TILE), _TILES).astype(int).tolist()})
        for side in picture.shape[:2]
    )
    for top in tops:
        for left in lefts:
            yield picture[top : top + _TILE, left : left + _TILE]


def _chroma(picture: Pixels) -> tuple[Plane, Pixels]:
    """Return brightness (height, width) and chroma (height, width, 3)."""
    light: Plane = picture @ np.array(color.BRIGHTNESS, np.float32)
    return light, picture - light[..., None]
