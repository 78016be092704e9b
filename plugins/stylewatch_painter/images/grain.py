"""Grain of color: differences in chroma between neighboring pixels.

A painting has more of it than its style, in even areas and as fringes along edges. Chroma is a
color minus its brightness Y' (ITU-R BT.709, of the coded values), so that smoothing it keeps the
brightness.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from stylewatch_painter.images.color import by_rows
from stylewatch_painter.stage import Pixels, Plane

_BRIGHTNESS = np.array((0.2126, 0.7152, 0.0722), np.float32)

_PASSES = 3
"""Number of times that chroma is averaged; each needs one more row above and below a band."""

_EVEN = 25.0
"""Difference in brightness, of 0..255, at which a pixel counts 1/e as much in an average as one of
equal brightness."""

_BAND = 1 << 16
"""Number of pixels that are smoothed at a time, so that they stay in the processor's cache."""

_MEASURED = 512
"""Maximum side, in pixels, of the middle of a style in which its grain is measured."""


def with_grain_of(picture: Pixels, styles: Sequence[Pixels], shares: Plane) -> Pixels:
    """Return a picture (height, width, 3) without the grain that the `styles` do not have.

    The styles are in the size in which they are painted. As much grain remains as they have, or all
    if the picture has less. With a share below 1, of `shares` (height, width), a pixel keeps more.
    """
    own, theirs = grain(picture), max(grain(_middle(style)) for style in styles)
    if own <= theirs:
        return picture
    smooth = smoothed(picture)
    removable = own - grain(smooth)
    if removable <= 0:  # all differences are along edges of brightness
        return picture
    excess = np.float32(min(1.0, (own - theirs) / removable))
    return by_rows(
        lambda pixels, even, share: pixels + excess * share[..., None] * (even - pixels),
        picture, smooth, shares,
    )  # fmt: skip


def grain(picture: Pixels) -> float:
    """Return the root mean square of the difference in chroma from the 3x3 pixels around."""
    squares = 0.0
    for band, inner in _bands(picture, 1):
        chroma = _chroma(band)[1]
        mean = sum(_around(chroma)) / 9
        squares += float(np.square(chroma - mean)[inner].sum(dtype=np.float64))
    return float(np.sqrt(squares / picture.size))


def smoothed(picture: Pixels) -> Pixels:
    """Average the chroma of a picture over small areas of even brightness; keep the brightness."""
    return np.concatenate([_smoothed(band)[inner] for band, inner in _bands(picture, _PASSES)])


def _bands(picture: Pixels, margin: int) -> Iterator[tuple[Pixels, slice]]:
    """Yield bands of rows with a `margin` of rows above and below, and the place without it."""
    height, width, _ = picture.shape
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        above = max(0, top - margin)
        end = min(top + rows, height)
        yield picture[above : end + margin], slice(top - above, end - above)


def _chroma(picture: Pixels) -> tuple[Plane, Pixels]:
    """Return brightness (height, width) and chroma (height, width, 3)."""
    light: Plane = picture @ _BRIGHTNESS
    return light, picture - light[..., None]


def _smoothed(picture: Pixels) -> Pixels:
    light, chroma = _chroma(picture)
    weights = [np.exp(-np.abs(light - other) / _EVEN)[..., None] for other in _around(light)]
    total = sum(weights[1:], weights[0])
    for _ in range(_PASSES):
        chroma = sum(w * c for w, c in zip(weights, _around(chroma), strict=True)) / total
    smooth: Pixels = light[..., None] + chroma
    return smooth


def _around(plane: Plane) -> Iterator[Plane]:
    """Yield the values of each pixel's 3x3 neighbors, as arrays of the shape of `plane`."""
    height, width = plane.shape[:2]
    padded = np.pad(plane, [(1, 1), (1, 1)] + [(0, 0)] * (plane.ndim - 2), mode="edge")
    for row in range(3):
        for column in range(3):
            yield padded[row : row + height, column : column + width]


def _middle(picture: Pixels) -> Pixels:
    top, left = (max(0, (side - _MEASURED) // 2) for side in picture.shape[:2])
    return picture[top : top + _MEASURED, left : left + _MEASURED]
