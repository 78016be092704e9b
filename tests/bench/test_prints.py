"""The measure by which a print follows its preview, against colors known by hand."""

import numpy as np
import pytest
from bench.prints import distance, lab, linear, reduced


def gray(level: float, side: int = 4) -> np.ndarray:
    return np.full((side, side, 3), level, dtype=np.float32)


def test_colors_are_where_cielab_has_them() -> None:
    """White is at 100, 0, 0; red, of sRGB, at 53.2, 80.1, 67.2."""
    assert lab(linear(gray(255)))[0, 0] == pytest.approx([100, 0, 0], abs=0.01)
    red = np.array([[[255, 0, 0]]], dtype=np.float32)
    assert lab(linear(red))[0, 0] == pytest.approx([53.24, 80.09, 67.2], abs=0.02)


def test_pictures_are_reduced_in_light_not_in_levels() -> None:
    """Of black and white, half the light is left: level 188."""
    board = np.zeros((2, 2, 3), dtype=np.float32)
    board[::2, ::2] = board[1::2, 1::2] = 255
    assert reduced(linear(board), (1, 1)) == pytest.approx(0.5)
    assert distance(board, gray(188, 1)) < 0.2
    assert distance(board, gray(128, 1)) > 20


def test_the_smaller_one_gives_the_size_whichever_comes_first() -> None:
    fine = np.random.default_rng(0).uniform(0, 255, (8, 8, 3)).astype(np.float32)
    assert distance(fine, gray(100)) == distance(gray(100), fine) > 1
    assert distance(fine, fine) == 0
