"""Recoloring moves colors as little as the transfer of their statistics allows."""

import numpy as np
from numpy.typing import NDArray

from stylewatch_painter.images.color import Spread, recolored, to_space

Array = NDArray[np.float64]


def root(matrix: Array) -> Array:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(values)) @ vectors.T)


def test_recoloring_moves_colors_the_least() -> None:
    """By no more than the Wasserstein distance of the two normal distributions of colors.

    Olkin and Pukelsheim 1982: |m - m'|^2 + tr(C + C' - 2 (C^1/2 C' C^1/2)^1/2). Another map with
    the same statistics, here by Cholesky factors, moves them further.
    """
    draw = np.random.default_rng(4)
    mixed = draw.normal(0, 1, (20, 30, 3)) @ draw.normal(0, 9, (3, 3)) + 90
    style, content = mixed.astype(np.float32), draw.uniform(40, 200, (25, 20, 3)).astype(np.float32)
    own, wanted = Spread.of(style, "srgb"), Spread.of(content, "srgb")
    before = to_space(style, "srgb")
    moved = to_space(recolored(style, own, wanted, "srgb"), "srgb") - before
    by = root(own.covariance)
    overlap = root(by @ wanted.covariance @ by)
    least = np.trace(own.covariance + wanted.covariance - 2 * overlap)
    least += ((own.mean - wanted.mean) ** 2).sum()
    assert np.isclose((moved**2).sum(-1).mean(), least, rtol=1e-3)
    factors = np.linalg.cholesky(wanted.covariance) @ np.linalg.inv(
        np.linalg.cholesky(own.covariance)
    )
    further = (before - own.mean) @ factors.T + wanted.mean - before
    assert (further**2).sum(-1).mean() > 1.01 * least
