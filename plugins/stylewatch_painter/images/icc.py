"""Converts colors to sRGB by ICC profiles.

Pillow converts in 8 bits. Profiles of three curves and a matrix, as of cameras and screens
(ICC.1:2022, section 8.3.3 and F.3), are also applied in floats, for pictures of 16 bits. Black is
mapped to black in both.
"""

import io
import struct
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from stylewatch_painter.images.color import Floats, by_rows, from_space
from stylewatch_painter.stage import Pixels

# Black-point compensation keeps a print's black from becoming gray; between the profiles of
# cameras and screens it changes nothing.
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION

_SAME = 1
"""Levels of 255 by which two encodings of sRGB may differ."""

ProfileError = (OSError, ImageCms.PyCMSError)
"""Errors for a damaged profile, or one for another kind of picture."""


def phrase(profile: bytes) -> str:
    """The receipt's phrase for a conversion, with the name of the profile.

    Raises ProfileError: the profile is damaged.
    """
    text = " ".join(ImageCms.getProfileDescription(_opened(profile)).split())
    return f"colors from profile '{text[:60] or 'unnamed'}' to sRGB"


def left_out(taken_as: str) -> str:
    """The receipt's phrase for a profile that could not be used."""
    return f"color profile left out, it is damaged or does not fit: taken as {taken_as}"


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert a picture in mode RGB or CMYK to sRGB of 8 bits; the same object if it is that.

    Raises ProfileError: the profile is damaged or does not fit the mode.
    """
    transform = _transform(_opened(profile), image.mode)
    if image.mode == "RGB" and _changes_nothing(transform, _cube()):
        return image
    return _applied(transform, image)


def is_srgb(profile: bytes) -> bool:
    """True if a profile means the colors of sRGB."""
    try:
        return _changes_nothing(_transform(_opened(profile), "RGB"), _cube())
    except ProfileError:
        return False


def lab_to_srgb(image: Image.Image) -> Image.Image:
    """Convert a picture in mode LAB (CIE L*a*b*, D50) to sRGB of 8 bits."""
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    return _applied(_transform(lab, "LAB"), image)


def gray_curve(profile: bytes) -> NDArray[np.uint8] | None:
    """The sRGB color of each gray 0..255, (256, 3); None if grays do not change.

    Takes profiles of gray, and profiles of RGB for equal red, green and blue.

    Raises ProfileError: the profile is damaged, or of neither kind.
    """
    opened = _opened(profile)
    ramp = Image.frombytes("L", (256, 1), bytes(range(256)))
    if opened.profile.xcolor_space.strip() != "GRAY":
        ramp = ramp.convert("RGB")
    transform = _transform(opened, ramp.mode)
    if _changes_nothing(transform, ramp):
        return None
    return np.asarray(_applied(transform, ramp), dtype=np.uint8).reshape(256, 3)


def _opened(profile: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))


def _transform(profile: ImageCms.ImageCmsProfile, mode: str) -> ImageCms.ImageCmsTransform:
    srgb = ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(profile, srgb, mode, "RGB", _INTENT, _FLAGS)


def _applied(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    if converted is None:  # only where it works in place
        raise ImageCms.PyCMSError("the transform gave no picture")
    return converted


def _changes_nothing(transform: ImageCms.ImageCmsTransform, sample: Image.Image) -> bool:
    before = np.asarray(sample.convert("RGB"), dtype=np.int16)
    after = np.asarray(_applied(transform, sample), dtype=np.int16)
    return bool(np.abs(after - before).max() <= _SAME)


def _cube() -> Image.Image:
    """A grid of colors over RGB, 9 levels of each."""
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    colors = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
    return Image.fromarray(colors.reshape(9, 81, 3))


# Linear sRGB to XYZ, adapted to the profiles' white D50, as sRGB's own profile has it.
_SRGB = np.array([
    [0.43607, 0.38515, 0.14307],
    [0.22249, 0.71687, 0.06061],
    [0.01392, 0.09708, 0.71410],
])  # fmt: skip

_LEVELS = 65536
_KINDS = (b"RGB ", b"XYZ ")  # what a profile is about, and where it leads
_TABLES = b"A2B0"
_DIRECTORY, _ENTRY = 128, 12
_FIXED = 65536  # parts of 1 in the fixed numbers of profiles
_GAMMA = 256
# How many of the numbers g a b c d e f each kind of formula has.
_FORMULAS = (1, 3, 4, 5, 7)


def exact_to_srgb(values: NDArray[np.uint16], profile: bytes) -> Pixels | None:
    """Convert a picture (height, width, 3) of 0..65535; None for another kind of profile."""
    with suppress(struct.error, ValueError, IndexError, KeyError, ArithmeticError):
        tags = _tags(profile)
        if (profile[16:20], profile[20:24]) != _KINDS or _TABLES in tags:
            return None
        curves = [_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")]
        columns = [_numbers(tags[name], 8, 3) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
        way = np.linalg.inv(_SRGB) @ np.array(columns).T
        if np.isfinite(way).all() and all(np.isfinite(curve).all() for curve in curves):
            return by_rows(lambda rows: _apply_matrix(rows, curves, way), values)
    return None


def _apply_matrix(values: NDArray[np.uint16], curves: list[Floats], way: Floats) -> Pixels:
    light = np.stack([curve[values[..., c]] for c, curve in enumerate(curves)], axis=-1) @ way.T
    black = float(_SRGB[1] @ way @ np.array([curve[0] for curve in curves]))
    return from_space(np.clip((light - black) / (1 - black), 0, 1), "linear")


def _tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">L", profile, _DIRECTORY)
    tags = {}
    for at in range(min(count, len(profile) // _ENTRY)):
        where = _DIRECTORY + 4 + _ENTRY * at
        name, start, length = struct.unpack_from(">4sLL", profile, where)
        tags[name] = profile[start : start + length]
    return tags


def _numbers(tag: bytes, start: int, count: int) -> Floats:
    return np.array(struct.unpack_from(f">{count}l", tag, start)) / _FIXED


def _curve(tag: bytes) -> Floats:
    """Linear light, 0..1, for each of the values."""
    x = np.linspace(0, 1, _LEVELS)
    if tag[:4] == b"para":
        return _by_formula(x, tag)
    (count,) = struct.unpack_from(">L", tag, 8)
    points = np.frombuffer(tag, ">u2", count, 12) / (_LEVELS - 1)
    if count == 0:
        return x
    if count == 1:
        power: Floats = x ** (points[0] * (_LEVELS - 1) / _GAMMA)
        return power
    between: Floats = np.interp(x, np.linspace(0, 1, count), points)
    return between


def _by_formula(x: Floats, tag: bytes) -> Floats:
    """(a x + b)^g + e from d on, c x + f below it: ICC.1:2022, table 68."""
    (kind,) = struct.unpack_from(">H", tag, 8)
    numbers = _numbers(tag, 12, _FORMULAS[kind])
    g, a, b, c, d, e, f = np.pad(numbers, (0, 7 - len(numbers))).tolist()
    if kind == 0:
        a, d = 1.0, 0.0
    elif kind in (1, 2):  # where the power begins, and what is added everywhere
        d, e, f, c = -b / a, c, c, 0.0
    power: Floats = np.maximum(a * x + b, 0) ** g + e
    return np.where(x >= d, power, c * x + f)
