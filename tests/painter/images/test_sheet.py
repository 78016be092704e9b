"""A sheet: pictures in rows, each whole and with its label."""

import numpy as np

from stylewatch_painter.images.sheet import Cell, draw, shrunk
from stylewatch_painter.stage import Pixels


def flat(width: int, height: int, level: float) -> Pixels:
    return np.full((height, width, 3), level, dtype=np.float32)


def test_pictures_are_pasted_unchanged() -> None:
    rows = [[Cell("one", flat(40, 30, 10)), Cell("two", flat(40, 30, 90))]]
    sheet = draw(rows, side=40)
    assert [int((sheet == level).all(-1).sum()) for level in (10, 90)] == [1200, 1200]


def test_pictures_of_a_row_are_aligned() -> None:
    sheet = draw([[Cell("a\nb", flat(40, 20, 10)), Cell("", flat(20, 40, 90))]], side=40)
    bottoms = [np.nonzero((sheet == level).all(-1))[0].max() for level in (10, 90)]
    assert bottoms[0] == bottoms[1]


def test_large_pictures_are_shrunk_and_small_ones_kept() -> None:
    assert shrunk(flat(400, 200, 5), 40).shape == (20, 40, 3)
    assert shrunk(flat(10, 20, 5), 40).shape == (20, 10, 3)


def test_label_is_no_wider_than_a_picture() -> None:
    assert draw([[Cell("long " * 50, flat(40, 30, 10))]], side=40).shape[1] < 40 * 2


def test_labels_in_other_scripts_are_drawn() -> None:
    """A font without them shows the same box for each."""
    sea, sky = (
        draw([[Cell(label)]]) for label in ("\u043c\u043e\u0440\u0435", "\u043d\u0435\u0431\u043e")
    )
    assert sea.shape == sky.shape and not np.array_equal(sea, sky)
