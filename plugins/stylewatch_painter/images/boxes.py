"""Boxes of files in the ISO base media format (ISO 14496-12): AVIF, HEIC, JPEG XL."""

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

_MAX_BOXES = 10_000
"""Maximum number of boxes that are read in one file."""

Numbers = tuple[int, int]
"""Numbers of the primaries and of the transfer function in ITU-T H.273."""


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the type, 4 bytes, and the body of each box in `data`.

    The iteration ends at a damaged box, and after _MAX_BOXES boxes. The body of the last box may be
    truncated.
    """
    at = 0
    for _ in range(_MAX_BOXES):
        length = int.from_bytes(data[at : at + 4])
        kind = data[at + 4 : at + 8]
        head = 8
        if length == 1:
            length = int.from_bytes(data[at + 8 : at + 16])
            head = 16
        length = length or len(data) - at
        if not kind or length < head:
            return
        yield kind, data[at + head : at + length]
        at += length


@dataclass(frozen=True)
class Item:
    """A picture in a file, with the types and bodies of the boxes that state its properties.

    `is_premultiplied` is True if the colors are multiplied by alpha (ISO 23008-12, 6.4.4, `prem`).
    """

    properties: tuple[tuple[bytes, bytes], ...] = ()
    is_premultiplied: bool = False

    @property
    def numbers(self) -> Numbers | None:
        """The numbers in a `colr` box of the type `nclx` (ISO 23008-12, 6.5.5); None without it."""
        for kind, body in self.properties:
            if kind == b"colr" and body[:4] == b"nclx" and len(body) >= struct.calcsize(">4sHH"):
                primaries, transfer = struct.unpack_from(">HH", body, 4)
                return primaries, transfer
        return None

    @property
    def is_gray(self) -> bool:
        """True if the picture has one channel beside alpha (`pixi`, ISO 23008-12, 6.5.6)."""
        return any(kind == b"pixi" and body[4:5] == b"\1" for kind, body in self.properties)

    @property
    def is_turned(self) -> bool:
        """True if readers must rotate or mirror the picture (`irot`, `imir`, 6.5.10 and 6.5.12)."""
        return any(
            kind == b"imir" or (kind == b"irot" and body[:1] != b"\0")
            for kind, body in self.properties
        )


def primary(data: bytes) -> Item:
    """Return the primary item of a file.

    The item has no properties if its boxes are missing or damaged.
    """
    with suppress(IndexError):
        meta = next((body for kind, body in boxes(data) if kind == b"meta"), b"")
        parts = dict(boxes(meta[4:]))
        item = _primary_item(parts.get(b"pitm", b""))
        inner = dict(boxes(parts.get(b"iprp", b"")))
        every = list(boxes(inner.get(b"ipco", b"")))
        numbers = _properties_of(item, inner.get(b"ipma", b""))
        properties = tuple(every[number - 1] for number in numbers if number)
        return Item(properties, _is_premultiplied(item, parts.get(b"iref", b"")))
    return Item()


def _is_premultiplied(item: int, references: bytes) -> bool:
    size = 4 if references[:1] == b"\1" else 2
    return any(
        kind == b"prem" and int.from_bytes(body[:size]) == item
        for kind, body in boxes(references[4:])
    )


def _primary_item(body: bytes) -> int:
    return int.from_bytes(body[4:6] if body[:1] == b"\0" else body[4:8])


def _properties_of(item: int, body: bytes) -> Iterator[int]:
    """Yield the indices, from 1, of an item's properties in the `body` of an `ipma` box.

    An index of 0 stands for no property. Raises IndexError if the body is truncated.
    """
    is_long = body[0] > 0
    is_wide = body[3] & 1
    at = 8
    for _ in range(min(int.from_bytes(body[4:8]), _MAX_BOXES)):
        size = 4 if is_long else 2
        owner = int.from_bytes(body[at : at + size])
        count = body[at + size]
        at += size + 1
        for _ in range(count):
            number = int.from_bytes(body[at : at + 2]) & 0x7FFF if is_wide else body[at] & 0x7F
            at += 2 if is_wide else 1
            if owner == item:
                yield number
