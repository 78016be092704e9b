"""Backend `sketch`: moves colors, in NumPy, quickly and exactly; for tests and for trying out.

By gradient descent it brings mean and covariance of the painting's colors to those of the style,
while the content's colors hold against it. It is the sample to read for who writes a backend.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, ValidationError

from stylewatch_painter.algorithm import scales
from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.errors import PictureError
from stylewatch_painter.images.resize import resize
from stylewatch_painter.recipes.recipe import Strict
from stylewatch_painter.stage import Losses, Pixels, Step, Wish
from stylewatch_painter.validation import mistakes
from stylewatch_plugins import numpy_loop
from stylewatch_plugins.color_statistics import Look, Wanted, colors
from stylewatch_plugins.contract import CONTRACT, BackendOptionError, Device, Estimate, Provenance

_CONTENT = 0.05  # weight of the content at strength 0.5


class Options(Strict):
    """What a sketch can be told; the last three are for tests of those who run backends."""

    device: Literal["auto", "cpu"] = "auto"
    seconds_per_step: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0
    """Sleep so long in every step."""
    fail_at_step: PositiveInt | None = None
    """Raise RuntimeError in place of this step."""
    exit_at_step: PositiveInt | None = None
    """In place of this step end the whole process, at once, with status 1."""


class Sketch:
    """Takes start, sizes, steps, seed and strength from the recipe; of its losses, which sides."""

    name = "sketch"
    version = "1.0"
    contract = CONTRACT

    def __init__(self, options: Mapping[str, object]) -> None:
        try:
            self._options = Options.model_validate(dict(options))
        except ValidationError as error:
            told = "; ".join(str(mistake) for mistake in mistakes(error, Options))
            raise BackendOptionError(f"backend sketch: {told}") from error

    def devices(self) -> tuple[Device, ...]:
        """The processor."""
        return (Device("cpu", "NumPy on the processor"),)

    def problem(self) -> str | None:
        """None: where NumPy is, it runs."""
        return None

    def provenance(self, task: Task) -> Provenance:
        """No network; the warnings say what a sketch does not do."""
        warnings = ["a sketch moves colors only, there is no network behind it"]
        if task.content_mask is not None or any(style.mask is not None for style in task.styles):
            warnings.append("a sketch does not look at masks")
        return Provenance(self.name, self.version, "cpu", "fp32", warnings=tuple(warnings))

    def estimate(self, task: Task) -> Estimate:
        """Sizes and steps; seconds only where each step is told to sleep."""
        levels = task.levels()
        steps = tuple(level.steps for level in levels)
        seconds = self._options.seconds_per_step * sum(steps)
        return Estimate(tuple(level.size for level in levels), steps, seconds=seconds or None)

    def measure(self, task: Task) -> Losses:
        """The losses of the picture that `task` starts from, at its final size."""
        size = task.levels()[-1].size
        return _wanted(task, size).losses(numpy_loop.start(task, size))

    def paint(self, task: Task, wish: Callable[[], Wish]) -> Iterator[Step]:
        """Paint; raises what the easel raises."""
        return numpy_loop.paint(
            task, wish, lambda size: partial(self._one_step, _wanted(task, size))
        )

    def paint_many(
        self, tasks: Sequence[Task], wishes: Sequence[Callable[[], Wish]]
    ) -> Iterator[tuple[int, Step | Exception]]:
        """A step of each in turn, which is no quicker, but shows what comes of several at once."""
        return numpy_loop.by_turns(list(map(self.paint, tasks, wishes)))

    def _one_step(self, wanted: Wanted, picture: Pixels, step: int) -> tuple[Losses, Pixels]:
        """The losses before, and the picture after."""
        if step == self._options.exit_at_step:
            os._exit(1)
        if step == self._options.fail_at_step:
            raise RuntimeError(f"backend sketch was told to fail at step {step}")
        if self._options.seconds_per_step:  # to sleep for no time takes some, too
            time.sleep(self._options.seconds_per_step)
        return wanted.losses(picture), wanted.nearer(picture)


def _wanted(task: Task, size: scales.Size) -> Wanted:
    """What a picture of that size is held to; raises PictureError where it is nothing."""
    objective = task.recipe.objective
    content = None if task.content is None or objective.content is None else task.content
    styles = task.styles if objective.style is not None else ()
    if content is None and not styles:
        raise PictureError(f"recipe {task.recipe.name} has no use for the pictures that are given")
    whole = sum(style.weight for style in styles)
    return Wanted(
        content=None if content is None else colors(resize(content, size)),
        content_weight=_CONTENT * 16 ** (0.5 - objective.strength),
        looks=[Look.of(style.name, style.weight / whole, style.picture) for style in styles],
    )
