"""Colors of 16 bits are read to the last bit, from whatever order of bytes."""

import io
from typing import Any

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


def test_gray_with_alpha_becomes_three_channels_and_alpha() -> None:
    found = read(png(values(2)))
    assert np.array_equal(found[..., ::3], values(2))
    assert np.array_equal(found[..., 0], found[..., 1]) and found.shape[-1] == 4


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("big", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_every_bit_of_a_tiff_is_there(big: bool, packed: bool, channels: int) -> None:
    assert np.array_equal(read(tiff(values(channels), big=big, packed=packed)), values(channels))


@pytest.mark.parametrize("how", [{"planar": True}, {"planar": True, "packed": True}])
def test_channels_that_lie_apart_are_left_to_pillow(how: dict[str, Any]) -> None:
    assert looked_at(tiff(values(), **how)) is None


def test_pictures_of_8_bits_are_none_of_these() -> None:
    content = io.BytesIO()
    Image.new("RGB", (3, 2)).save(content, "PNG")
    assert looked_at(content.getvalue()) is None
