"""Decoding of picture files with libvips: upright, in sRGB, reduced if fewer pixels are enough.

libvips decodes JPEG, PNG and TIFF in a stream, so that a large picture that is reduced is never in
memory as a whole. Pillow decodes formats that libvips lacks: BMP, PPM, and HEIC by pillow-heif.
"""

import importlib
import io
import math
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.metadata import INCH, NO_TAGS, Tags, tags_of
from stylewatch_painter.installation import install_command
from stylewatch_painter.process_memory import installed

Size = tuple[int, int]
"""(width, height) in pixels."""

MAX_SIDE = 100_000
"""Maximum side of a picture in pixels, far beyond any photograph."""

FULL_DECODING_PIXELS = 40_000_000
"""Number of pixels up to which a picture is always decoded in full."""

OVERSAMPLING = 2
"""Minimum ratio of the sides of a reduced picture to the needed sides."""

MAX_DECODING_BYTES = 1_350_000_000
"""Bytes that decoding may take, for a limit of up to DEFAULT_LIMIT pixels."""

MAX_SCANS = 200
"""Number of scans of a JPEG. Programs write about ten; each takes as long as a baseline JPEG."""

_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")
"""A marker of JPEG that begins a segment, or is the end of the picture."""

_SCAN, _END = b"\xda", b"\xd9"

DEFAULT_LIMIT = 1_000_000_000
"""Default of `limits.max_pixels`, in pixels."""

_LOADERS = {
    "JPEG": "jpegload_source",
    "PNG": "pngload_source",
    "WebP": "webpload_source",
    "TIFF": "tiffload_source",
    "GIF": "gifload_source",
    "AVIF": "heifload_source",
}
READABLE = "JPEG, PNG, WebP, TIFF, BMP, GIF, PPM, AVIF, HEIC"

_HEADS = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WebP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "TIFF": re.compile(rb"II[*+]\0|MM\0[*+]"),
    "GIF": re.compile(rb"GIF8"),
    "BMP": re.compile(rb"BM"),
    "PPM": re.compile(rb"P[1-6f]"),
}
"""Patterns for the first bytes of each format."""

_WHOLE_BYTES = {"WebP": 8, "GIF": 8, "AVIF": 15, "HEIC": 13, "BMP": 8, "PPM": 8}
"""Bytes per pixel that formats decoded as a whole take."""

_FLOAT_BYTES = 28
"""Bytes per pixel of a picture in full: floats, and the values that they are made from."""

_SAMPLES = {"4:2:0": 1.5, "4:2:2": 2.0}
"""Samples per pixel of a JPEG with subsampled colors."""

_JPEG_SHRINKS = (8, 4, 2)
_SWAPPED = range(5, 9)
"""EXIF orientations that exchange width and height."""

_WHITES = (1, 255, 65535, 2**31 - 1, 2**32 - 1)
"""Usual values of white in planes of 32 bits, whose files do not state it; 1 is for floats only."""

_SAME = 1
"""Maximum difference of two encodings of the same sRGB color, in levels of 0..255."""

_MEGA = 1_000_000

# Pillow reads the header of a PPM byte by byte, with any number of blanks and comments.
_LONGEST_HEAD = 1 << 16
_WORD = rb"(?:\s|#[^\r\n]*+[\r\n])++[^\s#]{1,10}+"
_PPM_HEAD = re.compile(rb"P(?:[14](?:%b){2}|[2356f](?:%b){3})[\s#]" % (_WORD, _WORD))


def memory(max_pixels: int) -> int:
    """Return the bytes that decoding may take, for a limit of `max_pixels`."""
    return round(MAX_DECODING_BYTES * max(1.0, max_pixels / DEFAULT_LIMIT))


