"""Encodings of the colors of pictures, and their conversion to sRGB (law 17).

A decoder yields values and, if the file states one, an `Encoding`. Colors of standard dynamic range
are converted by the ICC profile of the file, or by a profile that this module makes for the
encoding. HDR is tone-mapped to the range of sRGB by this module. Numbers of primaries and transfer
functions are those of ITU-T H.273.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.color import coded
from stylewatch_painter.stage import Pixels

Floats = NDArray[np.float64]

Chromaticities = tuple[float, float, float, float, float, float, float, float]
"""CIE 1931 x and y of red, green, blue and white, in this order."""

UNSTATED = 2

HDR_TRANSFERS = (16, 18)
"""Numbers of the transfer functions of high dynamic range: PQ and HLG."""

_D65 = (0.3127, 0.3290)
_C = (0.310, 0.316)
_DCI = (0.314, 0.351)
_D50 = np.array([0.9642, 1.0, 0.8249])
"""XYZ of the white of ICC profiles."""

BT709: Chromaticities = (0.640, 0.330, 0.300, 0.600, 0.150, 0.060, *_D65)
ADOBE_RGB: Chromaticities = (0.640, 0.330, 0.210, 0.710, 0.150, 0.060, *_D65)

_PRIMARIES: dict[int, tuple[str, Chromaticities]] = {
    1: ("BT.709", BT709),
    4: ("BT.470 M", (0.670, 0.330, 0.210, 0.710, 0.140, 0.080, *_C)),
    8: ("film", (0.681, 0.319, 0.243, 0.692, 0.145, 0.049, *_C)),
    9: ("BT.2020", (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65)),
    11: ("DCI P3", (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_DCI)),
    12: ("Display P3", (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65)),
}
"""Names and chromaticities of primaries by number. The primaries of standard television (5, 6, 7,
22) differ little from BT.709's, and are taken for BT.709's, as browsers do."""

_TELEVISION = frozenset({5, 6, 7, 22})

_BRADFORD = np.array([
    [0.8951, 0.2664, -0.1614],
    [-0.7502, 1.7135, 0.0367],
    [0.0389, -0.0685, 1.0296],
])  # fmt: skip
"""Bradford matrix from XYZ to cone responses, for chromatic adaptation (Lam 1985; ICC.1:2022,
E)."""


class Curve(Enum):
    """A transfer function other than a power function."""

    SRGB = "sRGB"
    PQ = "PQ"
    HLG = "HLG"


_CURVES: dict[int, Curve | float] = {
    **dict.fromkeys((1, UNSTATED, 6, 7, 11, 12, 13, 14, 15), Curve.SRGB),
    4: 2.2,
    5: 2.8,
    8: 1.0,
    16: Curve.PQ,
    17: 2.6,
    18: Curve.HLG,
}
"""Transfer functions by number; a float is the exponent of a power function. Those of BT.709,
BT.601 and BT.2020 describe cameras, not displays, and are taken for sRGB's, as browsers do."""

WHITE_NITS = 203.0
"""Luminance in candela per square meter of diffuse white in HDR (ITU-R BT.2408-7, section 2.2)."""

HLG_WHITE = 0.265
"""Scene light of diffuse white in HLG, whose signal is 75 % (ITU-R BT.2408-7, table 1)."""

PQ_MASTERED_NITS = 1000.0
"""Luminance, in candela per square meter, that is assumed for the brightest light in a PQ film that
states none."""

_MOST_NITS = 10_000.0
_PEAK_SHARE = 0.9999
"""Quantile of a still's pixels, by brightness, that counts as its brightest light."""

_SAME = 0.001  # difference of two chromaticities
_SAME_GAMMA = 0.03
_BAND = 1 << 18  # pixels converted at a time: in float64, all would take gigabytes


@dataclass(frozen=True)
class Encoding:
    """Primaries and transfer function of RGB values; `name` is for people.

    `curve` is the exponent of a power function, or a Curve. `peak` is the luminance of the
    brightest light in HDR as the file states it, in candela per square meter; 0 if not stated.
    """

    name: str
    primaries: Chromaticities = BT709
    curve: Curve | float = Curve.SRGB
    peak: float = 0.0

    @property
    def is_hdr(self) -> bool:
        """True if the transfer function is PQ or HLG, whose lights can be brighter than white."""
        return self.curve in (Curve.PQ, Curve.HLG)

    @property
    def is_srgb(self) -> bool:
        """True for the primaries of BT.709 with sRGB's curve or a gamma near 2.2."""
        near = all(
            abs(one - other) < _SAME for one, other in zip(self.primaries, BT709, strict=True)
        )
        is_curve = self.curve is Curve.SRGB or (
            not isinstance(self.curve, Curve) and abs(self.curve - 2.2) < _SAME_GAMMA
        )
        return near and is_curve


