"""Decodes large pictures at a reduced size, in bounded memory where the format allows it.

JPEG is decoded at 1/2, 1/4 or 1/8; PNG and TIFF in bands, each reduced at once; other formats in
one piece, if it is not too large.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.ExifTags import Base

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import bands
from stylewatch_painter.images import depth as bit_depth
from stylewatch_painter.images.depth import Depth, depth_of, likely_white
from stylewatch_painter.images.metadata import orientation_of
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
_EVEN = {"1": "L", "La": "LA", "P": "RGB", "PA": "RGBA", "RGBX": "RGB"}
_KEYED = {"1": "LA", "L": "LA", "P": "RGBA", "RGB": "RGBA"}
_WIDE = ("I", "F")
_GRAY_16 = "I;16"

_Open = Callable[[bytes], Image.Image]
_Piece = tuple[Image.Image, NDArray[np.uint16] | None]
"""Some rows of a picture, in 8 bits and, if requested, in 16."""


def memory(max_pixels: int) -> int:
    """Bytes that decoding may take, for a limit of `max_pixels`."""
    return round(_MEMORY * max(1.0, max_pixels / USUAL))


@dataclass(frozen=True)
class Enough:
    """The size of a large picture that is enough, so that it can be decoded reduced.

    `shown` is the largest (width, height) the picture will be resized to, upright, or computes it
    from the picture's own. A picture of up to `whole` pixels is decoded in full. With `nearest`
    pixels are picked instead of averaged: for masks.
    """

    shown: Size | Callable[[Size], Size]
    whole: int = WHOLE
    reduce: Literal["box", "nearest"] = "box"

    def factor(self, size: Size) -> int:
        """The reduction for a picture of `size`; 1 for none."""
        if math.prod(size) <= self.whole:
            return 1
        shown = self.shown(size) if callable(self.shown) else self.shown
        sides = zip(size, shown, strict=True)
        return max(1, min(have // (FINER * enough) for have, enough in sides))


def within(side: int) -> Callable[[Size], Size]:
    """A function for the size of a picture whose long side will have `side` pixels."""

    def shown(size: Size) -> Size:
        width, height = (max(1, round(each * side / max(size))) for each in size)
        return width, height

    return shown


@dataclass(frozen=True, eq=False)
class Reduced:
    """A picture that was decoded reduced, upright; fields as in `decode.Raster`.

    `about` is the picture with the file's metadata; `size` is that of the full picture, upright.
    """

    image: Image.Image
    depth: Depth
    said: tuple[str, ...]
    whole: NDArray[np.uint16] | None
    about: Image.Image
    size: Size


def reduced(
    image: Image.Image,
    data: bytes,
    enough: Enough,
    opened: _Open,
    *,
    uncut: bool = False,
    max_pixels: int = USUAL,
) -> Reduced | None:
    """Decode a picture that was opened from `data` reduced; None: decode it in full.

    `opened` opens a file, given as bytes; `uncut` as in `decode.decoded`.

    Raises:
        PictureError: it takes too much memory.
        Exception: any error over data that cannot be decoded.
    """
    if math.prod(image.size) <= enough.whole:
        return None
    source = _Source.of(image, data, enough, opened, max_pixels)
    if source.factor == 1:
        return None
    depth = depth_of(image, data)
    fine = uncut and enough.reduce == "box" and depth.bits == bit_depth.BITS
    small, whole, largest = _collected(
        source.pieces(opened, fine=fine),
        source.factor // source.draft,
        keyed="transparency" in image.info,
        nearest=enough.reduce == "nearest",
    )
    if small.mode in _WIDE and depth.white is None:
        depth = replace(depth, white=likely_white(largest, floats=small.mode == "F"))
    if profile := source.about.info.get("icc_profile"):
        small.info["icc_profile"] = profile
    if source.is_turned_by_us:
        small, whole = _upright(small, whole, source.turn)
    return Reduced(small, depth, tuple(source.said), whole, source.about, source.size)


@dataclass(frozen=True, eq=False)
class _Source:
    """A picture that was opened and is not loaded yet, and how it will be decoded.

    `turn` is its EXIF orientation; `size` its (width, height), upright. It is reduced by `factor`,
    of which the decoder itself does `draft`. `about` is as in `Reduced`.
    """

    image: Image.Image
    split: bands.Split | None
    about: Image.Image
    turn: int
    size: Size
    factor: int
    draft: int

    @classmethod
    def of(
        cls, image: Image.Image, data: bytes, enough: Enough, opened: _Open, max_pixels: int
    ) -> "_Source":
        split = bands.split(image, data)
        draft = _draft(image, enough)
        _check_memory(image, _needed(image, data, split, draft), max_pixels)
        about = image if split is None or split.about is None else opened(split.about)
        turn = orientation_of(about)
        source = cls(image, split, about, turn, image.size, 1, draft)
        if source.is_turned_by_us and turn in _SWAPPED:
            source = replace(source, size=source._stored[::-1])
        if image.mode.startswith(_GRAY_16) and "transparency" in image.info:
            return source  # a value that is transparent, which means would hide
        return replace(source, factor=enough.factor(source.size) // draft * draft)

    @property
    def is_turned_by_us(self) -> bool:
        return self.split is not None or self.image.format not in _TURNED_BY_PILLOW

    @property
    def said(self) -> Iterator[str]:
        """The conversions, as phrases."""
        if self.turn > 1:
            yield f"turned upright (EXIF orientation {self.turn})"
        width, height = self.size
        yield f"decoded at 1/{self.factor} of {width}x{height} pixels"
        if self.image.mode in ("P", "PA"):
            yield "palette to RGB"

    def pieces(self, opened: _Open, *, fine: bool) -> Iterator[_Piece]:
        """The rows in pieces; with 16 bits if `fine`."""
        if self.split is not None:
            return (_piece(band, opened, fine=fine) for band in self.split.bands)
        if self.draft > 1:
            width, height = self._stored
            self.image.draft(None, (width // self.draft, height // self.draft))
        self.image.load()
        return ((strip, None) for _, strip in bands.strips(self.image))

    @property
    def _stored(self) -> Size:
        return self.image.size if self.split is None else self.split.size


def _draft(image: Image.Image, enough: Enough) -> int:
    """The divisor at which the decoder itself can return the picture."""
    if image.format not in ("JPEG", "MPO") or enough.reduce == "nearest":
        return 1
    either_way = [enough.factor(size) for size in (image.size, image.size[::-1])]
    return next((draft for draft in _DRAFTS if draft <= min(either_way)), 1)


def _needed(image: Image.Image, data: bytes, split: bands.Split | None, draft: int) -> int:
    """Maximum bytes for decoding the picture, including its file."""
    width, height = image.size
    pixels = width * height
    if split is not None:
        return len(data) + _OF_BAND * split.most
    if image.format in ("JPEG", "MPO"):
        return len(data) + _OF_OTHERS * pixels // draft**2 + _coefficients(image, data)
    if (known := _PER_PIXEL.get(image.format or "")) is None:
        known = _OF_PLANE if image.mode in _PLANES else _OF_OTHERS
        is_raw = all(tile.codec_name == "raw" for tile in getattr(image, "tile", []))
        known *= 1 if is_raw else 2  # a decoder's own copy, as of the one strip of a TIFF
    return len(data) + known * pixels


def _coefficients(image: Image.Image, data: bytes) -> int:
    """Bytes that libjpeg keeps of a JPEG whose components come in several scans."""
    layers: list[tuple[int, int, int, int]] = getattr(image, "layer", [])
    at = 2
    while (found := _MARKER.match(data, at)) and found[1] != _SCAN:
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2])
    in_scan = data[found.end() + 2] if found else 0
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
    needed, there = _WANTED_WHOLE * pixels, installed()
    if pixels > WHOLE and needed > there:
        raise PictureError(
            f"is {pixels / 1e6:.4g} MP and would be decoded whole for this size, in about "
            f"{needed / 1e9:.2g} GB of memory; there are {there / 1e9:.2g} GB: ask for a smaller "
            "size, or make the picture smaller (limits.max_pixels refuses such ones at once)"
        )


def _piece(data: bytes, opened: _Open, *, fine: bool) -> _Piece:
    """The rows in a band, with 16 bits if `fine`."""
    band = opened(data)
    band.load()
    return band, bit_depth.whole(band, opened(data)) if fine else None


def _collected(
    pieces: Iterator[_Piece], factor: int, *, keyed: bool, nearest: bool
) -> tuple[Image.Image, NDArray[np.uint16] | None, float]:
    """Reduce and join all pieces, in 8 bits and in 16; also the largest value.

    The value is 0 except for planes of 32 bits.
    """
    small: list[Image.Image] = []
    fine: list[NDArray[np.uint16]] = []
    largest = 0.0
    for image, whole in _multiples(pieces, factor):
        even = _even(image, keyed=keyed)
        if even.mode in _WIDE:
            largest = max(largest, float(np.asarray(even).max()))
        width, height = (math.ceil(side / factor) for side in even.size)
        if nearest:
            small.append(even.resize((width, height), Image.Resampling.NEAREST))
        else:
            small.append(even.reduce(factor))
        if whole is not None:
            fine.append(_reduced_16(whole, factor))
    whole_size = (small[0].width, sum(piece.height for piece in small))
    found, top = Image.new(small[0].mode, whole_size), 0
    for piece in small:
        found.paste(piece, (0, top))
        top += piece.height
    return found, np.concatenate(fine) if fine else None, largest


def _multiples(pieces: Iterator[_Piece], factor: int) -> Iterator[_Piece]:
    """Divide the rows into pieces whose heights are multiples of `factor`, but for the last."""
    left: _Piece | None = None
    for piece in pieces:
        image, whole = piece if left is None else _below(left, piece)
        ready = image.height - image.height % factor
        if ready:
            top = image.crop((0, 0, image.width, ready))
            yield top, None if whole is None else whole[:ready]
        rest = image.crop((0, ready, image.width, image.height))
        left = (rest, None if whole is None else whole[ready:]) if rest.height else None
    if left is not None:
        yield left


def _below(upper: _Piece, lower: _Piece) -> _Piece:
    (first, fine), (second, finer) = upper, lower
    both = Image.new(second.mode, (second.width, first.height + second.height))
    both.paste(first, (0, 0))
    both.paste(second, (0, first.height))
    return both, None if fine is None or finer is None else np.concatenate([fine, finer])


def _even(image: Image.Image, *, keyed: bool) -> Image.Image:
    """Convert to a mode whose values can be averaged; a transparent color becomes alpha."""
    if image.mode.startswith(_GRAY_16):
        return image.convert("I")
    mode = (_KEYED if keyed else _EVEN).get(image.mode, image.mode)
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
    image: Image.Image, whole: NDArray[np.uint16] | None, turn: int
) -> tuple[Image.Image, NDArray[np.uint16] | None]:
    """Rotate the picture by an EXIF orientation."""

    def turned(plane: Image.Image) -> Image.Image:
        plane.getexif()[Base.Orientation] = turn
        return ImageOps.exif_transpose(plane)

    if whole is None:
        return turned(image), None
    planes = [whole[..., channel].astype(np.int32) for channel in range(whole.shape[-1])]
    found = [np.asarray(turned(Image.fromarray(plane))) for plane in planes]
    return turned(image), np.stack(found, axis=-1).astype(np.uint16)
