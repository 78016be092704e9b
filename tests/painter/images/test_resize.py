"""Pictures of every shape are resized in floats, or as 8 bits where a recipe says so."""

from typing import get_args

import numpy as np
import pytest
from PIL import Image

from stylewatch_painter.images.resize import Resample, resize, resize_plane
from stylewatch_painter.stage import Pixels

FILTERS: tuple[Resample, ...] = get_args(Resample)


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(7).uniform(0, 255, (height, width, 3)).astype(np.float32)


def test_floats_are_neither_rounded_nor_clipped() -> None:
    step = np.zeros((1, 20, 3), dtype=np.float32)
    step[:, 10:] = 255
    resized = resize(step, (50, 1), "lanczos")
    assert resized.min() < -1 and resized.max() > 256
    assert np.abs(resized - np.rint(resized)).max() > 0.1


def test_bilinear_matches_hand_computation() -> None:
    picture = np.array([0, 100], dtype=np.float32).reshape(1, 2, 1).repeat(3, axis=2)
    assert np.allclose(resize(picture, (4, 1), "bilinear")[0, :, 0], [0, 25, 75, 100])


@pytest.mark.parametrize("resample", FILTERS)
def test_eight_bit_equals_pillow_on_rounded_pictures(resample: Resample) -> None:
    picture = noise(9, 13) * np.float32(1.2) - np.float32(20)  # some of it out of range
    rounded = Image.fromarray(np.rint(picture.clip(0, 255)).astype(np.uint8))
    expected = np.asarray(rounded.resize((20, 5), Image.Resampling[resample.upper()]))
    resized = resize(picture, (20, 5), resample, eight_bit=True)
    assert resized.dtype == np.float32
    assert np.array_equal(resized, expected)


def test_plane_stays_in_0_to_1() -> None:
    mask = np.zeros((6, 6), dtype=np.float32)
    mask[:, 3:] = 1
    resized = resize_plane(mask, (25, 11))
    assert resized.shape == (11, 25) and resized.dtype == np.float32
    assert resized.min() == 0 and resized.max() == 1
    assert ((resized > 0.1) & (resized < 0.9)).any()
