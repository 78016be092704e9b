"""Brings gray pictures, of 1 bit to 32 bits and floats, to RGB floats without rounding."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import icc
from stylewatch_painter.images.decode import Raster
from stylewatch_painter.images.depth import likely_white
from stylewatch_painter.stage import Pixels, Plane

WIDE = ("I", "F")
"""Modes of 32 bits a pixel."""

GRAY = ("1", "L", "LA", "I;16", "I;16L", "I;16B", "I;16N", *WIDE)
"""Pillow's modes that hold one plane of gray."""


def from_gray(image: Image.Image, raster: Raster) -> tuple[Pixels, tuple[str, ...]]:
    """A picture in one of the modes `GRAY` in sRGB, and what was done to it.

    Raises:
        PictureError: it holds values that are no numbers.
    """
    plane, said = _plane(image, raster)
    profile = image.info.get("icc_profile")
    curve = None
    if profile:
        curve, about = _curve(profile)
        said += about
    if curve is None:
        return np.repeat(plane[..., None], 3, axis=2), said
    # A curve goes between its points too, so that what is finer than 8 bits stays so.
    levels = np.arange(256)
    channels = [np.interp(plane, levels, curve[:, c]).astype(np.float32) for c in range(3)]
    return np.stack(channels, axis=2), said


def _plane(image: Image.Image, raster: Raster) -> tuple[Plane, tuple[str, ...]]:
    """The plane (height, width), 0..255, in full precision."""
    if image.mode == "1":
        return np.asarray(image.convert("L")).astype(np.float32), ("black and white to RGB",)
    if image.mode in ("L", "LA"):
        return np.asarray(image.getchannel(0)).astype(np.float32), ("gray to RGB",)
    values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all():
        raise PictureError("holds values that are no numbers; export it again with 8 or 16 bits")
    white = raster.depth.white or likely_white(values.max(), floats=image.mode == "F")
    if raster.depth.inverted:
        values = white - values
    plane = np.clip(values * (255 / white), 0, 255).astype(np.float32)
    bits = "float" if image.mode == "F" else f"{raster.depth.bits}-bit"
    return plane, (f"{bits} gray to RGB, unrounded, white at {white}",)


def _curve(profile: bytes) -> tuple[NDArray[np.uint8] | None, tuple[str, ...]]:
    try:
        curve = icc.gray_curve(profile)
        return curve, () if curve is None else (icc.phrase(profile),)
    except icc.ProfileError:
        return None, (icc.left_out("sRGB gray"),)
