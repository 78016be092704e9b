"""TIFF files of 8 and 16 bits: every value is there, with profile, resolution and EXIF."""

import io

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import IFD
from tests.painter.deep import values
from tests.painter.images.test_decode16 import read

from stylewatch_painter.images.encode import tiff_of
from stylewatch_painter.images.metadata import UNTOLD, Tags


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("shape", [(9, 14), (1, 1), (700, 40)])
def test_every_value_of_16_bits_is_there_again(channels: int, shape: tuple[int, int]) -> None:
    picture = values(channels, shape)
    assert np.array_equal(read(tiff_of(picture, b"profile", UNTOLD)), picture)


def test_profile_resolution_and_exif_are_in_it() -> None:
    told = Tags((300, 150), {271: "Lumen"}, {36867: "2020:01:02 03:04:05"}, {1: "N"})
    image = Image.open(io.BytesIO(tiff_of(values(), b"a profile", told)))
    assert image.info["icc_profile"] == b"a profile" and image.info["dpi"] == (300, 150)
    exif = image.getexif()
    assert exif[271] == "Lumen" and exif.get_ifd(IFD.GPSInfo)[1] == "N"
    assert exif.get_ifd(IFD.Exif)[36867] == "2020:01:02 03:04:05"
