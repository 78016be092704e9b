"""What is transparent: filled with the colours around it for painting, or laid over white."""

import numpy as np

from stylewatch_painter.resize import resize
from stylewatch_painter.stage import Pixels, Plane

WHITE = np.float32(255)


def filled(pixels: Pixels, alpha: Plane) -> Pixels:
    """A picture (height, width, 3) in which hidden colours give way to visible ones nearby.

    A colour counts as far as it is seen (`alpha`, 0..1); the rest comes from a coarser picture
    of what is seen, and where that sees nothing from one coarser still (push and pull, Gortler
    and others, "The Lumigraph", 1996, section 3.4). White where nothing is seen at all.
    """
    if not alpha.any():
        return np.full_like(pixels, WHITE)
    if alpha.min() >= 1 or alpha.size == 1:
        return pixels
    seen = pixels * alpha[..., None]
    around = filled(*_coarser(seen, alpha))
    height, width = alpha.shape
    twice = (2 * around.shape[1], 2 * around.shape[0])
    near: Pixels = resize(around, twice, "bilinear")[:height, :width]
    return seen + (1 - alpha[..., None]) * near


def over_white(pixels: Pixels, alpha: Plane) -> Pixels:
    """The picture as it is seen on white."""
    return pixels * alpha[..., None] + WHITE * (1 - alpha[..., None])


def _coarser(seen: Pixels, alpha: Plane) -> tuple[Pixels, Plane]:
    """Half as large: the mean colour of what is seen of four pixels, and how much that is."""
    planes = np.concatenate([seen, alpha[..., None]], axis=-1)
    height, width = alpha.shape
    planes = np.pad(planes, ((0, height % 2), (0, width % 2), (0, 0)))
    four = planes.reshape(planes.shape[0] // 2, 2, planes.shape[1] // 2, 2, 4).sum(axis=(1, 3))
    whole = four[..., 3]
    colours = four[..., :3] / np.maximum(whole, np.float32(1e-6))[..., None]
    return colours, np.minimum(whole, 1)
