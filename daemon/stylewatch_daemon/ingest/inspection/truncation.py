"""Detect files of pictures and clips that end too early, from what they say of their length.

`is_cut_off` is for files that cannot be decoded: it tells one that is still being written from one
that is damaged, so in doubt the answer may be either. `lacks_end` is for files that can be decoded:
many decoders fill what is missing with gray or black and report no error.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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


@dataclass(frozen=True)
class FileParts:
    """The bytes of a film, which may be too many for memory: slices are read from the file."""

    path: Path

    def __len__(self) -> int:
        return self.path.stat().st_size

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(len(self))
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(max(0, stop - start))


def is_cut_off(data: bytes | FileParts) -> bool:
    """Return whether `data`, which cannot be decoded, is the beginning of a picture."""
    if not data[: len(_ZEROS)].strip(b"\0"):
        return True
    for magic, at, end_of, _ in _FORMATS:
        head = data[at : at + len(magic)]
        if head == magic:
            return _ends_in_zeros(data) or end_of(data) > len(data)
        if len(data) < at + len(magic) and magic.startswith(head) and (head or data[:2] == b"\0\0"):
            return True
    return False


def lacks_end(data: bytes | FileParts) -> bool:
    """Return whether the picture in `data`, which can be decoded, may lack its last bytes.

    JPEG, PNG and GIF mark their end; bytes behind that mark are no part of the picture. In other
    formats a picture that ends in a run of zeros may be a file that is not filled yet.
    """
    for magic, at, end_of, end_is in _FORMATS:
        if data[at : at + len(magic)] == magic:
            end = end_of(data)
            if end > len(data) or end_is == "marked":
                return end > len(data)
            end = end if end_is == "stated" else len(data)
            return not (data[max(0, end - _RUN) : end] + data[end:]).strip(b"\0")
    return _ends_in_zeros(data)


def _ends_in_zeros(data: bytes | FileParts) -> bool:
    return data[max(0, len(data) - _RUN) :] == bytes(_RUN)


# Each function returns the least end of a picture, which is beyond `data` if it is truncated.


def _jpeg(data: bytes) -> int:
    """Look for the end of the image; segments are skipped, as thumbnails in them have ends.

    In a file that should have a second picture (MPF), more than zeros must follow.
    """
    at = 2
    while marker := _MARKER.search(data, at):
        if marker[0] == b"\xff\xd9":
            rest = data[marker.end() :]
            has_second = data.find(b"MPF\0", 0, marker.end()) >= 0
            return len(data) + (has_second and len(rest) >= _RUN and not rest.strip(b"\0"))
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
    return len(data) + 1


def _png(data: bytes) -> int:
    at = 8
    while at + 8 <= len(data):
        start, kind = at, data[at + 4 : at + 8]
        at += 12 + int.from_bytes(data[at : at + 4])
        if kind == b"IEND":
            return at
        if not kind.isalpha():
            return len(data) + (not data[start:].strip(b"\0"))
    return len(data) + 1


def _riff(data: bytes) -> int:
    return 8 + int.from_bytes(data[4:8], "little")


def _bmp(data: bytes) -> int:
    """Return the length of the header, the stated length or the start of the pixels."""
    return max(14, *(int.from_bytes(data[at : at + 4], "little") for at in (2, 10)))


def _gif(data: bytes) -> int:
    """Look for the end of the file; blocks are skipped."""
    at = 13 + _color_table(data, 10)
    while at < len(data):
        kind = data[at : at + 1]
        if kind == b",":
            at += 11 + _color_table(data, at + 9)
        elif kind == b"!":
            at += 2
        else:  # the end of the file, zeros in its place, or an invalid byte
            return len(data) + (kind == b"\0" and not data[at:].strip(b"\0"))
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    return len(data) + 1


def _color_table(data: bytes, at: int) -> int:
    """Return the bytes of a color table by the flags in the byte `at`."""
    flags = data[at] if at < len(data) else 0
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _boxes(data: bytes | FileParts) -> int:
    """AVIF, HEIC, MP4, MOV: a box reaches beyond the end, or there is none with picture data.

    A film also has a box with its index, which many programs write last.
    """
    at, kinds = 0, set()
    while at + 8 <= len(data):
        kinds.add(data[at + 4 : at + 8])
        size = int.from_bytes(data[at : at + 4])
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16])
        if 0 < size < len(b"sizekind"):
            return len(data)  # damaged
        at = at + size if size else len(data)  # 0: up to the end, wherever that is
    is_whole = b"mdat" in kinds and kinds & {b"meta", b"moov"}
    return len(data) + (at != len(data) or not is_whole)


def _ebml(data: bytes | FileParts) -> int:
    """MKV, WebM: the length of the header and of the segment behind it.

    That of the segment is unknown while a recorder writes, and in a live recording forever.
    """
    at = 0
    for identifier in (b"\x1aE\xdf\xa3", b"\x18S\x80g"):
        start = at + len(identifier)
        width = 9 - int.from_bytes(data[start : start + 1]).bit_length()
        size = int.from_bytes(data[start : start + width]) & ((1 << 7 * width) - 1)
        if data[at:start] != identifier:
            return len(data) + (start >= len(data))  # damaged
        if size == (1 << 7 * width) - 1:
            return len(data) + 1
        at = start + width + size
    return at


def _tiff(data: bytes) -> int:
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
        if size and (what := _STRIPS.get(number(at, 2))):
            values[what] = [number(value_at + size * index, size) for index in range(count)]
    strips = zip(values.get("at", []), values.get("bytes", []), strict=False)
    return max(last, *(at + length for at, length in strips), 0)


def _plain(data: bytes) -> int:
    """PBM, PGM, PPM: as many values as width, height and kind require."""
    kind, numbers, at = data[1:2], [], 2
    for _ in range(2 if kind in b"14" else 3):
        if (match := _PLAIN_NUMBER.match(data, at)) is None:
            return len(data) + (not data[at:].strip())  # else there is an invalid byte
        numbers.append(int(match[1]))
        at = match.end()
    width, height, maximum = (*numbers, 1)[:3]
    values = width * height * (3 if kind in b"36" else 1)
    if kind == b"4":
        return at + 1 + (width + 7) // 8 * height
    if kind in b"56":
        return at + 1 + values * ((maximum.bit_length() + 7) // 8)
    if kind == b"1":
        return len(data) + (data.count(b"0", at) + data.count(b"1", at) < values)
    return len(data) + (sum(1 for _ in re.finditer(rb"\S+", data[at:])) < values)


_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")

_FORMATS: tuple[tuple[bytes, int, Callable[[Any], int], str], ...] = (
    (b"\xff\xd8\xff", 0, _jpeg, "marked"),
    (b"\x89PNG\r\n\x1a\n", 0, _png, "marked"),
    (b"RIFF", 0, _riff, "stated"),
    (b"II*\0", 0, _tiff, "stated"),
    (b"MM\0*", 0, _tiff, "stated"),
    (b"II+\0", 0, _tiff, "stated"),
    (b"MM\0+", 0, _tiff, "stated"),
    (b"GIF8", 0, _gif, "marked"),
    (b"BM", 0, _bmp, ""),
    *((kind, 4, _boxes, "") for kind in _FIRST_BOXES),
    (b"\x1aE\xdf\xa3", 0, _ebml, ""),
    *((b"P%d" % number, 0, _plain, "") for number in range(1, 7)),
)
"""For each format its magic number, the position of that, where it ends, and how its end is known.

The end is `marked` in the file, or `stated` at its beginning: bytes behind that are padding. Films
may come as FileParts.
"""
