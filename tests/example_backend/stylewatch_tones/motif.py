"""What a picture is held to: the content's colours where they are, the tones of the styles."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stylewatch_painter.errors import PictureError
from stylewatch_painter.resize import resize, resize_plane
from stylewatch_painter.stage import Losses, Pixels, Plane, Term
from stylewatch_painter.task import Task

Tones = NDArray[np.float64]
"""(pixels, 3), RGB, white is 1."""

CHANNELS = ("red", "green", "blue")
_CONTENT = 0.2  # weight of the content at strength 0.5


@dataclass(frozen=True, eq=False)
class Motif:
    """All that is wanted of a picture of one size.

    `shown` (pixels, 1) is how much each pixel of the content counts; `styles` gives to each
    name its share and its tones, from dark to light, as many as the picture has pixels.
    """

    content: Tones | None
    shown: NDArray[np.float64]
    weight: float
    styles: Mapping[str, tuple[float, Tones]]

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
        count, whole = size[0] * size[1], sum(style.weight for style in styles)
        return cls(
            content=None if content is None else _tones(resize(content, size)),
            shown=np.ones((count, 1)) if content is None else _shown(content, task, size),
            weight=_CONTENT * 16 ** (0.5 - objective.strength),
            styles={
                style.name: (style.weight / whole, _ranked(style.picture, style.mask, count))
                for style in styles
            },
        )

    def losses(self, picture: Pixels) -> Losses:
        """Squares of the distances, on average: to the content, to the tones of each style."""
        x, content = _tones(picture), {}
        if self.content is not None:
            away = float((self.shown * np.square(x - self.content)).sum())
            content["colours"] = Term(away / (3 * float(self.shown.sum())), self.weight)
        ranked = np.sort(x, axis=0)
        style = {
            name: {
                channel: Term(float(np.square(ranked[:, c] - tones[:, c]).mean()), share)
                for c, channel in enumerate(CHANNELS)
            }
            for name, (share, tones) in self.styles.items()
        }
        terms = [*content.values(), *(term for each in style.values() for term in each.values())]
        return Losses(sum(term.value * term.weight for term in terms), content, style)

    def nearer(self, picture: Pixels, pace: float) -> Pixels:
        """The picture, gone the share `pace` of the way, as the sides draw it."""
        x = _tones(picture)
        ranks = np.argsort(np.argsort(x, axis=0, kind="stable"), axis=0, kind="stable")
        way = np.zeros_like(x)
        for share, tones in self.styles.values():
            way += share * (np.take_along_axis(tones, ranks, axis=0) - x)
        if self.content is not None:
            way += self.weight * self.shown * (self.content - x)
        moved: Pixels = (255 * (x + pace / (1 + self.weight) * way)).astype(np.float32)
        return moved.reshape(picture.shape)


def _tones(picture: Pixels) -> Tones:
    return picture.reshape(-1, 3).astype(np.float64) / 255


def _shown(content: Pixels, task: Task, size: tuple[int, int]) -> NDArray[np.float64]:
    """How much each pixel of the content counts at `size`, (pixels, 1)."""
    mask = _checked(content, task.content_mask)
    return resize_plane(mask, size).reshape(-1, 1).astype(np.float64)


def _ranked(picture: Pixels, mask: Plane | None, count: int) -> Tones:
    """The tones of what `mask` shows of a picture, from dark to light, `count` of them."""
    x, shown = _tones(picture), _checked(picture, mask).reshape(-1)
    found = np.empty((count, 3))
    for c in range(3):
        order = np.argsort(x[:, c], kind="stable")
        so_far = np.cumsum(shown[order], dtype=np.float64)
        at = np.searchsorted(so_far, (np.arange(count) + 0.5) / count * so_far[-1])
        found[:, c] = x[order[np.minimum(at, len(order) - 1)], c]
    return found


def _checked(picture: Pixels, mask: Plane | None) -> Plane:
    """The mask of a picture, ones where there is none; PictureError if it cannot be."""
    height, width, _ = picture.shape
    if mask is None:
        return np.ones((height, width), dtype=np.float32)
    if mask.shape != (height, width):
        raise PictureError(f"a mask of {mask.shape[::-1]} pixels is not its picture's size")
    if not mask.any():
        raise PictureError("a mask hides all of its picture: show some of it")
    return mask
