"""Whether a file of pictures ends too early, by what its own structure says of its length.

`is_cut_off` is for files that cannot be decoded: it tells one that is still on its way from one
that is damaged, so in doubt the answer may be either. `lacks_end` is for files that can be decoded:
many decoders fill what is missing with gray or black and report no error.
"""

import re
from collections.abc import Callable
from typing import Literal

_ZEROS = bytes(4096)
"""Some programs make a file in its full length first, and then fill it."""

_RUN = 32
"""Zero bytes at the end of a file that count as not written yet.

Compressed data has no such run but over plain areas, and the longest that the end of a directory
of TIFF has is 23. What is missing of a file that ends in fewer is at most ten pixels, and
programs stall at the borders of blocks of 512 bytes or more. A whole picture that ends so, as an
uncompressed one with a black lower edge does, only waits for `watch.truncated_s`.
"""

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
            return data.endswith(bytes(_RUN)) or lacks(data)
        if len(data) < at + len(magic) and magic.startswith(head) and (head or data[:2] == b"\0\0"):
            return True
    return False


def lacks_end(data: bytes) -> bool:
    """Whether the picture in `data`, which can be decoded, may still lack its last bytes.

    JPEG, PNG and GIF mark their end; what comes behind that mark is no part of the picture. Of the
    others a picture that ends in a run of zeros may be a file that is not filled yet.
    """
    for magic, at, lacks in _KINDS:
        if data[at : at + len(magic)] == magic:
            if lacks in _MARKED:
                return lacks(data)
            end = _ENDS[lacks](data) if lacks in _ENDS else len(data)
            return lacks(data) or not (data[max(0, end - _RUN) : end] + data[end:]).strip(b"\0")
    return data.endswith(bytes(_RUN))


def _jpeg(data: bytes) -> bool:
    """There is no end of the image: segments are skipped, as thumbnails in them have ends.

    Where the file should have a second picture (MPF), there must be more than zeros behind it.
    """
    at = 2
    while found := _MARKER.search(data, at):
        if found[0] == b"\xff\xd9":
            rest = data[found.end() :]
            several = data.find(b"MPF\0", 0, found.end()) >= 0
            return several and len(rest) >= _RUN and not rest.strip(b"\0")
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2])
    return True


def _png(data: bytes) -> bool:
    at = 8
    while at + 8 <= len(data):
        start, kind = at, data[at + 4 : at + 8]
        at += 12 + int.from_bytes(data[at : at + 4])
        if kind == b"IEND":
            return at > len(data)
        if not kind.isalpha():
            return not data[start:].strip(b"\0")
    return True


def _riff(data: bytes) -> bool:
    return _riff_end(data) > len(data)


def _riff_end(data: bytes) -> int:
    return 8 + int.from_bytes(data[4:8], "little")


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
        else:  # the end of the file, zeros in its place, or nothing that may be there
            return kind == b"\0" and not data[at:].strip(b"\0")
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    return True


def _table(data: bytes, at: int) -> int:
    """Bytes of a table of colors by the flags in the byte `at`."""
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
    return _tiff_end(data) > len(data)


def _tiff_end(data: bytes) -> int:
    """Where its first directory ends, and all that it points at; beyond it if that is missing."""
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)

    is_big = b"+" in data[2:4]  # BigTIFF
    wide, counts = (8, 8) if is_big else (4, 2)
    first = number(wide, wide)
    entry, start = 4 + 2 * wide, first + counts
    end = start + entry * number(first, start - first)
    if first == 0 or end > len(data):
        return len(data) + 1
    last = end
    values: dict[str, list[int]] = {}
    for at in range(start, end, entry):
        kind, many = number(at + 2, 2), number(at + 4, wide)
        size = _TIFF_SIZES[kind] if kind < len(_TIFF_SIZES) else 0
        held = at + 4 + wide
        where = held if size * many <= wide else number(held, wide)
        if where + size * many > len(data):
            return len(data) + 1
        last = max(last, where + size * many)
        if what := _STRIPS.get(number(at, 2)):
            values[what] = [number(where + size * one, size) for one in range(many)]
    strips = zip(values.get("at", []), values.get("bytes", []), strict=False)
    return max(last, *(at + many for at, many in strips), 0)


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

_MARKED = (_jpeg, _png, _gif)
"""The kinds that have a mark at their end."""

_ENDS: dict[Callable[[bytes], bool], Callable[[bytes], int]] = {_riff: _riff_end, _tiff: _tiff_end}
"""Where a picture of a kind ends, by its own word: what lies behind is padding."""
