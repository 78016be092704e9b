"""Makes files of float pictures: rounded once, tagged as sRGB, the same bytes on every run."""

import io
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from stylewatch_painter.errors import SaveError
from stylewatch_painter.images.alpha import over_white
from stylewatch_painter.images.metadata import UNTOLD, Tags
from stylewatch_painter.images.png import png_of
from stylewatch_painter.images.tiff import tiff_of
from stylewatch_painter.stage import Pixels, Plane

Rounding = Literal["round", "truncate"]
Depth = Literal[8, 16]
EIGHT: Depth = 8
"""Bits a channel that every format holds."""

_SUFFIXES = {"png": ".png", "jpg": ".jpg", "webp": ".webp", "tiff": ".tiff"}
_ALSO = {".jpeg": "jpg", ".tif": "tiff"}
_LONGEST_SIDE = {"jpg": 65500, "webp": 16383}


DEEP = ("png", "tiff")
"""Formats that hold 16 bits a channel."""

CLEAR = ("png", "webp", "tiff")
"""Formats that hold transparency."""

LOSSLESS = 100
"""The quality at which a WebP holds every pixel as it is."""


@dataclass(frozen=True, eq=False)
class Beside:
    """What a file holds beside its colors: `alpha` is float32 (height, width), 0..1."""

    alpha: Plane | None = None
    tags: Tags = UNTOLD


_NOTHING = Beside()


def encode(
    pixels: Pixels,
    *,
    format: str = "png",
    quality: int = 92,
    rounding: Rounding = "round",
    depth: Depth = EIGHT,
    beside: Beside = _NOTHING,
) -> bytes:
    """The content of a picture file of `pixels`, float32 (height, width, 3), sRGB 0..255.

    Values are clipped to 0..255 and rounded to 8 bits, or cut off with `truncate`; with a
    `depth` of 16 to 65535ths. `format` is png, jpg, webp or tiff; `quality`, 1..100, counts for
    jpg (without subsampling of color) and webp (100 is without loss). With alpha, jpg is laid
    over white.

    Raises:
        SaveError: no such format, one without that depth, a side longer than the format can
            hold, or values that are no numbers.
    """
    suffix(format)
    _check_side(pixels, format)
    if depth != EIGHT and format not in DEEP:
        raise SaveError(shallow(format))
    if beside.alpha is not None and format not in CLEAR:
        pixels, beside = over_white(pixels, beside.alpha), Beside(tags=beside.tags)
    values = _values(pixels, beside.alpha, rounding, depth)
    if format == "tiff":
        return tiff_of(values, _srgb(), beside.tags)
    if values.dtype == np.uint16:
        return png_of(values.astype(np.uint16, copy=False), _srgb(), beside.tags)
    return _by_pillow(Image.fromarray(values), format, quality, beside.tags)


def shallow(format: str) -> str:
    """What is said where a format is to hold 16 bits a channel, and cannot."""
    return f"{format} holds 8 bits a channel, 16 go into {' and '.join(DEEP)}"


def _by_pillow(image: Image.Image, format: str, quality: int, tags: Tags) -> bytes:
    """The file of an image of 8 bits, in one of the formats that Pillow writes as we want it."""
    content = io.BytesIO()
    beside: dict[str, object] = {"icc_profile": _srgb(), "exif": tags.exif()}
    if tags.dpi is not None:
        beside["dpi"] = tags.dpi
    try:
        if format == "png":
            image.save(content, "PNG", **beside)
        elif format == "jpg":
            image.save(content, "JPEG", quality=quality, subsampling=0, **beside)
        else:  # which has no place for dots per inch but EXIF
            beside["exif"] = tags.exif(with_dpi=True)
            image.save(content, "WEBP", quality=quality, lossless=quality == LOSSLESS, **beside)
    except (OSError, ValueError) as error:
        raise SaveError(f"cannot make a {format} of this picture ({error}); try png") from error
    return content.getvalue()


def suffix(format: str) -> str:
    """How names of files in `format` end: `.png`, `.jpg`, `.webp`, `.tiff`.

    Raises:
        SaveError: no such format.
    """
    try:
        return _SUFFIXES[format]
    except KeyError:
        raise SaveError(_no_format(f"format {format!r}")) from None


def format_of(path: Path) -> str:
    """The format that a file's name asks for, in small or capital letters.

    Raises:
        SaveError: its suffix is of no format that can be written.
    """
    ending = path.suffix.lower()
    found = {suffix: format for format, suffix in _SUFFIXES.items()} | _ALSO
    if ending not in found:
        raise SaveError(_no_format(f"{path.name}: suffix {path.suffix!r}"))
    return found[ending]


def _no_format(met: str) -> str:
    return f"{met} is of no format that can be written; there are {', '.join(_SUFFIXES)}"


def _check_side(pixels: Pixels, format: str) -> None:
    height, width, _ = pixels.shape
    longest = _LONGEST_SIDE.get(format)
    if longest is not None and max(height, width) > longest:
        raise SaveError(
            f"{format} holds at most {longest} pixels a side and the picture is {width}x{height};"
            " choose png"
        )


def _values(
    pixels: Pixels, alpha: Plane | None, rounding: Rounding, depth: Depth
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The values of the file, (height, width, 3), or 4 with alpha."""
    if not np.isfinite(pixels).all():
        raise SaveError(
            "the picture holds values that are no numbers; paint again with a smaller learning rate"
        )
    most = (1 << depth) - 1
    scaled = np.clip(pixels, 0, 255) * np.float32(most / 255)
    colors = np.rint(scaled) if rounding == "round" else scaled
    if alpha is not None:
        opaque = np.rint(np.clip(alpha, 0, 1) * most)[..., None]
        colors = np.concatenate([colors, opaque], axis=-1)
    return colors.astype(np.uint8) if depth == EIGHT else colors.astype(np.uint16)


@cache
def _srgb() -> bytes:
    """An sRGB profile; the date of its making in its head is replaced by a fixed one."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + struct.pack(">6H", 2015, 8, 26, 0, 0, 0) + profile[36:]
