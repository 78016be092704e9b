"""Profiles of curves and a matrix give the colors that Pillow gives, between its levels too."""

import struct

import numpy as np
import pytest
from PIL import Image
from tests.painter import profiles
from tests.painter.deep import values

from stylewatch_painter.images import icc


def eight(profile: bytes) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], bytes]:
    """What Pillow makes of colors of 8 bits, and these colors."""
    colors = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    return np.asarray(icc.to_srgb(Image.fromarray(colors), profile)), colors.tobytes()


def formula(kind: int, *numbers: float) -> bytes:
    parts = struct.pack(f">{len(numbers)}l", *(round(one * 65536) for one in numbers))
    return b"para" + bytes(4) + struct.pack(">HH", kind, 0) + parts


def with_curve(curve: bytes) -> bytes:
    """A profile whose three curves are this one, in the place of its gamma."""
    plain = profiles.rgb(1.8)
    at = 128 + 4
    count = struct.unpack_from(">L", plain, 128)[0]
    table = bytearray(plain)
    for entry in range(count):
        where = at + 12 * entry
        if plain[where + 1 : where + 4] == b"TRC":
            struct.pack_into(">LL", table, where + 4, len(plain), len(curve))
    struct.pack_into(">L", table, 0, len(plain) + len(curve))
    return bytes(table) + curve


CURVES = {
    "one gamma": struct.pack(">4sLLH", b"curv", 0, 1, round(2.2 * 256)),
    "none": struct.pack(">4sLL", b"curv", 0, 0),
    "a table": struct.pack(">4sLL5H", b"curv", 0, 5, 0, 3000, 14000, 35000, 65535),
    "a power": formula(0, 2.2),
    "a power from there on": formula(1, 2.0, 1.1, -0.1),
    "a power and no offset": formula(2, 2.0, 0.9, 0.0, 0.0),
    "sRGB's": formula(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
    "all of it": formula(4, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045, 0.0, 0.0),
}


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
def test_where_pillow_has_a_level_it_is_the_same(curve: bytes) -> None:
    profile = with_curve(curve)
    wanted, colors = eight(profile)
    high = np.frombuffer(colors, dtype=np.uint8).reshape(wanted.shape).astype(np.uint16)
    found = icc.exact_to_srgb(high * 257, profile)
    assert found is not None and found.dtype == np.float32
    assert np.abs(found - wanted.astype(float)).max() < 2
    assert np.abs(found - wanted.astype(float)).mean() < 0.4


def test_black_that_is_not_dark_is_brought_to_black() -> None:
    profile = with_curve(formula(4, 1.0, 0.9, 0.1, 0.0, 0.0, 0.0, 0.0))
    ends = np.array([0, 65535], dtype=np.uint16).repeat(3).reshape(1, 2, 3)
    found = icc.exact_to_srgb(ends, profile)
    assert found is not None and np.allclose(found[0], [[0] * 3, [255] * 3], atol=1)


@pytest.mark.parametrize(
    "profile",
    [b"", b"no profile at all", profiles.rgb()[:150], profiles.gray(1.8), profiles.cmyk()],
    ids=["empty", "text", "cut off", "gray", "inks"],
)
def test_other_profiles_are_left_to_pillow(profile: bytes) -> None:
    assert icc.exact_to_srgb(values(), profile) is None
