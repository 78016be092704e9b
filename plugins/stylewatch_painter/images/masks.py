"""Regions of masks: white in a gray mask, or each color of a colored mask.

In a gray mask white is the region, black is outside, and values in between belong to the region in
part. In a colored mask each color is a region, and black is outside. Only flat colors count: soft
edges and compression noise belong to the nearest flat color.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.encode import over_black
from stylewatch_painter.images.resize import resize_plane
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Bytes, Pixels, Plane, Regions

MOST = 16
"""Maximum number of regions of a mask."""

NEAR = 48
"""Maximum difference in any channel, in levels of 0..255, of colors that count as equal."""

_FLAT = 24  # maximum difference between neighboring pixels that are not at an edge
_LEAST = 1 / 2000  # minimum share of the mask that a color covers; smaller areas are specks
_NOISE = 0.1  # share of flat pixels below which gray is noise; soft edges and ramps are flat
_LOOKED_AT = 1024  # pixels of the long side: enough to find colors
Color = tuple[int, int, int]
"""Red, green, blue, 0..255."""

BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)


def near(a: Color, b: Color) -> bool:
    """Return whether two colors differ by at most NEAR in every channel."""
    return max(abs(a - b) for a, b in zip(a, b, strict=True)) <= NEAR


def _distances(pixels: NDArray[np.uint8], color: Color) -> NDArray[np.int32]:
    """Return squared distances of pixels (height, width, 3) from a color, (height, width)."""
    squares = np.zeros(pixels.shape[:2], dtype=np.int32)
    for channel in range(3):
        squares += np.square(pixels[..., channel].astype(np.int32) - color[channel])
    return squares


def regions_of(pixels: Bytes) -> tuple[Color, ...]:
    """Return the colors of the regions of a mask, uint8 (height, width, 3), sorted.

    A mask that is gray except for specks has only the color white; a black mask and noise have
    none. More than MOST colors mean that the mask has too many; not all of them are returned.
    """
    step = max(1, max(pixels.shape) // _LOOKED_AT)
    planes = np.ascontiguousarray(pixels[::step, ::step].transpose(2, 0, 1))
    spread = planes.max(axis=0) - planes.min(axis=0)
    values = planes.astype(np.int32)
    if (spread > NEAR).mean() < _LEAST:
        is_noise = _is_flat(values).mean() < _NOISE
        return () if planes.max() <= NEAR or is_noise else (WHITE,)
    return tuple(sorted(_colors(values)))


def _is_flat(planes: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return flags (height, width) of the pixels that resemble their right and lower neighbors."""
    is_flat = np.ones(planes.shape[1:], dtype=np.bool_)
    is_flat[:, :-1] &= (np.abs(np.diff(planes, axis=2)) <= _FLAT).all(axis=0)
    is_flat[:-1] &= (np.abs(np.diff(planes, axis=1)) <= _FLAT).all(axis=0)
    return is_flat


def _colors(planes: NDArray[np.int32]) -> Iterator[Color]:
    """Yield the colors of flat areas except black, the most frequent first, at most MOST + 1.

    No two of them are near. `planes` are red, green and blue, (3, height, width).
    """
    is_flat = _is_flat(planes)
    red, green, blue = planes
    codes, counts = np.unique((red << 16 | green << 8 | blue)[is_flat], return_counts=True)
    colors = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1)
    count = 0
    least = _LEAST * is_flat.size
    while counts.sum() >= least and count <= MOST:
        center = colors[counts.argmax()]
        group = np.abs(colors - center).max(axis=1) <= NEAR
        if counts[group].sum() >= least and center.max() > NEAR:
            count += 1
            yield tuple(center.tolist())
        colors = colors[~group]
        counts = counts[~group]


@dataclass(frozen=True, eq=False)
class Mask:
    """A mask: uint8 `pixels` (height, width, 3), and the `colors` of its regions.

    The only region of a gray mask is white. `name` is the name of its file.
    """

    name: str
    pixels: NDArray[np.uint8]
    colors: tuple[Color, ...]

    @classmethod
    def of(cls, name: str, pixels: Pixels, alpha: Plane | None = None) -> "Mask":
        """Return the mask in a picture float32 (height, width, 3).

        Transparency is composited over black. Raises PictureError if the mask is black, has no area
        of one color, or has more than MOST colors.
        """
        if alpha is not None:
            pixels = over_black(pixels, alpha)
        plain: Bytes = np.rint(pixels.clip(0, 255)).astype(np.uint8)
        colors = regions_of(plain)
        if not colors and plain.max() <= NEAR:
            raise PictureError(f"{name} is black all over: what is to be a region must be white")
        if not colors:
            raise PictureError(
                f"{name} has no area of one color: paint each region in one flat color"
            )
        if len(colors) > MOST:
            raise PictureError(
                f"{name} has more than {MOST} colors: paint each region in one flat color, "
                "with hard edges (mask.feather makes them soft)"
            )
        return cls(name, plain, colors)

    @property
    def size(self) -> Size:
        """The size of the mask."""
        return Size.of(self.pixels)

    def weights(self, regions: Sequence[Color], most: Size) -> Regions:
        """Return the weight of each pixel in each of `regions`, float32 (height, width, R), 0..1.

        For each region, the weights are those of the mask's color that is nearest to the region's
        color, or 0 if none is near. The size is that of the mask, or `most` if that has fewer
        columns.
        """
        size = self.size if self.size.width <= most.width else most
        nearest = [
            min(
                (color for color in self.colors if near(color, region)),
                key=partial(math.dist, region),
                default=None,
            )
            for region in regions
        ]
        planes = [self._plane(color) for color in nearest]
        return np.stack([resize_plane(plane, size) for plane in planes], axis=2)

    def _plane(self, color: Color | None) -> Plane:
        """Return the weight of each pixel in the region of one color, float32 (height, width).

        Without a color, all weights are 0.
        """
        if color is None:
            return np.zeros(self.pixels.shape[:2], dtype=np.float32)
        if self.colors == (WHITE,):
            return np.asarray(self.pixels.mean(axis=2, dtype=np.float32) / np.float32(255))
        return np.asarray(self._nearest == self.colors.index(color) + 1, dtype=np.float32)

    @cached_property
    def _nearest(self) -> NDArray[np.uint8]:
        """Index of the nearest of `colors` at each pixel, plus 1, or 0 for black, uint8."""
        nearest = np.zeros(self.pixels.shape[:2], dtype=np.uint8)
        least = _distances(self.pixels, BLACK)
        for number, color in enumerate(self.colors, start=1):
            distances = _distances(self.pixels, color)
            nearest[distances < least] = number
            least = np.minimum(least, distances)
        return nearest


