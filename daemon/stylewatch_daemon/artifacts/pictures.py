"""Reads a picture of a painting to the size that it is shown in: one is held whole at a time."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from stylewatch_daemon.artifacts.contract import Seen
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import sheet
from stylewatch_painter.images.decode import Raster, decoded, decoding
from stylewatch_painter.images.encode import over_white
from stylewatch_painter.images.read import file_bytes, to_floats
from stylewatch_painter.images.reduced import Enough, within
from stylewatch_painter.stage import Pixels

_PLAIN = ("L", "RGB", "RGBA")
_FINER = 2
"""So many times as fine as it is shown is what the last and best way of shrinking gets."""


def small(seen: Seen, side: int, max_pixels: int) -> Pixels | None:
    """The picture on white, float32 (height, width, 3), 0..255, no side longer than `side`.

    None where it is not there, or is no longer the one that it was. Raises PictureError where it
    cannot be decoded.
    """
    for path in map(Path, seen.paths):
        try:
            data = file_bytes(path)
        except PictureError:
            continue
        if seen.sha256 in ("", hashlib.sha256(data).hexdigest()):
            with decoding(path.name, data):
                raster = decoded(data, max_pixels, enough=Enough(within(side)))
                pixels, alpha, _ = to_floats(_coarser(raster, side))
            return sheet.shrunk(pixels if alpha is None else over_white(pixels, alpha), side)
    return None


def _coarser(raster: Raster, side: int) -> Raster:
    """A much larger picture brought near to that side, while its pixels are bytes still."""
    factor = max(raster.image.size) // (_FINER * side)
    if factor < _FINER or raster.image.mode not in _PLAIN:
        return raster
    return replace(raster, image=raster.image.reduce(factor))


def image_of(pixels: Pixels) -> Image.Image:
    """The same, as Pillow has it."""
    return Image.fromarray(np.rint(pixels.clip(0, 255)).astype(np.uint8))
