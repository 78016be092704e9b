"""Files of pictures in memory, read by the package under test."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.painter.deep import Deep

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.read import decoded, decoding, to_floats
from stylewatch_painter.images.reduced import NeededSize, Raster
from stylewatch_painter.stage import Pixels, Plane


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    """A file written by Pillow."""
    content = io.BytesIO()
    image.save(content, format, **options)
    return content.getvalue()


def raster(
    data: bytes, needed_size: NeededSize | None = None, *, limit: int = 250_000_000, **options: Any
) -> Raster:
    with decoding("photo", data):
        return decoded(data, limit, needed_size=needed_size, **options)


def floats(data: bytes, **options: Any) -> tuple[Pixels, Plane | None, tuple[str, ...]]:
    with decoding("photo", data):
        return to_floats(decoded(data, 1_000_000, **options))


def refusal(data: bytes, needed_size: NeededSize | None = None, limit: int = 40_000_000) -> str:
    with pytest.raises(PictureError) as refused:
        raster(data, needed_size, limit=limit)
    assert str(refused.value).startswith("photo ")
    return str(refused.value)


def exact(data: bytes) -> Deep:
    """The values of a file of 16 bits a channel."""
    values = raster(data, uncut=True).exact
    assert values is not None
    return values


def near(pixels: Pixels, color: tuple[float, ...], tolerance: float = 0.01) -> bool:
    return bool(np.abs(pixels - np.array(color)).max() <= tolerance)
