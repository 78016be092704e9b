"""Boxes of files in the ISO base media format (ISO 14496-12): AVIF, HEIC, JPEG XL."""

import struct
from collections.abc import Iterator
from contextlib import suppress

_MAX_BOXES = 10_000
"""Number of boxes that are looked at in one file."""

Numbers = tuple[int, int]
"""Primaries and transfer function by ITU-T H.273."""


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kinds and bodies of boxes; the last one may be cut off."""
    at = 0
    for _ in range(_MAX_BOXES):
        length, kind, head = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8], 8
        if length == 1:
            length, head = int.from_bytes(data[at + 8 : at + 16]), 16
        length = length or len(data) - at
        if not kind or length < head:
            return
        yield kind, data[at + head : at + length]
        at += length


def nclx(data: bytes) -> Numbers | None:
    """Return the numbers of the box `colr` of the primary item (ISO 23008-12, 6.5.5)."""
    with suppress(IndexError, struct.error):
        meta = next((body for kind, body in boxes(data) if kind == b"meta"), b"")
        parts = dict(boxes(meta[4:]))
        primary = _primary_item(parts.get(b"pitm", b""))
        inner = dict(boxes(parts.get(b"iprp", b"")))
        properties = list(boxes(inner.get(b"ipco", b"")))
        for number in _properties_of(primary, inner.get(b"ipma", b"")):
            kind, body = properties[number - 1]
            if number and kind == b"colr" and body[:4] == b"nclx":
                primaries, transfer = struct.unpack_from(">HH", body, 4)
                return primaries, transfer
    return None


def _primary_item(body: bytes) -> int:
    return int.from_bytes(body[4:6] if body[:1] == b"\0" else body[4:8])


def _properties_of(item: int, body: bytes) -> Iterator[int]:
    """Yield the numbers, from 1 on, of the properties that are associated with an item."""
    is_long, is_wide, at = body[0] > 0, body[3] & 1, 8
    for _ in range(min(int.from_bytes(body[4:8]), _MAX_BOXES)):
        size = 4 if is_long else 2
        owner, count = int.from_bytes(body[at : at + size]), body[at + size]
        at += size + 1
        for _ in range(count):
            number = int.from_bytes(body[at : at + 2]) & 0x7FFF if is_wide else body[at] & 0x7F
            at += 2 if is_wide else 1
            if owner == item:
                yield number