def of_numbers(primaries: int, transfer: int, peak: float = 0.0) -> Encoding:
    """Return the encoding for numbers of `primaries` and `transfer` of ITU-T H.273.

    Unstated primaries become those of BT.2020 for HDR, and those of BT.709 otherwise. `peak` is the
    `Encoding.peak` of the result. Raises PictureError if colors of these numbers cannot be
    converted.
    """
    curve = _CURVES.get(transfer)
    if primaries in (UNSTATED, *_TELEVISION):
        primaries = 9 if primaries == UNSTATED and curve in (Curve.PQ, Curve.HLG) else 1
    if curve is None or primaries not in _PRIMARIES:
        raise PictureError(
            f"has colors that cannot be converted (primaries {primaries}, transfer {transfer} of "
            "ITU-T H.273); export it in sRGB"
        )
    name, chromaticities = _PRIMARIES[primaries]
    kind = f" {curve.value}" if curve in (Curve.PQ, Curve.HLG) else ""
    return Encoding(f"{name}{kind}", chromaticities, curve, peak)


# HDR


def from_hdr(
    values: NDArray[Any], encoding: Encoding, peak: float = 0.0, *, white: int = 1
) -> Pixels:
    """Convert HDR (height, width, 3), coded in 0..`white`, to float32 sRGB in 0..255.

    `peak` is the luminance of the brightest light in candela per square meter; 0 means that it is
    measured by `brightest`. If no light is brighter than diffuse white, diffuse white becomes
    white. Otherwise lights are compressed by the curve of ITU-R BT.2390-11, section 5.1.4, computed
    from the largest channel, which keeps hues. Colors outside of sRGB lose saturation. HLG is
    scene-referred (ITU-R BT.2408-7, section 5.3): the display's curve (OOTF) is not applied.
    """
    peak = peak or brightest(values, encoding, white)
    to_srgb = np.linalg.inv(_to_xyz(BT709)) @ _to_xyz(encoding.primaries)
    result: Pixels = np.empty(values.shape, np.float32)
    for rows in _bands(values):
        light = _light(values[rows].astype(np.float64) / white, encoding)
        most = light.max(axis=-1, keepdims=True)
        scale = np.divide(_compressed(most, peak), most, out=np.ones_like(most), where=most > 0)
        shown = _with_less_saturation((light * scale) @ to_srgb.T)
        result[rows] = 255 * coded(shown)
    return result


def brightest(values: NDArray[Any], encoding: Encoding, white: int) -> float:
    """Measure the luminance of a picture's brightest light, in candela per square meter.

    The values are coded in 0..`white`. A few pixels may be brighter than the result, which is
    between WHITE_NITS and 10,000.
    """
    most = np.concatenate([values[rows].max(axis=-1).ravel() for rows in _bands(values)])
    signal = np.quantile(most, _PEAK_SHARE, method="lower")
    light = _light(np.full((1, 1, 3), signal / white, np.float64), encoding).max()
    return float(np.clip(light * WHITE_NITS, WHITE_NITS, _MOST_NITS))


def mastered(encoding: Encoding) -> float:
    """Return the luminance of a film's brightest light, in candela per square meter.

    For HLG this is the light of the largest signal. For PQ it is `encoding.peak`, or
    PQ_MASTERED_NITS if the film states none, clamped to WHITE_NITS..10,000. It is not measured in a
    frame, because other frames can be brighter.
    """
    if encoding.curve is Curve.HLG:
        return WHITE_NITS / HLG_WHITE
    peak = encoding.peak or PQ_MASTERED_NITS
    return min(max(peak, WHITE_NITS), _MOST_NITS)


def _bands(values: NDArray[Any]) -> Iterator[slice]:
    height, width = values.shape[:2]
    rows = max(1, _BAND // width)
    return (slice(top, top + rows) for top in range(0, height, rows))


def _light(signal: Floats, encoding: Encoding) -> Floats:
    """Decode the signal of HDR to linear light, in which 1 is diffuse white."""
    if encoding.curve is Curve.PQ:
        return _pq_nits(signal) / WHITE_NITS
    # the inverse of ITU-R BT.2100-2, table 5, "reference OETF"
    a = 0.17883277
    b = 0.28466892
    c = 0.55991073
    signal = np.clip(signal, 0, 1)
    middle = 0.5
    scene = np.where(signal <= middle, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return np.asarray(scene / HLG_WHITE)


# the constants of ITU-R BT.2100-2, table 4
_M1 = 2610 / 16384
_M2 = 2523 / 4096 * 128
_C1 = 3424 / 4096
_C2 = 2413 / 4096 * 32
_C3 = 2392 / 4096 * 32


def _pq_nits(signal: Floats) -> Floats:
    """Return the luminance of PQ signals in candela per square meter (BT.2100-2, table 4)."""
    power = np.clip(signal, 0, 1) ** (1 / _M2)
    return np.asarray(10_000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1))


def _pq_signal(nits: Floats) -> Floats:
    power = (np.maximum(nits, 0) / 10_000) ** _M1
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2)


