"""Splits large PNG and TIFF files into bands: small files of the same kind with some rows.

Pillow only decodes whole pictures; decoding a band takes a fraction of the memory.
"""

import io
import math
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffTags
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from stylewatch_painter.images.encode import MARK, chunk

Size = tuple[int, int]
"""(width, height) in pixels."""

_BAND = 1 << 20  # pixels of a band, about
_FEED = 1 << 20  # bytes that are inflated at a time: what is left over of them is copied
_TRUNCATED = "image file is truncated"

_HEAD = ">IIBBBBB"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of each color type, PNG section 11.2.1
_KIND_OF = {1: 0, 2: 4, 3: 2, 4: 6}  # a color type of so many channels
_OF_PIXELS = (b"PLTE", b"tRNS")
_OF_ANIMATION = (b"acTL", b"fcTL", b"fdAT")

_WIDTH, _HEIGHT, _COMPRESSION, _ARRANGED = 256, 257, 259, 284
_STRIPS, _TILES = (273, 278, 279), (324, 323, 325)  # offsets, rows, byte counts
_TILE_WIDTH = 322
_OLD_JPEG, _PLANAR = 6, 2
_LONG8 = 16  # a type of BigTIFF
_DECIDES_PIXELS = (258, _COMPRESSION, 262, 266, 277, _ARRANGED, 292, 293, 317, 320, _TILE_WIDTH,
                   332, 338, 339, 347, 529, 530, 531, 532)  # fmt: skip
_TIFF_HEADS = {b"II": b"II*\0\x08\0\0\0", b"MM": b"MM\0*\0\0\0\x08"}


@dataclass(frozen=True, eq=False)
class Split:
    """A file as bands, from the top down.

    `size` is that of the stored picture, before EXIF orientation. No band has more than `most`
    pixels. `about` is a picture with the file's metadata, if the file's own picture cannot serve.
    """

    size: Size
    most: int
    bands: Iterator[bytes]
    about: bytes | None = None


