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


def test_bytes_are_resized_as_the_same_floats_without_becoming_floats_as_a_whole() -> None:
    picture = np.random.default_rng(7).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    for size in ((20, 5), (13, 9)):
        resized = resize(picture, size)
        assert resized.dtype == np.float32
        assert np.array_equal(resized, resize(picture.astype(np.float32), size))
    large = np.zeros((1000, 1000, 3), np.uint8)
    tracemalloc.start()
    resize(large, (10, 10))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * large.nbytes


@pytest.mark.parametrize("resample", get_args(Resample))
def test_eight_bit_equals_pillow_on_rounded_pictures(resample: Resample) -> None:
    picture = np.random.default_rng(7).uniform(-20, 290, (9, 13, 3)).astype(np.float32)
    rounded = Image.fromarray(np.rint(picture.clip(0, 255)).astype(np.uint8))
    expected = np.asarray(rounded.resize((20, 5), Image.Resampling[resample.upper()]))
    resized = resize(picture, (20, 5), resample, eight_bit=True)
    assert resized.dtype == np.float32
    assert np.array_equal(resized, expected)


def test_pictures_are_pasted_unchanged_and_aligned_at_the_bottom() -> None:
    sheet = draw([[Cell("a\nb", flat(40, 20, 10)), Cell("", flat(20, 40, 90))]], side=40)
    places = [np.nonzero((sheet == level).all(-1))[0] for level in (10, 90)]
    assert [place.size for place in places] == [800, 800]
    assert places[0].max() == places[1].max()


def test_labels_are_cut_to_the_width_and_drawn_in_other_scripts() -> None:
    """Short ones are whole below small pictures, too.

    A font without the letters of a script shows the same box for each.
    """
    for label in ("the photograph", "+ conv5_1"):
        small, large = (draw([[Cell(label, flat(24, 16, 10))]], side) for side in (24, 200))
        assert np.array_equal(small, large)
    assert draw([[Cell("long " * 50, flat(150, 30, 10))]], side=150).shape[1] < 150 * 1.2
    sea, sky = (draw([[Cell(label)]]) for label in ("\u043c\u043e", "\u043d\u0435"))
    assert sea.shape == sky.shape and not np.array_equal(sea, sky)
