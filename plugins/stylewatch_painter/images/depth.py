"""Bit depth: bits of a channel in the file, the value of white, and full 16-bit colors.

Pillow has no mode for colors of 16 bits and returns their high bytes. It has decoders for both
byte orders, though: asked for the other order than the file's, it returns the low bytes.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL import TiffImagePlugin as Tiff

from stylewatch_painter.images.metadata import orientation_of

_PNG_BITS_AT = 24
_TWELVE = 12
_BAND = 1 << 20  # pixels of a strip, about

WIDE = ("I", "F")
"""Pillow's modes of 32 bits a pixel."""

_WHITES = (1, 255, 65535, 2**31 - 1)
"""Usual values of white in 32-bit planes, which do not define it (1 only for floats)."""


@dataclass(frozen=True)
class Depth:
    """Format of the values in a file.

    `bits` of a channel in the file. `white` is the value of white in a gray plane of more than 8
    bits as Pillow returns it, None if the file does not define it. With `inverted` 0 is white.
    """

    bits: int = 8
    white: int | None = None
    inverted: bool = False


def depth_of(image: Image.Image, data: bytes) -> Depth:
    """The depth of a picture that was opened from `data` and is not loaded yet."""
    bits = _bits(image, data)
    tags = getattr(image, "tag_v2", {})
    if image.mode.startswith("I;16"):
        # Pillow brings every depth to 16 bits here, but for TIFF of 12.
        white = 4095 if tags and bits == _TWELVE else 65535
        return Depth(bits, white, tags.get(Tiff.PHOTOMETRIC_INTERPRETATION) == 0)
    return Depth(bits, 65535 if image.format == "PPM" and image.mode == "I" else None)


def _bits(image: Image.Image, data: bytes) -> int:
    if image.format == "PNG":
        return data[_PNG_BITS_AT]
    if image.format == "TIFF":
        return int(max(getattr(image, "tag_v2", {}).get(Tiff.BITSPERSAMPLE, (1,))))
    if image.format == "PPM":
        if image.mode == "I":
            return 16
        arguments = getattr(image, "tile", [])[0].args
        largest = arguments[-1] if isinstance(arguments, tuple) else 255  # kept if it is not 255
        return max(8, largest.bit_length()) if isinstance(largest, int) else 8
    return int(image.info.get("bit_depth", 8))


def likely_white(largest: float, *, floats: bool) -> int:
    """The smallest usual white of a 32-bit plane that `largest` does not exceed."""
    usual = _WHITES if floats else _WHITES[1:]
    return next((white for white in usual if largest <= white), usual[-1])


BITS = 16
"""Bits of a channel for which `exact_values` returns more than Pillow."""

_NATIVE = "L" if sys.byteorder == "little" else "B"
_OTHER = {"L": "B", "B": "L"}
_GRAY_AND_ALPHA = "LA;16B"


def exact_values(high: Image.Image, unloaded: Image.Image) -> NDArray[np.uint16] | None:
    """The values (height, width, 3), or 4 with alpha, 0..65535; None for another kind of picture.

    `high` is the picture as Pillow reads it, upright; `unloaded` the same, opened and not loaded.
    """
    raw = _raw_mode(unloaded)
    order = raw[-1].replace("N", _NATIVE)
    if raw == _GRAY_AND_ALPHA:
        values = np.empty((high.height, high.width, 4), dtype=np.uint16)
        for rows, strip in strips(_read_as("RGBA", unloaded)):
            four = np.asarray(strip).astype(np.uint16)  # all its bytes, one after the other
            values[rows, :, :3] = (four[..., 0] << 8 | four[..., 1])[..., None]
            values[rows, :, 3] = four[..., 2] << 8 | four[..., 3]
        return values
    if raw[:-1] not in ("RGB;16", "RGBA;16") or unloaded.mode != high.mode:
        return None
    if getattr(unloaded, "tag_v2", {}).get(Tiff.PLANAR_CONFIGURATION, 1) != 1:
        return None
    values = np.empty((high.height, high.width, len(high.getbands())), dtype=np.uint16)
    for rows, strip in strips(high):
        values[rows] = np.asarray(strip)
    values <<= 8
    for rows, strip in strips(_read_as(raw[:-1] + _OTHER[order], unloaded)):
        values[rows] |= np.asarray(strip)
    return values


def _raw_mode(image: Image.Image) -> str:
    """The decoder's name for the byte layout of the file's first tile."""
    tiles = getattr(image, "tile", [])
    arguments = tiles[0].args if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _read_as(raw: str, image: Image.Image) -> Image.Image:
    """Decode a picture with the byte layout `raw`; upright."""
    tiles = getattr(image, "tile", [])
    for at, tile in enumerate(tiles):
        arguments = (raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw
        tiles[at] = tile._replace(args=arguments)
    image.load()
    orientation_of(image)  # so that Pillow does not raise over damaged EXIF
    ImageOps.exif_transpose(image, in_place=True)
    return image


def strips(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """Yield strips of a loaded picture, from the top down, with their row ranges.

    Converting a whole picture from Pillow to NumPy makes two more copies.
    """
    width, height = image.size
    count = max(1, _BAND // width)
    for top in range(0, height, count):
        rows = slice(top, min(height, top + count))
        yield rows, image.crop((0, rows.start, width, rows.stop))
