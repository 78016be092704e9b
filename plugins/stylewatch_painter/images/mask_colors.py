"""The colors of a mask: those of its flat areas, whatever noise and soft edges lie between."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

MOST = 16
"""Regions of a mask."""

NEAR = 48
"""Colors are one that differ by no more of 255 in red, green and blue."""

_FLAT = 24  # from one pixel to the next; at an edge it is more
_LEAST = 1 / 2000  # of the mask: a color that covers less is a speck
_LOOKED_AT = 1024  # pixels of the long side: enough to find colors in
Color = tuple[int, int, int]
"""Red, green, blue, 0..255."""

BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)


def near(one: Color, other: Color) -> bool:
    """Whether two colors are meant to be one."""
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= NEAR


def is_gray(pixels: NDArray[np.uint8]) -> bool:
    """Whether a mask, uint8 (height, width, 3), is one of grays, but for specks."""
    spread = pixels.max(axis=2).astype(np.int16) - pixels.min(axis=2)
    return bool((spread > NEAR).mean() < _LEAST)


def regions_of(pixels: NDArray[np.uint8]) -> tuple[Color, ...]:
    """The colors of the regions of a mask, uint8 (height, width, 3), in an order of their own.

    White is the only one of a mask of grays. There is none where all is black, and one more than
    MOST where there are too many.
    """
    step = max(1, max(pixels.shape) // _LOOKED_AT)
    small = pixels[::step, ::step]
    if is_gray(small):
        return (WHITE,) if small.max() > NEAR else ()
    return tuple(sorted(_colors(small)))


def away(pixels: NDArray[np.uint8], color: Color) -> NDArray[np.int32]:
    """The squares of how far pixels (height, width, 3) are from a color, (height, width)."""
    found = np.zeros(pixels.shape[:2], dtype=np.int32)
    for channel in range(3):
        found += np.square(pixels[..., channel].astype(np.int32) - color[channel])
    return found


def _colors(small: NDArray[np.uint8]) -> Iterator[Color]:
    """The colors of flat areas, but black, the largest first; one more than MOST at most."""
    flat = small[_is_flat(small)].astype(np.int64)
    codes, counts = np.unique(flat @ np.array([1 << 16, 1 << 8, 1]), return_counts=True)
    colors = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1)
    found = 0
    while counts.size and found <= MOST:
        center = colors[counts.argmax()]
        group = np.abs(colors - center).max(axis=1) <= NEAR
        if counts[group].sum() < _LEAST * small.shape[0] * small.shape[1]:
            return
        if center.max() > NEAR:
            found += 1
            red, green, blue = center.tolist()
            yield red, green, blue
        colors, counts = colors[~group], counts[~group]


def _is_flat(small: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a pixel is like those to its right and below it, (height, width)."""
    flat = np.ones(small.shape[:2], dtype=np.bool_)
    wide = small.astype(np.int16)
    flat[:, :-1] &= np.abs(np.diff(wide, axis=1)).max(axis=2) <= _FLAT
    flat[:-1] &= np.abs(np.diff(wide, axis=0)).max(axis=2) <= _FLAT
    return flat