def strips(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """Yield strips of a loaded picture, from the top down, with their row ranges.

    Converting a whole picture from Pillow to NumPy makes two more copies.
    """
    width, height = image.size
    count = max(1, _BAND // width)
    for top in range(0, height, count):
        rows = slice(top, min(height, top + count))
        yield rows, image.crop((0, rows.start, width, rows.stop))


def split(image: Image.Image, data: bytes) -> Split | None:
    """The bands of a picture that was opened from `data`; None if it must be decoded whole.

    Raises OSError: the file is damaged.
    """
    if image.format == "PNG":
        return _png(data)
    return _tiff(image.tag_v2, data) if isinstance(image, TiffImageFile) else None


def _png(data: bytes) -> Split | None:
    parts = list(_chunks(data))
    width, height, bits, kind, *_, interlaced = struct.unpack(_HEAD, parts[0][1])
    if interlaced:
        return None
    pixel_bits = _CHANNELS[kind] * bits
    length = (width * pixel_bits + 7) // 8
    rows = max(1, _BAND // width)

    def file(size: Size, chunks: Iterable[tuple[bytes, memoryview]], body: bytes) -> bytes:
        head = struct.pack(_HEAD, *size, bits, kind, 0, 0, 0)
        return _file(head, chunks, body)

    def bands() -> Iterator[bytes]:
        above = np.zeros(length, dtype=np.uint8)
        needed = [part for part in parts if part[0] in _OF_PIXELS]
        packed = (content for name, content in parts if name == b"IDAT")
        for filtered in _inflated(packed, 1 + length, rows, height):
            band = _unfiltered(filtered, above, max(1, pixel_bits // 8))
            above = band[-1]
            body = np.pad(band, ((0, 0), (1, 0))).tobytes()  # a filter of 0 before each row
            yield file((width, len(band)), needed, body)

    pixels = (b"IHDR", b"IDAT", b"IEND", *_OF_ANIMATION)
    other = [part for part in parts if part[0] not in pixels]
    about = file((1, 1), other, bytes(1 + (pixel_bits + 7) // 8))
    return Split((width, height), min(rows, height) * width, bands(), about)


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the chunks of a PNG to its end, with checksums verified."""
    view, at, kind = memoryview(data), len(MARK), b""
    while kind != b"IEND":
        if at + 12 > len(view):
            raise OSError("truncated PNG file")
        length, kind = struct.unpack_from(">I4s", view, at)
        end = at + 8 + length
        if end + 4 > len(view):
            raise OSError("truncated PNG file")
        if zlib.crc32(view[at + 4 : end]) != int.from_bytes(view[end : end + 4]):
            raise OSError(f"broken PNG file (bad header checksum in {kind!r})")
        yield kind, view[at + 8 : end]
        at = end + 4


def _inflated(
    packed: Iterable[memoryview], length: int, rows: int, height: int
) -> Iterator[NDArray[np.uint8]]:
    """Yield rows of `length` bytes, (n, length), at most `rows` at a time, `height` in all."""
    inflate, band, left = zlib.decompressobj(), bytearray(), height
    for part in packed:
        for start in range(0, len(part), _FEED):
            rest: bytes | memoryview = part[start : start + _FEED]
            while left and len(rest):
                wanted = min(rows, left) * length
                band += inflate.decompress(rest, wanted - len(band))
                rest = inflate.unconsumed_tail
                if len(band) == wanted:
                    yield np.frombuffer(bytes(band), dtype=np.uint8).reshape(-1, length)
                    left -= len(band) // length
                    band.clear()
    if left:
        raise OSError(_TRUNCATED)


def _unfiltered(
    filtered: NDArray[np.uint8], above: NDArray[np.uint8], apart: int
) -> NDArray[np.uint8]:
    """Undo the filters of rows (n, 1 + length), whose first byte is the filter number.

    Returns (n, length). Filters work on bytes that are `apart`. Pillow undoes them, in a file with
    pixels of as many bytes or of half as many: the bytes of a pixel are filtered independently.
    """
    halves = 2 if apart > max(_KIND_OF) else 1
    width, channels = len(above) // apart, apart // halves
    rows = np.concatenate([np.pad(above, (1, 0))[None], filtered])
    bytes_ = rows[:, 1:].reshape(len(rows), width, halves, channels)
    found = np.empty((len(filtered), width, halves, channels), dtype=np.uint8)
    head = struct.pack(_HEAD, width, len(rows), 8, _KIND_OF[channels], 0, 0, 0)
    for half in range(halves):
        body = np.concatenate([rows[:, :1], bytes_[:, :, half].reshape(len(rows), -1)], axis=1)
        with Image.open(io.BytesIO(_file(head, (), body.tobytes())), formats=["PNG"]) as image:
            found[:, :, half] = np.asarray(image).reshape(len(rows), width, channels)[1:]
    return found.reshape(len(filtered), -1)


def _file(head: bytes, chunks: Iterable[tuple[bytes, memoryview]], body: bytes) -> bytes:
    """A PNG with uncompressed rows and without their checksum, which Pillow does not verify."""
    packed = zlib.compress(body, 0)
    named = b"".join(chunk(kind, bytes(content)) for kind, content in [(b"IHDR", head), *chunks])
    rows = (struct.pack(">I", len(packed)), b"IDAT", packed, bytes(4))
    return b"".join([MARK, named, *rows, chunk(b"IEND", b"")])


def _tiff(tags: ImageFileDirectory_v2, data: bytes) -> Split | None:
    """Split into rows of strips, or of tiles."""
    at, rows_at, counts_at = _TILES if _TILES[0] in tags else _STRIPS
    width, height = tags[_WIDTH], tags[_HEIGHT]
    offsets, counts = tags.get(at, ()), tags.get(counts_at, ())
    rows = min(height, tags.get(rows_at, height))
    across = math.ceil(width / tags[_TILE_WIDTH]) if at in _TILES else 1
    whole = math.ceil(height / rows) * across
    if (
        tags.get(_COMPRESSION) == _OLD_JPEG
        or tags.get(_ARRANGED) == _PLANAR
        or not len(offsets) == len(counts) == whole > 1
    ):
        return None
    if any(start + count > len(data) for start, count in zip(offsets, counts, strict=True)):
        raise OSError(_TRUNCATED)
    together = max(1, _BAND // (rows * width))

    def bands() -> Iterator[bytes]:
        for first in range(0, whole, together * across):
            here = slice(first, first + together * across)
            pieces = [
                data[start : start + count]
                for start, count in zip(offsets[here], counts[here], strict=True)
            ]
            left = height - first // across * rows
            own = {_WIDTH: width, _HEIGHT: min(together * rows, left), rows_at: rows}
            yield _tiff_file(tags, own, (at, counts_at), pieces)

    return Split((width, height), min(height, together * rows) * width, bands())


def _tiff_file(
    tags: ImageFileDirectory_v2, own: Mapping[int, int], places: Size, pieces: Sequence[bytes]
) -> bytes:
    """A TIFF of some strips or tiles of another, whose `tags` describe its pixels.

    `places` are the tags for the offsets and the byte counts of the pieces.
    """
    order, lengths = tags.prefix, list(map(len, pieces))
    directory = ImageFileDirectory_v2(_TIFF_HEADS[order])
    for tag in (tag for tag in _DECIDES_PIXELS if tag in tags):
        kind = tags.tagtype[tag]
        directory.tagtype[tag] = TiffTags.LONG if kind == _LONG8 else kind
        directory[tag] = tags[tag]
    at, counts_at = places
    longs: dict[int, int | tuple[int, ...]] = {**own, counts_at: tuple(lengths)}
    first = 0
    for _ in range(2):  # where the pieces begin is known once the directory has its length
        longs[at] = tuple(accumulate(lengths[:-1], initial=first))
        for tag, value in longs.items():
            directory.tagtype[tag] = TiffTags.LONG
            directory[tag] = value
        content = io.BytesIO()
        directory.save(content)
        first = 0 if at == _STRIPS[0] else content.tell()  # Pillow adds it to those of strips
    return b"".join([content.getvalue(), *pieces])
