"""The Wasserstein-2 distance of two Gaussians once more, in plain NumPy, with its slope.

By the textbook: |mean - mean'|^2 + tr(C + C' - 2 (C'^1/2 C C'^1/2)^1/2), whose slope with regard to
C is 1 - C'^1/2 (C'^1/2 C C'^1/2)^-1/2 C'^1/2.
"""

import numpy as np
from tests.painter.plain_vgg19 import Array


def power(square: Array, exponent: float) -> Array:
    """A power of a symmetric matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh(square)
    return np.asarray((vectors * values**exponent) @ vectors.T)


def distance(mean: Array, covariance: Array, there: Array, around: Array) -> tuple[float, Array]:
    """The square of the distance, and its slope with regard to the covariance.

    Every direction has at least a ten-thousandth of the target's mean variance.
    """
    ridge = (1e-4 * np.trace(around) / len(around) + 1e-8) * np.eye(len(around))
    covariance, around = covariance + ridge, around + ridge
    root = power(around, 0.5)
    middle = root @ covariance @ root
    value = ((mean - there) ** 2).sum() + np.trace(covariance + around - 2 * power(middle, 0.5))
    return float(value), np.eye(len(around)) - root @ power(middle, -0.5) @ root


def of_features(f: Array, there: Array, products: Array) -> tuple[float, Array]:
    """That of features f (n, m) from a mean (n,) and second moments (n, n), and its slope at f."""
    m, mean = f.shape[1], f.mean(1)
    apart = f - mean[:, None]
    target = products - np.outer(there, there)
    value, slope = distance(mean, apart @ apart.T / m, there, target)
    return value, 2 / m * (slope @ apart + (mean - there)[:, None])
