"""Hidden colors give way to those that are seen nearby."""

import numpy as np

from stylewatch_painter.images.encode import over_white
from stylewatch_painter.images.read import filled
from stylewatch_painter.stage import Pixels, Plane


def disc(side: int = 41) -> tuple[Pixels, Plane]:
    """A red disc with a soft edge; what is hidden around it is green."""
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    away = np.hypot(rows - side // 2, columns - side // 2)
    alpha = np.clip((side / 3 - away) / 4 + 0.5, 0, 1).astype(np.float32)
    pixels = np.where(alpha[..., None] > 0, (200, 40, 30), (0, 255, 0)).astype(np.float32)
    return pixels, alpha


def test_of_two_colors_the_nearer_one_is_taken() -> None:
    pixels = np.full((9, 64, 3), 128, dtype=np.float32)
    alpha = np.zeros((9, 64), dtype=np.float32)
    pixels[:, :8], pixels[:, -8:] = (250, 0, 0), (0, 0, 250)
    alpha[:, :8] = alpha[:, -8:] = 1
    found = filled(pixels, alpha)
    assert found[4, 12, 0] > 2 * found[4, 12, 2] and found[4, 50, 2] > 2 * found[4, 50, 0]
    assert np.array_equal(found[:, :8], pixels[:, :8])


def test_what_is_seen_wholly_stays_and_half_seen_colors_lean_on_their_neighbors() -> None:
    pixels = np.array([[[10, 20, 30], [90, 90, 90]]], dtype=np.float32)
    found = filled(pixels, np.array([[1, 0.5]], dtype=np.float32))
    assert np.array_equal(found[0, 0], [10, 20, 30])
    assert 10 < found[0, 1, 0] < 90


def test_where_nothing_is_seen_it_is_white() -> None:
    pixels, alpha = disc()
    assert (filled(pixels, 0 * alpha) == 255).all()


def test_over_white_is_as_it_is_seen_on_white() -> None:
    pixels, alpha = np.full((1, 1, 3), 55, dtype=np.float32), np.full((1, 1), 0.5, dtype=np.float32)
    assert over_white(pixels, alpha).ravel().tolist() == [155, 155, 155]