def matched(content: Mask | None, styles: Sequence[Mask | None]) -> tuple[Color, ...]:
    """Return the regions that the masks of one painting share, as the content's colors.

    If the content has no mask, the only region is white, and each mask of a style must have one
    region, of any color. Each region of the content needs a style; a style without a mask serves
    all regions. Raises PictureError if the masks do not fit together.
    """
    masks = [mask for mask in styles if mask is not None]
    if content is None:
        for mask in masks:
            if len(mask.colors) > 1:
                raise PictureError(
                    f"{mask.name} has {len(mask.colors)} colors, and the content has no mask to "
                    "match them with: give it one, or make this one black and white"
                )
        return (WHITE,)
    if masks and len(masks) == len(styles):
        for color in content.colors:
            if not any(near(color, other) for mask in masks for other in mask.colors):
                names = ", ".join(mask.name for mask in masks)
                raise PictureError(
                    f"{content.name} has the color {_hex(color)}, and {names} has not: paint it "
                    "there as well, or black where no style is wanted"
                )
    return content.colors


def unused(content: Mask, styles: Sequence[Mask | None]) -> Iterator[str]:
    """Yield a sentence about each style mask with colors that the content's mask does not have."""
    for mask in styles:
        colors = () if mask is None else mask.colors
        unmatched = ", ".join(
            _hex(color) for color in colors if not any(near(color, c) for c in content.colors)
        )
        if mask is not None and unmatched:
            yield f"{mask.name}: {content.name} has no {unmatched}, so nothing is taken from there"


def check_shape(mask: str, of_mask: Size, picture: str, size: Size) -> None:
    """Raise PictureError if a mask has another aspect ratio than its picture."""
    if not of_mask.has_shape_of(size):
        raise PictureError(
            f"{mask} has {of_mask} pixels and {picture} {size}, which is another shape: a mask "
            "covers the whole of its picture"
        )


def _hex(color: Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def feathered(regions: Regions, reach: float) -> Regions:
    """Blur the edges of `regions` (height, width, R) over `reach` pixels on either side.

    This applies two box filters, each `reach` pixels wide; edge pixels are repeated beyond the
    edges. Without a positive `reach` the result is `regions` itself.
    """
    if reach <= 0:
        return regions
    planes = []
    for region in range(regions.shape[2]):
        soft = regions[..., region].astype(np.float64)
        for _ in range(2):
            soft = _box_down(_box_down(soft, reach).T, reach).T
        planes.append(soft.clip(0, 1).astype(np.float32))
    return np.stack(planes, axis=2)


def kept_outside(painting: Pixels, photograph: Pixels, regions: Regions) -> Pixels:
    """Return the painting inside of `regions`, and the photograph, of the same size, outside.

    Both are clipped to 0..255. `regions` (height, width, R) are resized to the painting.
    """
    covered = regions.sum(axis=2).clip(0, 1)
    is_hard = bool(np.isin(covered, (0, 1)).all())  # and stays so, however small the mask is
    cover = resize_plane(covered, Size.of(painting), "nearest" if is_hard else "bilinear")[
        ..., None
    ]
    mixed: Pixels = cover * painting.clip(0, 255) + (1 - cover) * photograph.clip(0, 255)
    return mixed


def _box_down(plane: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Apply a box filter of `width` pixels, which may be a fraction, to the columns of `plane`.

    Pixels at the ends of the box count in part; beyond the edges the edge pixels are repeated.
    """
    count = plane.shape[0]
    beyond = int(np.ceil(width / 2)) + 1
    padded = np.pad(plane, [(beyond + 1, beyond), (0, 0)], "edge")
    sums = np.cumsum(padded, axis=0)

    def up_to(shift: float) -> NDArray[np.float64]:
        """Return, for each pixel, the sum of its column down to `shift` pixels below its middle."""
        at = beyond + 0.5 + shift
        below = int(at)
        lower = sums[below : below + count]
        upper = sums[below + 1 : below + 1 + count]
        return lower + (at - below) * (upper - lower)

    return (up_to(width / 2) - up_to(-width / 2)) / width
