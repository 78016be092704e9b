"""State of a painting: everything that changes from step to step, and its checkpoints."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylewatch_painter import installed
from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.optimizers.optimizer import Optimizer
from stylewatch_painter.paint.memory_plan import UNLIMITED, MemoryPlan
from stylewatch_painter.scene.canvas import Canvas
from stylewatch_painter.scene.scales import Level
from stylewatch_painter.scene.task import Task, fingerprint
from stylewatch_painter.stage import Checkpoint


def new_optimizer(canvas: Canvas, level: Level, memory_plan: MemoryPlan = UNLIMITED) -> Optimizer:
    """Return a new optimizer for pictures at `level`; with `keep_range` it clamps pictures."""
    schedule = canvas.task.recipe.schedule
    larger = canvas.task.final.area / level.size.area
    settings = memory_plan.optimizer(schedule.optimizer, larger)
    is_final = level.size.width >= canvas.task.first.width
    settings = settings.at(is_coarse=level.is_coarse, is_final=is_final)
    return settings.new(canvas.range if schedule.keep_range else None)


def _packages(task: Task) -> bytes:
    """Return the versions of the packages that a task needs, as JSON; empty if it needs none."""
    packages = task.recipe.packages
    return json.dumps(packages).encode() if packages else b""


@dataclass(eq=False)
class MovingAverage:
    """Exponential moving average of the pictures after each step.

    Kingma and Ba 2014 (arXiv 1412.6980), section 7.2: value <- decay value + (1 - decay) picture;
    the average is value / weight, where weight is the sum of all weights so far. `value` is (1, 3,
    height, width), `weight` (). A picture that is not finite, because its step is about to be
    undone, is skipped.
    """

    decay: float
    value: Tensor
    weight: Tensor

    @classmethod
    def of(cls, u: Tensor, decay: float) -> "MovingAverage":
        """Return the average that begins with a picture u (1, 3, height, width)."""
        average = cls(decay, torch.zeros_like(u), u.new_zeros(()))
        average.add(u)
        return average

    def add(self, u: Tensor) -> None:
        """Add the next picture, without synchronizing the device."""
        finite = u.isfinite().all()
        share = 1 - self.decay
        self.value.copy_(torch.where(finite, self.value.lerp(u, share), self.value))
        weight = self.weight.lerp(torch.ones_like(self.weight), share)
        self.weight.copy_(torch.where(finite, weight, self.weight))

    def picture(self) -> Tensor:
        """Return the average (1, 3, height, width)."""
        return self.value / self.weight


@dataclass(eq=False)
class PaintState:
    """State of the painting on `canvas`.

    `u` is the picture (1, 3, height, width) in network units. `level` is the index of the current
    size in `levels`. `step` is the number of steps so far at all sizes, and `seconds` is the time
    that they took. `taken_back` is the number of undone steps at earlier sizes. `average` is None
    if the schedule's `ema_decay` is 0.
    """

    canvas: Canvas
    u: Tensor
    memory_plan: MemoryPlan = UNLIMITED
    taken_back: int = 0
    level: int = 0
    step: int = 0
    seconds: float = 0.0
    levels: tuple[Level, ...] = field(init=False)
    optimizer: Optimizer = field(init=False)
    average: MovingAverage | None = field(init=False)
    begun: Tensor | None = field(init=False)
    """The picture at the start of this size; None if no target depends on it."""

    def __post_init__(self) -> None:
        self.levels = self.canvas.task.levels()
        self._begin_size()

    @classmethod
    def start(cls, canvas: Canvas, memory_plan: MemoryPlan = UNLIMITED) -> "PaintState":
        """Return the state before the first step; raises RecipeError as `Canvas.start` does."""
        return cls(canvas, canvas.start(canvas.task.levels()[0].size), memory_plan)

    def shown(self) -> Tensor:
        """Return the picture (1, 3, height, width) that users see: the average, or else `u`."""
        return self.u if self.average is None else self.average.picture()

    def count_step(self) -> None:
        """Count a step, and add the picture after it to the moving average."""
        self.step += 1
        if self.average is not None:
            self.average.add(self.u)

    @property
    def planned(self) -> int:
        """Total number of steps."""
        return sum(level.steps for level in self.levels)

    @property
    def left(self) -> int:
        """Number of remaining steps at this size."""
        return self.planned - self.step - sum(x.steps for x in self.levels[self.level + 1 :])

    def all_taken_back(self) -> int:
        """Return the number of undone steps at all sizes."""
        count = self.optimizer.taken_back()
        return self.taken_back + (0 if count is None else int(count.item()))

    def next_level(self) -> None:
        """Enlarge the shown picture to the next size and start a new optimizer.

        With `carry_moments` the optimizer starts with the resized moments of the previous one.
        """
        self.level += 1
        self.taken_back = self.all_taken_back()
        size = self.levels[self.level].size
        self.u = self.canvas.enlarged(self.shown(), size)
        moments = self.optimizer.state()
        self._begin_size()
        if self.canvas.task.recipe.schedule.carry_moments:
            self.optimizer.load(self.optimizer.enlarged(moments, size))

    def _begin_size(self) -> None:
        """Start a new optimizer and a new average for the picture `u`.

        With an average and `keep_range`, `u` is first clamped to the range.
        """
        task = self.canvas.task
        level = self.levels[self.level]
        self.optimizer = new_optimizer(self.canvas, level, self.memory_plan)
        decay = task.recipe.schedule.ema_decay
        # the filter that enlarged u may leave colors out of range, which the average would keep
        if decay and task.recipe.schedule.keep_range:
            self.u = self.u.clamp(*self.canvas.range)
        self.average = MovingAverage.of(self.u, decay) if decay else None
        self.begun = self.u.clone() if task.terms(level).needs_start else None

    def save(self) -> Checkpoint:
        """Return a checkpoint of the painting, for `Task.resume`.

        Arrays of the optimizer are read-only; on a CPU they may share its memory.
        """
        arrays: dict[str, np.ndarray[Any, Any]] = {
            "task": fingerprint(self.canvas.task),
            "level": np.array(self.level),
            "step": np.array(self.step),
            "taken_back": np.array(self.taken_back),
            "seconds": np.array(self.seconds),
        }
        packages = _packages(self.canvas.task)
        if packages:
            arrays["packages"] = np.frombuffer(packages, np.uint8)
        tensors = {"u": self.u, "begun": self.begun}
        if self.average is not None:
            tensors |= {"average.value": self.average.value, "average.weight": self.average.weight}
        for name, tensor in tensors.items():
            if tensor is not None:
                arrays[name] = tensor.cpu().numpy().copy()
        for name, tensor in self.optimizer.state().items():
            arrays[f"optimizer.{name}"] = array = tensor.cpu().numpy()
            array.flags.writeable = False  # not a copy: the optimizer may share the memory
        return {**arrays, _PARTS: _parts(arrays)}

    @classmethod
    def load(cls, canvas: Canvas, memory_plan: MemoryPlan = UNLIMITED) -> "PaintState":
        """Return the state in the checkpoint `task.resume`.

        Raises CheckpointError if the checkpoint is damaged, belongs to another task, or was painted
        with other versions of the packages of losses or optimizers.
        """
        saved = dict(canvas.task.resume or {})
        if "task" not in saved or not np.array_equal(saved["task"], fingerprint(canvas.task)):
            raise CheckpointError.of_another_painting()
        packages = saved.get("packages", np.zeros(0, np.uint8)).tobytes()
        # checkpoints of earlier versions have no list of parts, and say nothing of packages
        if _PARTS in saved and packages != _packages(canvas.task):
            raise CheckpointError.because(installed.OTHER_VERSIONS)
        parts = saved.pop(_PARTS, None)  # checkpoints of earlier versions have none
        if parts is not None:
            _check_parts(parts, saved)
        tensors = {
            name: torch.from_numpy(np.array(saved[name])).to(canvas.device)
            for name in saved
            if name in ("u", "begun") or name.startswith(("optimizer.", "average."))
        }
        try:
            level = int(saved["level"])
            if not 0 <= level < len(canvas.task.levels()):
                raise CheckpointError.damaged(f"there is no size {level + 1}")
            state = cls(
                canvas,
                tensors["u"],
                memory_plan,
                taken_back=int(saved["taken_back"]),
                level=level,
                step=int(saved["step"]),
                seconds=float(saved["seconds"]),
            )
            state._check_place()
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
            raise CheckpointError.damaged(f"it lacks {error}") from error
        return state

    def _check_place(self) -> None:
        """Raise CheckpointError if the picture or the step number does not fit the level."""
        level = self.levels[self.level]
        if self.u.shape != (1, 3, *level.size.shape) or self.u.dtype != torch.float32:
            raise CheckpointError.damaged("its picture has another size or type")
        if not 0 <= self.left <= level.steps:
            raise CheckpointError.damaged(f"step {self.step} is none of its size")


_PARTS = "parts"
"""Name of the array that lists all further arrays of a checkpoint, as JSON in UTF-8."""


def _parts(arrays: Mapping[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Return the names, types and shapes of arrays as JSON in UTF-8, uint8 (bytes,)."""
    forms = {name: [str(array.dtype), array.shape] for name, array in arrays.items()}
    return np.frombuffer(json.dumps(forms, sort_keys=True).encode(), np.uint8)


def _check_parts(parts: np.ndarray[Any, Any], saved: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Raise CheckpointError if an array in the list `parts` is missing or has another form.

    Arrays that are not in the list belong to the backend.
    """
    names = _names(parts)
    missing = [name for name in names if name not in saved]
    if missing:
        raise CheckpointError.damaged(f"it lacks '{missing[0]}'")
    if parts.tobytes() != _parts({name: saved[name] for name in names}).tobytes():
        raise CheckpointError.damaged("a part has another form")


def _names(parts: np.ndarray[Any, Any]) -> list[str]:
    """Return the names in the list `parts`; no names if the list is damaged."""
    try:
        return list(json.loads(parts.tobytes()))
    except (ValueError, TypeError):
        return []
