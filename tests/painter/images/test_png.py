"""PNG files of 16 bits: every value is there, and nothing in them changes from run to run."""

import io

import numpy as np
import pytest
from PIL import Image
from tests.painter.deep import Deep, values
from tests.painter.images.test_decode16 import read

from stylewatch_painter.images.encode import png_of
from stylewatch_painter.images.metadata import UNTOLD, Tags


def ramp() -> Deep:
    """Each value a little more than the one before."""
    return np.repeat(np.arange(0, 60_000, 20, dtype=np.uint16), 3).reshape(50, 60, 3)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("shape", [(9, 14), (1, 1), (300, 3)])
def test_every_value_is_there_again(channels: int, shape: tuple[int, int]) -> None:
    picture = values(channels, shape)
    data = png_of(picture, b"profile", UNTOLD)
    Image.open(io.BytesIO(data)).verify()
    assert np.array_equal(read(data), picture)


def test_band_after_band_is_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    before = png_of(ramp(), b"", UNTOLD)
    monkeypatch.setattr("stylewatch_painter.images.encode._BAND", 400)
    assert np.array_equal(read(png_of(ramp(), b"", UNTOLD)), ramp())
    assert png_of(ramp(), b"", UNTOLD) == before


def test_profile_resolution_and_exif_are_in_it() -> None:
    image = Image.open(io.BytesIO(png_of(values(), b"a profile", Tags((300, 150), {271: "Lumen"}))))
    assert image.info["icc_profile"] == b"a profile"
    assert image.info["dpi"] == pytest.approx((300, 150), abs=0.02)
    image.load()
    assert image.getexif()[271] == "Lumen"
