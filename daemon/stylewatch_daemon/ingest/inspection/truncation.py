"""Detect files of pictures that end too early, from what their structure says of their length.

`is_cut_off` is for files that cannot be decoded: it tells one that is still being written from one
that is damaged, so in doubt the answer may be either. `lacks_end` is for files that can be decoded:
many decoders fill what is missing with gray or black and report no error.
"""

import re
from collections.abc import Callable
from typing import Literal

_ZEROS = bytes(4096)
"""Some programs create a file in its full length first, and then fill it."""

_RUN = 32
"""Zero bytes at the end of a file that count as not written yet.

Compressed data has no such run except over plain areas, and the longest that the end of a TIFF
directory has is 23. A file that ends in fewer lacks at most ten pixels, and programs stall at the
borders of blocks of 512 bytes or more. A complete picture that ends so, as an uncompressed one with
a black lower edge does, only waits for `watch.truncated_s`.
"""

_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
"""A marker of JPEG that is not part of a scan and has a length."""

_PLAIN_NUMBER = re.compile(rb"(?:\s|#[^\n]*+\n)*+(\d{1,10})(?!\d)")
"""A number in a header; possessive, so that blanks and comments before it are read only once."""

_TIFF_SIZES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)
"""Bytes of a value, by the number of its type."""

_STRIPS = {273: "at", 324: "at", 279: "bytes", 325: "bytes"}
"""The tags of TIFF with the positions and lengths of strips and tiles."""


def is_cut_off(data: bytes) -> bool:
    """Return whether `data`, which cannot be decoded, is the beginning of a picture."""
    if not data[: len(_ZEROS)].strip(b"\0"):
        return True
    for magic, at, is_short in _FORMATS:
        head = data[at : at + len(magic)]
        if head == magic:
            return data.endswith(bytes(_RUN)) or is_short(data)
        if len(data) < at + len(magic) and magic.startswith(head) and (head or data[:2] == b"\0\0"):
            return True
    return False


def lacks_end(data: bytes) -> bool:
    """Return whether the picture in `data`, which can be decoded, may lack its last bytes.

    JPEG, PNG and GIF mark their end; bytes behind that mark are no part of the picture. In other
    formats a picture that ends in a run of zeros may be a file that is not filled yet.
    """
    for magic, at, is_short in _FORMATS:
        if data[at : at + len(magic)] == magic:
            if is_short in _MARKED:
                return is_short(data)
            end = _ENDS[is_short](data) if is_short in _ENDS else len(data)
            return is_short(data) or not (data[max(0, end - _RUN) : end] + data[end:]).strip(b"\0")
    return data.endswith(bytes(_RUN))


def _jpeg(data: bytes) -> bool:
    """Look for the end of the image; segments are skipped, as thumbnails in them have ends.

    In a file that should have a second picture (MPF), more than zeros must follow.
    """
    at = 2
    while marker := _MARKER.search(data, at):
        if marker[0] == b"\xff\xd9":
            rest = data[marker.end() :]
            has_second = data.find(b"MPF\0", 0, marker.end()) >= 0
            return has_second and len(rest) >= _RUN and not rest.strip(b"\0")
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
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
    """Compare with the length of the header, the stated length and the start of the pixels."""
    stated = (int.from_bytes(data[at : at + 4], "little") for at in (2, 10))
    return max(14, *stated) > len(data)


def _gif(data: bytes) -> bool:
    """Look for the end of the file; blocks are skipped."""
    at = 13 + _color_table(data, 10)
    while at < len(data):
        kind = data[at : at + 1]
        if kind == b",":
            at += 11 + _color_table(data, at + 9)
        elif kind == b"!":
            at += 2
        else:  # the end of the file, zeros in its place, or an invalid byte
            return kind == b"\0" and not data[at:].strip(b"\0")
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    return True


def _color_table(data: bytes, at: int) -> int:
    """Return the bytes of a color table by the flags in the byte `at`."""
    flags = data[at] if at < len(data) else 0
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _boxes(data: bytes) -> bool:
    """AVIF and HEIC: a box reaches beyond the end, or there is none with picture data."""
    at, kinds = 0, set()
    while at + 8 <= len(data):
        kinds.add(data[at + 4 : at + 8])
        size = int.from_bytes(data[at : at + 4])
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16])
        if size < len(b"sizekind"):
            return False  # 0: up to the end, wherever that is; other values are damaged
        at += size
    return at != len(data) or b"mdat" not in kinds


def _tiff(data: bytes) -> bool:
    return _tiff_end(data) > len(data)


def _tiff_end(data: bytes) -> int:
    """Return the end of the first directory and all that it refers to; too large if missing."""
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)

    is_big = b"+" in data[2:4]  # BigTIFF
    offset_size, count_size = (8, 8) if is_big else (4, 2)
    first = number(offset_size, offset_size)
    entry_size, start = 4 + 2 * offset_size, first + count_size
    end = start + entry_size * number(first, start - first)
    if first == 0 or end > len(data):
        return len(data) + 1
    last = end
    values: dict[str, list[int]] = {}
    for at in range(start, end, entry_size):
        kind, count = number(at + 2, 2), number(at + 4, offset_size)
        size = _TIFF_SIZES[kind] if kind < len(_TIFF_SIZES) else 0
        inline = at + 4 + offset_size
        value_at = inline if size * count <= offset_size else number(inline, offset_size)
        if value_at + size * count > len(data):
            return len(data) + 1
        last = max(last, value_at + size * count)
        if what := _STRIPS.get(number(at, 2)):
            values[what] = [number(value_at + size * index, size) for index in range(count)]
    strips = zip(values.get("at", []), values.get("bytes", []), strict=False)
    return max(last, *(at + length for at, length in strips), 0)


def _plain(data: bytes) -> bool:
    """PBM, PGM, PPM: fewer values than width, height and kind require."""
    kind, numbers, at = data[1:2], [], 2
    for _ in range(2 if kind in b"14" else 3):
        if (match := _PLAIN_NUMBER.match(data, at)) is None:
            return not data[at:].strip()  # else there is an invalid byte
        numbers.append(int(match[1]))
        at = match.end()
    width, height, maximum = (*numbers, 1)[:3]
    values = width * height * (3 if kind in b"36" else 1)
    if kind == b"4":
        return len(data) < at + 1 + (width + 7) // 8 * height
    if kind in b"56":
        return len(data) < at + 1 + values * ((maximum.bit_length() + 7) // 8)
    if kind == b"1":
        return data.count(b"0", at) + data.count(b"1", at) < values
    return sum(1 for _ in re.finditer(rb"\S+", data[at:])) < values


_FORMATS: tuple[tuple[bytes, int, Callable[[bytes], bool]], ...] = (
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
"""For each format its magic number, the position of that, and what detects a file too short."""

_MARKED = (_jpeg, _png, _gif)
"""The formats with a mark at their end."""

_ENDS: dict[Callable[[bytes], bool], Callable[[bytes], int]] = {_riff: _riff_end, _tiff: _tiff_end}
"""Return where a picture of a format ends by its own structure; bytes behind it are padding."""
