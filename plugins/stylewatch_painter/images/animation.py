"""Animated pictures: GIF, PNG, WebP and AVIF, decoded by Pillow."""

import io
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from PIL.ExifTags import Base

from stylewatch_painter.images import profiles, video_color
from stylewatch_painter.images.clip import Clip, ClipLimits, check_length
from stylewatch_painter.images.encoding import Encoding
from stylewatch_painter.images.formats import HEAD
from stylewatch_painter.images.loaders import from_array, opened
from stylewatch_painter.images.read import decoding, file_bytes
from stylewatch_painter.images.video_color import OVER_WHITE
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Bytes

FORMATS = ("AVIF", "GIF", "PNG", "WEBP")
"""Pillow's names of formats that can be animated."""

_WHITE = 255  # white as a color, opaque as alpha

_SHORTEST, _INSTEAD = Fraction(11, 1000), Fraction(1, 10)
"""Minimum duration of an animation's frame, and the duration that replaces a shorter one, as in
browsers; both in seconds."""


def inspect(path: Path, limits: ClipLimits) -> Clip:
    """Decode all frames of an animated picture, and return its description.

    Raises PictureError if the picture cannot be decoded or exceeds `limits`, and LibraryError if a
    library cannot be loaded.
    """
    durations, pictures, converted = zip(*frames(path, limits, range(1)), strict=True)
    times = tuple(accumulate(durations, initial=Fraction(0)))
    check_length(len(durations), times[-1], limits)
    return Clip(Size.of(pictures[0]), times, converted[0])


def frames(
    path: Path, limits: ClipLimits, numbers: range
) -> Iterator[tuple[Fraction, Bytes, tuple[str, ...]]]:
    """Yield the duration in seconds, the pixels, and phrases about conversions of each frame.

    The pixels are uint8 (height, width, 3), sRGB. A frame whose number, from 0, is not in `numbers`
    has an empty array and no phrases. Raises PictureError if the picture cannot be decoded or
    exceeds `limits`, and LibraryError if a library cannot be loaded.
    """
    data = file_bytes(path)
    name = path.name
    head = data[:HEAD]
    with decoding(name, head):
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        # a PNG may begin with a picture for programs that do not support animations
        skipped = int(image.info.get("default_image", False))
        count = max(1, getattr(image, "n_frames", 1) - skipped)
        check_length(count, Fraction(0), limits)
        stated = opened(data, limits.most).encoding
    for number in range(count):
        pixels = np.empty((0, 0, 3), np.uint8)
        conversions = list[str]()
        # `yield` is outside, because the caller may decode another picture
        with decoding(name, head):
            image.seek(number + skipped)
            image.load()
            if number in numbers:
                pixels = _to_srgb(_upright(image, conversions), stated, conversions)
        duration = Fraction(image.info.get("duration") or 0).limit_denominator(10**6) / 1000
        yield duration if duration >= _SHORTEST else _INSTEAD, pixels, tuple(conversions)


def _upright(image: Image.Image, conversions: list[str]) -> Image.Image:
    """Return a decoded picture, turned upright by its EXIF orientation.

    A turn appends a phrase to `conversions`. Damaged EXIF is ignored.
    """
    with suppress(Exception):  # damaged EXIF raises nearly any error; the picture is still usable
        if image.getexif().get(Base.Orientation, 1) != 1:
            turned = ImageOps.exif_transpose(image)
            conversions.append("turned upright")
            return turned
    return image


def _to_srgb(image: Image.Image, stated: Encoding | None, conversions: list[str]) -> Bytes:
    """Convert a decoded picture to uint8 sRGB (height, width, 3), composited over white.

    `stated` is an encoding that takes precedence over the picture's ICC profile, or None. Phrases
    are appended to `conversions`.
    """
    profile = image.info.get("icc_profile") or b""
    if image.mode in ("P", "PA"):
        conversions.append("palette to RGB")
    if image.mode.startswith("I"):  # 16-bit gray, which Pillow would clip
        image = Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
        conversions.append("16 bits a channel to 8")
    mode = "L" if image.mode in ("1", "L", "LA") else "RGB"
    values = np.asarray(image.convert(f"{mode}A" if image.has_transparency_data else mode))
    values = values.reshape(image.height, image.width, -1)
    colors = values[..., : len(mode)]
    alpha = values[..., len(mode) :]
    if stated is not None and stated.is_hdr:
        wide = np.broadcast_to(colors, (*colors.shape[:2], 3))
        colors = video_color.of_hdr(wide, stated, _WHITE)
        conversions.append(f"{stated.name} mapped to the range of sRGB")
    else:
        colors = profiles.to_srgb(from_array(colors, profile), stated, conversions).numpy()
        colors = np.broadcast_to(np.atleast_3d(colors), (*alpha.shape[:2], 3))
    if alpha.min(initial=_WHITE) < _WHITE:
        conversions.append(OVER_WHITE)
    return video_color.opaque(np.concatenate([colors, alpha], axis=-1))
