"""Decodes a picture's bytes with Pillow: only known formats, only sizes that are let in."""

import importlib
import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from stylewatch_painter import sixteen
from stylewatch_painter.depth import Depth, depth_of
from stylewatch_painter.errors import PictureError
from stylewatch_painter.tags import UNTOLD, Tags, tags_of

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF")
"""What Pillow may try, by its names; JPEG includes the MPO of phones and cameras."""

READABLE = "JPEG, PNG, WebP, TIFF, BMP, GIF, PPM, AVIF, HEIC"

# Pillow's warnings go by filters that all threads share, and a decoder is the largest user of
# memory that reading has: both are reasons to decode one picture at a time.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, eq=False)
class Raster:
    """A decoded picture, upright, still in the colours of its file; `said` is what was done.

    `whole` has colours of 16 bits a channel uncut, uint16 (height, width, 3), or 4 with alpha,
    where they were asked for. `tags` are what the file tells beside its pixels.
    """

    image: Image.Image
    depth: Depth
    said: tuple[str, ...]
    whole: NDArray[np.uint16] | None = None
    tags: Tags = UNTOLD


@contextmanager
def decoding(name: str, data: bytes) -> Iterator[None]:
    """Turns whatever decoding `data` runs into to a sentence about the file `name`.

    Inside, a PictureError is raised without its subject: the name is put before it here.
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


def decoded(data: bytes, max_pixels: int, *, uncut: bool = False) -> Raster:
    """The picture in `data`, of several the main one; to be called inside `decoding`.

    `uncut`: colours of 16 bits a channel are wanted as they are, which takes decoding it twice.

    Raises:
        PictureError: more than `max_pixels`, or HEIC that cannot be read here.
        Exception: whatever Pillow raises over data it cannot decode.
    """
    _check_size(_opened(data, max_pixels), max_pixels).verify()
    image = _opened(data, max_pixels)  # checking the sums of a PNG has used up the first one
    said = _of_several(image) + _turned(image)
    depth = depth_of(image, data)
    image.load()
    upright = ImageOps.exif_transpose(image)
    whole = None
    if uncut and depth.bits == sixteen.BITS:
        whole = sixteen.whole(upright, _opened(data, max_pixels))
    return Raster(upright, depth, said, whole, tags_of(image))


def _opened(data: bytes, max_pixels: int) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise PictureError(
            f"has far more than the {max_pixels:,} pixels that are let in; make it smaller"
        ) from error
    except UnidentifiedImageError:
        if _is_heif(data):
            return _heif(data)
        raise


def _is_heif(data: bytes) -> bool:
    """Whether the brands in the file's first box name a kind of HEIC."""
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
        data[:4096].decode()
    except UnicodeDecodeError:
        text = False
    else:
        text = b"\0" not in data[:4096]
    if text:
        return f"holds text, not a picture; pictures can be {READABLE}"
    return f"is in none of the formats {READABLE}, or its head is damaged; save it as JPEG or PNG"


def _check_size(image: Image.Image, max_pixels: int) -> Image.Image:
    width, height = image.size
    if width * height > max_pixels:
        raise PictureError(
            f"has {width}x{height} = {width * height:,} pixels and at most {max_pixels:,} are"
            " let in; make it smaller or raise max_pixels"
        )
    return image


def _of_several(image: Image.Image) -> tuple[str, ...]:
    count = getattr(image, "n_frames", 1)
    return (f"picture {image.tell() + 1} of {count} in the file taken",) if count > 1 else ()


def _turned(image: Image.Image) -> tuple[str, ...]:
    """What turning upright does; some formats' readers turn by themselves as they load."""
    found = image.getexif().get(ExifTags.Base.Orientation, 1)
    orientation = image.info.get("original_orientation") or found
    if orientation not in range(2, 9):
        return ()
    return (f"turned upright (EXIF orientation {orientation})",)
