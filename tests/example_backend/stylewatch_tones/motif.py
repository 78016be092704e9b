"""What a picture is held to: the content's colors where they are, the tones of the styles.

Each region is held to the tones of the same region of a style; without masks there is one region.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stylewatch_painter.algorithm.task import Style, Task
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.resize import resize, resize_plane
from stylewatch_painter.stage import Losses, Pixels, Regions, Term

Tones = NDArray[np.float64]
"""(pixels, 3), RGB, white is 1."""

Places = NDArray[np.intp]
"""The numbers of the pixels of a region, (count,)."""

CHANNELS = ("red", "green", "blue")
_CONTENT = 0.2  # weight of the content at strength 0.5


@dataclass(frozen=True, eq=False)
class Motif:
    """All that is wanted of a picture of one size.

    `styles` gives to each name its share, and for each region the tones that are wanted there,
    from dark to light, as many as the region has pixels.
    """

    content: Tones | None
    weight: float
    styles: Mapping[str, tuple[float, Sequence[tuple[Places, Tones]]]]

    @classmethod
    def of(cls, task: Task, size: tuple[int, int]) -> "Motif":
        """What `task` wants at `size`, (width, height) in pixels; PictureError if nothing."""
        objective = task.recipe.objective
        content = None if objective.content is None else task.content
        styles = () if objective.style is None else task.styles
        if content is None and not styles:
            raise PictureError(
                f"recipe {task.recipe.name} has no use for the pictures it was given"
            )
        regions, whole = _shown(task.content_mask, size), sum(style.weight for style in styles)
        return cls(
            content=None if content is None else _tones(resize(content, size)),
            weight=_CONTENT * 16 ** (0.5 - objective.strength),
            styles={
                style.name: (style.weight / whole, tuple(_held(style, regions))) for style in styles
            },
        )

    def losses(self, picture: Pixels) -> Losses:
        """Squares of the distances, on average: to the content, to the tones of each style."""
        x, content = _tones(picture), {}
        if self.content is not None:
            content["colors"] = Term(float(np.square(x - self.content).mean()), self.weight)
        style = {}
        for name, (share, regions) in self.styles.items():
            away = sum(np.square(np.sort(x[at], axis=0) - tones).sum(axis=0)
                       for at, tones in regions) / len(x)  # fmt: skip
            style[name] = {
                channel: Term(float(away[c]), share) for c, channel in enumerate(CHANNELS)
            }
        terms = [*content.values(), *(term for each in style.values() for term in each.values())]
        return Losses(sum(term.value * term.weight for term in terms), content, style)

    def nearer(self, picture: Pixels, pace: float) -> Pixels:
        """The picture, gone the share `pace` of the way, as the sides draw it."""
        x = _tones(picture)
        way = np.zeros_like(x)
        for share, regions in self.styles.values():
            for at, tones in regions:
                here = x[at]
                ranks = np.argsort(np.argsort(here, axis=0, kind="stable"), axis=0, kind="stable")
                way[at] += share * (np.take_along_axis(tones, ranks, axis=0) - here)
        if self.content is not None:
            way += self.weight * (self.content - x)
        moved: Pixels = (255 * (x + pace / (1 + self.weight) * way)).astype(np.float32)
        return moved.reshape(picture.shape)


def _tones(picture: Pixels) -> Tones:
    return picture.reshape(-1, 3).astype(np.float64) / 255


def _shown(mask: Regions | None, size: tuple[int, int]) -> NDArray[np.float64]:
    """How much each pixel of a picture of that size belongs to each region, (pixels, R).

    Masks come in any size. Raises PictureError: this one shows nothing.
    """
    if mask is None:
        return np.ones((size[0] * size[1], 1))
    if not mask.any():
        raise PictureError("a mask hides all of its picture: show some of it")
    planes = np.moveaxis(np.atleast_3d(mask), 2, 0)
    found = np.stack([resize_plane(one, size, "bilinear") for one in planes], axis=2)
    return found.reshape(-1, len(planes)).astype(np.float64)


def _held(style: Style, regions: NDArray[np.float64]) -> Iterator[tuple[Places, Tones]]:
    """The tones that each of the `regions` (pixels, R) is held to; of none that is not there."""
    x = _tones(style.picture)
    shown = _shown(style.mask, (style.picture.shape[1], style.picture.shape[0]))
    for number in range(regions.shape[1]):
        at = np.flatnonzero(regions[:, number] >= 0.5)
        weights = shown[:, number if style.mask is not None else 0]
        if at.size and weights.any():
            yield at, _ranked(x, weights, at.size)


def _ranked(x: Tones, shown: NDArray[np.float64], count: int) -> Tones:
    """Of tones that are `shown` so much each, `count` from dark to light."""
    found = np.empty((count, 3))
    for c in range(3):
        order = np.argsort(x[:, c], kind="stable")
        so_far = np.cumsum(shown[order], dtype=np.float64)
        at = np.searchsorted(so_far, (np.arange(count) + 0.5) / count * so_far[-1])
        found[:, c] = x[order[np.minimum(at, len(order) - 1)], c]
    return found