@dataclass(frozen=True)
class NeededSize:
    """The size that is sufficient for a large picture, which can then be decoded reduced.

    `shown` is the largest (width, height) that the upright picture will be resized to, or a
    function that computes it from the picture's own size. With `nearest`, for masks, pixels are
    picked instead of averaged. A picture of at most `above` pixels is decoded in full.
    """

    shown: Size | Callable[[Size], Size]
    reduce: Literal["box", "nearest"] = "box"
    above: int = FULL_DECODING_PIXELS

    def factor(self, size: Size) -> int:
        """Return the reduction factor for a picture of `size`; 1 for none."""
        if math.prod(size) <= self.above:
            return 1
        shown = self.shown(size) if callable(self.shown) else self.shown
        sides = zip(size, shown, strict=True)
        return max(1, min(side // (OVERSAMPLING * needed) for side, needed in sides))


def long_side(side: int) -> Callable[[Size], Size]:
    """Return a function that scales the size of a picture to a long side of `side` pixels."""

    def shown(size: Size) -> Size:
        width, height = (max(1, round(each * side / max(size))) for each in size)
        return width, height

    return shown


@dataclass(frozen=True, eq=False)
class Raster:
    """A decoded picture, upright, in sRGB.

    `values` is (height, width, bands), with 1 band of gray or 3 of color, and one more for alpha if
    `has_alpha`; values are from 0 to `white`. `conversions` has a phrase for each conversion.
    `size` is the (width, height) of the picture in the file, upright; `tags` are the file's
    metadata.
    """

    values: NDArray[Any]
    white: int
    has_alpha: bool
    conversions: tuple[str, ...]
    size: Size
    tags: Tags = NO_TAGS


def kind_of(head: bytes) -> str:
    """Return the format of a file by its first bytes; empty for an unsupported format."""
    brands = head[8 : int.from_bytes(head[:4])] if head[4:8] == b"ftyp" else b""
    if re.search(rb"avi[fs]|he[iv][cmsx]", brands):
        return "AVIF" if re.search(rb"avi[fs]", brands) else "HEIC"
    return next((kind for kind, start in _HEADS.items() if start.match(head)), "")


def upright_size(data: bytes, max_pixels: int) -> Size:
    """Return (width, height) of the picture in `data`, upright, without decoding it."""
    kind = kind_of(data)
    image = _opened(kind, data, max_pixels)
    return _upright(_size(image), _turn_left(kind, image))


def decode(data: bytes, max_pixels: int, needed_size: NeededSize | None = None) -> Raster:
    """Decode the main picture in `data`, inside a `read.decoding` context.

    With `needed_size` a large picture may be decoded reduced.

    Raises:
        PictureError: there are more than `max_pixels` or too little memory, values are not finite,
            or the library for HEIC is missing.
        Exception: any error of a library for data that it cannot decode.
    """
    kind = kind_of(data)
    image = _opened(kind, data, max_pixels)
    turn = _turn_left(kind, image)
    size = _upright(_size(image), turn)
    factor, shrink = 1, 1
    if needed_size is not None:
        factor = needed_size.factor(size)
        if kind == "JPEG" and needed_size.reduce == "box":
            shrink = next((each for each in _JPEG_SHRINKS if each <= factor), 1)
            factor = factor // shrink * shrink
    if factor == 1:
        _check_whole(math.prod(size))
    if kind not in _LOADERS:
        image = _from_pillow(image)
    conversions = _about(image)
    if shrink > 1:
        image = _load(kind, data, shrink=shrink)
    if factor > 1:
        conversions.append(f"decoded at 1/{factor} of {size[0]}x{size[1]} pixels")
        image = _reduced(image, factor // shrink, needed_size)
    if image.get_typeof("palette"):
        conversions.append("palette to RGB")
    tags = _tags(kind, image)
    image = _to_srgb(image, conversions)
    has_alpha = image.hasalpha()
    values, white = _scaled(image, conversions)
    return Raster(_turned(values, turn), white, has_alpha, tuple(conversions), size, tags)


def check_size(size: Size, max_pixels: int) -> None:
    """Raise PictureError if a picture of `size` is too large."""
    width, height = size
    if width * height > max_pixels:
        raise PictureError(_too_large(width * height, max_pixels))
    if max(size) > MAX_SIDE:
        raise PictureError(
            f"is {width}x{height} pixels; the limit for a side is {MAX_SIDE:,} pixels: crop it"
        )


def _too_large(pixels: int, max_pixels: int) -> str:
    """Describe a size in megapixels, or in pixels if these are needed to tell it from the limit."""
    shown, limit = (
        f"{number / _MEGA:,.1f}".removesuffix(".0") + " MP" for number in (pixels, max_pixels)
    )
    if shown == limit or max_pixels < _MEGA:
        shown, limit = (f"{number:,} pixels" for number in (pixels, max_pixels))
    return f"is {shown}; the limit is {limit} (limits.max_pixels)"


# Opening


@cache
def vips() -> Any:
    """Return pyvips, configured for untrusted files: fuzzed loaders only, one thread, no cache."""
    os.environ.setdefault("VIPS_WARNING", "0")  # any value suppresses warnings about files
    try:
        pyvips = importlib.import_module("pyvips")
    except (ImportError, OSError) as error:
        raise PictureError(
            f"cannot be read or written, as libvips cannot be loaded ({error}): "
            "`pip install 'pyvips[binary]'`, or install libvips with the packages of your system"
        ) from error
    # its log handler is a callback, which swallows the exception of a signal that arrives during it
    pyvips._remove_log_handler()
    pyvips.block_untrusted_set(True)
    pyvips.concurrency_set(1)  # several threads can ask for the rows of a stream out of order
    pyvips.cache_set_max(0)
    return pyvips


def _load(kind: str, data: bytes, **options: Any) -> Any:
    loader = getattr(vips().Image, _LOADERS[kind])
    source = vips().Source.new_from_memory(data)  # a loader for buffers would copy it
    try:
        return loader(source, access="sequential", fail_on="error", **options)
    except vips().Error as error:
        if "bad labq format" not in error.detail:
            raise
        raise PictureError(
            "is a CIE Lab picture of 8 bits per channel, which cannot be read; save it in RGB"
        ) from error


def _opened(kind: str, data: bytes, max_pixels: int) -> Any:
    """Open a picture without decoding it, with libvips or Pillow, and check its size."""
    image = _load(kind, data) if kind in _LOADERS else _by_pillow(kind, data)
    check_size(_size(image), max_pixels)
    _check_scans(kind, data)
    _check_memory(kind, image, len(data), max_pixels)
    return image


def _by_pillow(kind: str, data: bytes) -> Image.Image:
    if kind != "HEIC":
        if kind == "PPM" and len(data) > _LONGEST_HEAD and not _PPM_HEAD.match(data):
            raise PictureError("has a damaged head; save it as PNG")
        return Image.open(io.BytesIO(data), formats=(kind,))
    try:
        plugin = importlib.import_module("pillow_heif")
    except ImportError as error:
        raise PictureError(
            f"is a HEIC picture, which needs an extra: {install_command('heic')},"
            " or save it as JPEG"
        ) from error
    # Do not register it: that would change what Pillow opens in the whole process.
    picture: Image.Image = plugin.HeifImageFile(io.BytesIO(data))
    return picture


def _from_pillow(picture: Image.Image) -> Any:
    """Decode a Pillow picture and convert it for libvips, with its profile and EXIF."""
    if picture.mode.startswith("I"):
        values, interpretation = np.asarray(picture).astype(np.uint16), "grey16"
    elif picture.mode in ("L", "F"):
        values, interpretation = np.asarray(picture), "b-w"
    else:
        mode = "RGBA" if picture.has_transparency_data else "RGB"
        values, interpretation = np.asarray(picture.convert(mode)), "srgb"
    image = vips().Image.new_from_array(values, interpretation=interpretation)
    blob = vips().GValue.blob_type
    for name, field in (("icc_profile", "icc-profile-data"), ("exif", "exif-data")):
        if content := picture.info.get(name):
            image.set_type(blob, field, content)
    if turned := picture.info.get("original_orientation"):  # turned by pillow-heif
        image.set_type(vips().GValue.gint_type, "orientation", turned)
    return image


def _size(image: Any) -> Size:
    return image.width, image.height


def _orientation(image: Any) -> int:
    """Return the EXIF orientation of an opened picture; 1 if it is upright or not stated."""
    orientation = image.get("orientation") if image.get_typeof("orientation") else 1
    return orientation if orientation in range(1, 9) else 1


def _upright(size: Size, orientation: int) -> Size:
    return size[::-1] if orientation in _SWAPPED else size


def _turn_left(kind: str, image: Any) -> int:
    """Return the orientation by which a decoded picture must still be turned."""
    return _orientation(image) if kind in _LOADERS else 1


def _about(image: Any) -> list[str]:
    """Return phrases for a file with several pictures, and for one that is not stored upright."""
    pages = image.get("n-pages") if image.get_typeof("n-pages") else 1
    phrases = [f"picture 1 of {pages} in the file taken"] if pages > 1 else []
    if (orientation := _orientation(image)) > 1:
        phrases.append(f"turned upright (EXIF orientation {orientation})")
    return phrases


def _tags(kind: str, image: Any) -> Tags:
    exif = image.get("exif-data") if image.get_typeof("exif-data") else b""
    dpi = None
    is_stated = image.get_typeof("resolution-unit") or kind == "PNG"
    if is_stated and kind not in ("WebP", "AVIF") and round(image.xres, 2) != _PNG_DEFAULT:
        dpi = (image.xres * INCH, image.yres * INCH)
    return tags_of(bytes(exif), dpi)


_PNG_DEFAULT = 2.83
"""Pixels per millimeter that libvips gives a PNG without a resolution; equal to 72 dpi."""


# Limits


def _check_scans(kind: str, data: bytes) -> None:
    """Raise PictureError for a JPEG that is made to take long.

    Segments are skipped, such as a thumbnail, and so is what follows the end of the picture: the
    clip of a motion photo may have any bytes.
    """
    scans, at = 0, 2
    while kind == "JPEG" and (found := _MARKER.search(data, at)) and found[1] != _END:
        length = int.from_bytes(data[found.end() : found.end() + 2], "big")
        scans, at = scans + (found[1] == _SCAN), found.end() + length
    if scans > MAX_SCANS:
        raise PictureError(f"has {scans:,} scans; the limit is {MAX_SCANS}: save it again")


def _check_memory(kind: str, image: Any, file_bytes: int, max_pixels: int) -> None:
    """Raise PictureError if decoding takes more bytes than allowed."""
    pixels, allowed = math.prod(_size(image)), memory(max_pixels)
    needed = file_bytes + _decoder_bytes(kind, image) * pixels
    if needed > allowed:
        how = "progressive JPEG" if kind == "JPEG" else "interlaced PNG" if kind == "PNG" else kind
        raise PictureError(
            f"is {pixels / _MEGA:.4g} MP, which takes about {needed / 1e9:.3g} GB to decode as "
            f"{how}; the limit is {allowed / 1e9:.3g} GB, and grows with limits.max_pixels above "
            f"{DEFAULT_LIMIT:,}: make it smaller, or save it as baseline JPEG or as PNG without "
            "interlacing"
        )


def _decoder_bytes(kind: str, image: Any) -> float:
    """Return the bytes per pixel that a decoder holds for the whole picture."""
    if kind in _WHOLE_BYTES:
        return _WHOLE_BYTES[kind]
    if kind == "JPEG" and image.get_typeof("jpeg-multiscan") and image.get("jpeg-multiscan"):
        return 2 * _SAMPLES.get(image.get("jpeg-chroma-subsample"), float(image.bands))
    if kind == "PNG" and image.get_typeof("interlaced"):
        return float(image.bands * (2 if image.format == "ushort" else 1))
    return 0


def _check_whole(pixels: int) -> None:
    """Raise PictureError if a large picture is needed in full and does not fit in memory."""
    needed, available = _FLOAT_BYTES * pixels, installed()
    if pixels > FULL_DECODING_PIXELS and needed > available:
        raise PictureError(
            f"is {pixels / _MEGA:.4g} MP and would be decoded whole for this size, in about "
            f"{needed / 1e9:.2g} GB of memory; there are {available / 1e9:.2g} GB: ask for a "
            "smaller size, or make the picture smaller (limits.max_pixels refuses such pictures)"
        )


# Pixels


def _reduced(image: Any, factor: int, needed_size: NeededSize | None) -> Any:
    """Return the means of squares of `factor` pixels, weighted by alpha, or single pixels."""
    if needed_size is not None and needed_size.reduce == "nearest":
        return image.subsample(factor, factor)
    if factor == 1:
        return image
    if not image.hasalpha() or image.interpretation == "cmyk":
        return image.shrink(factor, factor, ceil=True)
    alpha = image[-1]  # `premultiply` would have to be told the largest alpha, which varies
    seen = (image[:-1].cast("float") * alpha).bandjoin(alpha).shrink(factor, factor, ceil=True)
    alpha = seen[-1]
    seen = (seen[:-1] / alpha).bandjoin(alpha)
    return seen if image.format in ("float", "double") else seen.rint().cast(image.format)


def _to_srgb(image: Any, conversions: list[str]) -> Any:
    """Convert colors to sRGB by the picture's profile; gray without a profile stays gray."""
    if image.interpretation in ("lab", "labs"):  # `labs`: of 16 bits
        conversions.append("CIE Lab to sRGB")
        return image.colourspace("srgb")
    is_cmyk = image.interpretation == "cmyk"
    if is_cmyk and image.bands > len("CMYK"):
        conversions.append("further channels of CMYK left out")  # libvips supports no alpha there
        image = image[:4]
    profile = bytes(image.get("icc-profile-data")) if image.get_typeof("icc-profile-data") else b""
    if profile:
        converted = _by_profile(image, profile)
        if converted is None:
            taken_as = "plain CMYK" if is_cmyk else "sRGB"
            conversions.append(
                f"color profile left out, it is damaged or does not fit: taken as {taken_as}"
            )
        elif converted is not image:
            conversions += ["CMYK to RGB"] if is_cmyk else []
            conversions.append(f"colors from profile '{_name(profile)}' to sRGB")
            return converted
    if is_cmyk:
        conversions.append("CMYK to RGB without a profile")
        return _icc(image.copy(), input_profile="cmyk")
    if image.bands - image.hasalpha() not in (1, 3):
        raise PictureError(f"has {image.bands} channels; save it in RGB or gray")
    return image


def _by_profile(image: Any, profile: bytes) -> Any | None:
    """Return the picture in sRGB, unchanged if it is sRGB; None if the profile is unusable."""
    space, whole = profile[16:20], image.format in ("uchar", "ushort")
    if whole and space == b"RGB " and image.bands <= len("LA"):  # gray with an RGB tone curve
        gray, alpha = image[0], [image[1]] if image.hasalpha() else []
        deep = image.format == "ushort"
        image = gray.bandjoin([gray, gray, *alpha]).copy(interpretation="rgb16" if deep else "srgb")
    fits = {b"RGB ": image.bands >= len("RGB"), b"GRAY": image.bands <= len("LA"),
            b"CMYK": image.interpretation == "cmyk"}  # fmt: skip
    if not fits.get(space) or not _name(profile):
        return None
    try:
        if space != b"CMYK" and _is_srgb(profile, gray=space == b"GRAY"):
            return image
        return _icc(image, embedded=True) if whole else None
    except vips().Error:
        return None


def _icc(image: Any, **source: Any) -> Any:
    # Black-point compensation keeps a print's black from becoming gray; between the profiles of
    # cameras and screens it changes nothing.
    return image.icc_transform(
        "srgb",
        intent="relative",
        black_point_compensation=True,
        depth=16 if image.format == "ushort" else 8,
        **source,
    )


def _is_srgb(profile: bytes, *, gray: bool) -> bool:
    """Return whether a profile is equivalent to sRGB, over a grid of colors or all grays."""
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3)
    if gray:
        grid = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    image = vips().Image.new_from_array(grid, interpretation="b-w" if gray else "srgb")
    image.set_type(vips().GValue.blob_type, "icc-profile-data", profile)
    after = _icc(image, embedded=True).numpy().astype(np.int16)
    return bool(np.abs(after - grid).max() <= _SAME)


@cache
def _name(profile: bytes) -> str:
    """Return the name of a profile for the receipt; empty if it is damaged."""
    with suppress(OSError, ImageCms.PyCMSError):
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return " ".join(ImageCms.getProfileDescription(opened).split())[:60] or "unnamed"
    return ""


def _scaled(image: Any, conversions: list[str]) -> tuple[NDArray[Any], int]:
    """Decode and return the values (height, width, bands) and the value of white."""
    values = image.numpy()
    values = values.reshape(image.height, image.width, image.bands)
    is_gray = image.bands - image.hasalpha() == 1
    whites = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}
    if (white := whites.get(values.dtype)) is not None:
        bits = image.get("bits-per-sample") if image.get_typeof("bits-per-sample") else 8
        if is_gray and white > whites[np.dtype(np.uint8)]:
            conversions.append(f"16-bit gray to RGB, unrounded, white at {white}")
        elif is_gray:
            conversions.append("black and white to RGB" if bits == 1 else "gray to RGB")
        return values, white
    if not np.isfinite(values).all():
        raise PictureError("has values that are not numbers; export it again with 8 or 16 bits")
    is_float = values.dtype.kind == "f"
    usual = _WHITES if is_float else _WHITES[1:]
    white = next((white for white in usual if values.max() <= white), usual[-1])
    what, depth = "gray" if is_gray else "color", "float" if is_float else "32-bit"
    conversions.append(f"{depth} {what} to RGB, unrounded, white at {white}")
    return values.astype(np.float64), white


def _turned(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return a view of the values, turned by an EXIF orientation."""
    if orientation in _SWAPPED:
        values = values.swapaxes(0, 1)
    down = -1 if orientation in (3, 4, 7, 8) else 1
    right = -1 if orientation in (2, 3, 6, 7) else 1
    return values[::down, ::right]
