"""What backends that paint in NumPy have in common: where they start, and the way to the end.

Such a backend says what one step at one size does to a picture; the rest is here: sizes, stages,
wishes, checkpoints, the time.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from stylewatch_painter.algorithm.scales import Size
from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.errors import CheckpointError, DivergedError, RecipeError
from stylewatch_painter.images.resize import resize
from stylewatch_painter.stage import Checkpoint, Losses, Pixels, Stage, Step, Wish

Move = Callable[[Pixels, int], tuple[Losses, Pixels]]
"""One step: from a picture (height, width, 3) and the number of the step, counted from 1, to the
losses of that picture and a new one of the same size."""

_GRAY = 127.5  # what noise lies around


def paint(task: Task, wish: Callable[[], Wish], at: Callable[[Size], Move]) -> Iterator[Step]:
    """Paint `task` by the moves that `at` gives for each size, as the contract has it.

    Raises RecipeError and CheckpointError before the first step, DivergedError, and what `at`
    and its moves raise.
    """
    levels = task.levels()
    place = _Place(start(task, levels[0].size)) if task.resume is None else _restored(task)
    began = time.monotonic() - place.seconds
    steps = sum(level.steps for level in levels)
    for end, level in zip(accumulate(level.steps for level in levels), levels, strict=True):
        if place.step >= end:
            continue
        place.picture = resize(place.picture, level.size)
        move = at(level.size)
        while place.step < end:
            losses = place.move(move)
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


def by_turns(paintings: Sequence[Iterator[Step]]) -> Iterator[tuple[int, Step | Exception]]:
    """Several paintings, a step of each in turn, by index; what one raises is its end alone."""
    going = dict(enumerate(paintings))
    while going:
        for index, steps in list(going.items()):
            said: Step | Exception | None
            try:
                said = next(steps, None)
            except Exception as error:
                said = error
            if said is None or isinstance(said, Exception):
                del going[index]
            if said is not None:
                yield index, said


def start(task: Task, size: Size) -> Pixels:
    """The picture that the painting starts from, (height, width, 3), at `size` (width, height).

    Raises RecipeError: it starts from a picture that is not there.
    """
    begin = task.recipe.schedule.start
    share = {"noise": 1.0, "mixed": task.recipe.schedule.noise_ratio}.get(begin, 0.0)
    sources = {"style": task.styles[0].picture if task.styles else None, "picture": task.init}
    source = sources.get(begin, task.content)
    if share == 1:
        return _noise(task, size)
    if source is None:
        raise RecipeError(f"start: {begin} needs a picture to start from, and there is none")
    picture = resize(source, size)
    return picture if share == 0 else share * _noise(task, size) + (1 - share) * picture


@dataclass
class _Place:
    """Where a painting stands: all of it that changes."""

    picture: Pixels
    step: int = 0
    seconds: float = 0.0

    def move(self, move: Move) -> Losses:
        """Make a step; the losses before."""
        losses, picture = move(self.picture, self.step + 1)
        self.picture, self.step = picture, self.step + 1
        if not math.isfinite(losses.total):
            raise DivergedError(f"the loss was no longer a number at step {self.step}")
        return losses


def _noise(task: Task, size: Size) -> Pixels:
    """Normal noise around gray."""
    width, height = size
    noise = np.random.Generator(np.random.PCG64(task.seed)).standard_normal((height, width, 3))
    picture: Pixels = (_GRAY + task.recipe.schedule.noise_scale * noise).astype(np.float32)
    return picture


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
    shown = [(style.picture, style.mask) for style in task.styles]
    for pair in ((task.content, task.content_mask), (task.init, None), *shown):
        for array in pair:
            if array is not None:
                digest.update(str(array.shape).encode())
                digest.update(np.ascontiguousarray(array).data)
    told = [(style.name, style.weight, style.scale, style.size) for style in task.styles]
    digest.update(str(told).encode())
    return np.frombuffer(digest.digest(), dtype=np.uint8)
