"""Pictures are resized in floats, or as 8 bits; a sheet has pictures in rows with labels."""

import tracemalloc
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from stylewatch_painter.images.resize import Resample, resize, resize_plane
from stylewatch_painter.images.sheet import Cell, draw
from stylewatch_painter.stage import Pixels


def flat(width: int, height: int, level: float) -> Pixels:
    return np.full((height, width, 3), level, dtype=np.float32)


def test_floats_are_neither_rounded_nor_clipped() -> None:
    edge = np.concatenate([flat(10, 1, 0), flat(10, 1, 255)], axis=1)
    resized = resize(edge, (50, 1), "lanczos")
    assert resized.min() < -1 and resized.max() > 256
    assert np.abs(resized - np.rint(resized)).max() > 0.1
    ramp = resize(np.concatenate([flat(1, 1, 0), flat(1, 1, 100)], axis=1), (4, 1), "bilinear")
    assert np.allclose(ramp[0, :, 0], [0, 25, 75, 100])


@pytest.mark.parametrize("size", [(20, 5), (13, 9)])
def test_bytes_are_resized_as_the_same_floats(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(7).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    resized = resize(picture, size)
    assert resized.dtype == np.float32
    assert np.array_equal(resized, resize(picture.astype(np.float32), size))


def test_bytes_do_not_become_floats_as_a_whole() -> None:
    picture = np.zeros((1000, 1000, 3), np.uint8)
    tracemalloc.start()
    try:
        resize(picture, (10, 10))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * picture.nbytes


@pytest.mark.parametrize("resample", get_args(Resample))
def test_eight_bit_equals_pillow_on_rounded_pictures(resample: Resample) -> None:
    picture = np.random.default_rng(7).uniform(-20, 290, (9, 13, 3)).astype(np.float32)
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


def test_pictures_are_pasted_unchanged_and_aligned_at_the_bottom() -> None:
    sheet = draw([[Cell("a\nb", flat(40, 20, 10)), Cell("", flat(20, 40, 90))]], side=40)
    places = [np.nonzero((sheet == level).all(-1))[0] for level in (10, 90)]
    assert [place.size for place in places] == [800, 800]
    assert places[0].max() == places[1].max()


def test_short_labels_are_whole_below_small_pictures() -> None:
    for label in ("the photograph", "+ conv5_1"):
        small, large = (draw([[Cell(label, flat(24, 16, 10))]], side) for side in (24, 200))
        assert np.array_equal(small, large)


def test_labels_are_cut_to_the_width_and_drawn_in_other_scripts() -> None:
    """A font without them shows the same box for each."""
    assert draw([[Cell("long " * 50, flat(150, 30, 10))]], side=150).shape[1] < 150 * 1.2
    sea, sky = (draw([[Cell(label)]]) for label in ("\u043c\u043e", "\u043d\u0435"))
    assert sea.shape == sky.shape and not np.array_equal(sea, sky)
