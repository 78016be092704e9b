"""State of a painting: all that changes from step to step, and its checkpoints."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylewatch_painter.algorithm.canvas import Canvas
from stylewatch_painter.algorithm.optimizers import Optimizer, enlarged
from stylewatch_painter.algorithm.scales import Level
from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.stage import Checkpoint

_CHECK_EVERY = 10
"""Steps between two checks for convergence; each check synchronizes the device."""


@dataclass(eq=False)
class Convergence:
    """Stop criterion at one size: the relative decrease of the objective over ten steps.

    `tolerance` is the least decrease; `steps` were made at this size; `before` is the objective,
    (1,), at the last check.
    """

    tolerance: float
    steps: int = 0
    before: Tensor | None = None

    def reached(self, objective: Tensor) -> bool:
        """Record the `objective` before one more step; True if no further step is worth it."""
        self.steps += 1
        if self.steps % _CHECK_EVERY:
            return False
        before, self.before = self.before, objective.clone()
        return before is not None and bool(before - objective <= self.tolerance * before.abs())


@dataclass(eq=False)
class MovingAverage:
    """Exponential moving average of the pictures after each step.

    Kingma and Ba 2014 (arXiv 1412.6980), section 7.2: value <- decay value + (1 - decay) picture;
    the average is value / weight, with weight the sum of all weights so far. `value` is
    (1, 3, height, width), `weight` (1,). A picture that is not finite, because its step is about to
    be taken back, is left out.
    """

    decay: float
    value: Tensor
    weight: Tensor

    @classmethod
    def of(cls, u: Tensor, decay: float) -> "MovingAverage":
        """Start with a picture u (1, 3, height, width)."""
        average = cls(decay, torch.zeros_like(u), torch.zeros_like(u[:, 0, 0, 0]))
        average.add(u)
        return average

    def add(self, u: Tensor) -> None:
        """Add the next picture, without synchronizing the device."""
        share = (1 - self.decay) * u.isfinite().flatten(1).all(1)
        finite = share.view(-1, 1, 1, 1) > 0
        self.value.copy_(torch.where(finite, self.value.lerp(u, 1 - self.decay), self.value))
        weight = self.weight.lerp(torch.ones_like(share), 1 - self.decay)
        self.weight.copy_(torch.where(share > 0, weight, self.weight))

    def picture(self) -> Tensor:
        """The average (1, 3, height, width)."""
        return self.value / self.weight.view(-1, 1, 1, 1)


@dataclass(eq=False)
class PaintState:
    """State of the painting on `canvas`.

    `u` is the picture (1, 3, height, width) in network units; `level` is the number of the present
    one of `levels`; `step` counts over all sizes, `skipped` the steps that convergence made
    unnecessary; `seconds` is the time spent. `taken_back` counts the steps taken back at earlier
    sizes. `average` is None unless the schedule has an `ema_decay`.
    """

    canvas: Canvas
    u: Tensor
    taken_back: int = 0
    level: int = 0
    step: int = 0
    skipped: int = 0
    seconds: float = 0.0
    levels: tuple[Level, ...] = field(init=False)
    optimizer: Optimizer = field(init=False)
    convergence: Convergence = field(init=False)
    average: MovingAverage | None = field(init=False)
    begun: Tensor | None = field(init=False)
    """The picture that this size began with, where targets depend on it."""

    def __post_init__(self) -> None:
        self.levels = self.canvas.task.levels()
        self._begin_size()

    @classmethod
    def start(cls, canvas: Canvas) -> "PaintState":
        """The state before the first step; raises RecipeError as `Canvas.start` does."""
        return cls(canvas, canvas.start(canvas.task.levels()[0].size))

    def shown(self) -> Tensor:
        """The picture (1, 3, height, width) as users see it."""
        return self.u if self.average is None else self.average.picture()

    def count_step(self) -> None:
        """Record that a step was made."""
        self.step += 1
        if self.average is not None:
            self.average.add(self.u)

    @property
    def planned(self) -> int:
        """Total number of steps, as far as it is known."""
        return sum(level.steps for level in self.levels) - self.skipped

    @property
    def left(self) -> int:
        """Remaining steps at this size."""
        return self.planned - self.step - sum(x.steps for x in self.levels[self.level + 1 :])

    def all_taken_back(self) -> int:
        """Number of steps that were taken back, at all sizes."""
        here = self.optimizer.taken_back()
        return self.taken_back + (0 if here is None else int(here.item()))

    def skip_if_converged(self, objective: Tensor) -> None:
        """Skip the remaining steps of this size on convergence, if the schedule wants that.

        `objective` (1,) is the value before the last step.
        """
        schedule = self.canvas.task.recipe.schedule
        if schedule.until == "converged" and self.convergence.reached(objective):
            self.skipped += self.left

    def next_level(self) -> None:
        """Enlarge the shown picture to the next size and start a new optimizer."""
        self.level += 1
        self.taken_back = self.all_taken_back()
        size = self.levels[self.level].size
        self.u = self.canvas.enlarged(self.shown(), size)
        moments = self.optimizer.state()
        self._begin_size()
        if self.canvas.task.recipe.schedule.carry_moments:
            self.optimizer.load(enlarged(moments, size))

    def _begin_size(self) -> None:
        """Start a new optimizer, stop criterion and average for the picture `u`."""
        task, level = self.canvas.task, self.levels[self.level]
        recipe = task.recipe
        self.optimizer = self.canvas.new_optimizer(level)
        self.convergence = Convergence(recipe.schedule.tolerance)
        decay = recipe.schedule.ema_decay
        self.average = MovingAverage.of(self.u, decay) if decay else None
        self.begun = self.u.clone() if task.terms(level).needs_start else None

    def save(self) -> Checkpoint:
        """The checkpoint of the painting."""
        arrays: dict[str, np.ndarray[Any, Any]] = {
            "task": fingerprint(self.canvas.task),
            "level": np.array(self.level),
            "step": np.array(self.step),
            "skipped": np.array(self.skipped),
            "taken_back": np.array(self.taken_back),
            "seconds": np.array(self.seconds),
            "rest.steps": np.array(self.convergence.steps),
        }
        tensors = {"u": self.u, "begun": self.begun, "rest.before": self.convergence.before}
        if self.average is not None:
            tensors |= {"average.value": self.average.value, "average.weight": self.average.weight}
        for name, tensor in tensors.items():
            if tensor is not None:
                arrays[name] = tensor.cpu().numpy().copy()
        for name, tensor in self.optimizer.state().items():
            arrays[f"optimizer.{name}"] = array = tensor.cpu().numpy()
            array.flags.writeable = False  # not a copy: the optimizer may still use the memory
        return arrays

    @classmethod
    def load(cls, canvas: Canvas) -> "PaintState":
        """Restore `task.resume`; raises CheckpointError if it is of another task or damaged."""
        saved = canvas.task.resume or {}
        if "task" not in saved or not np.array_equal(saved["task"], fingerprint(canvas.task)):
            raise CheckpointError(
                "this checkpoint belongs to another painting (other pictures, recipe or seed): "
                "without it the painting starts anew"
            )
        tensors = {
            name: torch.from_numpy(np.array(saved[name])).to(canvas.device)
            for name in saved
            if name in ("u", "begun") or name.startswith(("optimizer.", "average.", "rest."))
        }
        try:
            state = cls(
                canvas,
                tensors["u"],
                taken_back=int(saved["taken_back"]),
                level=int(saved["level"]),
                step=int(saved["step"]),
                skipped=int(saved["skipped"]),
                seconds=float(saved["seconds"]),
            )
            state.convergence.steps = int(saved["rest.steps"])
            state.convergence.before = tensors.get("rest.before")
            if state.average is not None:
                state.average.value = tensors["average.value"]
                state.average.weight = tensors["average.weight"]
            if state.begun is not None:
                state.begun = tensors["begun"]
            prefix = "optimizer."
            state.optimizer.load(
                {n.removeprefix(prefix): tensors[n] for n in tensors if n.startswith(prefix)}
            )
        except KeyError as error:
            raise CheckpointError(
                f"this checkpoint is damaged, it lacks {error}: without it the painting starts anew"
            ) from error
        return state


def fingerprint(task: Task) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """The SHA-256 of everything that determines the result of `task`, uint8 (32,).

    Without defaults: a field that a later version adds does not end a painting.
    """
    digest = hashlib.sha256(task.recipe.model_dump_json(exclude_defaults=True).encode())
    styles = ((style.weight, style.scale, style.size) for style in task.styles)
    digest.update(json.dumps([task.seed, *styles]).encode())
    pictures = [task.content, task.init, *(style.picture for style in task.styles)]
    masks = [task.content_mask, *(style.mask for style in task.styles)]
    if task.prior is not None:
        digest.update(str(task.prior.unit).encode())
        masks += [task.prior.picture, task.prior.trust]
    for picture in (*pictures, *masks):
        digest.update(b"none" if picture is None else str(picture.shape).encode())
        digest.update(b"" if picture is None else np.ascontiguousarray(picture).data)
    return np.frombuffer(digest.digest(), dtype=np.uint8)
