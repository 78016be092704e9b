"""Pictures of 16 bits a channel, and files of them that other programs write."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

Deep = NDArray[np.uint16]


def values(channels: int = 3, shape: tuple[int, int] = (9, 14)) -> Deep:
    drawn = np.random.default_rng(3).integers(0, 65536, (*shape, channels))
    return drawn.astype(np.uint16)


def chunked(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG of these `chunks`, each of kind and data, and of IEND."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (*chunks, (b"IEND", b""))
    )


def png(picture: Deep, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a 16-bit PNG without filters, of gray with alpha (2 channels), RGB (3) or RGBA (4).

    `chunks` come before the pixels.
    """
    height, width, channels = picture.shape
    head = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in picture)
    return chunked((b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)))
