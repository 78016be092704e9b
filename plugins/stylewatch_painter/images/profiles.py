"""Conversion of pictures of libvips to sRGB by ICC profiles, their own or one of an encoding."""

import io
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
from PIL import ImageCms

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.encoding import Encoding, profile_of
from stylewatch_painter.images.vips import vips

_SAME = 1
"""Maximum difference of two encodings of the same sRGB color, in levels of 0..255."""

FIELD = "icc-profile-data"
"""Name of the profile of a picture in libvips."""


def profile_in(image: Any) -> bytes:
    """Return the profile of a picture; empty if it has none."""
    return bytes(image.get(FIELD)) if image.get_typeof(FIELD) else b""


def to_srgb(image: Any, encoding: Encoding | None, conversions: list[str]) -> Any:
    """Convert colors to sRGB, and add phrases to `conversions`.

    The `encoding` is that which the file states beside its profile, and counts before it; without
    either, color is sRGB, and gray stays gray. Raises PictureError.
    """
    if image.interpretation in ("lab", "labs"):  # `labs`: of 16 bits
        conversions.append("CIE Lab to sRGB")
        return image.colourspace("srgb")
    is_cmyk = image.interpretation == "cmyk"
    if encoding is not None and not is_cmyk:
        return _by_encoding(image, encoding, conversions)
    if is_cmyk and image.bands > len("CMYK"):
        conversions.append("further channels of CMYK left out")  # libvips supports no alpha there
        image = image[:4]
    profile = profile_in(image)
    converted = _by_own_profile(image, profile, conversions) if profile else image
    if converted is not image:
        return converted
    if is_cmyk:
        conversions.append("CMYK to RGB without a profile")
        return _icc(image.copy(), input_profile="cmyk")
    if image.bands - image.hasalpha() not in (1, 3):
        raise PictureError(f"has {image.bands} channels; save it in RGB or gray")
    return image


def _by_encoding(image: Any, encoding: Encoding, conversions: list[str]) -> Any:
    """Convert a picture by an encoding; return it unchanged if that has no effect."""
    if encoding.is_srgb:
        return image
    converted = _by_profile(image, profile_of(encoding))
    if converted is None:
        conversions.append(f"{encoding.name} taken as sRGB, as it has 32 bits per channel")
        return image
    conversions.append(f"{encoding.name} to sRGB")
    return converted


def _by_own_profile(image: Any, profile: bytes, conversions: list[str]) -> Any:
    """Convert a picture by the profile in its file; return it unchanged if that has no effect."""
    is_cmyk = image.interpretation == "cmyk"
    converted = _by_profile(image, profile)
    if converted is None:
        taken_as = "plain CMYK" if is_cmyk else "sRGB"
        conversions.append(
            f"color profile left out, it is damaged or does not fit: taken as {taken_as}"
        )
        return image
    if converted is not image:
        conversions += ["CMYK to RGB"] if is_cmyk else []
        conversions.append(f"colors from profile '{name_of(profile)}' to sRGB")
    return converted


@cache
def name_of(profile: bytes) -> str:
    """Return the name of a profile for the receipt; empty if it is damaged."""
    with suppress(OSError, ImageCms.PyCMSError):
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return " ".join(ImageCms.getProfileDescription(opened).split())[:60] or "unnamed"
    return ""


def _by_profile(image: Any, profile: bytes) -> Any | None:
    """Return the picture in sRGB, unchanged if it is sRGB; None if the profile is unusable."""
    space, whole = profile[16:20], image.format in ("uchar", "ushort")
    if whole and space == b"RGB " and image.bands <= len("LA"):  # gray with an RGB tone curve
        gray, alpha = image[0], [image[1]] if image.hasalpha() else []
        deep = image.format == "ushort"
        image = gray.bandjoin([gray, gray, *alpha]).copy(interpretation="rgb16" if deep else "srgb")
    is_cmyk = image.interpretation == "cmyk"
    fits = {b"RGB ": image.bands >= len("RGB") and not is_cmyk, b"CMYK": is_cmyk,
            b"GRAY": image.bands <= len("LA")}  # fmt: skip
    if not fits.get(space) or not name_of(profile):
        return None
    try:
        if space != b"CMYK" and _is_srgb(profile, gray=space == b"GRAY"):
            return image
        return _icc(_with(image, profile), embedded=True) if whole else None
    except vips().Error:
        return None


def _with(image: Any, profile: bytes) -> Any:
    """Return a picture with this profile."""
    if profile_in(image) == profile:
        return image
    image = image.copy()
    image.set_type(vips().GValue.blob_type, FIELD, profile)
    return image


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
    image.set_type(vips().GValue.blob_type, FIELD, profile)
    after = _icc(image, embedded=True).numpy().astype(np.int16)
    return bool(np.abs(after - grid).max() <= _SAME)
