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
    """A PNG of these chunks."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (*chunks, (b"IEND", b""))
    )


def png(picture: Deep, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG without filters, of gray with alpha (2 channels), RGB (3) or RGBA (4).

    `chunks` come before the pixels.
    """
    height, width, channels = picture.shape
    head = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in picture)
    return chunked((b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)))


def tiff(picture: Deep, *, big: bool = False, packed: bool = False) -> bytes:
    """A TIFF in one strip, high or low bytes first, deflated or not."""
    height, width, channels = picture.shape
    end = ">" if big else "<"
    strip = picture.astype(end + "u2").tobytes()
    strip = zlib.compress(strip) if packed else strip
    alpha = [(338, 1, 2)] if channels == 4 else []
    bits = 8 + 2 + 12 * (9 + len(alpha)) + 4  # where they are: behind the table
    fields = [(256, 1, width), (257, 1, height), (258, channels, bits),
              (259, 1, 8 if packed else 1), (262, 1, 2), (273, 1, bits + 4 * channels),
              (277, 1, channels), (278, 1, height), (279, 1, len(strip)), *alpha]  # fmt: skip
    table = b"".join(struct.pack(end + "HHLL", tag, 4, *field) for tag, *field in fields)
    head = (b"MM\0*" if big else b"II*\0") + struct.pack(end + "LH", 8, len(fields))
    return head + table + bytes(4) + struct.pack(f"{end}{channels}L", *[16] * channels) + strip
