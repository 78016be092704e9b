"""Decodes large pictures at a reduced size, in bounded memory where the format allows it.

JPEG is decoded at 1/2, 1/4 or 1/8. Pillow only decodes whole pictures, so PNG and TIFF are split
into bands, small files of the same kind with some rows, each reduced at once. Other formats are
decoded in one piece, if it is not too large.
"""

import io
import math
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffTags
from PIL import TiffImagePlugin as Tiff
from PIL.ExifTags import Base

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import depth as bit_depth
from stylewatch_painter.images.depth import WIDE, Depth, depth_of, likely_white, strips
from stylewatch_painter.images.encode import MARK, chunk
from stylewatch_painter.images.metadata import NO_TAGS, Tags, orientation_of, tags_of
from stylewatch_painter.process_memory import installed

Size = tuple[int, int]
"""(width, height) in pixels."""

WHOLE = 40_000_000
"""Pixels of the largest picture that is always decoded in full."""

FINER = 2
"""A reduced picture has at least this many times the width and height that are needed."""

USUAL = 250_000_000
_MEMORY = 1_350_000_000

_DRAFTS = (8, 4, 2)
_PER_PIXEL = {"WEBP": 17, "AVIF": 13, "HEIF": 13}
"""Bytes of a format's decoder per pixel, with its last copy in Pillow."""
_OF_BAND = 120
_WANTED_WHOLE = 28  # floats, and what they are made from
_OF_OTHERS, _OF_PLANE = 4, 1
_PLANES = ("1", "L", "P")

_TURNED_BY_PILLOW = ("TIFF", "HEIF")
_SWAPPED = range(5, 9)  # EXIF orientations with width and height exchanged
_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_SCAN = b"\xda"
_AVERAGED = {"1": "L", "La": "LA", "P": "RGB", "PA": "RGBA", "RGBX": "RGB"}
_WITH_KEY = {"1": "LA", "L": "LA", "P": "RGBA", "RGB": "RGBA"}
_GRAY_16 = "I;16"

_Open = Callable[[bytes], Image.Image]
_Piece = tuple[Image.Image, NDArray[np.uint16] | None]
"""Some rows of a picture, in 8 bits and, if requested, in 16."""


def memory(max_pixels: int) -> int:
    """Bytes that decoding may take, for a limit of `max_pixels`."""
    return round(_MEMORY * max(1.0, max_pixels / USUAL))


