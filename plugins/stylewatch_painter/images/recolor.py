"""Brings the colors of one picture to those of another by their statistics, in closed form."""

from dataclasses import dataclass

import numpy as np

from stylewatch_painter.images.color import (
    Floats,
    Space,
    by_rows,
    from_space,
    gray,
    luminance,
    to_space,
)
from stylewatch_painter.stage import Pixels, Plane

_FLAT = 1e-9
"""Variances up to this, with white as 1, are those of a picture that does not vary there."""


@dataclass(frozen=True, eq=False)
class Spread:
    """Mean (3,) and covariance (3, 3) of a picture's colors in a space, float64."""

    mean: Floats
    covariance: Floats

    @classmethod
    def of(cls, pixels: Pixels, space: Space, weights: Plane | None = None) -> "Spread":
        """That of a picture (height, width, 3); `weights` (height, width) tell what counts.

        Where nothing counts, all counts alike.
        """
        mean, square, whole = np.zeros(3), np.zeros((3, 3)), 0.0
        for row, pixel_row in enumerate(pixels):
            colors = to_space(pixel_row, space)
            weight = _weight(weights, row, len(colors))
            mean += weight @ colors
            square += (colors * weight[:, None]).T @ colors
            whole += weight.sum()
        if whole == 0:
            return cls.of(pixels, space)
        mean /= whole
        return cls(mean, square / whole - np.outer(mean, mean))

    def way_to(self, other: "Spread") -> Floats:
        """The matrix (3, 3) that brings colors about this mean to the other's covariance.

        Of all such the one that moves colors the least: A = S^-1/2 (S^1/2 T S^1/2)^1/2 S^-1/2
        with the covariances S of this and T of the other (Olkin and Pukelsheim 1982, the linear
        Monge-Kantorovich map of Pitie and Kokaram 2007, equation 9). Along directions in which
        this picture does not vary there is nothing to be moved: A is 0 there.
        """
        root, inverse = _root(self.covariance), _root(self.covariance, inverse=True)
        return inverse @ _root(root @ other.covariance @ root) @ inverse


def recolored(style: Pixels, own: Spread, wanted: Spread, space: Space) -> Pixels:
    """`style`, whose spread is `own`, with mean and covariance of `wanted`; nothing is clipped."""
    way = own.way_to(wanted)

    def moved(pixels: Pixels) -> Pixels:
        away = to_space(pixels, space) - own.mean
        return from_space(away @ way.T + wanted.mean, space)

    return by_rows(moved, style)


def lit_like(style: Pixels, content: Pixels, space: Space, weights: tuple[Plane | None, ...]) -> (
    Pixels
):  # fmt: skip
    """The luminance of `style` as a gray picture, with mean and deviation of the content's.

    L'_S = sigma_C / sigma_S (L_S - mu_S) + mu_C, equation 10 of Gatys, Bethge, Hertzmann and
    Shechtman, "Preserving Color in Neural Artistic Style Transfer", 2016. What comes out darker
    than black or brighter than white is clipped. `weights` (height, width) tell what counts in
    style and content.
    """
    own, theirs = luminance(style, space), luminance(content, space)
    (mean, deviation), (to, spread) = _of_plane(own, weights[0]), _of_plane(theirs, weights[1])
    scale = spread / deviation if deviation**2 > _FLAT else 0.0
    return gray((to + scale * (own - mean)).astype(np.float32), space)


def _of_plane(plane: Plane, weights: Plane | None) -> tuple[float, float]:
    """Mean and standard deviation."""
    if weights is None or not weights.any():
        return float(plane.mean(dtype=np.float64)), float(plane.std(dtype=np.float64))
    mean = np.average(plane.astype(np.float64), weights=weights)
    variance = np.average(np.square(plane - mean), weights=weights)
    return float(mean), float(np.sqrt(variance))


def _weight(weights: Plane | None, row: int, width: int) -> Floats:
    return np.ones(width) if weights is None else weights[row].astype(np.float64)


def _root(matrix: Floats, *, inverse: bool = False) -> Floats:
    """The square root of a symmetric matrix, or its pseudo-inverse, by its eigenvectors."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    roots = np.sqrt(np.maximum(values, 0))
    if inverse:
        flat = values <= _FLAT
        roots = np.where(flat, 0, 1 / np.where(flat, 1, roots))
    found: Floats = (vectors * roots) @ vectors.T
    return found
