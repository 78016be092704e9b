"""Decodes pictures with Pillow: only known formats, only sizes within the limits."""

import importlib
import io
import math
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images import depth as bit_depth
from stylewatch_painter.images import reduced
from stylewatch_painter.images.depth import Depth, depth_of
from stylewatch_painter.images.metadata import UNTOLD, Tags, orientation_of, tags_of
from stylewatch_painter.images.reduced import Enough, Size

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF")
"""Pillow's names of the formats that are tried; JPEG includes MPO from phones and cameras."""

READABLE = "JPEG, PNG, WebP, TIFF, BMP, GIF, PPM, AVIF, HEIC"

MAX_SIDE = 100_000
"""Pixels of the longest side of a picture. No photograph comes near, and strips of a few
rows cost far more than their pixels."""

MAX_METADATA = 16 << 20
"""Bytes of metadata before the pixels of a JPEG; Pillow takes quadratic time for it."""

HEAD = 4096
"""Bytes at the start of a file by which `decoding` recognizes its kind."""

_MEGA = 1_000_000

_SEGMENT = re.compile(rb"\xff([^\xda])(..)", re.DOTALL)
"""The head of a JPEG segment other than a scan."""

_METADATA = frozenset(bytes([marker]) for marker in (*range(0xE0, 0xF0), 0xFE))
"""Markers of application segments and comments."""

# Pillow reads the head of a PPM byte by byte, with all blanks and comments that there are.
_LONGEST_HEAD = 1 << 16
_PLAIN = re.compile(rb"P[1-6f]")
_WORD = rb"(?:\s|#[^\r\n]*+[\r\n])++[^\s#]{1,10}+"
_HEAD = re.compile(rb"P(?:[14](?:%b){2}|[2356f](?:%b){3})[\s#]" % (_WORD, _WORD))

# Pillow's warnings go by filters that all threads share, and a decoder is the largest user of
# memory that reading has: both are reasons to decode one picture at a time.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, eq=False)
class Raster:
    """A decoded picture, upright, in the colors of its file; `said` lists the conversions.

    `whole` has the unreduced values of 16 bits a channel if they were requested, uint16
    (height, width, 3), or 4 with alpha. `tags` are the file's metadata. `size_of_file` is
    (width, height) of the picture in the file, upright, if it was decoded smaller.
    """

    image: Image.Image
    depth: Depth
    said: tuple[str, ...]
    whole: NDArray[np.uint16] | None = None
    tags: Tags = UNTOLD
    size_of_file: Size | None = None

    @property
    def size(self) -> Size:
        """(width, height) in pixels of the picture in the file, upright."""
        return self.size_of_file or self.image.size


@contextmanager
def decoding(name: str, data: bytes) -> Iterator[None]:
    """Turn every error of decoding `data` into a sentence about the file `name`.

    Only the first `HEAD` bytes of `data` are needed, so that the rest can be freed inside. Inside,
    a PictureError is raised without its subject; the name is added here.
    """
    try:
        with _one_at_a_time, warnings.catch_warnings():
            # Size is checked below, and damaged metadata costs no picture.
            warnings.simplefilter("ignore")
            yield
    except PictureError as error:
        raise PictureError(f"{name} {error}") from error.__cause__
    except UnidentifiedImageError as error:
        raise PictureError(f"{name} {_unknown(data)}") from error
    except MemoryError as error:
        raise PictureError(f"{name} takes more memory than there is; make it smaller") from error
    except Exception as error:  # decoders raise nearly anything over broken bytes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(
            f"{name} is cut off or damaged ({reason}); copy or export it again"
        ) from error


def decoded(
    data: bytes, max_pixels: int, *, uncut: bool = False, enough: Enough | None = None
) -> Raster:
    """Decode the main picture in `data`; to be called inside `decoding`.

    With `uncut`, colors of 16 bits are kept, which takes a second decoding. With `enough` a large
    picture may be decoded smaller.

    Raises:
        PictureError: more than `max_pixels`, too much memory, or HEIC without its library.
        Exception: any error of Pillow over data it cannot decode.
    """
    with _limited(max_pixels):
        image = _opened(data, max_pixels)

        def opened(band: bytes) -> Image.Image:
            return _opened(band, max_pixels)

        if enough is not None:
            found = reduced.reduced(image, data, enough, opened, uncut=uncut, max_pixels=max_pixels)
            if found is not None:
                said = _of_several(image) + found.said
                tags = tags_of(found.about)
                return Raster(found.image, found.depth, said, found.whole, tags, found.size)
        reduced.check_whole(image)
        image.verify()
        image = _opened(data, max_pixels)  # checking the sums of a PNG has used up the first one
        said = _of_several(image) + _turned(image)
        depth = depth_of(image, data)
        image.load()
        tags, upright = tags_of(image), ImageOps.exif_transpose(image)
        del image
        whole = None
        if uncut and depth.bits == bit_depth.BITS:
            whole = bit_depth.whole(upright, _opened(data, max_pixels))
        return Raster(upright, depth, said, whole, tags)


