"""Colors of 16 bits are read to the last bit, from whatever order of bytes."""

import io

import numpy as np
import pytest
from PIL import Image
from tests.painter.deep import Deep, png, tiff, values

from stylewatch_painter.images.depth import whole


def looked_at(data: bytes) -> Deep | None:
    high = Image.open(io.BytesIO(data))
    high.load()
    return whole(high, Image.open(io.BytesIO(data)))


def read(data: bytes) -> Deep:
    found = looked_at(data)
    assert found is not None
    return found


@pytest.mark.parametrize("channels", [3, 4])
def test_every_bit_of_a_png_is_there(channels: int) -> None:
    assert np.array_equal(read(png(values(channels))), values(channels))


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("big", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_every_bit_of_a_tiff_is_there(big: bool, packed: bool, channels: int) -> None:
    assert np.array_equal(read(tiff(values(channels), big=big, packed=packed)), values(channels))