@dataclass(frozen=True)
class NeededSize:
    """The size of a large picture that is enough, so that it can be decoded reduced.

    `shown` is the largest (width, height) the picture will be resized to, upright, or computes it
    from the picture's own. With `nearest` pixels are picked instead of averaged: for masks.
    """

    shown: Size | Callable[[Size], Size]
    reduce: Literal["box", "nearest"] = "box"

    def factor(self, size: Size) -> int:
        """The reduction for a picture of `size`; 1 for none."""
        shown = self.shown(size) if callable(self.shown) else self.shown
        sides = zip(size, shown, strict=True)
        return max(1, min(side // (FINER * needed) for side, needed in sides))


def long_side(side: int) -> Callable[[Size], Size]:
    """A function for the size of a picture whose long side will have `side` pixels."""

    def shown(size: Size) -> Size:
        width, height = (max(1, round(each * side / max(size))) for each in size)
        return width, height

    return shown


@dataclass(frozen=True, eq=False)
class Raster:
    """A decoded picture, upright, in the colors of its file, with a phrase for each conversion.

    `exact` has the unreduced values of 16 bits a channel if they were requested, uint16
    (height, width, 3), or 4 with alpha. `tags` are the file's metadata. `size_of_file` is
    (width, height) of the picture in the file, upright, if it was decoded smaller.
    """

    image: Image.Image
    depth: Depth
    conversions: tuple[str, ...]
    exact: NDArray[np.uint16] | None = None
    tags: Tags = NO_TAGS
    size_of_file: Size | None = None

    @property
    def size(self) -> Size:
        """(width, height) in pixels of the picture in the file, upright."""
        return self.size_of_file or self.image.size


def reduced(
    image: Image.Image,
    data: bytes,
    needed_size: NeededSize,
    opened: _Open,
    *,
    uncut: bool = False,
    max_pixels: int = USUAL,
) -> Raster | None:
    """Decode a picture that was opened from `data` reduced; None: decode it in full.

    `opened` opens a file, given as bytes; `uncut` as in `read.decoded`.

    Raises:
        PictureError: it takes too much memory.
        Exception: any error over data that cannot be decoded.
    """
    if math.prod(image.size) <= WHOLE:
        return None
    split = _split(image, data)
    stored = image.size if split is None else split.size
    draft = _draft(image, needed_size)
    _check_memory(image, _needed(image, data, split, draft), max_pixels)
    about = image if split is None or split.about is None else opened(split.about)
    turn = orientation_of(about)
    is_turned_here = split is not None or image.format not in _TURNED_BY_PILLOW
    size = stored[::-1] if is_turned_here and turn in _SWAPPED else image.size
    has_key = "transparency" in image.info
    factor = needed_size.factor(size) // draft * draft
    depth = depth_of(image, data)
    # a single transparent color of 16 bits would vanish in the means
    if factor == 1 or (has_key and depth.bits == bit_depth.BITS):
        return None
    is_exact = uncut and needed_size.reduce == "box" and depth.bits == bit_depth.BITS
    pieces: Iterator[_Piece]
    if split is not None:
        pieces = (_piece(band, opened, exact=is_exact) for band in split.bands)
    else:
        pieces = _strips(image, draft)
    small, exact, largest = _collected(
        pieces, factor // draft, has_key=has_key, nearest=needed_size.reduce == "nearest"
    )
    if small.mode in WIDE and depth.white is None:
        depth = replace(depth, white=likely_white(largest, floats=small.mode == "F"))
    if profile := about.info.get("icc_profile"):
        small.info["icc_profile"] = profile
    if is_turned_here:
        small, exact = _upright(small, exact, turn)
    reduction = f"decoded at 1/{factor} of {size[0]}x{size[1]} pixels"
    palette = ("palette to RGB",) if image.mode in ("P", "PA") else ()
    conversions = (*frames(image), *turned(turn), reduction, *palette)
    return Raster(small, depth, conversions, exact, tags_of(about), size)


def frames(image: Image.Image) -> tuple[str, ...]:
    """The phrase for a file of several pictures."""
    count = getattr(image, "n_frames", 1)
    return (f"picture {image.tell() + 1} of {count} in the file taken",) if count > 1 else ()


def upright_size(image: Image.Image) -> Size:
    """(width, height) in pixels of an opened picture once it is upright."""
    is_turned_here = image.format not in _TURNED_BY_PILLOW
    swaps = is_turned_here and orientation_of(image) in _SWAPPED
    return image.size[::-1] if swaps else image.size


def turned(orientation: int) -> tuple[str, ...]:
    """The phrase for a picture that is not stored upright."""
    return (f"turned upright (EXIF orientation {orientation})",) if orientation > 1 else ()


def _draft(image: Image.Image, needed_size: NeededSize) -> int:
    """The divisor at which the decoder itself can return the picture."""
    if image.format not in ("JPEG", "MPO") or needed_size.reduce == "nearest":
        return 1
    either_way = [needed_size.factor(size) for size in (image.size, image.size[::-1])]
    return next((draft for draft in _DRAFTS if draft <= min(either_way)), 1)


def _needed(image: Image.Image, data: bytes, split: "_Split | None", draft: int) -> int:
    """Maximum bytes for decoding the picture, including its file."""
    width, height = image.size
    pixels = width * height
    if split is not None:
        return len(data) + _OF_BAND * split.most
    if image.format in ("JPEG", "MPO"):
        return len(data) + _OF_OTHERS * pixels // draft**2 + _coefficients(image, data)
    per_pixel = _PER_PIXEL.get(image.format or "")
    if per_pixel is None:
        per_pixel = _OF_PLANE if image.mode in _PLANES else _OF_OTHERS
        is_raw = all(tile.codec_name == "raw" for tile in getattr(image, "tile", []))
        per_pixel *= 1 if is_raw else 2  # a decoder's own copy, as of the one strip of a TIFF
    return len(data) + per_pixel * pixels


def _coefficients(image: Image.Image, data: bytes) -> int:
    """Bytes that libjpeg keeps of a JPEG whose components come in several scans."""
    layers: list[tuple[int, int, int, int]] = getattr(image, "layer", [])
    at = 2
    while (marker := _MARKER.match(data, at)) and marker[1] != _SCAN:
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
    in_scan = data[marker.end() + 2] if marker else 0
    if in_scan == len(layers) and not image.info.get("progressive"):
        return 0
    widest, highest = (max(layer[at] for layer in layers) for at in (1, 2))
    samples = sum(layer[1] * layer[2] for layer in layers) / (widest * highest)
    return round(2 * samples * math.prod(image.size))


def _check_memory(image: Image.Image, needed: int, max_pixels: int) -> None:
    """Raise PictureError if decoding takes more bytes than allowed."""
    allowed = memory(max_pixels)
    if needed > allowed:
        kind = "progressive JPEG" if image.info.get("progressive") else image.format
        raise PictureError(
            f"is {math.prod(image.size) / 1e6:.4g} MP, which takes about {needed / 1e9:.3g} GB to "
            f"decode as {kind}; the limit is {allowed / 1e9:.3g} GB, and grows with "
            f"limits.max_pixels above {USUAL:,}: make it smaller, or save it as baseline JPEG or "
            "as PNG without interlacing"
        )


def check_whole(image: Image.Image) -> None:
    """Raise PictureError if a large picture is needed in full and does not fit in memory."""
    pixels = math.prod(image.size)
    needed, available = _WANTED_WHOLE * pixels, installed()
    if pixels > WHOLE and needed > available:
        raise PictureError(
            f"is {pixels / 1e6:.4g} MP and would be decoded whole for this size, in about "
            f"{needed / 1e9:.2g} GB of memory; there are {available / 1e9:.2g} GB: ask for a "
            "smaller size, or make the picture smaller (limits.max_pixels refuses such pictures)"
        )


def _strips(image: Image.Image, draft: int) -> Iterator[_Piece]:
    """Decode a picture in one piece, at 1/`draft` of its size; the rows in pieces."""
    if draft > 1:
        image.draft(None, (image.width // draft, image.height // draft))
    image.load()
    return ((strip, None) for _, strip in strips(image))


def _piece(data: bytes, opened: _Open, *, exact: bool) -> _Piece:
    """The rows in a band, with 16 bits if `exact`."""
    band = opened(data)
    band.load()
    return band, bit_depth.exact_values(band, opened(data)) if exact else None


def _collected(
    pieces: Iterator[_Piece], factor: int, *, has_key: bool, nearest: bool
) -> tuple[Image.Image, NDArray[np.uint16] | None, float]:
    """Reduce and join all pieces, in 8 bits and in 16; also the largest value.

    The value is 0 except for planes of 32 bits.
    """
    small: list[Image.Image] = []
    exact: list[NDArray[np.uint16]] = []
    largest = 0.0
    for rows, exact_rows in _multiples(pieces, factor):
        image = _averageable(rows, has_key=has_key)
        if image.mode in WIDE:
            largest = max(largest, float(np.asarray(image).max()))
        if nearest:
            width, height = (math.ceil(side / factor) for side in image.size)
            small.append(image.resize((width, height), Image.Resampling.NEAREST))
        else:
            small.append(image.reduce(factor))
        if exact_rows is not None:
            exact.append(_reduced_16(exact_rows, factor))
    return _stacked(small), np.concatenate(exact) if exact else None, largest


def _stacked(pieces: Sequence[Image.Image]) -> Image.Image:
    """Join pictures of one width, from the top down."""
    size = (pieces[-1].width, sum(piece.height for piece in pieces))
    image, top = Image.new(pieces[-1].mode, size), 0
    for piece in pieces:
        image.paste(piece, (0, top))
        top += piece.height
    return image


def _multiples(pieces: Iterator[_Piece], factor: int) -> Iterator[_Piece]:
    """Divide the rows into pieces whose heights are multiples of `factor`, but for the last."""
    left: _Piece | None = None
    for piece in pieces:
        image, exact = piece if left is None else _below(left, piece)
        ready = image.height - image.height % factor
        if ready:
            top = image.crop((0, 0, image.width, ready))
            yield top, None if exact is None else exact[:ready]
        rest = image.crop((0, ready, image.width, image.height))
        left = (rest, None if exact is None else exact[ready:]) if rest.height else None
    if left is not None:
        yield left


def _below(upper: _Piece, lower: _Piece) -> _Piece:
    both = _stacked((upper[0], lower[0]))
    if upper[1] is None or lower[1] is None:
        return both, None
    return both, np.concatenate([upper[1], lower[1]])


def _averageable(image: Image.Image, *, has_key: bool) -> Image.Image:
    """Convert to a mode whose values can be averaged; a transparent color becomes alpha."""
    if image.mode.startswith(_GRAY_16):
        return image.convert("I")
    mode = (_WITH_KEY if has_key else _AVERAGED).get(image.mode, image.mode)
    return image if mode == image.mode else image.convert(mode)


def _reduced_16(values: NDArray[np.uint16], factor: int) -> NDArray[np.uint16]:
    """Average colors (height, width, 3), or 4 with alpha as their weight."""
    white = np.float32(65535)

    def mean(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(Image.fromarray(plane).reduce(factor))

    planes = [values[..., channel].astype(np.float32) for channel in range(values.shape[-1])]
    means = [mean(plane) for plane in planes]
    if len(planes) == len("RGBA"):
        *colors, alpha = planes
        seen = np.maximum(means[-1], np.finfo(np.float32).tiny)
        shown = [mean(color * (alpha / white)) for color in colors]
        means[:-1] = [np.divide(white * color, seen, dtype=np.float32) for color in shown]
    return np.rint(np.stack(means, axis=-1)).clip(0, white).astype(np.uint16)


def _upright(
    image: Image.Image, exact: NDArray[np.uint16] | None, turn: int
) -> tuple[Image.Image, NDArray[np.uint16] | None]:
    """Rotate the picture by an EXIF orientation."""

    def rotated(plane: Image.Image) -> Image.Image:
        plane.getexif()[Base.Orientation] = turn
        return ImageOps.exif_transpose(plane)

    if exact is None:
        return rotated(image), None
    planes = [exact[..., channel].astype(np.int32) for channel in range(exact.shape[-1])]
    planes = [np.asarray(rotated(Image.fromarray(plane))) for plane in planes]
    return rotated(image), np.stack(planes, axis=-1).astype(np.uint16)


_BAND = 1 << 20  # pixels of a band, about
_FEED = 1 << 20  # bytes that are inflated at a time: what is left over of them is copied
_TRUNCATED = "image file is truncated"

_HEAD = ">IIBBBBB"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of each color type, PNG section 11.2.1
_KIND_OF = {1: 0, 2: 4, 3: 2, 4: 6}  # a color type of so many channels
_OF_PIXELS = (b"PLTE", b"tRNS")
_OF_ANIMATION = (b"acTL", b"fcTL", b"fdAT")

_STRIPS = Tiff.STRIPOFFSETS, Tiff.ROWSPERSTRIP, Tiff.STRIPBYTECOUNTS
_TILES = Tiff.TILEOFFSETS, Tiff.TILELENGTH, Tiff.TILEBYTECOUNTS
_OLD_JPEG, _PLANAR = 6, 2
_DECIDES_PIXELS = (258, 259, 262, 266, 277, 284, 292, 293, 317, 320, 322, 332, 338, 339, 347, 529,
                   530, 531, 532)  # fmt: skip
_TIFF_HEADS = {b"II": b"II*\0\x08\0\0\0", b"MM": b"MM\0*\0\0\0\x08"}


@dataclass(frozen=True, eq=False)
class _Split:
    """A file as bands, from the top down.

    `size` is that of the stored picture, before EXIF orientation. No band has more than `most`
    pixels. `about` is a picture with the file's metadata, if the file's own picture cannot serve.
    """

    size: Size
    most: int
    bands: Iterator[bytes]
    about: bytes | None = None


def _split(image: Image.Image, data: bytes) -> _Split | None:
    """The bands of a picture that was opened from `data`; None if it must be decoded whole.

    Raises OSError: the file is damaged.
    """
    if image.format == "PNG":
        return _png(data)
    return _tiff(image.tag_v2, data) if isinstance(image, Tiff.TiffImageFile) else None


def _png(data: bytes) -> _Split | None:
    parts = list(_chunks(data))
    width, height, bits, kind, *_, interlaced = struct.unpack(_HEAD, parts[0][1])
    if interlaced:
        return None
    pixel_bits = _CHANNELS[kind] * bits
    length = (width * pixel_bits + 7) // 8
    rows = max(1, _BAND // width)

    def bands() -> Iterator[bytes]:
        above = np.zeros(length, dtype=np.uint8)
        needed = [part for part in parts if part[0] in _OF_PIXELS]
        packed = (content for name, content in parts if name == b"IDAT")
        for filtered in _inflated(packed, 1 + length, rows, height):
            band = _unfiltered(filtered, above, max(1, pixel_bits // 8))
            above = band[-1]
            body = np.pad(band, ((0, 0), (1, 0))).tobytes()  # a filter of 0 before each row
            yield _png_file((width, len(band)), (bits, kind), needed, body)

    pixels = (b"IHDR", b"IDAT", b"IEND", *_OF_ANIMATION)
    other = [part for part in parts if part[0] not in pixels]
    about = _png_file((1, 1), (bits, kind), other, bytes(1 + (pixel_bits + 7) // 8))
    return _Split((width, height), min(rows, height) * width, bands(), about)


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the chunks of a PNG to its end, with checksums verified."""
    view, at, kind = memoryview(data), len(MARK), b""
    while kind != b"IEND":
        kind = bytes(view[at + 4 : at + 8])
        end = at + 8 + int.from_bytes(view[at : at + 4])
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
    values = np.empty((len(filtered), width, halves, channels), dtype=np.uint8)
    for half in range(halves):
        body = np.concatenate([rows[:, :1], bytes_[:, :, half].reshape(len(rows), -1)], axis=1)
        file = _png_file((width, len(rows)), (8, _KIND_OF[channels]), (), body.tobytes())
        with Image.open(io.BytesIO(file), formats=["PNG"]) as image:
            values[:, :, half] = np.asarray(image).reshape(len(rows), width, channels)[1:]
    return values.reshape(len(filtered), -1)


def _png_file(
    size: Size, pixel: tuple[int, int], chunks: Iterable[tuple[bytes, memoryview]], body: bytes
) -> bytes:
    """A PNG with uncompressed rows and without their checksum, which Pillow does not verify.

    `pixel` are the bits of a channel and the color type.
    """
    head = struct.pack(_HEAD, *size, *pixel, 0, 0, 0)
    packed = zlib.compress(body, 0)
    named = b"".join(chunk(kind, bytes(content)) for kind, content in [(b"IHDR", head), *chunks])
    rows = (struct.pack(">I", len(packed)), b"IDAT", packed, bytes(4))
    return b"".join([MARK, named, *rows, chunk(b"IEND", b"")])


def _tiff(tags: Tiff.ImageFileDirectory_v2, data: bytes) -> _Split | None:
    """Split into rows of strips, or of tiles."""
    at, rows_at, counts_at = _TILES if _TILES[0] in tags else _STRIPS
    width, height = tags[Tiff.IMAGEWIDTH], tags[Tiff.IMAGELENGTH]
    offsets, counts = tags.get(at, ()), tags.get(counts_at, ())
    rows = min(height, tags.get(rows_at, height))
    across = math.ceil(width / tags[Tiff.TILEWIDTH]) if at in _TILES else 1
    whole = math.ceil(height / rows) * across
    if (
        tags.get(Tiff.COMPRESSION) == _OLD_JPEG
        or tags.get(Tiff.PLANAR_CONFIGURATION) == _PLANAR
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
            size = {Tiff.IMAGEWIDTH: width, Tiff.IMAGELENGTH: min(together * rows, left)}
            yield _tiff_file(tags, {**size, rows_at: rows}, (at, counts_at), pieces)

    return _Split((width, height), min(height, together * rows) * width, bands())


def _tiff_file(
    tags: Tiff.ImageFileDirectory_v2, own: Mapping[int, int], places: Size, pieces: Sequence[bytes]
) -> bytes:
    """A TIFF of some strips or tiles of another, whose `tags` describe its pixels.

    `places` are the tags for the offsets and the byte counts of the pieces.
    """
    order, lengths = tags.prefix, list(map(len, pieces))
    directory = Tiff.ImageFileDirectory_v2(_TIFF_HEADS[order])
    for tag in (tag for tag in _DECIDES_PIXELS if tag in tags):
        kind = tags.tagtype[tag]
        directory.tagtype[tag] = TiffTags.LONG if kind == TiffTags.LONG8 else kind
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
