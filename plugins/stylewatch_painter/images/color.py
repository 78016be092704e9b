"""Oklab, and the transfer of color statistics between pictures.

A picture is float32 (height, width, 3), sRGB 0..255. In Oklab, a perceptually uniform space
(Ottosson, "A perceptual color space for image processing", 2020), it is float64 (height, width, 3):
the lightness L, 0 for black and 1 for white, and the chroma a and b.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylewatch_painter.images.weighted import Weighted, around
from stylewatch_painter.stage import Pixels, Plane

Floats = NDArray[np.float64]

# Ottosson's two matrices: linear sRGB to cone responses, and their cube roots to L, a, b.
_TO_CONES = np.array([
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
])  # fmt: skip
_TO_LAB = np.array([
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
])  # fmt: skip
_FROM_CONES = np.linalg.inv(_TO_CONES)
_FROM_LAB = np.linalg.inv(_TO_LAB)

BRIGHTNESS = (0.2126, 0.7152, 0.0722)
"""Weights of R, G and B in the brightness (luma) by ITU-R BT.709."""

_KNEE = 0.0031308
"""Linear value up to which sRGB's curve is a straight line."""

_HALVINGS = 16  # a precision of 1 / 65536 of the chroma

_TOLERANCE = 1e-9  # in linear light; its cube root, 0.001, is the error in lightness near black

_BAND = 1 << 18  # pixels processed at a time: a large picture in float64 would take gigabytes


def to_lab(pixels: Pixels) -> Floats:
    """Convert a picture to Oklab; values outside 0..255 are not clipped."""
    lab: Floats = np.cbrt(_linear(pixels.astype(np.float64) / 255) @ _TO_CONES.T) @ _TO_LAB.T
    return lab


def from_lab(lab: Floats) -> Pixels:
    """Convert Oklab to a picture, float32, neither rounded nor clipped."""
    return (255 * coded((lab @ _FROM_LAB.T) ** 3 @ _FROM_CONES.T)).astype(np.float32)


def lightness(pixels: Pixels) -> Plane:
    """Return the lightness, float32 (height, width), of a picture clipped to 0..255."""
    return by_rows(lambda rows: to_lab(np.clip(rows, 0, 255))[..., 0], pixels)


def gray(light: Plane) -> Pixels:
    """Return a gray picture, float32 (height, width, 3), of a lightness (height, width).

    The lightness is clipped to 0..1.
    """

    def of_rows(light: Plane) -> Floats:
        level = np.clip(light.astype(np.float64), 0, 1)[..., None]
        return np.repeat(255 * coded(level**3), 3, axis=-1)

    return by_rows(of_rows, light)


def with_lightness(pixels: Pixels, light: Plane) -> Pixels:
    """Return `pixels`, clipped to 0..255, with the lightness `light` (height, width).

    `light` is clipped to 0..1. Hues are kept. The chroma of a color that sRGB lacks is reduced
    until the color fits.
    """

    def of_rows(pixels: Pixels, light: Plane) -> Pixels:
        level = np.clip(light.astype(np.float64), 0, 1)[..., None]
        return from_lab(_relit(level, to_lab(np.clip(pixels, 0, 255))[..., 1:]))

    return by_rows(of_rows, pixels, light)


