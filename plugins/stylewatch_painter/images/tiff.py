"""Writes TIFF files of 8 or 16 bits a channel, with alpha, profile and EXIF: TIFF 6.0."""

import io
import zlib
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray
from PIL import TiffTags
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from stylewatch_painter.images.metadata import Tags

Values = NDArray[np.uint8] | NDArray[np.uint16]

_HEAD = b"II\x2a\x00\x08\x00\x00\x00"  # low bytes first; the directory follows at once
_STRIP = 1 << 16  # bytes, about: what readers like to have at once
_DEFLATE, _RGB, _HORIZONTAL, _STRAIGHT_ALPHA = 8, 2, 2, 2
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_OFFSETS, _CHANNELS, _ROWS, _COUNTS, _ARRANGED = 273, 277, 278, 279, 284
_PREDICTOR, _EXTRA, _PROFILE = 317, 338, 34675


def tiff_of(values: Values, profile: bytes, tags: Tags) -> bytes:
    """The file of `values` (height, width, 3 or 4), whose colors `profile` describes."""
    height, width, channels = values.shape
    rows = max(1, min(height, _STRIP // (width * channels * values.itemsize)))
    strips = [_packed(values[top : top + rows]) for top in range(0, height, rows)]
    counts = tuple(len(strip) for strip in strips)
    told = {
        **tags.texts(),
        **tags.resolution(),
        _WIDTH: width,
        _HEIGHT: height,
        _BITS: (8 * values.itemsize,) * channels,
        _COMPRESSION: _DEFLATE,
        _PHOTOMETRIC: _RGB,
        _OFFSETS: tuple(accumulate(counts[:-1], initial=0)),  # from the end of the directory
        _CHANNELS: channels,
        _ROWS: rows,
        _COUNTS: counts,
        _ARRANGED: 1,
        _PREDICTOR: _HORIZONTAL,
        _PROFILE: profile,
        **({_EXTRA: _STRAIGHT_ALPHA} if channels == len("RGBA") else {}),
        **tags.below(),
    }
    directory = ImageFileDirectory_v2(_HEAD)
    for tag in (_OFFSETS, _COUNTS):
        directory.tagtype[tag] = TiffTags.LONG
    for tag, value in told.items():
        directory[tag] = value
    content = io.BytesIO()
    directory.save(content)
    return b"".join([content.getvalue(), *strips])


def _packed(rows: Values) -> bytes:
    """Rows of the picture, each value as what it is more than its left neighbor's."""
    more = rows.copy()
    more[:, 1:] -= rows[:, :-1]
    return zlib.compress(more.astype(more.dtype.newbyteorder("<")).tobytes())
