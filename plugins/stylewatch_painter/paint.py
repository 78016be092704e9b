"""The only painting loop: from coarse to fine, a Step after every step, a Stage when due."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylewatch_painter.canvas import Canvas, check_pictures
from stylewatch_painter.errors import CheckpointError, DivergedError
from stylewatch_painter.looks import Looks
from stylewatch_painter.optimise import Optimiser, optimiser
from stylewatch_painter.pyramid import Level
from stylewatch_painter.stage import Checkpoint, Losses, Stage, Step, Wish, go_on
from stylewatch_painter.target import FeatureMaps, Target
from stylewatch_painter.task import Task

Clock = Callable[[], float]


def paint(
    task: Task,
    network: FeatureMaps,
    wish: Callable[[], Wish] = go_on,
    clock: Clock = time.monotonic,
    looks: Looks | None = None,
) -> Iterator[Step]:
    """Paint `task`: a Step after every step, a Stage after every `save_every` and the last.

    Between two steps, `wish` says what is wanted. With `task.resume` the painting goes on from
    there, in the same bytes where the device computes the same way twice. `looks` keep what is
    worked out of styles for the next painting with `network`.

    Raises PictureError, RecipeError, CheckpointError before the first step, DivergedError.
    """
    check_pictures(task)
    canvas = Canvas(task, network.mean, network.device)
    levels = canvas.levels()
    place = _Place.start(canvas, levels) if task.resume is None else _Place.load(canvas)
    looks = Looks() if looks is None else looks
    began = clock() - place.seconds
    steps = sum(level.steps for level in levels)
    while place.step < steps:
        target = Target(canvas, network, levels[place.level], looks)
        for _ in range(place.left(levels)):
            losses = _one_step(place, target)
            asked = wish()
            place.seconds = clock() - began
            kept = place.save() if asked in (Wish.CHECKPOINT, Wish.STOP) else None
            told = (place.step, steps, levels[place.level].size, losses, place.seconds)
            if _stage_is_due(task, place.step, steps) or asked is Wish.FINISH:
                picture = canvas.pixels(canvas.enlarged(place.u, canvas.final))
                yield Stage(*told, picture=picture, checkpoint=kept)
            else:
                yield Step(*told, checkpoint=kept)
            if asked in (Wish.STOP, Wish.FINISH):
                return
        del target  # its maps are large, and the next size has its own
        if place.level + 1 < len(levels):
            place.climb(levels)


def measure(task: Task, network: FeatureMaps) -> Losses:
    """The losses of the float picture that `task` starts from at its final size."""
    check_pictures(task)
    canvas = Canvas(task, network.mean, network.device)
    level = canvas.levels()[-1]
    target = Target(canvas, network, level)
    return target.losses(target(canvas.start(level.size)).terms)


def _one_step(place: "_Place", target: Target) -> Losses:
    seen = place.optimiser.step(place.u, target)
    place.step += 1
    losses = target.losses(seen.terms)
    if not np.isfinite(losses.total) or not torch.isfinite(place.u).all():
        raise DivergedError(
            f"the loss was no longer a number at step {place.step}: a smaller rate, or another "
            "optimiser (schedule.optimiser.kind=lbfgs), keeps the painting from running away"
        )
    return losses


def _stage_is_due(task: Task, step: int, steps: int) -> bool:
    return step % task.recipe.schedule.save_every == 0 or step == steps


@dataclass(eq=False)
class _Place:
    """Where a painting stands: all of it that changes."""

    canvas: Canvas
    u: Tensor
    optimiser: Optimiser
    level: int = 0
    step: int = 0
    seconds: float = 0.0

    @classmethod
    def start(cls, canvas: Canvas, levels: tuple[Level, ...]) -> "_Place":
        schedule = canvas.task.recipe.schedule
        return cls(canvas, canvas.start(levels[0].size), optimiser(schedule.optimiser))

    def left(self, levels: tuple[Level, ...]) -> int:
        """How many steps this size still has."""
        return sum(level.steps for level in levels[: self.level + 1]) - self.step

    def climb(self, levels: tuple[Level, ...]) -> None:
        """Go on at the next size, with an optimiser that knows nothing of this one."""
        self.level += 1
        self.u = self.canvas.enlarged(self.u, levels[self.level].size).clone()
        self.optimiser = optimiser(self.canvas.task.recipe.schedule.optimiser)

    def save(self) -> Checkpoint:
        """All of it as plain arrays."""
        arrays: dict[str, np.ndarray[Any, Any]] = {
            "task": fingerprint(self.canvas.task),
            "u": self.u.cpu().numpy().copy(),
            "level": np.array(self.level),
            "step": np.array(self.step),
            "seconds": np.array(self.seconds),
        }
        for name, tensor in self.optimiser.state().items():
            arrays[f"optimiser.{name}"] = array = tensor.cpu().numpy()
            array.flags.writeable = False  # no copy: it may be what the optimiser still works with
        return arrays

    @classmethod
    def load(cls, canvas: Canvas) -> "_Place":
        """Where `task.resume` stood; raises CheckpointError where that is not of this task."""
        saved = canvas.task.resume or {}
        try:
            return cls._load(canvas, saved)
        except KeyError as error:
            raise CheckpointError(
                f"this checkpoint is damaged, it lacks {error}: without it the painting starts anew"
            ) from error

    @classmethod
    def _load(cls, canvas: Canvas, saved: Checkpoint) -> "_Place":
        if "task" not in saved or not np.array_equal(saved["task"], fingerprint(canvas.task)):
            raise CheckpointError(
                "this checkpoint belongs to another painting (other pictures, recipe or seed): "
                "without it the painting starts anew"
            )
        tensors = {
            name: torch.from_numpy(array.copy()).to(canvas.device)
            for name, array in saved.items()
            if name == "u" or name.startswith("optimiser.")
        }
        place = cls(
            canvas,
            tensors.pop("u"),
            optimiser(canvas.task.recipe.schedule.optimiser),
            level=int(saved["level"]),
            step=int(saved["step"]),
            seconds=float(saved["seconds"]),
        )
        place.optimiser.load({name.partition(".")[2]: one for name, one in tensors.items()})
        return place


def fingerprint(task: Task) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """The SHA-256 of all that decides what `task` becomes, uint8 (32,)."""
    digest = hashlib.sha256(task.recipe.model_dump_json().encode())
    digest.update(json.dumps([task.seed, *((s.weight, s.scale) for s in task.styles)]).encode())
    pictures = (task.content, task.init, *(style.picture for style in task.styles))
    for picture in pictures:
        digest.update(b"none" if picture is None else str(picture.shape).encode())
        digest.update(b"" if picture is None else np.ascontiguousarray(picture).tobytes())
    return np.frombuffer(digest.digest(), dtype=np.uint8)
