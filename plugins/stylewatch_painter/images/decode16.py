"""Reads colors of 16 bits a channel whole, of which Pillow hands out the high bytes only.

Pillow has no mode for such colors, but decoders for both orders of bytes: asked for the order
that the file does not have, they hand out the low bytes. All of Pillow's checks hold as ever.
"""

import sys

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from stylewatch_painter.images.bands import strips

BITS = 16
"""A channel of the pictures that this is about."""

_NATIVE = "L" if sys.byteorder == "little" else "B"
_OTHER = {"L": "B", "B": "L"}
_GRAY_AND_ALPHA = "LA;16B"
_PLANAR = 284


def whole(high: Image.Image, again: Image.Image) -> NDArray[np.uint16] | None:
    """The values (height, width, 3), or 4 with alpha, 0..65535; None where it is of another kind.

    `high` is the picture as Pillow reads it, upright; `again` the same, opened and not loaded.
    """
    raw = _raw_mode(again)
    order = raw[-1].replace("N", _NATIVE)
    if raw == _GRAY_AND_ALPHA:
        values = np.empty((high.height, high.width, 4), dtype=np.uint16)
        for rows, strip in strips(_read_as("RGBA", again)):
            four = np.asarray(strip).astype(np.uint16)  # all its bytes, one after the other
            values[rows, :, :3] = (four[..., 0] << 8 | four[..., 1])[..., None]
            values[rows, :, 3] = four[..., 2] << 8 | four[..., 3]
        return values
    if raw[:-1] not in ("RGB;16", "RGBA;16") or again.mode != high.mode:
        return None
    if getattr(again, "tag_v2", {}).get(_PLANAR, 1) != 1:  # each channel for itself
        return None
    values = np.empty((high.height, high.width, len(high.getbands())), dtype=np.uint16)
    for rows, strip in strips(high):
        values[rows] = np.asarray(strip)
    values <<= 8
    for rows, strip in strips(_read_as(raw[:-1] + _OTHER[order], again)):
        values[rows] |= np.asarray(strip)
    return values


def _raw_mode(image: Image.Image) -> str:
    """How a decoder calls the arrangement of the bytes in the file; of several tiles the first."""
    tiles = getattr(image, "tile", [])
    arguments = tiles[0].args if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _read_as(raw: str, image: Image.Image) -> Image.Image:
    """What a decoder makes of the picture with the bytes arranged as `raw` has it; upright."""
    tiles = getattr(image, "tile", [])
    for at, tile in enumerate(tiles):
        arguments = (raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw
        tiles[at] = tile._replace(args=arguments)
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    return image
