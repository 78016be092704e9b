"""Applies profiles made of three curves and a matrix in floats; Pillow does all in 8 bits.

Those of cameras and screens are such profiles (ICC.1:2022, section 8.3.3, and F.3 for the sums),
and pictures of 16 bits hardly ever have another. Black is brought to black, as Pillow is told to.
"""

import struct
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from stylewatch_painter.images.color import Floats, by_rows, from_space
from stylewatch_painter.stage import Pixels

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


def to_srgb(values: NDArray[np.uint16], profile: bytes) -> Pixels | None:
    """A picture (height, width, 3) of 0..65535 as sRGB; None where the profile is no such one."""
    with suppress(struct.error, ValueError, IndexError, KeyError, ArithmeticError):
        tags = _tags(profile)
        if (profile[16:20], profile[20:24]) != _KINDS or _TABLES in tags:
            return None
        curves = [_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")]
        columns = [_numbers(tags[name], 8, 3) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
        way = np.linalg.inv(_SRGB) @ np.array(columns).T
        if np.isfinite(way).all() and all(np.isfinite(curve).all() for curve in curves):
            return by_rows(lambda rows: _applied(rows, curves, way), values)
    return None


def _applied(values: NDArray[np.uint16], curves: list[Floats], way: Floats) -> Pixels:
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
    """The amount of light, 0..1, for each of the values."""
    x = np.linspace(0, 1, _LEVELS)
    if tag[:4] == b"para":
        return _by_formula(x, tag)
    (count,) = struct.unpack_from(">L", tag, 8)
    points = np.frombuffer(tag, ">u2", count, 12) / (_LEVELS - 1)
    if count == 0:
        return x
    if count == 1:
        found: Floats = x ** (points[0] * (_LEVELS - 1) / _GAMMA)
        return found
    between: Floats = np.interp(x, np.linspace(0, 1, count), points)
    return between


def _by_formula(x: Floats, tag: bytes) -> Floats:
    """(a x + b)^g + e from d on, c x + f below it: ICC.1:2022, table 68."""
    (kind,) = struct.unpack_from(">H", tag, 8)
    told = _numbers(tag, 12, _FORMULAS[kind])
    g, a, b, c, d, e, f = np.pad(told, (0, 7 - len(told))).tolist()
    if kind == 0:
        a, d = 1.0, 0.0
    elif kind in (1, 2):  # where the power begins, and what is added everywhere
        d, e, f, c = -b / a, c, c, 0.0
    power: Floats = np.maximum(a * x + b, 0) ** g + e
    return np.where(x >= d, power, c * x + f)
