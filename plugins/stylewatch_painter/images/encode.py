"""Encoding of float pictures as sRGB files by libvips.

Values are rounded or truncated only once, to the depth of the file. The time of encoding is not
written.
"""

from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stylewatch_painter.errors import DivergedError, SaveError
from stylewatch_painter.images import profiles
from stylewatch_painter.images.metadata import INCH, NO_TAGS, Tags
from stylewatch_painter.images.vips import vips
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Bytes, Pixels, Plane

Rounding = Literal["round", "truncate"]
Depth = Literal[8, 16]

_SUFFIXES = {"png": ".png", "jpg": ".jpg", "webp": ".webp", "tiff": ".tiff"}
_LONGEST_SIDE = {"jpg": 65500, "webp": 16383}
_WITH_16_BITS = ("png", "tiff")
_DEEP = 16
_LOSSLESS = 100
"""Quality at which WebP is lossless."""

_USUAL_DPI = (72.0, 72.0)
"""Dots per inch of a file if nothing else is known; libvips always writes a resolution."""

_KEEP_EXIF, _KEEP_PROFILE = 1, 8
"""Flags of libvips for the metadata to write."""

CLEAR = ("png", "webp", "tiff")
"""Formats that support transparency."""


def encode(
    pixels: Pixels,
    *,
    format: str = "png",
    quality: int = 92,
    rounding: Rounding = "round",
    depth: Depth = 8,
    alpha: Plane | None = None,
    tags: Tags = NO_TAGS,
) -> bytes:
    """Encode `pixels`, float32 (height, width, 3), sRGB 0..255, as the bytes of a file.

    Values are clipped to 0..255, scaled to the `depth` in bits per channel, and rounded, or
    truncated if `rounding` is `truncate`. `format` is png, jpg, webp or tiff. `quality`, 1..100, is
    for jpg (without chroma subsampling) and webp (100 is lossless). `alpha` is float32 (height,
    width), 0..1; for jpg the picture is composited over white. A tiff gets the resolution of
    `tags`, but no EXIF.

    Raises:
        SaveError: the format is unknown or does not support the depth, a side is longer than the
            format allows, or libvips cannot encode the picture.
        DivergedError: values are not finite.
    """
    suffix(format)
    size = Size.of(pixels)
    longest = longest_side(format)
    if longest is not None and size.long > longest:
        raise SaveError(
            f"{format} holds at most {longest} pixels a side and the picture is {size}; choose png"
        )
    if depth == _DEEP and format not in _WITH_16_BITS:
        raise SaveError(
            f"{format} holds 8 bits a channel, 16 go into {' and '.join(_WITH_16_BITS)}"
        )
    if not np.isfinite(pixels).all():
        raise DivergedError(
            "the picture has values that are not numbers; paint again with a smaller learning rate"
        )
    if format not in CLEAR:
        pixels = over_white(pixels, alpha)
        alpha = None
    image = vips().Image.new_from_array(
        _values(pixels, alpha, rounding, depth),
        interpretation="rgb16" if depth == _DEEP else "srgb",
    )
    try:
        return _file(image, format, quality, tags)
    except vips().Error as error:
        raise SaveError(f"cannot make a {format} of this picture ({error}); try png") from error


def _file(image: Any, format: str, quality: int, tags: Tags) -> bytes:
    across, down = tags.dpi or _USUAL_DPI
    image = profiles.with_profile(image.copy(xres=across / INCH, yres=down / INCH), _srgb())
    exif = tags.exif()
    keep = _KEEP_PROFILE
    if exif:
        image.set_type(vips().GValue.blob_type, "exif-data", exif)
    # WebP has no other place for the resolution; libvips writes that of a JPEG only with EXIF
    if exif or (format in ("webp", "jpg") and tags.dpi is not None):
        keep |= _KEEP_EXIF
    if format == "png":
        options = {"compression": 6, "filter": "all"}
    elif format == "jpg":
        options = {"Q": quality, "subsample_mode": "off"}
    elif format == "webp":
        options = {"Q": quality, "lossless": quality == _LOSSLESS}
    else:
        options = {"compression": "deflate", "predictor": "horizontal", "resunit": "inch"}
    content: bytes = image.write_to_buffer(suffix(format), keep=keep, **options)
    return content


def longest_side(format: str) -> int | None:
    """Return the longest side of pictures in a format, in pixels; None if there is no limit."""
    return _LONGEST_SIDE.get(format)


def suffix(format: str) -> str:
    """Return the file suffix of `format`: `.png`, `.jpg`, `.webp` or `.tiff`.

    Raises SaveError if there is no such format.
    """
    if format not in _SUFFIXES:
        raise SaveError(f"there is no format {format!r}; there are {', '.join(_SUFFIXES)}")
    return _SUFFIXES[format]


def whole(pixels: Pixels | Plane, rounding: Rounding = "round") -> Bytes:
    """Clip a picture or a plane to 0..255, and round or truncate its values to uint8."""
    clipped = np.clip(pixels, 0, 255)
    return (np.rint(clipped) if rounding == "round" else clipped).astype(np.uint8)


def _values(
    pixels: Pixels, alpha: Plane | None, rounding: Rounding, depth: Depth
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return the file's values (height, width, 3), or (height, width, 4) with alpha.

    They are uint8 or, for a `depth` of 16, uint16.
    """
    most = (1 << depth) - 1
    scaled = np.clip(pixels, 0, 255) * np.float32(most / 255)
    colors = np.rint(scaled) if rounding == "round" else scaled
    if alpha is not None:
        opaque = np.rint(np.clip(alpha, 0, 1) * most)[..., None]
        colors = np.concatenate([colors, opaque], axis=-1)
    return colors.astype(np.uint16) if depth == _DEEP else colors.astype(np.uint8)


@cache
def _srgb() -> bytes:
    """Return the sRGB profile of libvips."""
    return bytes(vips().Operation.call("profile_load", "srgb"))


def over_white(pixels: Pixels, alpha: Plane | None) -> Pixels:
    """Composite a picture (height, width, 3), clipped to 0..255, over white by its `alpha`.

    `alpha` is (height, width), 0..1. If it is None, `pixels` is returned unchanged, not clipped.
    """
    if alpha is None:
        return pixels
    return over_black(pixels.clip(0, 255), alpha) + np.float32(255) * (1 - alpha[..., None])


def over_black(pixels: Pixels, alpha: Plane) -> Pixels:
    """Composite a picture (height, width, 3) over black by its `alpha` (height, width), 0..1."""
    return pixels * alpha[..., None]
