"""Detection, from a few bytes, of pictures and clips that are not completely written yet.

Most formats mark their end or state their length, as the functions in FORMATS know. In all formats
a file may first be created at its full length and then filled, so a run of zeros at its end may be
unwritten data. A complete file that seems to lack its end, such as an uncompressed picture with a
black lower edge, only waits for `watch.truncated_s`.

Three things cannot be detected: whether the last of several pictures that a program writes into one
file is there, whether the last number of a plain PNM, whose samples are decimal numbers, is
complete, and anything about a file that is damaged or takes more than WORK.
"""

import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import SEEK_END
from typing import Any, BinaryIO

BLOCK = 4096
"""Minimum number of bytes that are read at a time. If the whole first block is zeros, nothing is
written there yet."""

WORK = 200_000
"""Limit of work for a file, which may have been crafted with too many parts. Reading a part costs
1, loading a block BLOCK_WORK, and ten numbers 1: about the time in microseconds. The limit is
enough for 40 MB without gaps."""

BLOCK_WORK = 20

ZEROS = 32
"""Number of zero bytes at the end of a file that count as not written yet. Compressed data has no
such run except over plain areas, and the end of a TIFF directory has at most 23. A file that ends
in fewer zeros lacks at most ten pixels, and programs stall at the borders of blocks of 512 bytes or
more."""

TAILS = (1 << 16, 1 << 20)
"""Numbers of bytes at the end that are searched for an end mark, the second only if the first has
none. Other data may follow the mark, such as the film of a motion photo. By chance such data
contains the mark of JPEG about once in 65,536 bytes, while the data of a JPEG never does."""

JPEG_END, PNG_END = b"\xff\xd9", b"\0\0\0\0IEND\xae\x42\x60\x82"

SEGMENT = re.compile(rb"\xff([^\xda])(..)", re.DOTALL)
"""Pattern for the header of a segment of a JPEG before its pixels: the marker and the length."""

SEGMENT_ID = b"\x18\x53\x80\x67"
"""Identifier of the element of a Matroska or WebM file that holds everything but its head."""

PLAIN_BMP = (0, 3, 6)
"""Values of the compression field of a BMP whose pixels are not compressed."""

PNM_WORD = re.compile(rb"(?:\s|#[^\r\n]*+[\r\n])++([^\s#]++)(?=\s)")
"""Pattern for a number in the head of a PBM, PGM, PPM or PFM, after blanks and comments."""

PNM_BITS = {b"4": 1, b"5": 8, b"6": 24, b"f": 32, b"F": 96}
"""Bits of a pixel, by the character after the `P` of the format. Kinds 5 and 6 need twice as many
if the largest value is above MAX_BYTE."""

MAX_BYTE = 255

DIGITS = 1 << 16
"""Number of bytes of a plain PNM in which numbers are counted at a time."""

MAX_TAGS = 1000
"""Maximum number of tags in a directory of a TIFF; cameras write about a hundred."""

LIST = 1 << 16
"""Maximum number of strips or tiles of a TIFF, counted from the last one, that are looked at."""

TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
              16: 8, 17: 8, 18: 8}  # fmt: skip
"""Bytes of a value of a TIFF, by type."""