def _compressed(light: Floats, peak: float) -> Floats:
    """Compress light, in which 1 is diffuse white, to 0..1 (ITU-R BT.2390-11, section 5.1.4).

    `peak` is the brightest light in candela per square meter. Light below the knee, where the
    spline begins, is unchanged.
    """
    if peak <= WHITE_NITS:
        return np.minimum(light, 1)
    brightest_signal = float(_pq_signal(np.array(peak)))
    signal = np.minimum(_pq_signal(light * WHITE_NITS) / brightest_signal, 1)
    most = float(_pq_signal(np.array(WHITE_NITS))) / brightest_signal
    knee = 1.5 * most - 0.5
    t = (signal - knee) / (1 - knee)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * most
    )
    mapped = np.where(signal < knee, signal, spline) * brightest_signal
    return np.asarray(np.minimum(_pq_nits(mapped) / WHITE_NITS, 1))


_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
"""Relative luminances of the red, green and blue primaries of BT.709."""


def _with_less_saturation(linear: Floats) -> Floats:
    """Move colors outside of 0..1 towards the gray of their luminance, as far as needed."""
    gray = np.clip(linear @ _LUMINANCE, 0, 1)[..., None]
    away = linear - gray
    room = np.where(away > 0, 1 - gray, gray)
    size = np.abs(away)
    share = np.divide(room, size, out=np.ones_like(size), where=size > room)
    return np.asarray(np.clip(gray + away * share.min(axis=-1, keepdims=True), 0, 1))


# Profiles


@cache
def profile_of(encoding: Encoding) -> bytes:
    """Return an ICC profile with a matrix and curves (ICC.1:2022) for an encoding that is not HDR.

    Raises PictureError if the chromaticities are impossible.
    """
    white = _white_xyz(encoding.primaries)
    cones = _BRADFORD @ _D50 / (_BRADFORD @ white)
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD @ _to_xyz(encoding.primaries)
    text = encoding.name.encode("utf-16-be")
    named = b"mluc" + struct.pack(">IIIHHII", 0, 1, 12, 0x656E, 0x5553, len(text), 28) + text
    tags = {
        b"desc": named,
        b"cprt": named,
        b"wtpt": _xyz(_D50),
        b"rXYZ": _xyz(adapted[:, 0]),
        b"gXYZ": _xyz(adapted[:, 1]),
        b"bXYZ": _xyz(adapted[:, 2]),
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve_tag(encoding.curve)),
    }
    body = b""
    table = b""
    at = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", at + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4xI4s4s4s12x4s", at + len(body), 0x04300000, b"mntr", b"RGB ", b"XYZ ",
                       b"acsp")  # fmt: skip
    head = head.ljust(68, b"\0") + _fixed(_D50)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _curve_tag(curve: Curve | float) -> bytes:
    if curve is Curve.SRGB:  # IEC 61966-2-1 as a parametric curve of type 3
        values = np.array([2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045])
        return b"para" + struct.pack(">IHH", 0, 3, 0) + _fixed(values)
    assert not isinstance(curve, Curve)
    return b"para" + struct.pack(">IHH", 0, 0, 0) + _fixed(np.array([curve]))


def _xyz(values: Floats) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(values)


def _fixed(values: Floats) -> bytes:
    """Encode values as s15Fixed16Numbers of ICC.1:2022."""
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _white_xyz(primaries: Chromaticities) -> Floats:
    x, y = primaries[6:]
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _to_xyz(primaries: Chromaticities) -> Floats:
    """Return the matrix from linear RGB to XYZ, with a luminance of 1 for white.

    Raises PictureError if the matrix is not finite.
    """
    pairs = zip(primaries[0:6:2], primaries[1:6:2], strict=True)
    columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in pairs]).T
    scale = np.linalg.solve(columns, _white_xyz(primaries))
    matrix: Floats = columns * scale
    if not math.isfinite(float(np.abs(matrix).sum())):
        raise PictureError("states colors that cannot be; export it in sRGB")
    return matrix
