"""Conversion of libvips's pictures to sRGB by ICC profiles, from files or made of encodings."""

import io
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.encoding import Encoding, profile_of
from stylewatch_painter.images.vips import vips

_SHOWN = 60
"""Maximum number of characters of a profile's name in the receipt."""

_SAME = 1
"""Maximum change of a color, in levels of 0..255, by a profile that counts as sRGB."""

FIELD = "icc-profile-data"
"""Name of the field of libvips's pictures that holds the profile."""


def profile_in(image: Any) -> bytes:
    """Return the profile of a picture; empty if it has none."""
    return bytes(image.get(FIELD)) if image.get_typeof(FIELD) else b""


def to_srgb(image: Any, encoding: Encoding | None, conversions: list[str]) -> Any:
    """Convert a libvips image to sRGB, and append phrases about it to `conversions`.

    CIE Lab is converted directly. CMYK is converted by its profile or, without a usable one, by
    libvips's own. Any other image is converted by `encoding` or, if that is None, by its profile.
    An image without either, or whose encoding or profile is unusable or equals sRGB, is returned
    unchanged, so gray stays gray. Raises PictureError if such an image, without an `encoding`, has
    neither 1 nor 3 channels besides alpha.
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
    """Convert a picture from `encoding`; return it unchanged if its colors are taken as sRGB.

    A phrase is appended to `conversions`, unless `encoding` is sRGB.
    """
    if encoding.is_srgb:
        return image
    converted = _by_profile(image, profile_of(encoding))
    if converted is None:
        conversions.append(f"{encoding.name} taken as sRGB, as it has 32 bits per channel")
        return image
    conversions.append(f"{encoding.name} to sRGB")
    return converted


def _by_own_profile(image: Any, profile: bytes, conversions: list[str]) -> Any:
    """Convert a picture by the profile in its file, and append phrases to `conversions`.

    Return the picture unchanged if the profile equals sRGB or cannot be used.
    """
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
        conversions.append(f"colors from profile '{name_of(profile)[:_SHOWN]}' to sRGB")
    return converted


@lru_cache(maxsize=2)
def name_of(profile: bytes) -> str:
    """Return the name of a profile; `unnamed` if it has none, empty if it is damaged."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        description = ImageCms.getProfileDescription(opened)
    except (OSError, ImageCms.PyCMSError):
        return ""
    return " ".join(description.split()) or "unnamed"


def _by_profile(image: Any, profile: bytes) -> Any | None:
    """Return a picture converted by `profile`; unchanged if the profile equals sRGB.

    None means that the profile cannot be used.
    """
    space = profile[16:20]
    has_integers = image.format in ("uchar", "ushort")
    is_gray = image.bands <= len("LA")
    is_cmyk = image.interpretation == "cmyk"
    fits = {
        b"RGB ": (has_integers or not is_gray) and not is_cmyk,
        b"CMYK": is_cmyk,
        b"GRAY": is_gray,
    }
    use = _use_of(profile) if fits.get(space) else None
    if use is None:
        return None
    if use.is_srgb:
        return image
    if is_gray and space == b"RGB ":  # gray gets the profile's tone curve as equal red, green, blue
        gray = image[0]
        alpha = [image[1]] if image.hasalpha() else []
        deep = image.format == "ushort"
        image = gray.bandjoin([gray, gray, *alpha]).copy(interpretation="rgb16" if deep else "srgb")
    try:
        taken = with_profile(image, profile)
        return _icc(taken, embedded=True, intent=use.intent) if has_integers else None
    except vips().Error:
        return None


def with_profile(image: Any, profile: bytes) -> Any:
    """Return a picture of libvips with this ICC profile; the pixels are not converted."""
    if profile_in(image) == profile:
        return image
    image = image.copy()
    image.set_type(vips().GValue.blob_type, FIELD, profile)
    return image


def _icc(image: Any, *, intent: str = "relative", **source: Any) -> Any:
    # Black-point compensation keeps a print's black from becoming gray; between the profiles of
    # cameras and screens it changes nothing.
    return image.icc_transform(
        "srgb",
        intent=intent,
        black_point_compensation=True,
        depth=16 if image.format == "ushort" else 8,
        **source,
    )


@dataclass(frozen=True)
class _Use:
    """Use of a profile: the intent to convert by, and whether the profile is equivalent to sRGB."""

    intent: str
    is_srgb: bool


_INTENTS = {"relative": ImageCms.Intent.RELATIVE_COLORIMETRIC,
            "perceptual": ImageCms.Intent.PERCEPTUAL,
            "saturation": ImageCms.Intent.SATURATION}  # fmt: skip
"""Intents by their names in libvips, the preferred first: a profile may support only one."""

_DEVICES = (b"scnr", b"mntr", b"prtr", b"spac")
"""Classes of profiles that define the colors of pictures (ICC.1:2022, 7.2.5)."""

_MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}
"""Pillow's modes of pictures by the color space of their profiles."""

_OTHER = 12
"""Maximum difference, in levels of 0..255, between two libraries' results of the same profile."""


@lru_cache(maxsize=2)
def _use_of(profile: bytes) -> _Use | None:
    """Return how to use a profile, with the first of _INTENTS that it supports.

    Return None if the profile is damaged, defines no colors, or supports no intent, or if libvips
    rejects it. libvips silently uses another profile in place of one that it rejects. Therefore its
    colors are compared with those of LittleCMS.
    """
    mode = _MODES.get(profile[16:20], "")
    if profile[12:16] not in _DEVICES or not mode:
        return None
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
    to = ImageCms.Direction.INPUT
    grid = Image.fromarray(_grid(mode), mode)
    with suppress(OSError, ValueError, ImageCms.PyCMSError, vips().Error):
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        srgb = ImageCms.createProfile("sRGB")
        for name, intent in _INTENTS.items():
            if ImageCms.isIntentSupported(opened, intent, to) != 1:
                continue
            by_lcms = ImageCms.profileToProfile(grid, opened, srgb, intent, "RGB", flags=flags)
            assert by_lcms is not None
            told = np.asarray(by_lcms, np.int16)
            shown = _by_libvips(np.asarray(grid), profile, name)
            if np.abs(shown - told).max() > _OTHER:
                return None
            is_srgb = mode != "CMYK" and np.abs(told - _spread(np.asarray(grid))).max() <= _SAME
            return _Use(name, bool(is_srgb))
    return None


def _by_libvips(grid: NDArray[np.uint8], profile: bytes, intent: str) -> NDArray[np.int16]:
    space = {b"GRAY": "b-w", b"CMYK": "cmyk"}.get(profile[16:20], "srgb")
    image = with_profile(vips().Image.new_from_array(grid, interpretation=space), profile)
    return _spread(_icc(image, embedded=True, intent=intent).numpy())


def _spread(pixels: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Return pixels as (height, width, 3); gray is repeated."""
    return np.broadcast_to(np.atleast_3d(pixels), (*pixels.shape[:2], 3)).astype(np.int16)


def _grid(mode: str) -> NDArray[np.uint8]:
    """Return a picture with colors from the whole range of a `mode`, or with all grays for `L`."""
    if mode == "L":
        return np.arange(256, dtype=np.uint8).reshape(16, 16)
    count = 9 if mode == "RGB" else 5
    levels = np.linspace(0, 255, count).astype(np.uint8)
    colors = np.stack(np.meshgrid(*[levels] * len(mode)), axis=-1).reshape(-1, len(mode))
    return np.ascontiguousarray(colors.reshape(count, -1, len(mode)))
