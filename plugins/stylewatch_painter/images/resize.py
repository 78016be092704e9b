"""Resizing of float pictures and planes with Pillow's filters."""

from typing import Literal

import numpy as np
from PIL import Image

from stylewatch_painter.size import Size
from stylewatch_painter.stage import Bytes, Pixels, Plane

Resample = Literal["nearest", "bilinear", "bicubic", "lanczos"]

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def resize(
    pixels: Pixels | Bytes,
    size: tuple[int, int],
    resample: Resample = "lanczos",
    *,
    eight_bit: bool = False,
) -> Pixels:
    """Resize a picture (height, width, 3) to `size` (width, height) in pixels, as float32.

    Floats are neither rounded nor clipped: a filter may overshoot 0..255. With `eight_bit` the
    picture is clipped and rounded to 8 bits before it is resized. A picture that already has the
    size is only converted to float32, even with `eight_bit`. Integers are converted channel by
    channel to save memory.
    """
    if size == Size.of(pixels):
        return pixels.astype(np.float32, copy=False)
    if eight_bit:
        rounded = np.rint(np.clip(pixels, 0, 255)).astype(np.uint8)
        resized = Image.fromarray(rounded).resize(size, _FILTERS[resample])
        return np.asarray(resized).astype(np.float32)
    return np.stack([_resized(pixels[..., c], size, resample) for c in range(3)], axis=2)


def resize_plane(plane: Plane, size: tuple[int, int], resample: Resample = "bilinear") -> Plane:
    """Resize an alpha channel or mask, float32 (height, width), and clip the result to 0..1.

    A plane that already has the `size` (width, height) is returned unchanged.
    """
    if size == Size.of(plane):
        return plane
    return np.clip(_resized(plane, size, resample), 0, 1)


def _resized(plane: Plane | Bytes, size: tuple[int, int], resample: Resample) -> Plane:
    image = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
    return np.asarray(image.resize(size, _FILTERS[resample]))
