"""Backend `sketch`: color transfer in NumPy, fast and exact, for tests and experiments.

Gradient descent moves the mean and covariance of the picture's colors to those of the style, with a
penalty on the distance from the content's colors. It is an example for authors of backends. For x
(M, 3), the colors of M pixels with white as 1, and y, those of another picture:

  mean        mu = 1/M sum x                    loss |mu_x - mu_y|^2
  covariance  C = 1/M sum (x - mu)(x - mu)^T    loss |C_x - C_y|^2, over its 9 entries
  content     the colors themselves             loss 1/M sum |x - y|^2
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from stylewatch_painter.errors import PictureError
from stylewatch_painter.fields import Strict
from stylewatch_painter.images.resize import resize
from stylewatch_painter.scene.task import Task
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Losses, Pixels, Step, Term, Wish
from stylewatch_plugins import numpy_loop
from stylewatch_plugins.contract import CONTRACT, Device, Estimate, Provenance, check_options

Colors = NDArray[np.float64]
"""Colors of M pixels, (M, 3), RGB with white as 1."""

_BAND = 1 << 16  # pixels processed at a time
_COVARIANCE = 10.0  # weight of the covariance, whose values are smaller than the mean's
_CONTENT = 0.05  # weight of the content at strength 0.5


@dataclass(frozen=True, eq=False)
class StyleColors:
    """Mean (3,) and covariance (3, 3) of a style's colors.

    `share` is the weight of the style; the shares of all styles add up to 1.
    """

    name: str
    share: float
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of a picture: the content's colors (M, 3), or None, and the styles' statistics."""

    content: Colors | None
    content_weight: float
    styles: Sequence[StyleColors]

    def losses(self, picture: Pixels) -> Losses:
        """Compute the losses of a picture (height, width, 3) with M pixels."""
        x = colors(picture)
        mean, covariance = statistics(picture)
        content = {}
        style = {}
        if self.content is not None:
            value = float(np.square(x - self.content).sum()) / len(x)
            content["colors"] = Term(value, self.content_weight)
        for target in self.styles:
            mean_loss = float(np.square(mean - target.mean).sum())
            covariance_loss = float(np.square(covariance - target.covariance).sum())
            style[target.name] = {
                "mean": Term(mean_loss, target.share),
                "covariance": Term(covariance_loss, target.share * _COVARIANCE),
            }
        terms = [
            *content.values(),
            *(term for layers in style.values() for term in layers.values()),
        ]
        return Losses(sum(term.weighted for term in terms), content, style)

    def gradient(self, picture: Pixels) -> Colors:
        """Compute M times the gradient of the total for each color, (M, 3)."""
        x = colors(picture)
        mean, covariance = statistics(picture)
        gradient = np.zeros_like(x)
        if self.content is not None:
            gradient += 2 * self.content_weight * (x - self.content)
        for target in self.styles:
            pull = 4 * _COVARIANCE * (covariance - target.covariance)
            gradient += target.share * (
                2 * (mean - target.mean) + np.einsum("mi,ij->mj", x - mean, pull)
            )
        return gradient

    def step(self, picture: Pixels) -> Pixels:
        """Return the picture after one step of gradient descent.

        The step is short enough that no color overshoots.
        """
        x = colors(picture)
        spread = np.trace(statistics(picture)[1])
        for target in self.styles:
            spread += target.share * np.trace(target.covariance)
        rate = 1 / (2 + 2 * self.content_weight + 4 * _COVARIANCE * spread)
        moved: Pixels = (255 * (x - rate * self.gradient(picture))).astype(np.float32)
        return moved.reshape(picture.shape)


def colors(picture: Pixels) -> Colors:
    """Return the colors (M, 3) of a picture (height, width, 3), row by row, with white as 1."""
    return picture.reshape(-1, 3).astype(np.float64) / 255


