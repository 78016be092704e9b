"""Pictures of every shape are resized in floats, or as 8 bits where a recipe says so."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stylewatch_painter.images.resize import Resample, resize, resize_plane
from stylewatch_painter.stage import Pixels

FILTERS: tuple[Resample, ...] = get_args(Resample)
SIDES = st.integers(1, 40)


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(7).uniform(0, 255, (height, width, 3)).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from(FILTERS), st.floats(-100, 400, width=32))
def test_a_constant_picture_stays_constant_at_any_size(
    height: int, width: int, new_height: int, new_width: int, resample: Resample, value: float
) -> None:
    picture = np.full((height, width, 3), value, dtype=np.float32)
    resized = resize(picture, (new_width, new_height), resample)
    assert resized.shape == (new_height, new_width, 3)
    assert resized.dtype == np.float32
    assert np.allclose(resized, value, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("resample", FILTERS)
@pytest.mark.parametrize("eight_bit", [False, True])
@pytest.mark.parametrize(
    ("before", "after"), [((1, 1), (5000, 1)), ((5000, 1), (1, 1)), ((1, 5000), (7, 3))]
)
def test_extreme_shapes_work(
    before: tuple[int, int], after: tuple[int, int], eight_bit: bool, resample: Resample
) -> None:
    resized = resize(noise(before[1], before[0]), after, resample, eight_bit=eight_bit)
    assert resized.shape == (after[1], after[0], 3)


def test_channels_are_not_mixed() -> None:
    picture = noise(4, 6)
    alone = picture * np.array([1, 0, 0], dtype=np.float32)
    assert np.array_equal(resize(alone, (9, 5))[..., 0], resize(picture, (9, 5))[..., 0])
    assert not resize(alone, (9, 5))[..., 1:].any()


def test_floats_are_neither_rounded_nor_clipped() -> None:
    step = np.zeros((1, 20, 3), dtype=np.float32)
    step[:, 10:] = 255
    resized = resize(step, (50, 1), "lanczos")
    assert resized.min() < -1 and resized.max() > 256
    assert np.abs(resized - np.rint(resized)).max() > 0.1


def test_bilinear_doubles_as_worked_out_by_hand() -> None:
    picture = np.array([0, 100], dtype=np.float32).reshape(1, 2, 1).repeat(3, axis=2)
    assert np.allclose(resize(picture, (4, 1), "bilinear")[0, :, 0], [0, 25, 75, 100])


@pytest.mark.parametrize("resample", FILTERS)
def test_eight_bit_is_what_pillow_makes_of_the_rounded_picture(resample: Resample) -> None:
    picture = noise(9, 13) * np.float32(1.2) - np.float32(20)  # some of it out of range
    rounded = Image.fromarray(np.rint(picture.clip(0, 255)).astype(np.uint8))
    expected = np.asarray(rounded.resize((20, 5), Image.Resampling[resample.upper()]))
    resized = resize(picture, (20, 5), resample, eight_bit=True)
    assert resized.dtype == np.float32
    assert np.array_equal(resized, expected)


def test_a_picture_of_the_right_size_comes_back_as_it_is() -> None:
    picture = noise(3, 8)
    assert resize(picture, (8, 3)) is picture
    assert resize(picture, (3, 8)) is not picture
    assert resize_plane(picture[..., 0], (8, 3)).base is picture


def test_a_plane_stays_between_0_and_1() -> None:
    mask = np.zeros((6, 6), dtype=np.float32)
    mask[:, 3:] = 1
    resized = resize_plane(mask, (25, 11))
    assert resized.shape == (11, 25) and resized.dtype == np.float32
    assert resized.min() == 0 and resized.max() == 1
    assert ((resized > 0.1) & (resized < 0.9)).any()
