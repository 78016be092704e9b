"""TIFF and HEIC files of four squares, with tags that few programs write."""

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

COLORS = np.array([
    [[220, 40, 40], [40, 180, 60]],
    [[40, 60, 210], [230, 200, 50]],
])  # fmt: skip
"""Colors of the four squares, (2, 2, 3)."""


def large(values: NDArray[Any], side: int = 20) -> NDArray[Any]:
    return values.repeat(side, 0).repeat(side, 1)


FULL = large(COLORS).astype(np.uint8)
SMALL = FULL[::4, ::4] // 2
MOSAIC = FULL[..., 1:2].astype(np.uint16) * 16

Entry = tuple[int, int, tuple[int, ...]]
"""Tag, type (1: 8 bits, 3: 16 bits, 4: 32 bits) and values of an entry."""


def directory(at: int, entries: list[Entry], following: int = 0) -> bytes:
    """Return a directory for the place `at` in a TIFF; long values follow the directory."""
    body, long = struct.pack("<H", len(entries)), b""
    beyond = at + 2 + 12 * len(entries) + 4
    for tag, kind, values in sorted(entries):
        packed = struct.pack(f"<{len(values)}{'_B_HI'[kind]}", *values)
        if len(packed) > 4:
            packed, long = struct.pack("<I", beyond + len(long)), long + packed
        body += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    return body + struct.pack("<I", following) + long


def entries(values: NDArray[Any], at: int, photometric: int = 2, *more: Entry) -> list[Entry]:
    """Return the entries of a page; `more` replace those with the same tags."""
    height, width, bands = values.shape
    bits = 8 * values.dtype.itemsize
    usual: list[Entry] = [
        (256, 4, (width,)), (257, 4, (height,)), (258, 3, (bits,) * bands), (259, 3, (1,)),
        (262, 3, (photometric,)), (273, 4, (at,)), (277, 3, (bands,)), (278, 4, (height,)),
        (279, 4, (values.nbytes,)),
    ]  # fmt: skip
    return [*{entry[0]: entry for entry in (*usual, *more)}.values()]


Page = tuple[NDArray[Any], int, list[Entry]]
"""Values, photometric interpretation and further entries of a page of a TIFF."""


def tiff(*pages: Page, order: bytes = b"II*\0") -> bytes:
    """Return a TIFF of these pages."""
    pixels, places = b"", []
    for values, _, _ in pages:
        places.append(8 + len(pixels))
        pixels += values.tobytes()
    at, body = 8 + len(pixels), b""
    for number, (values, photometric, more) in enumerate(pages):
        given = entries(values, places[number], photometric, *more)
        alone = directory(at + len(body), given)
        is_last = number == len(pages) - 1
        body += directory(at + len(body), given, 0 if is_last else at + len(body) + len(alone))
    return order + struct.pack("<I", at) + pixels + body


def heic(primaries: int, transfer: int, values: NDArray[np.uint16]) -> bytes:
    import pillow_heif

    made, content = pillow_heif.from_bytes, io.BytesIO()
    height, width, _ = values.shape
    picture = made("RGB;16", (width, height), values.astype("<u2").tobytes())
    picture.save(content, quality=-1, color_primaries=primaries, matrix_coefficients=1,
                 transfer_characteristics=transfer, full_range_flag=1)  # fmt: skip
    return content.getvalue()
