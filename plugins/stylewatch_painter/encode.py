"""Makes files of float pictures: 8 bits, tagged as sRGB, the same bytes on every run."""

import io
import struct
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from stylewatch_painter.errors import SaveError
from stylewatch_painter.stage import Pixels

Rounding = Literal["round", "truncate"]

_SUFFIXES = {"png": ".png", "jpg": ".jpg", "webp": ".webp", "tiff": ".tiff"}
_ALSO = {".jpeg": "jpg", ".tif": "tiff"}
_LONGEST_SIDE = {"jpg": 65500, "webp": 16383}


def encode(
    pixels: Pixels, *, format: str = "png", quality: int = 92, rounding: Rounding = "round"
) -> bytes:
    """The content of a picture file of `pixels`, float32 (height, width, 3), sRGB 0..255.

    Values are clipped to 0..255 and rounded to 8 bits, or cut off with `truncate`. `format` is
    png, jpg, webp or tiff; `quality`, 1..100, counts for jpg (without subsampling of colour)
    and webp.

    Raises:
        SaveError: no such format, a side longer than the format can hold, or values that are
            no numbers.
    """
    suffix(format)
    _check_side(pixels, format)
    image = Image.fromarray(_eight_bit(pixels, rounding))
    content = io.BytesIO()
    try:
        if format == "png":
            image.save(content, "PNG", icc_profile=_srgb())
        elif format == "jpg":
            image.save(content, "JPEG", quality=quality, subsampling=0, icc_profile=_srgb())
        elif format == "webp":
            image.save(content, "WEBP", quality=quality, icc_profile=_srgb())
        else:
            image.save(content, "TIFF", compression="tiff_adobe_deflate", icc_profile=_srgb())
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


def _eight_bit(pixels: Pixels, rounding: Rounding) -> NDArray[np.uint8]:
    if not np.isfinite(pixels).all():
        raise SaveError(
            "the picture holds values that are no numbers; paint again with a smaller learning rate"
        )
    clipped = np.clip(pixels, 0, 255)
    return (np.rint(clipped) if rounding == "round" else clipped).astype(np.uint8)


@cache
def _srgb() -> bytes:
    """An sRGB profile; the date of its making in its head is replaced by a fixed one."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + struct.pack(">6H", 2015, 8, 26, 0, 0, 0) + profile[36:]
