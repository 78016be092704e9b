"""Measurement and removal of color grain: differences in chroma between neighboring pixels.

A painting has more color grain than its style, in even areas and as fringes along edges. Chroma is
a color minus its brightness Y' (ITU-R BT.709, of the coded values), so that smoothing the chroma
keeps the brightness.
"""

from collections.abc import Callable, Sequence

import numpy as np

from stylewatch_painter.images import color
from stylewatch_painter.images.weighted import Weighted, around
from stylewatch_painter.stage import Pixels, Plane

_PASSES, _STEEPNESS = 3, 0.04
"""Arguments of `color.smoothed`, for a brightness in 0..255."""

_BAND = 1 << 16
"""Number of pixels that are smoothed at a time, so that they stay in the processor's cache."""

_TILE, _TILES = 128, 4
"""Side in pixels of the square tiles in which grain is measured, and the number of tiles across and
down a picture."""


def with_grain_of(picture: Pixels, regions: Sequence[tuple[Sequence[Weighted], Plane]]) -> Pixels:
    """Return `picture` (height, width, 3), with less color grain where it has more than its styles.

    Each of `regions` has the style pictures of a region, in the size in which they are painted, and
    the share of each pixel that is in the region, (height, width). The shares of a pixel add up to
    at most 1. In each region the grain is reduced to that of the style with the most grain; a pixel
    with a share below 1 keeps more. All regions are measured before any is changed. The result is
    `picture` itself if no region has more grain than its styles.
    """
    removed = np.zeros(picture.shape[:2], np.float32)
    for styles, shares in regions:
        removed += np.float32(_excess(Weighted(picture, shares), styles)) * shares
    if not removed.any():
        return picture
    result = np.empty_like(picture)
    for rows, wide, inner in color.with_margin(picture, _PASSES, _BAND):
        even = smoothed(picture[wide])[inner]
        result[rows] = picture[rows] + removed[rows, :, None] * (even - picture[rows])
    return result


def _excess(region: Weighted, styles: Sequence[Weighted]) -> float:
    """Return the share, 0..1, of a region's removable grain that exceeds the grain of all styles.

    Removable grain is the grain that `smoothed` removes.
    """
    region = region.without_rim()
    own, theirs = grain(region), max(grain(style.without_rim()) for style in styles)
    if own <= theirs:
        return 0.0
    removable = own - grain(region, smoothed)
    if removable <= 0:  # all differences are along edges of brightness
        return 0.0
    return min(1.0, (own - theirs) / removable)


def grain(picture: Weighted, change: Callable[[Pixels], Pixels] = lambda tile: tile) -> float:
    """Return the root mean square difference in chroma, 0..255, from the mean of 3x3 pixels.

    It is measured in a few tiles of `picture`, after a `change` of each tile, and weighted.
    """
    part = picture.cropped()
    squares, totals = [], []
    for place in _places(part):
        chroma = _chroma(change(part.pixels[place]))[1]
        mean = sum(around(chroma)) / 9
        away = np.square(chroma - mean)
        if part.plane is None:
            squares.append(np.mean(away, dtype=np.float64))
            totals.append(1.0)
        else:
            weights = part.plane[place]
            squares.append(np.average(away.mean(axis=2, dtype=np.float64), weights=weights))
            totals.append(weights.sum(dtype=np.float64))
    return float(np.sqrt(np.average(squares, weights=totals)))


def smoothed(picture: Pixels) -> Pixels:
    """Average the chroma of a picture over small areas of even brightness; keep the brightness."""
    light, chroma = _chroma(picture)
    smooth: Pixels = light[..., None] + color.smoothed(chroma, light, _PASSES, _STEEPNESS)
    return smooth


def _places(part: Weighted) -> list[tuple[slice, slice]]:
    """Return the rows and columns of the tiles to measure, spread evenly over a picture.

    Only tiles with a pixel of at least half the greatest weight are returned. The number of tiles
    is doubled in both directions until there is such a tile. A small picture has fewer tiles.
    """
    counts_much = None if part.plane is None else part.plane >= part.plane.max() / 2
    count = _TILES
    while True:
        tops, lefts = (
            sorted({*np.linspace(0, max(0, side - _TILE), count).astype(int).tolist()})
            for side in part.pixels.shape[:2]
        )
        tiles = [
            (slice(top, top + _TILE), slice(left, left + _TILE)) for top in tops for left in lefts
        ]
        counting = [tile for tile in tiles if counts_much is None or counts_much[tile].any()]
        if counting:
            return counting
        count *= 2


def _chroma(picture: Pixels) -> tuple[Plane, Pixels]:
    """Return brightness (height, width) and chroma (height, width, 3)."""
    light: Plane = picture @ np.array(color.BRIGHTNESS, np.float32)
    return light, picture - light[..., None]
