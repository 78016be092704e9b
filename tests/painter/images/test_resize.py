"""Pictures are resized in floats, or as 8 bits."""

from typing import get_args

import numpy as np
import pytest
from PIL import Image

from stylewatch_painter.images.resize import Resample, resize, resize_plane
from stylewatch_painter.stage import Pixels


def flat(width: int, height: int, level: float) -> Pixels:
    return np.full((height, width, 3), level, dtype=np.float32)


def test_floats_are_neither_rounded_nor_clipped_and_planes_stay_in_0_to_1() -> None:
    edge = np.concatenate([flat(10, 1, 0), flat(10, 1, 255)], axis=1)
    resized = resize(edge, (50, 1), "lanczos")
    assert resized.min() < -1 and resized.max() > 256
    assert np.abs(resized - np.rint(resized)).max() > 0.1
    ramp = resize(np.concatenate([flat(1, 1, 0), flat(1, 1, 100)], axis=1), (4, 1), "bilinear")
    assert np.allclose(ramp[0, :, 0], [0, 25, 75, 100])
    mask = np.repeat(np.array([[0, 0, 0, 1, 1, 1]], np.float32), 6, axis=0)
    plane = resize_plane(mask, (25, 11))
    assert plane.shape == (11, 25) and plane.dtype == np.float32
    assert plane.min() == 0 and plane.max() == 1


@pytest.mark.parametrize("resample", get_args(Resample))
def test_eight_bit_equals_pillow_on_rounded_pictures(resample: Resample) -> None:
    picture = np.random.default_rng(7).uniform(-20, 290, (9, 13, 3)).astype(np.float32)
    rounded = Image.fromarray(np.rint(picture.clip(0, 255)).astype(np.uint8))
    expected = np.asarray(rounded.resize((20, 5), Image.Resampling[resample.upper()]))
    resized = resize(picture, (20, 5), resample, eight_bit=True)
    assert resized.dtype == np.float32
    assert np.array_equal(resized, expected)
