"""Drawings in one ink: pictures such as etchings, in which the lightness determines the color.

All colors are mixtures of the paper's and the ink's. A painting in such a style has no other
colors, however colorful the photograph is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stylewatch_painter.images.color import Floats, by_rows, from_lab, to_lab
from stylewatch_painter.images.resize import resize
from stylewatch_painter.images.weighted import Weighted
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Pixels, Plane

_LEVELS = 33
"""Number of levels of lightness, from 0 to 1, at which the color of a drawing is measured."""

_LOOKED_AT = 256
"""Maximum side, in pixels, of the copy of a style that is measured."""

_SURE, _UNSURE = 0.008, 0.016
"""Root mean square distance, in Oklab, of a style's chroma from that of other pixels of the same
lightness: up to the first a style is surely drawn in one ink, from the second on surely not. It is
below 0.005 for drawings, also on stained paper, and above 0.02 for paintings in few colors."""

_RARE = 0.002
"""Share of the darkest and of the lightest pixels of a style that do not count as ink and paper."""


@dataclass(frozen=True, eq=False)
class Ink:
    """The colors of a style in Oklab: `chroma` (_LEVELS, 2) at levels of lightness from 0 to 1.

    `darkest` and `lightest` are the lightness of the ink and of the paper. `share` is 1 if the
    style is surely drawn in one ink, 0 if it surely is not, and in between otherwise.
    """

    chroma: Floats
    darkest: float
    lightest: float
    share: float

    @classmethod
    def of(cls, styles: Sequence[Weighted]) -> "Ink":
        """Measure `styles`, by the weights of their pixels, as if they were one picture."""
        measured = [_small(style) for style in styles]
        colors = np.concatenate([to_lab(style.pixels).reshape(-1, 3) for style in measured])
        weights = np.concatenate([_weights(style) for style in measured])
        light = colors[:, 0].clip(0, 1)
        level = light * (_LEVELS - 1)
        chroma = _means(level, colors[:, 1:], weights)
        away = colors[:, 1:] - _at(level, chroma)
        distance = float(np.sqrt(np.average(np.square(away).sum(axis=1), weights=weights)))
        share = float(np.clip((_UNSURE - distance) / (_UNSURE - _SURE), 0, 1))
        darkest, lightest = _quantiles(light, weights, [_RARE, 1 - _RARE])
        return cls(chroma, darkest, lightest, share)

    def colors(self, light: Floats) -> Pixels:
        """Return the colors (..., 3), 0..255, of this ink and paper at a lightness (...).

        The lightness is clamped to `darkest` and `lightest`.
        """
        limited = light.clip(self.darkest, self.lightest)
        chroma = _at(limited * (_LEVELS - 1), self.chroma)
        return np.clip(from_lab(np.concatenate([limited[..., None], chroma], axis=-1)), 0, 255)


def drawn(picture: Pixels, inks: Sequence[tuple[Ink, Plane]]) -> Pixels:
    """Return a picture (height, width, 3) in the colors of `inks`, each with its shares.

    In each ink, the lightness of a pixel determines its color. The shares (height, width) are the
    weights of the ink's color at each pixel, multiplied by `Ink.share`. They add up to at most 1,
    and the picture's own color has the remaining weight. The result is `picture` itself if no ink
    has a share.
    """
    sure = [(ink, shares) for ink, shares in inks if ink.share > 0]
    if not sure:
        return picture

    def of_rows(pixels: Pixels, *shares: Plane) -> Floats:
        light = to_lab(np.clip(pixels, 0, 255))[..., 0]
        change = np.zeros(pixels.shape)
        for (ink, _), share in zip(sure, shares, strict=True):
            change += ink.share * share[..., None] * (ink.colors(light) - pixels)
        return pixels + change

    return by_rows(of_rows, picture, *(shares for _, shares in sure))


def _small(style: Weighted) -> Weighted:
    """Crop a style to its weighted part, and shrink that to at most _LOOKED_AT pixels a side."""
    part = style.without_rim().cropped()
    size = Size.of(part.pixels)
    factor = min(1.0, _LOOKED_AT / size.long)
    small = Size(max(1, round(size.width * factor)), max(1, round(size.height * factor)))
    pixels = np.clip(resize(part.pixels, small), 0, 255)
    return Weighted(pixels, part.weights).without_rim()


def _weights(style: Weighted) -> Floats:
    """Return the weight of each pixel, float64 (pixels,); 1 without weights."""
    plane = np.ones(style.pixels.shape[:2]) if style.plane is None else style.plane
    return plane.ravel().astype(np.float64)


def _quantiles(light: Floats, weights: Floats, shares: list[float]) -> tuple[float, ...]:
    """Return the weighted quantiles of `light` at these `shares` of the weight."""
    if weights.min() == weights.max():
        return tuple(np.quantile(light, shares).tolist())
    order = light.argsort()
    sums = weights[order].cumsum()
    places = np.searchsorted(sums, np.array(shares) * sums[-1])
    return tuple(light[order][places].tolist())


def _means(level: Floats, chroma: Floats, weights: Floats) -> Floats:
    """Return the mean chroma (_LEVELS, 2) at each level, from pixels less than 1 level away.

    A pixel counts by its nearness to the level, and by its weight. Levels without pixels are
    interpolated.
    """
    below = np.floor(level).astype(int).clip(0, _LEVELS - 2)
    upper = level - below
    sums, counts = np.zeros((_LEVELS, 2)), np.zeros(_LEVELS)
    for index, share in ((below, 1 - upper), (below + 1, upper)):
        weight = weights * share
        counts += np.bincount(index, weight, _LEVELS)
        for part in (0, 1):
            sums[:, part] += np.bincount(index, weight * chroma[:, part], _LEVELS)
    seen = counts > 0
    levels = np.arange(_LEVELS)
    means = sums[seen] / counts[seen, None]
    return np.stack([np.interp(levels, levels[seen], means[:, part]) for part in (0, 1)], axis=1)


def _at(level: Floats, chroma: Floats) -> Floats:
    """Return the chroma (..., 2) at fractional levels of lightness, interpolated."""
    levels = np.arange(_LEVELS)
    return np.stack([np.interp(level, levels, chroma[:, part]) for part in (0, 1)], axis=-1)
