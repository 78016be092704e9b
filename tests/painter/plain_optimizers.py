"""The optimizers once more, in plain NumPy: each gives the path of x, step by step."""

from collections.abc import Callable

import numpy as np
from tests.painter.plain_vgg19 import Array

Slope = Callable[[Array], Array]


def adam(x: Array, slope: Slope, steps: int, rate: float = 2.0) -> list[Array]:
    """TensorFlow's Adam (0.9, 0.999, 1e-8): epsilon beside the root of the uncorrected moment."""
    m, v, path = np.zeros_like(x), np.zeros_like(x), []
    for t in range(1, steps + 1):
        g = slope(x)
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        x = x - rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-8)
        path.append(x)
    return path


def sgd(
    x: Array, slope: Slope, steps: int, rate: float = 100.0, decay: float = 0.96, over: int = 100
) -> list[Array]:
    """Gradient descent at rate x decay^(i / over), i from 0; keras's numbers unless told."""
    path = []
    for i in range(steps):
        x = x - rate * decay ** (i / over) * slope(x)
        path.append(x)
    return path


def first_move(g: Array, direction: Array) -> float:
    """How far torch and Torch7 go at first: 1 over the sum of |g|, at most all the way."""
    return float(min(1.0, 1 / np.abs(g).sum()))


def lbfgs(
    x: Array,
    slope: Slope,
    steps: int,
    history: int = 100,
    first: Callable[[Array, Array], float] = first_move,
) -> list[Array]:
    """As torch and Torch7 have it without a line search: each step one evaluation."""
    pairs: list[tuple[Array, Array]] = []
    move = before = np.zeros_like(x)
    path = []
    for i in range(steps):
        g = slope(x)
        y = g - before
        if i and (y * move).sum() > 1e-10:
            pairs = [*pairs, (move, y)][-history:]
        direction = _two_loops(-g, pairs)
        move = direction * (first(g, direction) if i == 0 else 1.0)
        before, x = g, x + move
        path.append(x)
    return path


def _two_loops(q: Array, pairs: list[tuple[Array, Array]]) -> Array:
    """The inverse Hessian, as far as the pairs tell, times q."""
    shares = []
    for s, y in reversed(pairs):
        shares.append((s * q).sum() / (y * s).sum())
        q = q - shares[-1] * y
    if pairs:
        s, y = pairs[-1]
        q = q * (s * y).sum() / (y * y).sum()
    for (s, y), share in zip(pairs, reversed(shares), strict=True):
        q = q + s * (share - (y * q).sum() / (y * s).sum())
    return q
