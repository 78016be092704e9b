"""Edges of regions become soft as far as was said, and outside stands the photograph."""

import numpy as np
import pytest

from stylewatch_painter.images.masks import feathered, kept_outside


def left(
    width: int, height: int, edge: int
) -> np.ndarray[tuple[int, int, int], np.dtype[np.float32]]:
    """One region, on the left of the column `edge`."""
    mask = np.zeros((height, width, 1), dtype=np.float32)
    mask[:, :edge] = 1
    return mask


@pytest.mark.parametrize("reach", [3, 4, 6.5])
def test_an_edge_reaches_as_far_as_was_said_to_either_side(reach: float) -> None:
    row = feathered(left(60, 9, 30), reach)[4, :, 0]
    middles = np.arange(60) + 0.5 - 30
    assert (row[middles <= -reach - 0.5] == 1).all()
    assert row[middles >= reach + 0.5] == pytest.approx(0, abs=1e-6)
    within = row[np.abs(middles) < reach - 0.5]
    assert (np.diff(within) < 0).all()
    assert row + row[::-1] == pytest.approx(np.ones(60), abs=1e-6)


def test_regions_that_cover_everything_still_do_and_none_is_there_from_the_rim() -> None:
    mask = np.concatenate([left(30, 20, 12), 1 - left(30, 20, 12)], axis=2)
    soft = feathered(mask, 4)
    assert soft.sum(axis=2) == pytest.approx(np.ones((20, 30)), abs=1e-6)
    assert soft[:, 0, 0] == pytest.approx(np.ones(20))
    assert soft.dtype == np.float32


def test_outside_of_the_regions_is_the_photograph() -> None:
    painting, photograph = np.full((8, 10, 3), 9, np.float32), np.full((8, 10, 3), 200, np.float32)
    found = kept_outside(painting, photograph, left(10, 8, 5))
    assert (found[:, :5] == 9).all()
    assert (found[:, 5:] == 200).all()
    two = np.concatenate([left(10, 8, 5), 0.5 * (1 - left(10, 8, 5))], axis=2)
    assert kept_outside(painting, photograph, two)[0, 9, 0] == pytest.approx(104.5)
