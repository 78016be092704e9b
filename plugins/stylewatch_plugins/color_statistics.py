"""Colors as statistics: how far a picture's are from those wanted, and one step nearer.

For x (M, 3), the colors at M positions with white as 1, and y those of another picture:

    mean        mu = 1/M sum x                    loss |mu_x - mu_y|^2
    covariance  C = 1/M sum (x - mu)(x - mu)^T    loss |C_x - C_y|^2, over its 9 entries
    content     the colors themselves            loss 1/M sum |x - y|^2
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stylewatch_painter.stage import Losses, Pixels, Term

Colors = NDArray[np.float64]
"""(M, 3), RGB, white is 1."""

_BAND = 1 << 16  # positions worked on at a time
_COVARIANCE = 10.0  # its weight: covariances are small numbers beside means


@dataclass(frozen=True, eq=False)
class Look:
    """What is taken over from a style picture: mean (3,) and covariance (3, 3) of its colors."""

    name: str
    share: float
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @classmethod
    def of(cls, name: str, share: float, picture: Pixels) -> "Look":
        """The look of a picture (height, width, 3); all shares together are 1."""
        return cls(name, share, *_statistics(picture))


@dataclass(frozen=True, eq=False)
class Wanted:
    """What a picture is held to: colors (M, 3) where they are to stay, and looks."""

    content: Colors | None
    content_weight: float
    looks: Sequence[Look]

    def losses(self, picture: Pixels) -> Losses:
        """The losses of a picture (height, width, 3) with M pixels."""
        x = colors(picture)
        mean, covariance = _statistics(picture)
        content, style = {}, {}
        if self.content is not None:
            value = float(np.square(x - self.content).sum()) / len(x)
            content["colors"] = Term(value, self.content_weight)
        for look in self.looks:
            away = float(np.square(mean - look.mean).sum())
            apart = float(np.square(covariance - look.covariance).sum())
            style[look.name] = {
                "mean": Term(away, look.share),
                "covariance": Term(apart, look.share * _COVARIANCE),
            }
        terms = [*content.values(), *(term for look in style.values() for term in look.values())]
        return Losses(sum(term.value * term.weight for term in terms), content, style)

    def slope(self, picture: Pixels) -> Colors:
        """M times the slope of the total at each color, (M, 3)."""
        x = colors(picture)
        mean, covariance = _statistics(picture)
        slope = np.zeros_like(x)
        if self.content is not None:
            slope += 2 * self.content_weight * (x - self.content)
        for look in self.looks:
            apart = 4 * _COVARIANCE * (covariance - look.covariance)
            slope += look.share * (2 * (mean - look.mean) + _times(x - mean, apart))
        return slope

    def nearer(self, picture: Pixels) -> Pixels:
        """The picture after one step downhill, so short that no color can overshoot."""
        x = colors(picture)
        spread = np.trace(_statistics(picture)[1])
        for look in self.looks:
            spread += look.share * np.trace(look.covariance)
        rate = 1 / (2 + 2 * self.content_weight + 4 * _COVARIANCE * spread)
        moved: Pixels = (255 * (x - rate * self.slope(picture))).astype(np.float32)
        return moved.reshape(picture.shape)


def colors(picture: Pixels) -> Colors:
    """The colors of a picture (height, width, 3), position after position."""
    return picture.reshape(-1, 3).astype(np.float64) / 255


def _statistics(picture: Pixels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (3,) and covariance (3, 3), some positions at a time: float64 takes much memory.

    Each sum begins with what was added up before, so that it is to the bit the one over all.
    """
    flat = picture.reshape(-1, 3)
    bands = [flat[start : start + _BAND] for start in range(0, len(flat), _BAND)]
    total = np.zeros(3)
    for band in bands:
        total = np.concatenate([total[None], colors(band)]).sum(axis=0)
    mean = total / len(flat)
    products, unit = np.zeros((3, 3)), np.eye(3)
    for band in bands:
        centered = colors(band) - mean
        # einsum adds up in one order on every machine; a matrix product may share the sum out
        products = np.einsum(
            "mi,mj->ij", np.concatenate([unit, centered]), np.concatenate([products, centered])
        )
    return mean, products / len(flat)


def _times(x: Colors, matrix: NDArray[np.float64]) -> Colors:
    found: Colors = np.einsum("mi,ij->mj", x, matrix)
    return found