@contextmanager
def _limited(max_pixels: int) -> Iterator[None]:
    """Set Pillow's own guard, which runs before memory is allocated, to our limit.

    It refuses more than twice its limit; its warnings are ignored in `decoding`.
    """
    usual, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, (max_pixels + 1) // 2
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = usual


def _opened(data: bytes, max_pixels: int) -> Image.Image:
    if len(data) > _LONGEST_HEAD and _PLAIN.match(data) and not _HEAD.match(data[:_LONGEST_HEAD]):
        raise PictureError("has a damaged head; save it as PNG")
    if data[:2] == b"\xff\xd8" and _metadata(data) > MAX_METADATA:
        raise PictureError(
            f"has more than {MAX_METADATA >> 20} MiB of metadata; save it again without that"
        )
    image: Image.Image
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        pixels = re.search(r"\((\d+) pixels\)", str(error))
        raise PictureError(_too_large(int(pixels[1]) if pixels else 0, max_pixels)) from error
    except UnidentifiedImageError:
        if not _is_heif(data):
            raise
        image = _heif(data)
    if math.prod(image.size) > max_pixels:
        raise PictureError(_too_large(math.prod(image.size), max_pixels))
    if max(image.size) > MAX_SIDE:
        width, height = image.size
        raise PictureError(
            f"is {width}x{height} pixels; the limit for a side is {MAX_SIDE:,} pixels: crop it"
        )
    return image


def _too_large(pixels: int, max_pixels: int) -> str:
    """Describe a size, in megapixels if these differ from the limit's."""
    shown, limit = (
        f"{number / _MEGA:,.1f}".removesuffix(".0") + " MP" for number in (pixels, max_pixels)
    )
    if shown == limit or max_pixels < _MEGA:
        shown, limit = (f"{number:,} pixels" for number in (pixels, max_pixels))
    return f"is {shown}; the limit is {limit} (limits.max_pixels)"


def _metadata(data: bytes) -> int:
    """Count the bytes of application segments and comments at the head of a JPEG."""
    at, found = 2, 0
    while (segment := _SEGMENT.match(data, at)) and found <= MAX_METADATA:
        length = int.from_bytes(segment[2])
        found += length if segment[1] in _METADATA else 0
        at += 2 + length
    return found


def _is_heif(data: bytes) -> bool:
    """True if the brands in the file's first box are those of HEIC."""
    length = int.from_bytes(data[:4])
    return data[4:8] == b"ftyp" and re.search(rb"he[iv][cmsx]", data[8:length]) is not None


def _heif(data: bytes) -> Image.Image:
    try:
        plugin = importlib.import_module("pillow_heif")
    except ImportError as error:
        raise PictureError(
            "is a HEIC picture, which needs an extra: pip install 'stylewatch[heic]',"
            " or save it as JPEG"
        ) from error
    # Used directly: registering it would change what Pillow opens in the whole process.
    image: Image.Image = plugin.HeifImageFile(io.BytesIO(data))
    return image


def _unknown(data: bytes) -> str:
    try:
        data[:HEAD].decode()
    except UnicodeDecodeError:
        text = False
    else:
        text = b"\0" not in data[:HEAD]
    if text:
        return f"holds text, not a picture; pictures can be {READABLE}"
    return f"is in none of the formats {READABLE}, or its head is damaged; save it as JPEG or PNG"


def _of_several(image: Image.Image) -> tuple[str, ...]:
    count = getattr(image, "n_frames", 1)
    return (f"picture {image.tell() + 1} of {count} in the file taken",) if count > 1 else ()


def _turned(image: Image.Image) -> tuple[str, ...]:
    orientation = orientation_of(image)
    return (f"turned upright (EXIF orientation {orientation})",) if orientation > 1 else ()
