"""Files of every kind that can be read, as bytes: small ones, and some that mean harm."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

_NOISE = np.random.default_rng(7).integers(0, 256, (9, 13, 3), dtype=np.uint8)

KINDS: dict[str, dict[str, Any]] = {
    "jpeg": {"format": "JPEG"},
    "progressive": {"format": "JPEG", "progressive": True},
    "png": {"format": "PNG"},
    "webp": {"format": "WEBP"},
    "lossless": {"format": "WEBP", "lossless": True},
    "gif": {"format": "GIF"},
    "bmp": {"format": "BMP"},
    "ppm": {"format": "PPM"},
    "avif": {"format": "AVIF"},
    "tiff": {"format": "TIFF"},
    "lzw": {"format": "TIFF", "compression": "tiff_lzw"},
    "big tiff": {"format": "TIFF", "big_tiff": True},
}


def made(kind: str) -> bytes:
    """A picture of this kind, 13x9 pixels."""
    file = io.BytesIO()
    Image.fromarray(_NOISE).save(file, **KINDS[kind])
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG, with its sum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, data: bytes = b"") -> bytes:
    """A PNG that says it has so many pixels, whatever it has."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + body + chunk(b"IEND", b"")


def endless_gif(pictures: int) -> bytes:
    """A GIF of that many pictures."""
    first = Image.fromarray(_NOISE).quantize(4)
    file = io.BytesIO()
    first.save(file, "GIF")
    head = file.getvalue()
    at = head.index(b",", 13 + 3 * 4)
    return head[:at] + head[at:-1] * pictures + b";"
