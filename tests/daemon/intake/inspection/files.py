"""Files of every kind that can be read, as bytes: small ones, and some that mean harm."""

import io
import struct
import zlib
from functools import cache
from importlib import import_module
from importlib.util import find_spec
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


CAMERAS: dict[str, dict[str, Any]] = {
    **KINDS,
    "jpeg": {"format": "JPEG", "quality": 95},
    "progressive": {"format": "JPEG", "quality": 95, "progressive": True},
    "icc": {"format": "WEBP", "lossless": True, "icc_profile": b"profile" * 99},
    "deflated": {"format": "TIFF", "compression": "tiff_adobe_deflate"},
    **({"heic": {"format": "HEIF", "quality": 90}} if find_spec("pillow_heif") else {}),
}
"""As KINDS, in the quality that cameras and scanners write."""


@cache
def made(kind: str) -> bytes:
    """A picture of this kind, 13x9 pixels."""
    return saved(Image.fromarray(_NOISE), KINDS[kind])


@cache
def photograph(kind: str) -> bytes:
    """A picture of a kind in CAMERAS, 160x120 pixels."""
    rows, columns = np.mgrid[0:120, 0:160]
    waves = [128 + 90 * np.sin((a * rows + b * columns) / 9) for a, b in ((1, 2), (2, 1), (3, 1))]
    grain = np.random.default_rng(3).normal(0, 6, (120, 160, 3))
    pixels = (np.stack(waves, axis=-1) + grain).clip(1, 255).astype(np.uint8)
    if kind == "heic":  # directly: registering would change what Pillow opens in other tests
        picture = import_module("pillow_heif").from_pillow(Image.fromarray(pixels))
        file = io.BytesIO()
        picture.save(file, quality=90)
        return file.getvalue()
    return saved(Image.fromarray(pixels), CAMERAS[kind])


def with_thumbnail(jpeg: bytes, thumbnail: bytes) -> bytes:
    """A JPEG with a smaller one in its EXIF, as cameras write it."""
    at = 44  # behind both directories: an empty one, and that of the thumbnail
    entries = struct.pack("<HHIIHHII", 0x201, 4, 1, at, 0x202, 4, 1, len(thumbnail))
    directories = struct.pack("<HIH", 0, 14, 2) + entries + bytes(4)
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + directories + thumbnail
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif + jpeg[2:]


def saved(image: Image.Image, options: dict[str, Any]) -> bytes:
    """The file of a picture, by Pillow's `options`."""
    file = io.BytesIO()
    image.save(file, **options)
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
