"""Grain of color: differences in chroma between neighboring pixels.

A painting has more of it than its style, in even areas and as fringes along edges. Chroma is a
color minus its brightness Y' (ITU-R BT.709, of the coded values), so that smoothing it keeps the
brightness.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from stylewatch_painter.stage import Pixels, Plane

_BRIGHTNESS = np.array((0.2126, 0.7152, 0.0722), np.float32)

_PASSES = 3
"""Number of times that chroma is averaged; each needs one more row above and below a band."""

_EVEN = 25.0
"""Difference in brightness, of 0..255, at which a pixel counts 1/e as much in an average as one of
equal brightness."""

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
    for rows, wide, inner in _bands(picture, _PASSES):
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
        mean = sum(_around(chroma)) / 9
        squares.append(np.mean(np.square(chroma - mean), dtype=np.float64))
    return float(np.sqrt(np.mean(squares)))


def smoothed(picture: Pixels) -> Pixels:
    """Average the chroma of a picture over small areas of even brightness; keep the brightness."""
    light, chroma = _chroma(picture)
    weights = [np.exp(-np.abs(light - other) / _EVEN)[..., None] for other in _around(light)]
    total = sum(weights[1:], weights[0])
    for _ in range(_PASSES):
        chroma = sum(w * c for w, c in zip(weights, _around(chroma), strict=True)) / total
    smooth: Pixels = light[..., None] + chroma
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


def _bands(picture: Pixels, margin: int) -> Iterator[tuple[slice, slice, slice]]:
    """Yield three slices for each band of rows.

    They are the band; a wider band with a `margin` of rows above and below; and the place of the
    band in the wider band.
    """
    height, width, _ = picture.shape
    size = max(1, _BAND // width)
    for top in range(0, height, size):
        above = max(0, top - margin)
        end = min(top + size, height)
        yield slice(top, end), slice(above, end + margin), slice(top - above, end - above)


def _chroma(picture: Pixels) -> tuple[Plane, Pixels]:
    """Return brightness (height, width) and chroma (height, width, 3)."""
    light: Plane = picture @ _BRIGHTNESS
    return light, picture - light[..., None]


def _around(plane: Plane) -> Iterator[Plane]:
    """Yield the values of each pixel's 3x3 neighbors, as arrays of the shape of `plane`."""
    height, width = plane.shape[:2]
    padded = np.pad(plane, [(1, 1), (1, 1)] + [(0, 0)] * (plane.ndim - 2), mode="edge")
    for row in range(3):
        for column in range(3):
            yield padded[row : row + height, column : column + width]
