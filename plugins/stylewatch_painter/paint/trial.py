"""Trials: steps at small sizes, from which the seconds of larger sizes are extrapolated."""

import hashlib
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from platformdirs import user_cache_path
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from stylewatch_painter.network import kernels, store
from stylewatch_painter.network.device import device_model
from stylewatch_painter.network.vgg19 import FeatureMaps, Vgg19
from stylewatch_painter.paint.objective import Objective
from stylewatch_painter.paint.state import new_optimizer
from stylewatch_painter.scene.canvas import Canvas
from stylewatch_painter.scene.padding import padded_pixels
from stylewatch_painter.scene.scales import Level, least_side
from stylewatch_painter.scene.scene import Scene
from stylewatch_painter.scene.task import Style, Task, region_count
from stylewatch_painter.size import Size

_SIDES, _SIDES_ON_GPU = (64, 128, 256), (384, 1024)
"""Long sides of trials in pixels, on a CPU and on a GPU. The two largest that are tried count.
Below the first of its two sides a GPU does not become faster."""
_LONG_S = 0.3
"""Time in seconds after which no larger side is tried for a level, once there are two trials."""
_STEPS = 2  # the faster step counts, because other processes may slow down a step
_ALONE = 0.8
"""Minimum ratio of processor time to elapsed time in a trial that no other program disturbs. An
undisturbed trial had 0.96."""


@dataclass(frozen=True)
class Line:
    """A cost that is linear in the number of pixels that the network sees."""

    base: float
    slope: float

    @classmethod
    def through(cls, few: float, low: float, many: float, high: float) -> "Line":
        """Return the line through the costs `low` of `few` pixels and `high` of `many` pixels.

        If this line does not rise, or is negative at 0, return the line through 0 and `high`.
        """
        slope = (high - low) / (many - few) if many > few else 0.0
        if not 0 < slope <= high / many:  # no positive base fits
            slope = high / many
        return cls(high - slope * many, slope)

    def at(self, pixels: float) -> float:
        """Return the cost of a picture with `pixels` pixels."""
        return self.base + self.slope * pixels


@dataclass(frozen=True)
class Cost:
    """Seconds of the work at one size, as functions of the number of pixels.

    `targets` is the time of computing the targets. `step` is the time of one step of the optimizer
    with its evaluation, or of the evaluation alone if the optimizer has a line search.
    """

    targets: Line
    step: Line


_Result = TypeVar("_Result")

_ENTRY = TypeAdapter(tuple[str, Cost])
"""Content of a cache file: the key, which is checked when the file is read, and the cost."""

_unreliable: dict[str, Cost] = {}
"""Costs, by their keys, that were measured while other programs used the processors."""


class _TrialCanvas(Canvas):
    """Canvas on which every style is large enough for the network, however small the trial is."""

    def seen_at(self, level: Level) -> Task:
        """Return the task with all styles."""
        return self.task

    def style(self, style: Style, size: Size) -> Tensor:
        """Return a style (1, 3, height, width) at `size`, with sides of at least `least_side`."""
        objective = self.task.recipe.objective
        least = least_side(objective.network, objective.layers)
        return self.resized(style.picture, Size(*(max(least, side) for side in size)))


def costs(task: Task, network: FeatureMaps) -> dict[Level, Cost]:
    """Return the cost of each size of a task, from trials or from the cache.

    Sizes with the same losses share their trials, which have the shape of the largest of these
    sizes. New costs are stored in the user's cache folder if no other program used the processors.
    """
    costs_by_level: dict[Level, Cost] = {}
    for level in sorted(task.levels(), key=lambda level: level.size.area, reverse=True):
        terms = task.terms(level)
        shared = [cost for larger, cost in costs_by_level.items() if task.terms(larger) == terms]
        if shared:
            costs_by_level[level] = shared[0]
        else:
            key = _key(task, network, level)
            costs_by_level[level] = _kept(key, partial(_measured, task, network, level))
    return costs_by_level


def _kept(key: str, measure: Callable[[], tuple[Cost, bool]]) -> Cost:
    """Return the cost in the cache, or call `measure` and cache the result.

    A reliable measurement is written to a file of its own, so that processes that measure at the
    same time do not interfere. An unreliable measurement is kept until the process ends.
    """
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    file = user_cache_path("stylewatch") / "costs" / f"{name}.json"
    cost = _read(file, key) or _unreliable.get(key)
    if cost is not None:
        return cost
    cost, is_reliable = measure()
    if is_reliable:
        with suppress(OSError):  # otherwise the next process measures again
            file.parent.mkdir(parents=True, exist_ok=True)
            store.write_file(file, _ENTRY.dump_json((key, cost), indent=1))
    else:
        _unreliable[key] = cost
    return cost


