"""Where paintings stand: all of it that changes, and a checkpoint made of it and read again."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylewatch_painter.algorithm.canvas import Canvas
from stylewatch_painter.algorithm.optimizers import Optimizer, enlarged, of_rows
from stylewatch_painter.algorithm.scales import Level, Size
from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.stage import Checkpoint

APART = 10
"""Steps between two looks: at each, a device has to come to a halt."""


@dataclass(eq=False)
class Rest:
    """Looks at the objective of a painting at one size, at every tenth step.

    `tolerance` is the share of it that ten steps have to take away; `steps` were made at this
    size; `before` is the objective, (1,), at the last look.
    """

    tolerance: float
    steps: int = 0
    before: Tensor | None = None

    def has_come(self, objective: Tensor) -> bool:
        """Note the `objective` before one more step; whether that step was the last of use."""
        self.steps += 1
        if self.steps % APART:
            return False
        before, self.before = self.before, objective.clone()
        return before is not None and bool(before - objective <= self.tolerance * before.abs())

    def state(self) -> Checkpoint:
        """All that changes."""
        kept = {"steps": np.array(self.steps)}
        return kept if self.before is None else {**kept, "before": self.before.cpu().numpy()}

    def load(self, state: Checkpoint, device: torch.device) -> None:
        """Go on from what `state` gave."""
        self.steps = int(state["steps"])
        if "before" in state:
            self.before = torch.from_numpy(np.array(state["before"])).to(device)


@dataclass(eq=False)
class Average:
    """Pictures averaged with weights that fall off exponentially, each row by itself.

    Kingma and Ba 2014 (arXiv 1412.6980), section 7.2: value <- decay value + (1 - decay) picture,
    and what is read is value over the sum of all weights so far. `value` is
    (B, 3, height, width), `weight` (B,) that sum. A picture that holds what is no number, before
    it is taken back, has no part in it.
    """

    decay: float
    value: Tensor
    weight: Tensor

    @classmethod
    def of(cls, u: Tensor, decay: float) -> "Average":
        """That of pictures u (B, 3, height, width) alone."""
        fresh = cls(decay, torch.zeros_like(u), torch.zeros_like(u[:, 0, 0, 0]))
        fresh.note(u)
        return fresh

    def note(self, u: Tensor) -> None:
        """Take in the next pictures; all of it where they are, nobody waits for a GPU to tell."""
        share = (1 - self.decay) * u.isfinite().flatten(1).all(1)
        sound = share.view(-1, 1, 1, 1) > 0
        self.value.copy_(torch.where(sound, self.value.lerp(u, 1 - self.decay), self.value))
        self.weight.copy_(
            torch.where(
                share > 0, self.weight.lerp(torch.ones_like(share), 1 - self.decay), self.weight
            )
        )

    def picture(self) -> Tensor:
        """The averages (B, 3, height, width)."""
        return self.value / self.weight.view(-1, 1, 1, 1)

    def keep(self, rows: list[int]) -> None:
        """Go on with some of the pictures only."""
        self.value, self.weight = self.value[rows], self.weight[rows]

    def state(self, row: int) -> dict[str, Tensor]:
        """All that changes, of one picture."""
        return {
            "value": self.value[row : row + 1].clone(),
            "weight": self.weight[row : row + 1].clone(),
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        self.value, self.weight = state["value"], state["weight"]


@dataclass(eq=False)
class Place:
    """Where the paintings on `canvases`, all of one shape (see `together`), stand.

    `members` tells what number each has among those that began together. `u` are the pictures
    (B, 3, height, width) in network units; `step` counts over all sizes, `skipped` the steps that
    were left out, since nothing moved any more; `seconds` of work.
    """

    canvases: list[Canvas]
    members: list[int]
    u: Tensor
    optimizer: Optimizer
    rest: Rest
    level: int = 0
    step: int = 0
    skipped: int = 0
    seconds: float = 0.0
    taken_back: list[int] = field(kw_only=True)
    """Of each painting, at the sizes before this one."""
    average: Average | None = field(init=False)
    """Of the pictures at this size, where the schedule wants that shown."""

    def __post_init__(self) -> None:
        self.average = self._fresh_average()

    def shown(self) -> Tensor:
        """The pictures (B, 3, height, width) as people are to see them."""
        return self.u if self.average is None else self.average.picture()

    def count(self) -> None:
        """A step was made."""
        self.step += 1
        if self.average is not None:
            self.average.note(self.u)

    @classmethod
    def start(cls, canvases: Sequence[Canvas], levels: Sequence[Level]) -> "Place":
        """Where they begin."""
        u = torch.cat([canvas.start(levels[0].size) for canvas in canvases])
        members = list(range(len(canvases)))
        first, none = canvases[0], [0] * len(canvases)
        fresh = first.fresh_optimizer(levels[0].size)
        return cls(list(canvases), members, u, fresh, _rest(first), taken_back=none)

    def planned(self, levels: Sequence[Level]) -> int:
        """How many steps it is in all, as far as is known."""
        return sum(level.steps for level in levels) - self.skipped

    def left(self, levels: Sequence[Level]) -> int:
        """How many steps this size still has."""
        return self.planned(levels[: self.level + 1]) - self.step

    def all_taken_back(self) -> list[int]:
        """How many steps of each painting were taken back, at all sizes."""
        here = self.optimizer.taken_back()
        counts = [0] * len(self.members) if here is None else here.tolist()
        return [sum(one) for one in zip(self.taken_back, counts, strict=True)]

    def settle(self, objective: Tensor, levels: Sequence[Level]) -> None:
        """Leave out what is left of this size if nothing moves, where the schedule wants that.

        `objective` (B,) is that before the last step. Such a painting is painted by itself.
        """
        schedule = self.canvases[0].task.recipe.schedule
        if schedule.until == "converged" and self.rest.has_come(objective):
            self.skipped += self.left(levels)

    def climb(self, levels: Sequence[Level]) -> None:
        """Go on at the next size from what is shown of this one.

        The optimizer knows nothing of this size, unless the schedule wants that carried along.
        """
        self.level += 1
        self.taken_back = self.all_taken_back()
        size = levels[self.level].size
        each = zip(self.canvases, torch.split(self.shown(), 1), strict=True)
        self.u = torch.cat([canvas.enlarged(u, size) for canvas, u in each])
        self.average = self._fresh_average()
        known = self.optimizer.state()
        self.optimizer = self.canvases[0].fresh_optimizer(size)
        if self.canvases[0].task.recipe.schedule.carry_moments:
            self.optimizer.load(enlarged(known, size))
        self.rest = _rest(self.canvases[0])

    def keep(self, rows: list[int]) -> None:
        """Go on with some of the paintings only."""
        self.canvases = [self.canvases[row] for row in rows]
        self.members = [self.members[row] for row in rows]
        self.taken_back = [self.taken_back[row] for row in rows]
        self.u = self.u[rows]
        if self.average is not None:
            self.average.keep(rows)
        if rows:
            state = of_rows(self.optimizer.state(), rows)
            self.optimizer = self.canvases[0].fresh_optimizer(_size(self.u))
            self.optimizer.load(state)

    def save(self, row: int) -> Checkpoint:
        """All of one painting as plain arrays, as if it had been painted alone."""
        arrays: dict[str, np.ndarray[Any, Any]] = {
            "task": fingerprint(self.canvases[row].task),
            "u": self.u[row : row + 1].cpu().numpy().copy(),
            "level": np.array(self.level),
            "step": np.array(self.step),
            "skipped": np.array(self.skipped),
            "taken_back": np.array(self.taken_back[row]),
            "seconds": np.array(self.seconds),
        }
        arrays |= {f"rest.{name}": array for name, array in self.rest.state().items()}
        if self.average is not None:
            parts = self.average.state(row).items()
            arrays |= {f"average.{name}": part.cpu().numpy() for name, part in parts}
        alone = len(self.members) == 1
        state = self.optimizer.state()
        for name, tensor in (state if alone else of_rows(state, [row])).items():
            arrays[f"optimizer.{name}"] = array = tensor.cpu().numpy()
            array.flags.writeable = False  # no copy: it may be what the optimizer still works with
        return arrays

    def _fresh_average(self) -> Average | None:
        decay = self.canvases[0].task.recipe.schedule.ema_decay
        return Average.of(self.u, decay) if decay else None

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
            name: torch.from_numpy(saved[name].copy()).to(canvas.device)
            for name in saved
            if name == "u" or name.startswith(("optimizer.", "average."))
        }
        u = tensors.pop("u")
        place = cls(
            [canvas],
            [0],
            u,
            canvas.fresh_optimizer(_size(u)),
            _rest(canvas),
            level=int(saved["level"]),
            step=int(saved["step"]),
            skipped=int(saved["skipped"]),
            seconds=float(saved["seconds"]),
            taken_back=[int(saved["taken_back"])],
        )
        place.optimizer.load(_part("optimizer", tensors))
        if place.average is not None:
            place.average.load(_part("average", tensors))
        place.rest.load(
            {n.partition(".")[2]: saved[n] for n in saved if n.startswith("rest.")},
            canvas.device,
        )
        return place


def _part(of: str, saved: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What was saved of one part, by the part's own names."""
    return {name.partition(".")[2]: one for name, one in saved.items() if name.startswith(f"{of}.")}


def _size(u: Tensor) -> Size:
    """(width, height) of pictures (B, 3, height, width)."""
    return u.shape[-1], u.shape[-2]


def _rest(canvas: Canvas) -> Rest:
    return Rest(canvas.task.recipe.schedule.tolerance)


def fingerprint(task: Task) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """The SHA-256 of all that decides what `task` becomes, uint8 (32,)."""
    digest = hashlib.sha256(task.recipe.model_dump_json().encode())
    told = [task.seed, *((style.weight, style.scale, style.size) for style in task.styles)]
    digest.update(json.dumps(told).encode())
    pictures = (task.content, task.init, *(style.picture for style in task.styles))
    masks = (task.content_mask, *(style.mask for style in task.styles))
    for picture in (*pictures, *masks):
        digest.update(b"none" if picture is None else str(picture.shape).encode())
        digest.update(b"" if picture is None else np.ascontiguousarray(picture).data)
    return np.frombuffer(digest.digest(), dtype=np.uint8)
