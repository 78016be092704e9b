"""Whether a file of pictures ends too early, by what its own structure says of its length.

It is asked of files that cannot be decoded, to tell one that is still on its way from one that
is damaged; so in doubt the answer may be either.
"""

import re
from collections.abc import Callable
from typing import Literal

_ZEROS = bytes(4096)
"""Some programs make a file in its full length first, and then fill it."""

_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
"""A marker of JPEG that is neither in the midst of a scan nor without a length."""

_PLAIN_HEAD = re.compile(rb"(?:\s|#[^\n]*+\n)*+(\d{1,10})(?!\d)")
"""A number in a head; blanks and comments before it are read once, however many there are."""

_TIFF_SIZES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)
"""Bytes of a value, by the number of its kind."""

_STRIPS = {273: "at", 324: "at", 279: "bytes", 325: "bytes"}
"""The tags of TIFF that say where the pixels are, of strips and of tiles."""


def is_cut_off(data: bytes) -> bool:
    """Whether `data`, which is no whole picture, is the beginning of one, or may become one."""
    if not data[: len(_ZEROS)].strip(b"\0"):
        return True
    for magic, at, lacks in _KINDS:
        head = data[at : at + len(magic)]
        if head == magic:
            return data.endswith(_ZEROS) or lacks(data)
        if len(data) < at + len(magic) and magic.startswith(head) and (head or data[:2] == b"\0\0"):
            return True
    return False


def _jpeg(data: bytes) -> bool:
    """There is no end of the image: segments are skipped, as thumbnails in them have ends."""
    at = 2
    while found := _MARKER.search(data, at):
        if found[0] == b"\xff\xd9":
            return False
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2])
    return True


def _png(data: bytes) -> bool:
    at = 8
    while at + 8 <= len(data):
        kind, at = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4])
        if kind == b"IEND" or not kind.isalpha():
            return kind == b"IEND" and at > len(data)
    return True


def _riff(data: bytes) -> bool:
    return 8 + int.from_bytes(data[4:8], "little") > len(data)


def _bmp(data: bytes) -> bool:
    """It is shorter than its head, than it says itself, or than where it says the pixels are."""
    named = (int.from_bytes(data[at : at + 4], "little") for at in (2, 10))
    return max(14, *named) > len(data)


def _gif(data: bytes) -> bool:
    """There is no end of the file; blocks are skipped."""
    at = 13 + _table(data, 10)
    while at < len(data):
        kind = data[at : at + 1]
        if kind == b",":
            at += 11 + _table(data, at + 9)
        elif kind == b"!":
            at += 2
        else:
            return False  # the end of the file, or nothing that may be there
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    return True


def _table(data: bytes, at: int) -> int:
    """Bytes of a table of colours by the flags in the byte `at`."""
    flags = data[at] if at < len(data) else 0
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _boxes(data: bytes) -> bool:
    """AVIF and HEIC: a box reaches beyond the end, or there is none with a picture's data."""
    at, kinds = 0, set()
    while at + 8 <= len(data):
        kinds.add(data[at + 4 : at + 8])
        size = int.from_bytes(data[at : at + 4])
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16])
        if size < len(b"sizekind"):
            return False  # 0: up to the end, wherever that is; else it is damaged
        at += size
    return at != len(data) or b"mdat" not in kinds


def _tiff(data: bytes) -> bool:
    """It ends before its first directory does, or before what that points at."""
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)

    is_big = b"+" in data[2:4]  # BigTIFF
    wide, counts = (8, 8) if is_big else (4, 2)
    first = number(wide, wide)
    entry, start = 4 + 2 * wide, first + counts
    end = start + entry * number(first, start - first)
    if first == 0 or end > len(data):
        return True
    values: dict[str, list[int]] = {}
    for at in range(start, end, entry):
        kind, many = number(at + 2, 2), number(at + 4, wide)
        size = _TIFF_SIZES[kind] if kind < len(_TIFF_SIZES) else 0
        held = at + 4 + wide
        where = held if size * many <= wide else number(held, wide)
        if where + size * many > len(data):
            return True
        if what := _STRIPS.get(number(at, 2)):
            values[what] = [number(where + size * one, size) for one in range(many)]
    strips = zip(values.get("at", []), values.get("bytes", []), strict=False)
    return any(at + many > len(data) for at, many in strips)


def _plain(data: bytes) -> bool:
    """PBM, PGM, PPM: fewer values than width, height and kind ask for."""
    kind, numbers, at = data[1:2], [], 2
    for _ in range(2 if kind in b"14" else 3):
        if (found := _PLAIN_HEAD.match(data, at)) is None:
            return not data[at:].strip()  # else there is something that may not be there
        numbers.append(int(found[1]))
        at = found.end()
    width, height, most = (*numbers, 1)[:3]
    values = width * height * (3 if kind in b"36" else 1)
    if kind == b"4":
        return len(data) < at + 1 + (width + 7) // 8 * height
    if kind in b"56":
        return len(data) < at + 1 + values * ((most.bit_length() + 7) // 8)
    if kind == b"1":
        return data.count(b"0", at) + data.count(b"1", at) < values
    return sum(1 for _ in re.finditer(rb"\S+", data[at:])) < values


_KINDS: tuple[tuple[bytes, int, Callable[[bytes], bool]], ...] = (
    (b"\xff\xd8\xff", 0, _jpeg),
    (b"\x89PNG\r\n\x1a\n", 0, _png),
    (b"RIFF", 0, _riff),
    (b"II*\0", 0, _tiff),
    (b"MM\0*", 0, _tiff),
    (b"II+\0", 0, _tiff),
    (b"MM\0+", 0, _tiff),
    (b"GIF8", 0, _gif),
    (b"BM", 0, _bmp),
    (b"ftyp", 4, _boxes),
    *((b"P%d" % number, 0, _plain) for number in range(1, 7)),
)
"""How a file of each kind begins, from which byte on, and what tells that it lacks something."""
