"""Backend `sketch`: moves colours, in NumPy, quickly and exactly; for tests and for trying out.

By gradient descent it brings mean and covariance of the painting's colours to those of the style,
while the content's colours hold against it. It is the sample to read for who writes a backend.
"""

import hashlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, ValidationError

from stylewatch_painter import pyramid
from stylewatch_painter.errors import CheckpointError, DivergedError, PictureError, RecipeError
from stylewatch_painter.mistakes import mistakes
from stylewatch_painter.recipe import Strict
from stylewatch_painter.resize import resize
from stylewatch_painter.stage import Checkpoint, Losses, Pixels, Stage, Step, Wish
from stylewatch_painter.task import Task
from stylewatch_plugins.colours import Look, Wanted, colours
from stylewatch_plugins.contract import BackendOptionError, Device, Estimate, Provenance

_GREY = 127.5  # what noise lies around
_CONTENT = 0.05  # weight of the content at strength 0.5


class Options(Strict):
    """What a sketch can be told; the last three are for tests of those who run backends."""

    device: Literal["auto", "cpu"] = "auto"
    seconds_per_step: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Sleep so long in every step."""
    fail_at_step: PositiveInt | None = None
    """Raise RuntimeError in place of this step."""
    exit_at_step: PositiveInt | None = None
    """In place of this step end the whole process, at once, with status 1."""


class Sketch:
    """Takes start, sizes, steps, seed and strength from the recipe; of its losses, which sides."""

    name = "sketch"
    version = "1.0"

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
        warnings = ["a sketch moves colours only, there is no network behind it"]
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
        return _wanted(task, size).losses(_start(task, size))

    def paint(self, task: Task, wish: Callable[[], Wish]) -> Iterator[Step]:
        """Paint.

        Raises PictureError, RecipeError and CheckpointError before the first step, and
        DivergedError.
        """
        levels = task.levels()
        place = _Place(_start(task, levels[0].size)) if task.resume is None else _restored(task)
        began = time.monotonic() - place.seconds
        steps = sum(level.steps for level in levels)
        for end, level in zip(accumulate(level.steps for level in levels), levels, strict=True):
            if place.step >= end:
                continue
            place.picture = resize(place.picture, level.size)
            wanted = _wanted(task, level.size)
            while place.step < end:
                losses = self._one_step(place, wanted)
                asked = wish()
                place.seconds = time.monotonic() - began
                kept = _saved(task, place) if asked in (Wish.CHECKPOINT, Wish.STOP) else None
                told = (place.step, steps, level.size, losses, place.seconds)
                if asked is Wish.FINISH or _stage_is_due(task, place.step, steps):
                    picture = resize(place.picture, levels[-1].size).copy()
                    yield Stage(*told, picture=picture, checkpoint=kept)
                else:
                    yield Step(*told, checkpoint=kept)
                if asked in (Wish.STOP, Wish.FINISH):
                    return

    def _one_step(self, place: "_Place", wanted: Wanted) -> Losses:
        """Move the picture; the losses before."""
        step = place.step + 1
        if step == self._options.exit_at_step:
            os._exit(1)
        if step == self._options.fail_at_step:
            raise RuntimeError(f"backend sketch was told to fail at step {step}")
        if self._options.seconds_per_step:  # to sleep for no time takes some, too
            time.sleep(self._options.seconds_per_step)
        losses = wanted.losses(place.picture)
        place.picture, place.step = wanted.nearer(place.picture), step
        if not math.isfinite(losses.total):
            raise DivergedError(f"the loss was no longer a number at step {step}")
        return losses


@dataclass
class _Place:
    """Where a painting stands: all of it that changes."""

    picture: Pixels
    step: int = 0
    seconds: float = 0.0


def _start(task: Task, size: pyramid.Size) -> Pixels:
    """The picture that the painting starts from, (height, width, 3)."""
    start = task.recipe.schedule.start
    share = {"noise": 1.0, "mixed": task.recipe.schedule.noise_ratio}.get(start, 0.0)
    sources = {"style": task.styles[0].picture if task.styles else None, "picture": task.init}
    source = sources.get(start, task.content)
    if share == 1:
        return _noise(task, size)
    if source is None:
        raise RecipeError(f"start: {start} needs a picture to start from, and there is none")
    picture = resize(source, size)
    return picture if share == 0 else share * _noise(task, size) + (1 - share) * picture


def _noise(task: Task, size: pyramid.Size) -> Pixels:
    """Normal noise around grey."""
    width, height = size
    noise = np.random.Generator(np.random.PCG64(task.seed)).standard_normal((height, width, 3))
    picture: Pixels = (_GREY + task.recipe.schedule.noise_scale * noise).astype(np.float32)
    return picture


def _wanted(task: Task, size: pyramid.Size) -> Wanted:
    """What a picture of that size is held to; raises PictureError where it is nothing."""
    objective = task.recipe.objective
    content = None if task.content is None or objective.content is None else task.content
    styles = task.styles if objective.style is not None else ()
    if content is None and not styles:
        raise PictureError(f"recipe {task.recipe.name} has no use for the pictures that are given")
    whole = sum(style.weight for style in styles)
    return Wanted(
        content=None if content is None else colours(resize(content, size)),
        content_weight=_CONTENT * 16 ** (0.5 - objective.strength),
        looks=[Look.of(style.name, style.weight / whole, style.picture) for style in styles],
    )


def _stage_is_due(task: Task, step: int, steps: int) -> bool:
    return step % task.recipe.schedule.save_every == 0 or step == steps


def _saved(task: Task, place: _Place) -> Checkpoint:
    """All that `_restored` needs."""
    return {
        "task": _fingerprint(task),
        "picture": place.picture.copy(),
        "step": np.array(place.step),
        "seconds": np.array(place.seconds),
    }


def _restored(task: Task) -> _Place:
    """Where `task.resume` stood; raises CheckpointError where that is not of this task."""
    saved = task.resume or {}
    if not np.array_equal(saved.get("task", np.zeros(0)), _fingerprint(task)):
        raise CheckpointError(
            "this checkpoint belongs to another painting (other pictures, recipe or seed): "
            "without it the painting starts anew"
        )
    picture = saved["picture"].astype(np.float32)
    return _Place(picture, int(saved["step"]), float(saved["seconds"]))


def _fingerprint(task: Task) -> NDArray[np.uint8]:
    """The SHA-256 of all that decides what `task` becomes, (32,)."""
    digest = hashlib.sha256(f"{task.recipe.model_dump_json()} {task.seed}".encode())
    for picture in (task.content, task.init, *(style.picture for style in task.styles)):
        if picture is not None:
            digest.update(str(picture.shape).encode() + np.ascontiguousarray(picture).tobytes())
    digest.update(str([(style.name, style.weight) for style in task.styles]).encode())
    return np.frombuffer(digest.digest(), dtype=np.uint8)
