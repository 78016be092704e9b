"""Colors in other encodings than sRGB, by formulas that share no code with the painter."""

from typing import Any

import numpy as np

from stylewatch_painter.images.encoding import Curve, Encoding

XYZ_OF_SRGB = np.array([
    [0.4123908, 0.3575843, 0.1804808],
    [0.2126390, 0.7151687, 0.0721923],
    [0.0193308, 0.1191948, 0.9505322],
])  # fmt: skip
"""Matrix from linear sRGB to XYZ (IEC 61966-2-1), with the white D65."""


def linear(color: Any) -> Any:
    """Return the linear light of sRGB values in 0..1."""
    return np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)


def matrix(encoding: Encoding) -> Any:
    """Return the matrix from linear RGB of `encoding` to XYZ, in which white has luminance 1."""
    x, y = np.array(encoding.primaries[0::2]), np.array(encoding.primaries[1::2])
    columns = np.stack([x, y, 1 - x - y])
    white = columns[:, 3] / y[3]
    return columns[:, :3] * (np.linalg.inv(columns[:, :3]) @ white)


def coded_in(encoding: Encoding, color: Any) -> Any:
    """Convert sRGB colors (..., 3) in 0..1 to values of `encoding`, whose white is D65."""
    light = np.clip(linear(color) @ (np.linalg.inv(matrix(encoding)) @ XYZ_OF_SRGB).T, 0, 1)
    if encoding.curve is Curve.PQ:  # SMPTE ST 2084, with white at 203 candela per square meter
        power = (light * 203 / 10_000) ** 0.1593017578125
        return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    if encoding.curve is Curve.HLG:  # ARIB STD-B67, with white at 75 %
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = light * 0.265
        log = a * np.log(np.maximum(12 * scene - b, 1e-9)) + c
        return np.where(scene <= 1 / 12, np.sqrt(3 * scene), log)
    if encoding.curve is Curve.SRGB:
        return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return light ** (1 / float(encoding.curve))