NUMBERS = {3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
"""Types of positions and lengths in a TIFF, with their format characters in `struct`."""

DATA = ((273, 279), (324, 325), (513, 514))
"""Tags of the positions and of the lengths of strips, of tiles, and of thumbnails in JPEG."""

NEXT = 0
DIRECTORIES = (NEXT, 330, 34665, 34853, 40965)
"""Tags of the positions of other directories: of the next page (a tag of our own), of reduced and
raw pictures, EXIF and GPS."""


class _UnknownError(Exception):
    """Nothing can be told about the end of a file."""


class _Excerpts:
    """Small parts of an opened file of `size` bytes; methods raise _UnknownError beyond WORK."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, SEEK_END)
        self._work = 0
        self._start = 0
        self._block = b""

    def up_to(self, length: int, at: int) -> bytes:
        """Return `length` bytes at the position `at`, fewer at the end of the file."""
        length = max(0, min(length, self.size - at))
        skipped = at - self._start
        self._work += 1
        if not 0 <= skipped <= len(self._block) - length:
            self._work += BLOCK_WORK * (1 + length // BLOCK)
            self._file.seek(at)
            self._block = self._file.read(max(length, BLOCK))
            self._start = at
            skipped = 0
        if self._work > WORK:
            raise _UnknownError
        return self._block[skipped : skipped + length]

    def exactly(self, length: int, at: int) -> bytes:
        """Return `length` bytes at the position `at`; raises EOFError if the file ends before."""
        excerpt = self.up_to(length, at) if at + length <= self.size else b""
        if len(excerpt) < length:  # perhaps it has just been cut
            raise EOFError
        return excerpt

    def byte(self, at: int) -> int:
        """Return the byte at a position; raises EOFError."""
        return self.exactly(1, at)[0]

    def numbers(self, layout: str, at: int) -> tuple[Any, ...]:
        """Return the numbers at a position, by a layout of `struct`; raises EOFError."""
        numbers = struct.unpack(layout, self.exactly(struct.calcsize(layout), at))
        self._work += len(numbers) // 10
        return numbers


def lacks_end(file: BinaryIO) -> bool:
    """Return whether an opened regular file may lack its last bytes.

    Most of the file is not read, except of a plain PNM. In an unknown format, only zeros at the
    start or the end show that bytes are missing. Raises OSError if the file cannot be read.
    """
    excerpts = _Excerpts(file)
    if not excerpts.up_to(BLOCK, at=0).strip(b"\0"):
        return True
    try:
        end = _end(excerpts)
    except EOFError:
        return True
    except _UnknownError:
        end = excerpts.size
    if end > excerpts.size:
        return True
    file.seek(max(0, end - ZEROS))
    return not file.read(min(end, ZEROS)).strip(b"\0")


def _end(file: _Excerpts) -> int:
    """Return the minimum length in bytes of the complete file.

    Like each function of FORMATS, this raises EOFError if the end is missing, and _UnknownError if
    nothing can be told.
    """
    start = file.up_to(12, at=0)
    for head, end_of in FORMATS.items():
        if head.match(start):
            return end_of(file)
    raise _UnknownError


def _end_of_jpeg(file: _Excerpts) -> int:
    """Return the end of the mark after the pixels; thumbnails before them have end marks, too."""
    at = 2
    while segment := SEGMENT.match(file.up_to(4, at)):
        at += 1 if segment[1] == b"\xff" else 2 + int.from_bytes(segment[2])  # 1: a fill byte
    return _end_of_mark(file, JPEG_END, at)


def _end_of_png(file: _Excerpts) -> int:
    return _end_of_mark(file, PNG_END, len(PNG_END))


def _end_of_mark(file: _Excerpts, mark: bytes, start: int) -> int:
    """Return the end of a `mark` in the tail of a file, not before `start`; raises EOFError."""
    for length in TAILS:
        at = max(start, file.size - length)
        found = file.up_to(length, at).find(mark)
        if found >= 0:
            return at + found + len(mark)
    raise EOFError


def _end_of_riff(file: _Excerpts) -> int:
    (length,) = file.numbers("<I", at=4)
    return 8 + int(length)


def _end_of_boxes(file: _Excerpts) -> int:
    """Return the end of the last box; raises EOFError without a box of data, or without an index.

    Many programs write the index of a film, the box `moov`, last.
    """
    at = 0
    kinds = set[bytes]()
    while at < file.size:
        head = file.exactly(8, at)
        kinds.add(head[4:])
        length = int.from_bytes(head[:4])
        if length == 1:
            length = int.from_bytes(file.exactly(8, at + 8))
        if length == 0:  # up to the end of the file
            length = file.size - at
        if length < len(head):
            raise _UnknownError
        at += length
    if b"mdat" not in kinds or not kinds & {b"meta", b"moov"}:
        raise EOFError
    return at


def _end_of_matroska(file: _Excerpts) -> int:
    """Return the end of the first segment, which holds everything but the head of the file."""
    at = 0
    kind = b""
    while kind != SEGMENT_ID:
        kind = file.exactly(len(SEGMENT_ID), at)
        at += 9 - file.byte(at).bit_length()
        width = 9 - file.byte(at).bit_length()
        most = (1 << 7 * width) - 1
        length = most & int.from_bytes(file.exactly(width, at))
        if length == most:  # it is not known while the file is made
            raise _UnknownError
        at += width + length
    return at


def _end_of_gif(file: _Excerpts) -> int:
    """Return the end of the trailer; it follows blocks, whose data has parts of up to 255 bytes."""
    at = 13 + _gif_table(file.byte(10))
    while (kind := file.exactly(1, at)) != b";":
        if kind == b",":  # a picture
            at += 11 + _gif_table(file.byte(at + 9))
        elif kind == b"!":  # an extension
            at += 2
        elif kind != b"\0":  # some programs write the end of data twice
            raise _UnknownError
        while length := file.byte(at):
            at += 1 + length
        at += 1
    return at + 1


def _gif_table(flags: int) -> int:
    """Return the length in bytes of the color table that `flags` announce."""
    return 3 << (1 + (flags & 7)) if flags & 128 else 0


def _end_of_bmp(file: _Excerpts) -> int:
    """Return the stated length, or the computed one if a program states none or too little."""
    stated, pixels, head = file.numbers("<I4xII", at=2)
    packing = 0
    length = 0
    match head:
        case 12:
            width, height, _, bits = file.numbers("<4H", at=18)
        case 40 | 52 | 56 | 64 | 108 | 124:
            width, height, _, bits, packing, length = file.numbers("<iiHHII", at=18)
        case _:
            raise _UnknownError
    if packing in PLAIN_BMP:
        length = (abs(width) * bits + 31) // 32 * 4 * abs(height)  # rows of whole words
    return int(max(stated, pixels + length))


def _end_of_pnm(file: _Excerpts) -> int:
    """Return the length that follows from width, height and largest value.

    For a plain PNM, whose samples are decimal numbers, it is the present length if all numbers are
    there.
    """
    start = file.up_to(BLOCK, at=0)
    kind = start[1:2]
    at = 2
    words = list[bytes]()
    while len(words) < (2 if kind in b"14" else 3):
        word = PNM_WORD.match(start, at)
        if word is None:
            raise EOFError if len(start) < BLOCK else _UnknownError
        words.append(word[1])
        at = word.end()
    try:
        width = int(words[0])
        height = int(words[1])
        most = float(words[-1])
    except ValueError as error:
        raise _UnknownError from error
    at += 1  # one blank
    if kind in b"123":
        samples = 3 if kind == b"3" else 1
        return _end_of_digits(file, at, width * height * samples, each=kind == b"1")
    bits = width * PNM_BITS[kind] * (2 if kind in b"56" and most > MAX_BYTE else 1)
    return at + (bits + 7) // 8 * height


def _end_of_digits(file: _Excerpts, at: int, count: int, *, each: bool) -> int:
    """Return the present length of a file with `count` numbers from the position `at` on.

    Raises EOFError if it has fewer numbers. If `each` is set, each digit is a number.
    """
    is_inside = False
    while count > 0:
        part = file.exactly(min(DIGITS, max(1, file.size - at)), at)
        words = part.split()
        count -= sum(map(len, words)) if each else len(words)
        if is_inside and not each and not part[:1].isspace():
            count += 1  # the last part ends within a number
        is_inside = not part[-1:].isspace()
        at += len(part)
    return file.size


def _end_of_tiff(file: _Excerpts) -> int:
    """Return the end of the last directory, strip, tile or other value, on all pages.

    Raw pictures of cameras have the same parts.
    """
    order = "<" if file.byte(0) == ord("I") else ">"
    tiff = _Tiff(file, order, is_big=file.numbers(f"{order}H", at=2) == (43,))
    end = 0
    waiting = [tiff.number_at(8 if tiff.is_big else 4)]
    done = {0}
    if waiting == [0]:  # it is written last
        raise EOFError
    while waiting and end <= file.size:
        at = waiting.pop()
        if at not in done:
            done.add(at)
            end_of_values, lists = tiff.directory(at)
            end = max(end, end_of_values, *_ends_of_data(lists))
            waiting += (inner for tag in DIRECTORIES for inner in lists.get(tag, ()))
    return end


def _ends_of_data(lists: Mapping[int, Sequence[int]]) -> Iterator[int]:
    """Yield the end of each strip, tile and thumbnail that a directory lists."""
    for positions, lengths in DATA:
        for at, length in zip(lists.get(positions, ()), lists.get(lengths, ()), strict=False):
            yield at + length if length else 0  # 0: a tile with nothing in it


@dataclass(frozen=True)
class _Tiff:
    """A TIFF; `order` is the byte order character of `struct`, `is_big` means BigTIFF."""

    file: _Excerpts
    order: str
    is_big: bool

    def number_at(self, at: int) -> int:
        """Return the position or length that is stated at a position; raises EOFError."""
        (number,) = self.file.numbers(self.order + ("Q" if self.is_big else "I"), at)
        return int(number)

    def directory(self, at: int) -> tuple[int, dict[int, Sequence[int]]]:
        """Return the end of a directory with its values, and the numbers that it lists, by tag.

        Raises EOFError if the directory is not written yet, or lies behind the end of the file.
        """
        wide = 8 if self.is_big else 4
        (count,) = self.file.numbers(self.order + ("Q" if self.is_big else "H"), at)
        at += 8 if self.is_big else 2
        end = at
        lists = dict[int, Sequence[int]]()
        if count == 0:
            raise EOFError
        if count > MAX_TAGS:  # this is something else
            return end, lists
        for _ in range(count):
            tag, kind = self.file.numbers(f"{self.order}HH", at)
            if kind == 0:  # no type: a tag that is not filled in yet
                raise EOFError
            length = self.number_at(at + 4)
            size = TYPE_BYTES.get(kind, 0) * length
            value = at + 4 + wide
            at = value + wide
            if size > wide:
                value = self.number_at(value)
            end = max(end, value + size)
            if kind in NUMBERS:
                lists[tag] = self._numbers(kind, length, value)
        lists[NEXT] = [self.number_at(at)]
        return max(end, at + wide), lists

    def _numbers(self, kind: int, length: int, at: int) -> Sequence[int]:
        """Return the last LIST numbers, or all if fewer, of a list at the position `at`."""
        count = min(length, LIST)
        at += TYPE_BYTES[kind] * (length - count)
        return self.file.numbers(f"{self.order}{count}{NUMBERS[kind]}", at)


FORMATS: Mapping[re.Pattern[bytes], Callable[[_Excerpts], int]] = {
    re.compile(rb"\xff\xd8\xff"): _end_of_jpeg,
    re.compile(rb"\x89PNG\r\n\x1a\n"): _end_of_png,
    re.compile(rb"II[*+]\0|MM\0[*+]"): _end_of_tiff,
    re.compile(rb"GIF8[79]a"): _end_of_gif,
    re.compile(rb"BM"): _end_of_bmp,
    re.compile(rb"P[1-6fF][\s#]"): _end_of_pnm,
    re.compile(rb"RIFF"): _end_of_riff,
    re.compile(rb"\x1a\x45\xdf\xa3"): _end_of_matroska,
    re.compile(rb"....(ftyp|moov|mdat|wide|free|skip|pnot)", re.DOTALL): _end_of_boxes,
}
"""Patterns for the first bytes of each format, with the function that finds its end."""
