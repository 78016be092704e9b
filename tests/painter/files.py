"""Files of pictures in memory, read by the package under test."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.decode import NeededSize
from stylewatch_painter.images.read import Picture, picture_of
from stylewatch_painter.stage import Pixels


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    """Return the bytes of a picture file that Pillow writes."""
    content = io.BytesIO()
    image.save(content, format, **options)
    return content.getvalue()


def decoded(data: bytes, needed_size: NeededSize | None = None, limit: int = 40_000_000) -> Picture:
    return picture_of("photo", data, limit, needed_size)


def refusal(data: bytes, needed_size: NeededSize | None = None, limit: int = 40_000_000) -> str:
    with pytest.raises(PictureError) as refused:
        decoded(data, needed_size, limit)
    assert str(refused.value).startswith("photo ")
    return str(refused.value)


def near(pixels: Pixels, color: tuple[float, ...], tolerance: float = 0.01) -> bool:
    return bool(np.abs(pixels - np.array(color)).max() <= tolerance)
