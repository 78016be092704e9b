"""Detect files of pictures and clips that end too early.

JPEG, PNG, WebP, and the formats made of boxes (MP4, MOV, AVIF, HEIC), mark or state their end. In
all formats a file may be created in its full length first and then be filled, so a run of zeros at
its end may be what is not written yet.
"""

import re
from dataclasses import dataclass
from pathlib import Path

_START = 4096
"""Bytes at the start that are checked for zeros alone: nothing is written there yet."""

_SHORTEST = 16
"""Bytes that every picture has."""

_RUN = 32
"""Zero bytes at the end of a file that count as not written yet.

Compressed data has no such run except over plain areas, and the longest that the end of a TIFF
directory has is 23. A file that ends in fewer lacks at most ten pixels, and programs stall at the
borders of blocks of 512 bytes or more. A complete picture that ends so, as an uncompressed one with
a black lower edge does, only waits for `watch.truncated_s`.
"""

_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
"""A marker of JPEG that is not part of a scan and has a length."""

_FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})

_NO_KNOWN_END = re.compile(rb"GIF8|BM|II[*+]\0|MM\0[*+]|P[1-6]\s|\x1a\x45\xdf\xa3")
"""The heads of GIF, BMP, TIFF, PNM, MKV and WebM."""


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
    """Return whether `data`, which cannot be decoded, may be the beginning of a picture.

    In formats whose end is not known here, it may be: a damaged file is then waited for in vain.
    """
    return lacks_end(data) or _NO_KNOWN_END.match(data[:_SHORTEST]) is not None


def lacks_end(data: bytes | FileParts) -> bool:
    """Return whether `data` may lack its last bytes, even if it can be decoded.

    Many decoders fill what is missing with gray or black and report no error. Bytes behind a marked
    or stated end are no part of the picture.
    """
    end, head = len(data), data[:8]
    if end < _SHORTEST or not data[:_START].strip(b"\0"):
        return True
    if isinstance(data, bytes) and head.startswith(b"\xff\xd8\xff"):
        return _lacks_jpeg_end(data)
    if head == b"\x89PNG\r\n\x1a\n":
        return _lacks_png_end(data)
    if head.startswith(b"RIFF"):
        end = 8 + int.from_bytes(head[4:], "little")
    elif head[4:] in _FIRST_BOXES and _lacks_boxes(data):
        return True
    return end > len(data) or _is_unfilled(data, end)


def _is_unfilled(data: bytes | FileParts, end: int) -> bool:
    """Return whether `data` has only zeros from shortly before `end` on."""
    return not data[max(0, end - _RUN) :].strip(b"\0")


def _lacks_jpeg_end(data: bytes) -> bool:
    """Look for the end of the image; segments are skipped, as thumbnails in them have ends."""
    at = 2
    while marker := _JPEG_MARKER.search(data, at):
        if marker[0] == b"\xff\xd9":
            return False
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
    return True


def _lacks_png_end(data: bytes | FileParts) -> bool:
    at = 8
    while at + 8 <= len(data):
        kind = data[at + 4 : at + 8]
        if kind == b"IEND":
            return at + 12 > len(data)
        if not kind.isalpha():  # not filled yet, or else damaged
            return not data[at:].strip(b"\0")
        at += 12 + int.from_bytes(data[at : at + 4])
    return True


def _lacks_boxes(data: bytes | FileParts) -> bool:
    """Look for a box that reaches beyond the end, and for the ones with pictures and the index.

    Many programs write the index of a film last.
    """
    at, kinds = 0, set()
    while at + 8 <= len(data):
        kinds.add(data[at + 4 : at + 8])
        size = int.from_bytes(data[at : at + 4])
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16])
        if 0 < size < len(b"sizekind"):
            return False  # damaged
        at = at + size if size else len(data)  # 0: up to the end, wherever that is
    return not (at == len(data) and b"mdat" in kinds and kinds & {b"meta", b"moov"})
