"""The painting loop for backends without a network: start, sizes, stages, checkpoints, time.

For each size, such a backend only provides a function that makes one step.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from stylewatch_painter.errors import CheckpointError, DivergedError, RecipeError
from stylewatch_painter.images.resize import resize
from stylewatch_painter.scene.task import Task, fingerprint, mean_color
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Checkpoint, Losses, Pixels, Stage, Step, Wish

Move = Callable[[Pixels, int], tuple[Losses, Pixels]]
"""Function that makes one step. It takes a float32 picture (height, width, 3) and the number of the
step, counted from 1, and returns the losses of that picture and the next picture, of the same size
and type."""

_GRAY = 127.5  # the mean of noise


def paint(task: Task, wish: Callable[[], Wish], at: Callable[[Size], Move]) -> Iterator[Step]:
    """Run `task` and yield its steps, by the contract of `Backend.paint`.

    `at` returns the Move for a size. Raises RecipeError or CheckpointError before the first step,
    DivergedError if a total or a picture is not finite, and the errors of `at` and of the moves.
    """
    levels = task.levels()
    schedule = task.recipe.schedule
    state = _State(start(task, levels[0].size)) if task.resume is None else _restored(task)
    began = time.monotonic() - state.seconds
    steps = sum(level.steps for level in levels)
    for end, level in zip(accumulate(level.steps for level in levels), levels, strict=True):
        if state.step >= end:
            continue
        state.picture = resize(state.picture, level.size)
        move = at(level.size)
        while state.step < end:
            losses, moved = move(state.picture, state.step + 1)
            if not (math.isfinite(losses.total) and np.isfinite(moved).all()):
                raise DivergedError(f"the loss is no longer a number at step {state.step + 1}")
            if state.step == 0 and schedule.save_start:
                shown = resize(state.picture, levels[-1].size).copy()
                yield Stage(0, steps, level.size, losses, state.seconds, picture=shown)
            state.picture = moved
            state.step += 1
            wished = wish()
            state.seconds = time.monotonic() - began
            checkpoint = state.checkpoint(task) if wished in (Wish.CHECKPOINT, Wish.STOP) else None
            fields = (state.step, steps, level.size, losses, state.seconds)
            if schedule.is_stage_due(state.step, steps) or wished is Wish.FINISH:
                picture = resize(state.picture, levels[-1].size).copy()
                yield Stage(*fields, picture=picture, checkpoint=checkpoint)
            else:
                yield Step(*fields, checkpoint=checkpoint)
            if wished in (Wish.STOP, Wish.FINISH):
                return


def start(task: Task, size: Size) -> Pixels:
    """Return the float32 picture that `task` starts from, (height, width, 3), at `size`.

    With `start: style_color` it is a flat color, without detail of the content. Raises RecipeError
    if `task` starts from a picture that is missing.
    """
    kind = task.recipe.schedule.start
    noise_share = {"noise": 1.0, "mixed": task.recipe.schedule.noise_ratio}.get(kind, 0.0)
    sources = {"style": task.styles[0].picture if task.styles else None, "picture": task.init}
    source = sources.get(kind, task.content)
    if kind == "style_color":
        source = mean_color(task.styles) if task.styles else None
    if noise_share == 1:
        return _noise(task, size)
    if source is None:
        raise RecipeError(f"start: {kind} needs a picture to start from, and there is none")
    picture = resize(source, size)
    if noise_share == 0:
        return picture
    return noise_share * _noise(task, size) + (1 - noise_share) * picture


@dataclass
class _State:
    """The state of a painting between steps; `seconds` is the time that the steps so far took."""

    picture: Pixels
    step: int = 0
    seconds: float = 0.0

    def checkpoint(self, task: Task) -> Checkpoint:
        """Return the checkpoint of this state, for `task`."""
        return {
            "task": fingerprint(task),
            "picture": self.picture.copy(),
            "step": np.array(self.step),
            "seconds": np.array(self.seconds),
        }


def _noise(task: Task, size: Size) -> Pixels:
    """Draw a picture (height, width, 3) of normal noise around gray, by the seed of `task`."""
    noise = np.random.Generator(np.random.PCG64(task.seed)).standard_normal((*size.shape, 3))
    picture: Pixels = (_GRAY + task.recipe.schedule.noise_scale * noise).astype(np.float32)
    return picture


def _restored(task: Task) -> _State:
    """Return the state in the checkpoint `task.resume`.

    Raises CheckpointError if it belongs to another task or lacks an array.
    """
    saved = task.resume or {}
    if not np.array_equal(saved.get("task", np.zeros(0)), fingerprint(task)):
        raise CheckpointError.of_another_painting()
    try:
        picture = saved["picture"].astype(np.float32)
        return _State(picture, int(saved["step"]), float(saved["seconds"]))
    except KeyError as error:
        raise CheckpointError.damaged(f"it lacks {error}") from error
