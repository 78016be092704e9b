"""Where paintings stand: all of it that changes, and a checkpoint made of it and read again."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylewatch_painter.canvas import Canvas
from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.optimise import Optimiser, of_rows, optimiser
from stylewatch_painter.pyramid import Level
from stylewatch_painter.stage import Checkpoint
from stylewatch_painter.task import Task


@dataclass(eq=False)
class Place:
    """Where the paintings on `canvases`, all of one shape (see `together`), stand.

    `members` tells what number each has among those that began together. `u` are the pictures
    (B, 3, height, width) in network units; `step` counts over all sizes; `seconds` of work.
    """

    canvases: list[Canvas]
    members: list[int]
    u: Tensor
    optimiser: Optimiser
    level: int = 0
    step: int = 0
    seconds: float = 0.0

    @classmethod
    def start(cls, canvases: Sequence[Canvas], levels: Sequence[Level]) -> "Place":
        """Where they begin."""
        u = torch.cat([canvas.start(levels[0].size) for canvas in canvases])
        fresh = optimiser(canvases[0].task.recipe.schedule.optimiser)
        return cls(list(canvases), list(range(len(canvases))), u, fresh)

    def left(self, levels: Sequence[Level]) -> int:
        """How many steps this size still has."""
        return sum(level.steps for level in levels[: self.level + 1]) - self.step

    def climb(self, levels: Sequence[Level]) -> None:
        """Go on at the next size, with an optimiser that knows nothing of this one."""
        self.level += 1
        size = levels[self.level].size
        each = zip(self.canvases, torch.split(self.u, 1), strict=True)
        self.u = torch.cat([canvas.enlarged(u, size) for canvas, u in each])
        self.optimiser = optimiser(self.canvases[0].task.recipe.schedule.optimiser)

    def keep(self, rows: list[int]) -> None:
        """Go on with some of the paintings only."""
        self.canvases = [self.canvases[row] for row in rows]
        self.members = [self.members[row] for row in rows]
        self.u = self.u[rows]
        fewer = optimiser(self.canvases[0].task.recipe.schedule.optimiser) if rows else None
        if fewer is not None:
            fewer.load(of_rows(self.optimiser.state(), rows))
            self.optimiser = fewer

    def save(self, row: int) -> Checkpoint:
        """All of one painting as plain arrays, as if it had been painted alone."""
        arrays: dict[str, np.ndarray[Any, Any]] = {
            "task": fingerprint(self.canvases[row].task),
            "u": self.u[row : row + 1].cpu().numpy().copy(),
            "level": np.array(self.level),
            "step": np.array(self.step),
            "seconds": np.array(self.seconds),
        }
        alone = len(self.members) == 1
        state = self.optimiser.state()
        for name, tensor in (state if alone else of_rows(state, [row])).items():
            arrays[f"optimiser.{name}"] = array = tensor.cpu().numpy()
            array.flags.writeable = False  # no copy: it may be what the optimiser still works with
        return arrays

    @classmethod
    def load(cls, canvas: Canvas) -> "Place":
        """Where `task.resume` stood; raises CheckpointError where that is not of this task."""
        saved = canvas.task.resume or {}
        try:
            return cls._load(canvas, saved)
        except KeyError as error:
            raise CheckpointError(
                f"this checkpoint is damaged, it lacks {error}: without it the painting starts anew"
            ) from error

    @classmethod
    def _load(cls, canvas: Canvas, saved: Checkpoint) -> "Place":
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
            [canvas],
            [0],
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
