"""Detection, from a few bytes, of pictures and clips that are not completely written yet.

JPEG and PNG mark their end; WebP and formats made of boxes (MP4, MOV, AVIF, HEIC) state their
length. In all formats a file may first be created at its full length and then filled, so a run of
zeros at its end may be unwritten data. A complete file that seems to lack its end, such as an
uncompressed picture with a black lower edge, only waits for `watch.truncated_s`.
"""

import re
from os import SEEK_END
from typing import BinaryIO

START = 4096
"""Number of bytes at the start of a file; if all are zeros, nothing is written there yet."""

ZEROS = 32
"""Number of zero bytes at the end of a file that count as not written yet. Compressed data has no
such run except over plain areas, and the end of a TIFF directory has at most 23. A file that ends
in fewer zeros lacks at most ten pixels, and programs stall at the borders of blocks of 512 bytes or
more."""

TAILS = (1 << 16, 1 << 20)
"""Numbers of bytes at the end that are searched for an end mark, the second only if the first has
none. Other data may follow the mark, such as the film of a motion photo. By chance such data
contains the mark of JPEG about once in 65,536 bytes, while the data of a JPEG never does."""

PARTS = 10_000
"""Maximum number of parts of a file to read, because a file may have been crafted with too many."""

JPEG, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
SEGMENT = re.compile(rb"\xff([^\xda])(..)", re.DOTALL)
"""Pattern for the header of a segment of a JPEG before its pixels: the marker and the length."""

PNG, PNG_END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xae\x42\x60\x82"

FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})


def lacks_end(file: BinaryIO) -> bool:
    """Return whether an opened regular file may lack its last bytes.

    Most of the file is not read. Raises OSError if it cannot be read.
    """
    size = file.seek(0, SEEK_END)
    start = _read(file, 0, START)
    if not start.strip(b"\0"):
        return True
    if start.startswith(JPEG):
        return not _has_mark(file, JPEG_END, _end_of_jpeg_header(file), size)
    if start.startswith(PNG):
        return not _has_mark(file, PNG_END, len(PNG), size)
    end = size
    if start.startswith(b"RIFF"):
        end = 8 + int.from_bytes(start[4:8], "little")
    elif start[4:8] in FIRST_BOXES and _lacks_boxes(file, size):
        return True
    return end > size or not _read(file, max(0, end - ZEROS), ZEROS).strip(b"\0")


def _read(file: BinaryIO, at: int, length: int) -> bytes:
    file.seek(at)
    return file.read(length)


def _has_mark(file: BinaryIO, mark: bytes, start: int, size: int) -> bool:
    """Return whether `mark` is in the tail of a file, not before `start`."""
    tails = (max(start, size - length) for length in TAILS)
    return any(mark in _read(file, at, size) for at in tails)


def _end_of_jpeg_header(file: BinaryIO) -> int:
    """Return the position where pixels begin, after thumbnails with their own end marks."""
    at = 2
    for _ in range(PARTS):
        segment = SEGMENT.match(_read(file, at, 4))
        if segment is None:
            break
        at += 1 if segment[1] == b"\xff" else 2 + int.from_bytes(segment[2])  # 1: a fill byte
    return at


def _lacks_boxes(file: BinaryIO, size: int) -> bool:
    """Return whether a box exceeds the file, or the boxes of pictures or index are missing.

    Many programs write the index of a film last.
    """
    at, kinds = 0, set()
    for _ in range(PARTS):
        head = _read(file, at, 16)
        kinds.add(head[4:8])
        length = int.from_bytes(head[:4])
        if length == 1:
            length = int.from_bytes(head[8:])
        if 0 < length < len(b"sizekind"):
            return False  # damaged
        at = at + length if length else size  # 0: up to the end of the file
        if at + 8 > size:
            return not (at == size and b"mdat" in kinds and kinds & {b"meta", b"moov"})
    return False