def by_rows(make: Callable[..., NDArray[np.floating]], *planes: NDArray[Any]) -> Pixels:
    """Apply `make` to bands of rows of arrays of equal height, and join the results as float32."""
    height, width = planes[0].shape[:2]
    rows = max(1, _BAND // width)
    result: Pixels = np.empty(0, dtype=np.float32)
    for top in range(0, height, rows):
        band = make(*(plane[top : top + rows] for plane in planes))
        if top == 0:
            result = np.empty((height, *band.shape[1:]), dtype=np.float32)
        result[top : top + len(band)] = band
    return result


def _relit(level: Floats, chroma: Floats) -> Floats:
    """Return Oklab colors of this lightness and chroma, with less chroma where sRGB lacks them."""
    lab = np.concatenate([level, chroma], axis=-1)
    outside = ~_is_shown(lab)
    if outside.any():
        colors = lab[outside]
        low, high = np.zeros((len(colors), 1)), np.ones((len(colors), 1))
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            fits = _is_shown(colors * np.concatenate([middle**0, middle, middle], 1))[:, None]
            low, high = np.where(fits, middle, low), np.where(fits, high, middle)
        lab[outside] = colors * np.concatenate([low**0, low, low], 1)
    return lab


def _is_shown(lab: Floats) -> NDArray[np.bool_]:
    """Return flags of the Oklab colors that are inside of sRGB, within _TOLERANCE."""
    linear = (lab @ _FROM_LAB.T) ** 3 @ _FROM_CONES.T
    away: Floats = np.abs(linear - 0.5).max(axis=-1)
    return away <= 0.5 + _TOLERANCE


def _linear(coded: Floats) -> Floats:
    """Decode sRGB values, 1 for white, to linear light by IEC 61966-2-1.

    The curve f is extended to negative values by f(-x) = -f(x).
    """
    size = np.abs(coded)
    light = np.where(size <= 12.92 * _KNEE, size / 12.92, ((size + 0.055) / 1.055) ** 2.4)
    return np.copysign(light, coded)


def coded(linear: Floats) -> Floats:
    """Encode linear light, 1 for white, as sRGB values by IEC 61966-2-1.

    The curve f is extended to negative light by f(-x) = -f(x).
    """
    size = np.abs(linear)
    coded = np.where(size <= _KNEE, size * 12.92, 1.055 * size ** (1 / 2.4) - 0.055)
    return np.copysign(coded, linear)


_FLAT = 1e-9
"""Maximum variance, in Oklab with white at a lightness of 1, of values that count as constant."""


_NO_CHROMA = 6e-5
"""Maximum entry of the chroma covariance, in Oklab, of a style that counts as gray."""
_LITTLE = 1e-4
"""Value added to the variances of Oklab coordinates, so that covariances have an inverse."""

_PASSES, _STEEPNESS = 5, 10.0
"""Arguments of `smoothed` in `with_matched_chroma`."""


@dataclass(frozen=True, eq=False)
class Spread:
    """Mean (3,) and covariance (3, 3) of a picture's colors in Oklab, float64."""

    mean: Floats
    covariance: Floats

    @classmethod
    def of(cls, pixels: Pixels, weights: Plane | None = None) -> "Spread":
        """Return the statistics of a picture (height, width, 3), weighted by `weights`.

        `weights` is (height, width). If it is None, or all weights are 0, every pixel has the same
        weight.
        """
        mean = np.zeros(3)
        square = np.zeros((3, 3))
        total = 0.0
        for row, pixel_row in enumerate(pixels):
            colors = to_lab(pixel_row)
            weight = np.ones(len(colors)) if weights is None else weights[row].astype(np.float64)
            mean += weight @ colors
            square += (colors * weight[:, None]).T @ colors
            total += weight.sum()
        if total == 0:
            return cls.of(pixels)
        mean /= total
        return cls(mean, square / total - np.outer(mean, mean))

    @property
    def deviation(self) -> float:
        """Root mean square distance of the colors from their mean."""
        return math.sqrt(max(0.0, float(np.trace(self.covariance))))

    def way_to(self, other: "Spread") -> Floats:
        """Return the matrix (3, 3) of the optimal transport of colors to the covariance of `other`.

        The matrix applies to colors minus their mean. Of all linear maps to that covariance, it
        moves colors least: A = S^-1/2 (S^1/2 T S^1/2)^1/2 S^-1/2, where S is this covariance and T
        that of `other` (Olkin and Pukelsheim 1982; the linear Monge-Kantorovich map of Pitie and
        Kokaram 2007, equation 9). A is 0 along directions in which S has no variance.
        """
        root = _root(self.covariance)
        inverse = _root(self.covariance, inverse=True)
        return inverse @ _root(root @ other.covariance @ root) @ inverse


def recolored(style: Pixels, spread: Spread, target: Spread) -> Pixels:
    """Return `style` with its colors mapped from the statistics `spread` to those of `target`.

    `spread` is the mean and covariance of `style`. The map is that of `Spread.way_to`; values are
    not clipped.
    """
    way = spread.way_to(target)

    def moved(pixels: Pixels) -> Pixels:
        return from_lab((to_lab(pixels) - spread.mean) @ way.T + target.mean)

    return by_rows(moved, style)


def with_matched_chroma(picture: Pixels, content: Pixels, styles: Sequence[Weighted]) -> Pixels:
    """Return `picture` with the chroma of `content`, mapped to the statistics of `styles`.

    This is the last step of Kolkin et al. 2022 (arXiv 2203.13215), as in their program: in Oklab,
    with values taken for linear light. All `styles` count as one picture, the style, with weighted
    pixels. The lightness of `picture` is clamped to the style's range. The content's a and b are
    mapped to the mean and covariance of the style's, smoothed along edges of the lightness, and
    clamped. If the style has no chroma, `content` is not used, and all three coordinates of
    `picture` are mapped to the style's mean and covariance.

    `picture` and `content` have the same size. The result is float32 (height, width, 3) in 0..255.
    Besides the result, only a band of rows is in memory at a time.
    """
    theirs = _Range.of([style.without_rim() for style in styles])

    def limited(lab: Floats) -> Floats:
        level = np.clip(lab[..., :1], theirs.low[0], theirs.high[0])
        return np.concatenate([level, lab[..., 1:]], axis=-1)

    if np.abs(theirs.covariance[1:, 1:]).max() < _NO_CHROMA:
        moved = _Range.of([Weighted(picture)], limited).map_to(theirs)

        def matched(rows: slice) -> Floats:
            return moved(limited(_taken_as_linear(picture[rows])))

    else:
        moved = _Range.of([Weighted(content)]).part(1).map_to(theirs.part(1))

        def matched(rows: slice) -> Floats:
            level = limited(_taken_as_linear(picture[rows]))[..., :1]
            chroma = moved(_taken_as_linear(content[rows])[..., 1:])
            near = smoothed(chroma, level[..., 0], _PASSES, _STEEPNESS)
            return np.concatenate([level, near], axis=-1)

    result: Pixels = np.empty(picture.shape, np.float32)
    for rows, wide, inner in with_margin(picture, _PASSES):
        lab = np.clip(matched(wide)[inner], theirs.low, theirs.high)
        linear = (lab @ _FROM_LAB.T) ** 3 @ _FROM_CONES.T
        result[rows] = 255 * np.clip(linear, 0, 1)
    return result


def with_margin(
    picture: Pixels, margin: int, pixels: int = _BAND
) -> Iterator[tuple[slice, slice, slice]]:
    """Yield three slices of rows for each band of about `pixels` pixels of a picture.

    They are the band; the band with up to `margin` more rows above and below; and the position of
    the band within the latter.
    """
    height, width = picture.shape[:2]
    size = max(1, pixels // width)
    for top in range(0, height, size):
        end = min(top + size, height)
        above = max(0, top - margin)
        yield (
            slice(top, end),
            slice(above, min(end + margin, height)),
            slice(top - above, end - above),
        )


@dataclass(frozen=True, eq=False)
class _Range:
    """Mean, covariance, minimum and maximum of colors in Oklab, float64."""

    mean: Floats
    covariance: Floats
    low: Floats
    high: Floats

    @classmethod
    def of(
        cls, pictures: Sequence[Weighted], change: Callable[[Floats], Floats] = lambda lab: lab
    ) -> "_Range":
        """Return the statistics of all pixels of `pictures`, after a `change` of their colors.

        Mean and covariance are weighted. Minimum and maximum are those of the pixels with at least
        half of the greatest weight in their picture.
        """

        def bands() -> Iterator[tuple[Floats, Plane | None, float]]:
            for picture in pictures:
                least = 0.0 if picture.plane is None else picture.plane.max() / 2
                rows = max(1, _BAND // picture.pixels.shape[1])
                for top in range(0, len(picture.pixels), rows):
                    band = slice(top, top + rows)
                    colors = change(_taken_as_linear(picture.pixels[band])).reshape(-1, 3)
                    weights = None if picture.plane is None else picture.plane[band].reshape(-1, 1)
                    yield colors, weights, least

        total = sum(picture.total for picture in pictures)
        mean = sum(_times(colors, weights).sum(0) for colors, weights, _ in bands()) / total
        low = np.full(3, np.inf)
        high = np.full(3, -np.inf)
        squares = np.zeros((3, 3))
        for colors, weights, least in bands():
            inside = colors if weights is None else colors[weights[:, 0] >= least]
            low = np.minimum(low, inside.min(0, initial=np.inf))
            high = np.maximum(high, inside.max(0, initial=-np.inf))
            away = colors - mean
            squares += away.T @ _times(away, weights)
        return cls(np.asarray(mean), squares / total, low, high)

    def part(self, first: int) -> "_Range":
        """Return the statistics of the Oklab coordinates from index `first` on."""
        square = self.covariance[first:, first:]
        return _Range(self.mean[first:], square, self.low[first:], self.high[first:])

    def map_to(self, other: "_Range") -> Callable[[Floats], Floats]:
        """Return a function that maps colors (..., C) to the mean and the covariance of `other`.

        The matrix is T^1/2 S^-1/2, where S is this covariance and T that of `other`, both with
        _LITTLE added to the variances, so that the inverse exists.
        """
        little = _LITTLE * np.eye(len(self.mean))
        way = _root(other.covariance + little) @ _root(self.covariance + little, inverse=True)
        return lambda colors: (colors - self.mean) @ way.T + other.mean


def _times(rows: Floats, weights: Plane | None) -> Floats:
    """Return rows (M, 3) times their weights (M, 1), or the rows themselves without weights."""
    return rows if weights is None else rows * weights


def _taken_as_linear(pixels: Pixels) -> Floats:
    """Convert a picture to Oklab as if its values, clipped to 0..255, were linear light."""
    lab: Floats = np.cbrt(np.clip(pixels.astype(np.float64) / 255, 0, 1) @ _TO_CONES.T) @ _TO_LAB.T
    return lab


def smoothed(
    chroma: NDArray[Any], light: NDArray[Any], passes: int, steepness: float
) -> NDArray[Any]:
    """Average chroma (height, width, C) over 3x3 pixels, weighted by similarity in lightness.

    `light` is (height, width). A neighbor whose lightness differs by d has the weight
    exp(-`steepness` d). The average is repeated `passes` times, and each pass needs one more row
    above and below a band.
    """
    weights = [np.exp(-steepness * np.abs(light - other))[..., None] for other in around(light)]
    total = np.sum(weights, axis=0)
    for _ in range(passes):
        chroma = sum(w * c for w, c in zip(weights, around(chroma), strict=True)) / total
    return chroma


def lit_like(style: Pixels, content: Pixels, weights: tuple[Plane | None, ...]) -> Pixels:
    """Return the lightness of `style` as a gray picture, with the content's mean and deviation.

    L'_S = sigma_C / sigma_S (L_S - mu_S) + mu_C, equation 10 of Gatys, Bethge, Hertzmann and
    Shechtman, "Preserving Color in Neural Artistic Style Transfer", 2016, with the lightness as L.
    If the lightness of `style` is constant, the result is mu_C everywhere. Values beyond black and
    white are clipped. `weights` are two planes (height, width) or None: the weights of the style's
    pixels, and of the content's.
    """
    style_light = lightness(style)
    content_light = lightness(content)
    style_weights, content_weights = weights
    mean, deviation = _of_plane(style_light, style_weights)
    content_mean, content_deviation = _of_plane(content_light, content_weights)
    scale = content_deviation / deviation if deviation**2 > _FLAT else 0.0
    return gray((content_mean + scale * (style_light - mean)).astype(np.float32))


def _of_plane(plane: Plane, weights: Plane | None) -> tuple[float, float]:
    """Return the mean and the standard deviation of a plane.

    They are unweighted if `weights` is None, or if all weights are 0.
    """
    if weights is None or not weights.any():
        return float(plane.mean(dtype=np.float64)), float(plane.std(dtype=np.float64))
    mean = np.average(plane.astype(np.float64), weights=weights)
    variance = np.average(np.square(plane - mean), weights=weights)
    return float(mean), float(np.sqrt(variance))


def _root(matrix: Floats, *, inverse: bool = False) -> Floats:
    """Return the square root of a symmetric matrix; negative eigenvalues count as 0.

    With `inverse` return the pseudo-inverse of the root.
    """
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    roots = np.sqrt(np.maximum(values, 0))
    if inverse:
        flat = values <= _FLAT
        roots = np.where(flat, 0, 1 / np.where(flat, 1, roots))
    root: Floats = (vectors * roots) @ vectors.T
    return root
