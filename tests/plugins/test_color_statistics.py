"""Statistics of colors, their losses and slopes, against numbers worked out by hand."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from stylewatch_painter.stage import Pixels
from stylewatch_plugins.color_statistics import Look, Wanted, colors


def two_pixels(first: tuple[float, ...], second: tuple[float, ...]) -> Pixels:
    """A picture of 1x2, its colors given with white as 1."""
    return np.array([[first, second]], dtype=np.float32) * 255


BLACK_AND_RED = two_pixels((0, 0, 0), (1, 0, 0))
GRAYS = two_pixels((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_a_look_is_the_mean_and_the_covariance() -> None:
    """Of black and red: 1/2 of red, its variance 1/4, and nothing else."""
    look = Look.of("style-1", 1.0, BLACK_AND_RED)
    assert look.mean == pytest.approx([0.5, 0, 0])
    assert look.covariance == pytest.approx(np.diag([0.25, 0, 0]))


def test_colors_that_move_together_have_a_covariance() -> None:
    look = Look.of("style-1", 1.0, two_pixels((0, 1, 0), (1, 0, 0)))
    assert look.covariance == pytest.approx(
        np.array([[0.25, -0.25, 0], [-0.25, 0.25, 0], [0, 0, 0]])
    )


def test_losses_are_those_worked_out_by_hand() -> None:
    """Of gray beside black and red, which is content and, by a quarter, style."""
    wanted = Wanted(colors(BLACK_AND_RED), 2.0, [Look.of("s", 0.25, BLACK_AND_RED)])
    losses = wanted.losses(GRAYS)
    assert losses.content["colors"].value == pytest.approx(0.75)  # each color is 3/4 away
    assert losses.style["s"]["mean"].value == pytest.approx(0.5)  # (0, 1/2, 1/2) squared
    assert losses.style["s"]["covariance"].value == pytest.approx(1 / 16)
    assert losses.total == pytest.approx(2 * 0.75 + 0.25 * 0.5 + 0.25 * 10 / 16)


def test_a_picture_that_is_what_is_wanted_has_no_loss_and_stays() -> None:
    wanted = Wanted(colors(BLACK_AND_RED), 1.0, [Look.of("s", 1.0, BLACK_AND_RED)])
    assert wanted.losses(BLACK_AND_RED).total == 0
    assert np.array_equal(wanted.nearer(BLACK_AND_RED), BLACK_AND_RED)


def drawn(seed: int, spread: float = 60) -> Pixels:
    """A picture of 4x3, its levels whole numbers around gray."""
    draw = np.random.Generator(np.random.PCG64(seed))
    return np.rint(draw.normal(127, spread, (3, 4, 3))).astype(np.float32)


def test_the_slope_is_that_of_the_total() -> None:
    """Against central differences over two levels, which float32 holds exactly."""
    x, y, z = drawn(0), drawn(1), drawn(2)
    wanted = Wanted(colors(y), 0.4, [Look.of("s", 0.3, y), Look.of("t", 0.7, z)])
    slope = wanted.slope(x)
    for position in range(len(slope)):
        step = np.zeros_like(slope, dtype=np.float32)
        step[position, position % 3] = 1
        ahead, behind = (wanted.losses(x + s * step.reshape(x.shape)).total for s in (1, -1))
        difference = len(slope) * (ahead - behind) / (2 / 255)
        assert difference == pytest.approx(slope[position, position % 3], rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("spread", [1, 60, 5000])
def test_every_step_makes_the_total_smaller(spread: float) -> None:
    """However far the colors lie from those wanted."""
    x, wanted = drawn(0, spread), Wanted(None, 1.0, [Look.of("s", 1.0, drawn(1))])
    totals = []
    for _ in range(20):
        totals.append(wanted.losses(x).total)
        x = wanted.nearer(x)
    assert all(later < earlier for earlier, later in pairwise(totals))


def test_a_single_pixel_has_no_spread() -> None:
    one = np.full((1, 1, 3), 51, dtype=np.float32)
    assert Look.of("s", 1.0, one).covariance.tolist() == [[0.0] * 3] * 3
    wanted = Wanted(None, 1.0, [Look.of("s", 1.0, GRAYS)])
    assert np.isfinite(wanted.nearer(one)).all()


def test_a_look_is_to_the_bit_the_one_of_all_positions_at_once_in_less_memory() -> None:
    picture = np.random.default_rng(4).uniform(-9, 300, (700, 1001, 3)).astype(np.float32)
    whole = picture.reshape(-1, 3).astype(np.float64) / 255
    centered = whole - whole.mean(axis=0)
    covariance = np.einsum("mi,mj->ij", centered, centered) / len(whole)
    tracemalloc.start()
    look = Look.of("s", 1.0, picture)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.array_equal(look.mean, whole.mean(axis=0))
    assert np.array_equal(look.covariance, covariance)
    assert peak < picture.nbytes