def statistics(picture: Pixels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the mean (3,) and the covariance (3, 3) of a picture's colors.

    One band of pixels is converted at a time, because float64 takes much memory. Each band is
    summed together with the sum of all bands before, so that the result is bitwise equal to a sum
    over all pixels.
    """
    flat = picture.reshape(-1, 3)
    bands = [flat[start : start + _BAND] for start in range(0, len(flat), _BAND)]
    total = np.zeros(3)
    for band in bands:
        total = np.concatenate([total[None], colors(band)]).sum(axis=0)
    mean = total / len(flat)
    products = np.zeros((3, 3))
    unit = np.eye(3)
    for band in bands:
        centered = colors(band) - mean
        # einsum adds in the same order on every machine; a matrix product may split the sum
        products = np.einsum(
            "mi,mj->ij", np.concatenate([unit, centered]), np.concatenate([products, centered])
        )
    return mean, products / len(flat)


class SketchOptions(Strict):
    """The options of `sketch`; the last three are for tests of programs that run backends."""

    device: Literal["auto", "cpu"] = "auto"
    seconds_per_step: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0
    """Number of seconds to sleep in every step."""
    fail_at_step: PositiveInt | None = None
    """Number of the step that raises RuntimeError instead of being made."""
    exit_at_step: PositiveInt | None = None
    """Number of the step in place of which the whole process exits at once with status 1."""


class Sketch:
    """Backend that moves colors only.

    Of a recipe it uses start, sizes, steps, seed and strength, and whether the content and the
    styles have a loss.
    """

    name = "sketch"
    version = "1.0"
    contract = CONTRACT

    def __init__(self, options: Mapping[str, object]) -> None:
        self._options = check_options(self.name, SketchOptions, options)

    def devices(self) -> tuple[Device, ...]:
        """Return the CPU as the only device."""
        return (Device("cpu", "NumPy on the processor"),)

    def problem(self) -> str | None:
        """Return None: only NumPy is needed."""
        return None

    def provenance(self, task: Task) -> Provenance:
        """Describe the backend, with a warning that it moves colors only.

        A task with masks gets a second warning, that they are not used.
        """
        warnings = ["a sketch moves colors only, there is no network behind it"]
        if task.content_mask is not None or any(style.mask is not None for style in task.styles):
            warnings.append("a sketch does not look at masks")
        return Provenance(self.name, self.version, "cpu", "fp32", warnings=tuple(warnings))

    def estimate(self, task: Task) -> Estimate:
        """Return sizes and steps; also the seconds, if the options make every step sleep."""
        levels = task.levels()
        steps = tuple(level.steps for level in levels)
        seconds = self._options.seconds_per_step * sum(steps)
        return Estimate(tuple(level.size for level in levels), steps, seconds=seconds or None)

    def measure(self, task: Task) -> Losses:
        """Compute the losses of the picture that `task` starts from, at its final size."""
        size = task.levels()[-1].size
        return _targets(task, size).losses(numpy_loop.start(task, size))

    def paint(self, task: Task, wish: Callable[[], Wish]) -> Iterator[Step]:
        """Run `task` and yield its steps.

        Raises PictureError if the recipe uses none of the pictures, RuntimeError at the step
        `fail_at_step`, and the errors of `numpy_loop.paint`.
        """
        return numpy_loop.paint(task, wish, lambda size: partial(self._step, _targets(task, size)))

    def _step(self, targets: Targets, picture: Pixels, step: int) -> tuple[Losses, Pixels]:
        """Make a step; return the losses before it, and the picture after it.

        The options may make it sleep, raise RuntimeError or end the process.
        """
        if step == self._options.exit_at_step:
            os._exit(1)
        if step == self._options.fail_at_step:
            raise RuntimeError(f"backend sketch was told to fail at step {step}")
        if self._options.seconds_per_step:  # sleeping for 0 s takes time too
            time.sleep(self._options.seconds_per_step)
        return targets.losses(picture), targets.step(picture)


def _targets(task: Task, size: Size) -> Targets:
    """Return the targets of a picture of `size`; raises PictureError if there are none."""
    compared = task.recipe.objective.fine.compared
    content = task.content if "content" in compared else None
    styles = task.styles if "style" in compared else ()
    if content is None and not styles:
        raise PictureError(f"recipe {task.recipe.name} has no use for the pictures that are given")
    total = sum(style.weight for style in styles)
    return Targets(
        content=None if content is None else colors(resize(content, size)),
        content_weight=_CONTENT * task.content_factor,
        styles=[
            StyleColors(style.name, style.weight / total, *statistics(style.picture))
            for style in styles
        ],
    )