def _read(file: Path, key: str) -> Cost | None:
    """Return the cost in a file.

    None if the file is missing, damaged, of another version, or for another key.
    """
    try:
        known, cost = _ENTRY.validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
    return cost if known == key else None


def _key(task: Task, network: FeatureMaps, level: Level) -> str:
    """Return the cache key of a level: device, threads, libraries, network and a digest.

    The digest covers all other factors of the cost.
    """
    name = type(network).__name__
    if isinstance(network, Vgg19):
        name = f"{'compiled' if network.is_fused else 'torch'} {network.precision}"
    sizes = task.recipe.schedule.model_dump_json(
        include={"optimizer", "style_size", "style_scale", "stroke"}
    )
    small = _small(task, level, _SIDES[-1])
    parts = (
        {name: loss.model_dump_json() for name, loss in task.terms(level).losses.items()},
        [task.style_mix < 1, task.recipe.objective.protect_detail > 0],
        task.recipe.objective.network.model_dump_json(),
        sizes,
        small.size,
        [(style.size, style.scale, style.mask is None) for style in task.at(level).styles],
        [_magnitude(task.style_size(style, small.scale)) for style in task.at(level).styles],
        region_count(task.content_mask),
        (task.content is None, task.prior is None),
    )
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    device = f"{device_model(network.device)}, {torch.get_num_threads()} threads"
    libraries = f"torch {torch.__version__}, kernels {kernels.variant()}"
    return f"{device}, {libraries}, {name}, {digest}"


def _magnitude(size: Size) -> int:
    """Return an area in half octaves, so that styles of about the same size share their costs."""
    return round(2 * math.log2(size.area))


def _measured(task: Task, network: FeatureMaps, level: Level) -> tuple[Cost, bool]:
    """Return the cost from trials at small sizes, and whether it is reliable.

    The last two trials count. The cost is unreliable if another program used the processors.
    """
    clock = _Clock(network.device)
    tried: list[tuple[int, float, float]] = []
    for side in _SIDES if network.device.type == "cpu" else _SIDES_ON_GPU:
        small = _small(task, level, side)
        pixels = padded_pixels(small.size, task.recipe.objective.network)
        seconds = _tried(task, network, level, small, clock, is_first=not tried)
        tried.append((pixels, *seconds))
        if len(tried) > 1 and clock.passed > _LONG_S:
            break
    (few, *lower), (many, *higher) = tried[-2:]
    lines = (Line.through(few, low, many, high) for low, high in zip(lower, higher, strict=True))
    return Cost(*lines), clock.is_alone


def _tried(
    task: Task,
    network: FeatureMaps,
    level: Level,
    small: Level,
    clock: "_Clock",
    *,
    is_first: bool,
) -> tuple[float, float]:
    """Return the seconds of the targets and of a step, as in `Cost`, at the size `small`."""
    canvas = _TrialCanvas(task.at(level), network.mean, network.device)
    start = canvas.start(small.size)
    scene = Scene(canvas, network, small, task.terms(level), start)
    if is_first:
        Objective(scene)  # sets up the libraries
    targets, objective = clock.seconds(lambda: Objective(scene))
    u = start.clone()
    optimizer = new_optimizer(canvas, small)
    # a step with a line search makes several evaluations
    searches = task.recipe.schedule.optimizer.searches_line

    def step() -> object:
        return objective(u) if searches else optimizer.step(u, objective)

    step()
    return targets, min(clock.seconds(step)[0] for _ in range(_STEPS))


def _small(task: Task, level: Level, side: int) -> Level:
    """Return the level reduced to a long side of `side` pixels, or unchanged if smaller.

    The side is longer if a feature map would be empty otherwise.
    """
    objective = task.recipe.objective
    least = least_side(objective.network, objective.layers)
    scale = max(min(1.0, side / level.size.long), min(1.0, least / level.size.short))
    size = Size(*(max(least, round(each * scale)) for each in level.size))
    return replace(level, size=size, scale=scale * level.scale, slowest=0.0)


class _Clock:
    """Clock for functions, which also detects whether other programs use the processors.

    `is_alone` becomes False if a timed function got too little processor time.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._begun = time.perf_counter()
        self.is_alone = True

    @property
    def passed(self) -> float:
        """Seconds since the clock was made."""
        return time.perf_counter() - self._begun

    def seconds(self, function: Callable[[], _Result]) -> tuple[float, _Result]:
        """Return the seconds that a call of `function` takes, and its result."""
        self._wait()
        began = time.perf_counter()
        worked = time.process_time()
        result = function()
        self._wait()
        passed = time.perf_counter() - began
        share = (time.process_time() - worked) / max(passed, 1e-9)
        if self._device.type == "cpu" and share < _ALONE:
            self.is_alone = False
        return passed, result

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
