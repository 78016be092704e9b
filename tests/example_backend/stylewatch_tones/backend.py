"""Backend `tones`: histogram matching, color by color, with the style.

Each step moves every pixel towards the tone of its rank in the style, with a penalty on the
distance from the content. With masks, each region takes the tones of its region of the style.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stylewatch_painter.errors import PictureError
from stylewatch_painter.fields import Strict
from stylewatch_painter.images.resize import resize, resize_plane
from stylewatch_painter.stage import Pixels, Regions, Term
from stylewatch_plugins import numpy_loop
from stylewatch_plugins.contract import (
    CONTRACT,
    Capabilities,
    Device,
    Estimate,
    Losses,
    Provenance,
    Step,
    Style,
    Task,
    Wish,
    check_options,
)

Values = NDArray[np.float64]
"""Colors of pixels, (pixels, 3), white is 1."""


class Options(Strict):
    """The options under `backends: tones:`."""

    device: Literal["auto", "cpu"] = "auto"
    pace: Annotated[float, Field(gt=0, le=1)] = 0.3
    """The share of the way to the target that one step goes."""


class Tones:
    """Uses start, sizes, steps, seed and strength of the recipe, and no layers."""

    name = "tones"
    version = "1.0"
    contract = CONTRACT
    capabilities = Capabilities(masks=True)

    def __init__(self, options: Mapping[str, object]) -> None:
        self._options = check_options(self.name, Options, options)

    def devices(self) -> tuple[Device, ...]:
        """Return the CPU."""
        return (Device("cpu", "NumPy on the processor"),)

    def problem(self) -> str | None:
        """Return None: NumPy is all it needs."""
        return None

    def provenance(self, task: Task) -> Provenance:
        """Describe the backend; it has no network and decides nothing by itself."""
        return Provenance(self.name, self.version, device="cpu", precision="fp64")

    def estimate(self, task: Task) -> Estimate:
        """Return sizes and steps; the time is unknown."""
        levels = task.levels()
        return Estimate(
            tuple(level.size for level in levels), tuple(level.steps for level in levels)
        )

    def measure(self, task: Task) -> Losses:
        """Compute the losses of the picture that `task` starts from, at its final size."""
        return Target.of(task, task.final).losses(numpy_loop.start(task, task.final))

    def paint(self, task: Task, wish: Callable[[], Wish]) -> Iterator[Step]:
        """Run `task` in the common loop, with a step of its own."""

        def at(size: tuple[int, int]) -> numpy_loop.Move:
            target = Target.of(task, size)
            return lambda picture, step: (
                target.losses(picture),
                target.nearer(picture, self._options.pace),
            )

        return numpy_loop.paint(task, wish, at)


@dataclass(frozen=True, eq=False)
class Target:
    """The colors that a picture of one size should have.

    `styles` gives each name its share and, for each region, the numbers of its pixels with their
    tones in the style, from dark to light.
    """

    content: Values | None
    weight: float
    styles: Mapping[str, tuple[float, Sequence[tuple[NDArray[np.intp], Values]]]]

    @classmethod
    def of(cls, task: Task, size: tuple[int, int]) -> "Target":
        """Compute the target at `size`, (width, height); PictureError if there is none."""
        objective = task.recipe.objective
        compared = objective.fine.compared
        content = task.content if "content" in compared else None
        styles = task.styles if "style" in compared else ()
        if content is None and not styles:
            raise PictureError(f"recipe {task.recipe.name} has no use for the given pictures")
        regions, total = weights_of(task.content_mask, size), sum(style.weight for style in styles)
        return cls(
            content=None if content is None else values_of(resize(content, size)),
            weight=0.2 * 16 ** (0.5 - objective.strength),
            styles={s.name: (s.weight / total, tones_of(s, regions)) for s in styles},
        )

    def losses(self, picture: Pixels) -> Losses:
        """Compute the mean squared distances to the content and to the tones of each style."""
        x, content, style = values_of(picture), {}, {}
        if self.content is not None:
            content["colors"] = Term(float(np.square(x - self.content).mean()), self.weight)
        for name, (share, regions) in self.styles.items():
            squares = [np.square(np.sort(x[at], axis=0) - tones).sum() for at, tones in regions]
            style[name] = {"tones": Term(float(sum(squares)) / len(x), share)}
        terms = [*content.values(), *(term for each in style.values() for term in each.values())]
        return Losses(sum(term.value * term.weight for term in terms), content, style)

    def nearer(self, picture: Pixels, pace: float) -> Pixels:
        """Move a picture by the share `pace` of the way."""
        x = values_of(picture)
        way = np.zeros_like(x)
        for share, regions in self.styles.values():
            for at, tones in regions:
                ranks = np.argsort(np.argsort(x[at], axis=0, kind="stable"), axis=0, kind="stable")
                way[at] += share * (np.take_along_axis(tones, ranks, axis=0) - x[at])
        if self.content is not None:
            way += self.weight * (self.content - x)
        moved: Pixels = (255 * (x + pace / (1 + self.weight) * way)).astype(np.float32)
        return moved.reshape(picture.shape)


def values_of(picture: Pixels) -> Values:
    """Return the colors of a picture."""
    return picture.reshape(-1, 3).astype(np.float64) / 255


def weights_of(mask: Regions | None, size: tuple[int, int]) -> Values:
    """Return the weight of each pixel of a picture in each region, (pixels, regions)."""
    if mask is None:
        return np.ones((size[0] * size[1], 1))
    planes = np.moveaxis(np.atleast_3d(mask), 2, 0)
    resized = np.stack([resize_plane(plane, size) for plane in planes], axis=2)
    return resized.reshape(-1, len(planes)).astype(np.float64)


def tones_of(style: Style, regions: Values) -> list[tuple[NDArray[np.intp], Values]]:
    """Return the pixels of each region, and as many tones of the style from dark to light."""
    x = values_of(style.picture)
    shown = weights_of(style.mask, (style.picture.shape[1], style.picture.shape[0]))
    if not shown.any():
        raise PictureError(f"the mask of {style.name} hides all of it: show some of it")
    tones = []
    for number in range(regions.shape[1]):
        at = np.flatnonzero(regions[:, number] >= 0.5)
        weights = shown[:, number if style.mask is not None else 0]
        if at.size and weights.any():
            quantiles = (np.arange(at.size) + 0.5) / at.size
            order = np.argsort(x, axis=0, kind="stable")
            sums = np.cumsum(weights[order], axis=0)
            places = [np.searchsorted(sums[:, c], quantiles * sums[-1, c]) for c in range(3)]
            ranked = np.take_along_axis(x, order, axis=0)
            tones.append((at, np.stack([ranked[places[c], c] for c in range(3)], axis=1)))
    return tones
