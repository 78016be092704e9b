"""Colors come to sRGB by the profile that belongs to them."""

import struct

import numpy as np
import pytest
from PIL import Image
from tests.painter import profiles
from tests.painter.deep import values

from stylewatch_painter.images import icc


def swatch(*color: int, mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (2, 1), color)


def test_cmyk_follows_its_profile() -> None:
    inks = {(0, 0, 0, 0): 255, (255, 0, 0, 0): 119, (0, 255, 255, 0): 119, (0, 0, 0, 255): 0}
    for ink, gray in inks.items():
        converted = icc.to_srgb(swatch(*ink, mode="CMYK"), profiles.cmyk())
        assert np.abs(np.asarray(converted).astype(int) - gray).max() <= 2
    dark = icc.to_srgb(swatch(0, 0, 0, 255, mode="CMYK"), profiles.cmyk(darkest=40))
    assert np.asarray(dark).max() <= 3, "black-point compensation"


def formula(kind: int, *numbers: float) -> bytes:
    parts = struct.pack(f">{len(numbers)}l", *(round(number * 65536) for number in numbers))
    return b"para" + bytes(4) + struct.pack(">HH", kind, 0) + parts


CURVES = {
    "one gamma": None,
    "none": struct.pack(">4sLL", b"curv", 0, 0),
    "a table": struct.pack(">4sLL5H", b"curv", 0, 5, 0, 3000, 14000, 35000, 65535),
    "a power": formula(0, 2.2),
    "a power from there on": formula(1, 2.0, 1.1, -0.1),
    "all of it": formula(4, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045, 0.0, 0.0),
}


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
def test_exact_conversion_matches_pillow(curve: bytes | None) -> None:
    profile = profiles.rgb(curve)
    colors = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    expected = np.asarray(icc.to_srgb(Image.fromarray(colors), profile), dtype=float)
    converted = icc.exact_to_srgb(colors.astype(np.uint16) * 257, profile)
    assert converted is not None and converted.dtype == np.float32
    assert np.abs(converted - expected).max() < 2
    assert np.abs(converted - expected).mean() < 0.4


def test_exact_conversion_maps_black_to_black() -> None:
    profile = profiles.rgb(formula(4, 1.0, 0.9, 0.1, 0.0, 0.0, 0.0, 0.0))
    ends = np.array([0, 65535], dtype=np.uint16).repeat(3).reshape(1, 2, 3)
    converted = icc.exact_to_srgb(ends, profile)
    assert converted is not None and np.allclose(converted[0], [[0] * 3, [255] * 3], atol=1)


def test_other_profiles_are_left_to_pillow() -> None:
    """Those that are empty, text or cut off, of gray and of inks."""
    damaged = b"", b"no profile at all", profiles.rgb()[:150]
    for profile in (*damaged, profiles.gray(1.8), profiles.cmyk()):
        assert icc.exact_to_srgb(values(), profile) is None
