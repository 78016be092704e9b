"""What is transparent: filled with the colors around it for painting, or laid over white."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stylewatch_painter.stage import Pixels, Plane

WHITE = np.float32(255)
_ROWS = 512  # that are worked on at a time; even


def filled(pixels: Pixels, alpha: Plane) -> Pixels:
    """A picture (height, width, 3) in which hidden colors give way to visible ones nearby.

    A color counts as far as it is seen (`alpha`, 0..1); the rest comes from a coarser picture
    of what is seen, and where that sees nothing from one coarser still (push and pull, Gortler
    and others, "The Lumigraph", 1996, section 3.4). White where nothing is seen at all.

    `pixels` is overwritten: a copy of a large picture takes much memory.
    """
    if not alpha.any():
        return np.full_like(pixels, WHITE)
    if alpha.min() >= 1 or alpha.size == 1:
        return pixels
    seen = np.multiply(pixels, alpha[..., None], out=pixels)
    around = filled(*_coarser(seen, alpha))
    for channel in range(3):
        _lay_under(seen[..., channel], alpha, around[..., channel])
    return seen


def _lay_under(seen: Plane, alpha: Plane, around: Plane) -> None:
    """Add to a channel, as far as it is hidden, one that is half as large."""
    height, width = alpha.shape
    coarse = Image.fromarray(np.ascontiguousarray(around))
    near = coarse.resize((2 * coarse.width, 2 * coarse.height), Image.Resampling.BILINEAR)
    for top in range(0, height, _ROWS):
        hidden = 1 - alpha[top : top + _ROWS]
        part = near.crop((0, top, width, top + len(hidden)))
        seen[top : top + _ROWS] += hidden * np.asarray(part)


def over_white(pixels: Pixels, alpha: Plane) -> Pixels:
    """The picture as it is seen on white."""
    return pixels * alpha[..., None] + WHITE * (1 - alpha[..., None])


def _coarser(seen: Pixels, alpha: Plane) -> tuple[Pixels, Plane]:
    """Half as large: the mean color of what is seen of four pixels, and how much that is."""
    height, width = alpha.shape
    four: NDArray[np.float32] = np.empty(((height + 1) // 2, (width + 1) // 2, 4), dtype=np.float32)
    for top in range(0, height, _ROWS):
        rows = slice(top, top + _ROWS)
        four[top // 2 : (top + _ROWS) // 2] = _fours(seen[rows], alpha[rows])
    whole = four[..., 3]
    visible: Plane = np.maximum(whole, 1e-6, dtype=np.float32)
    colors: Pixels = np.divide(four[..., :3], visible[..., None], dtype=np.float32)
    return colors, np.minimum(whole, 1)


def _fours(seen: Pixels, alpha: Plane) -> NDArray[np.float32]:
    """The sums over two by two pixels of colors and alpha, (height / 2, width / 2, 4)."""
    planes = np.concatenate([seen, alpha[..., None]], axis=-1)
    height, width = alpha.shape
    planes = np.pad(planes, ((0, height % 2), (0, width % 2), (0, 0)))
    found: NDArray[np.float32] = planes.reshape(
        planes.shape[0] // 2, 2, planes.shape[1] // 2, 2, 4
    ).sum(axis=(1, 3))
    return found
