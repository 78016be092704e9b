"""Writes PNG files of 16 bits a channel, which Pillow does not: W3C PNG, third edition."""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stylewatch_painter.images.metadata import Tags

MARK = b"\x89PNG\r\n\x1a\n"
_COLOR, _WITH_ALPHA, _DEPTH = 2, 6, 16
_FILTERS = 5  # none, left, above, mean of both, Paeth's guess: section 9.2
_METER = 0.0254  # an inch of it
_BAND = 1 << 20  # values that are filtered at a time


def png_of(values: NDArray[np.uint16], profile: bytes, tags: Tags) -> bytes:
    """The file of `values` (height, width, 3 or 4), 0..65535, whose colors `profile` describes."""
    height, width, channels = values.shape
    kind = _WITH_ALPHA if channels == len("RGBA") else _COLOR
    chunks = [
        chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, _DEPTH, kind, 0, 0, 0)),
        chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)),
    ]
    if tags.dpi is not None:
        across, down = (round(one / _METER) for one in tags.dpi)
        chunks.append(chunk(b"pHYs", struct.pack(">IIB", across, down, 1)))
    if exif := tags.exif():
        chunks.append(chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")))
    packer = zlib.compressobj()
    packed = b"".join([*(packer.compress(band) for band in _filtered(values)), packer.flush()])
    return b"".join([MARK, *chunks, chunk(b"IDAT", packed), chunk(b"IEND", b"")])


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG, with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _filtered(values: NDArray[np.uint16]) -> Iterator[bytes]:
    """Its rows, each by the filter that leaves the smallest numbers, as section 12.7 advises."""
    height, width, channels = values.shape
    rows = max(1, _BAND // (width * channels))
    apart = 2 * channels  # bytes of a pixel
    above = np.zeros((1, 2 * width * channels), dtype=np.uint8)
    for top in range(0, height, rows):
        big = values[top : top + rows].astype(">u2")
        here = big.view(np.uint8).reshape(len(big), -1)
        yield _best(here, np.concatenate([above, here[:-1]]), apart).tobytes()
        above = here[-1:]


def _best(here: NDArray[np.uint8], above: NDArray[np.uint8], apart: int) -> NDArray[np.uint8]:
    """Rows (n, 1 + bytes), the number of the filter first."""
    left, corner = (np.pad(one, ((0, 0), (apart, 0)))[:, :-apart] for one in (here, above))
    a, b, c = (one.astype(np.int16) for one in (left, above, corner))
    guess = a + b - c
    away = [np.abs(guess - one) for one in (a, b, c)]
    nearest = np.where(away[1] <= away[2], b, c)
    paeth = np.where((away[0] <= away[1]) & (away[0] <= away[2]), a, nearest)
    guesses = (0 * a, a, b, (a + b) // 2, paeth)
    best = np.zeros((len(here), here.shape[1] + 1), dtype=np.uint8)
    least = np.full(len(here), np.inf)
    for number, one in zip(range(_FILTERS), guesses, strict=True):
        rest = here - one.astype(np.uint8)
        size = np.abs(rest.view(np.int8).astype(np.int16)).sum(axis=1)
        better = size < least
        least[better] = size[better]
        best[better, 0], best[better, 1:] = number, rest[better]
    return best
