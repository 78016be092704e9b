"""Trial: evaluations at two small sizes, from which time and memory of larger sizes are derived."""

import hashlib
import math
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from platformdirs import user_cache_path
from pydantic import TypeAdapter, ValidationError
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

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

_SIDES, _SIDES_ON_GPU = (128, 256), (384, 1024)
"""Long sides of trials in pixels. A GPU is no faster at sizes smaller than these."""
_STEPS = 3  # only the fastest counts, because other processes may slow down the rest
_ALONE = 0.8
"""Minimum share of processor time that shows that no other program disturbed a trial; alone, 0.96
was measured."""


@dataclass(frozen=True)
class Line:
    """A cost that is linear in the number of pixels that the network sees."""

    base: float
    slope: float

    @classmethod
    def through(cls, few: float, low: float, many: float, high: float) -> "Line":
        """Return the line through the costs `low` and `high` of two numbers of pixels."""
        slope = (high - low) / (many - few) if many > few else 0.0
        if not 0 < slope <= high / many:  # no positive base fits
            slope = high / many
        return cls(high - slope * many, slope)

    def at(self, pixels: float) -> float:
        """Return the cost of a picture with `pixels` pixels."""
        return self.base + self.slope * pixels


@dataclass(frozen=True)
class Cost:
    """The cost of a size as a function of its pixels.

    The times, in seconds, are those of computing the targets and of an evaluation with a step of
    the optimizer. The memory, in bytes, is the peak during both, and what the targets keep.
    """

    target_seconds: Line
    step_seconds: Line
    target_bytes: Line
    step_bytes: Line
    kept_bytes: Line


_FILE = TypeAdapter(dict[str, Cost])

_unreliable: dict[str, Cost] = {}
"""Costs that were measured beside other programs."""


class _TrialCanvas(Canvas):
    """Canvas with styles that are large enough for the network, however small the trial is."""

    def seen_at(self, level: Level) -> Task:
        """Return the task with all styles."""
        return self.task

    def style(self, style: Style, scale: float) -> Tensor:
        """Return a style picture (1, 3, height, width) at `scale`, or a little larger."""
        objective, (width, height) = self.task.recipe.objective, self.task.style_size(style, scale)
        least = least_side(objective.network, objective.layers)
        return self.resized(style.picture, (max(least, width), max(least, height)))


def costs(task: Task, network: FeatureMaps) -> dict[Level, Cost]:
    """Return the cost of each size of a task, from trials, or from a file of earlier trials.

    Sizes with the same losses share their trials, which have the shape of the largest of these
    sizes. Costs are stored in the user's cache folder if no other program used the processors.
    """
    known: dict[Level, Cost] = {}
    for level in sorted(task.levels(), key=lambda level: math.prod(level.size), reverse=True):
        terms = task.terms(level)
        shared = next((cost for other, cost in known.items() if task.terms(other) == terms), None)
        known[level] = shared or _kept(
            _key(task, network, level), partial(_measured, task, network, level)
        )
    return known


def _kept(key: str, measure: Callable[[], tuple[Cost, bool]]) -> Cost:
    """Return the entry `key` of the cache file, or a new measurement.

    A reliable measurement is added to the file; another one is kept for the life of the process.
    """
    file = user_cache_path("stylewatch") / "costs.json"
    if (cost := _read(file).get(key)) is not None:
        return cost
    if key in _unreliable:
        return _unreliable[key]
    cost, is_reliable = measure()
    if is_reliable:
        with suppress(OSError):  # otherwise the next process measures again
            store.write_file(file, _FILE.dump_json({**_read(file), key: cost}, indent=1))
    else:
        _unreliable[key] = cost
    return cost


def _read(file: Path) -> dict[str, Cost]:
    with suppress(OSError, ValidationError):
        return _FILE.validate_json(file.read_bytes())
    return {}


def _key(task: Task, network: FeatureMaps, level: Level) -> str:
    """Return a key of device, threads, libraries, network, and a digest of other factors."""
    name = type(network).__name__
    if isinstance(network, Vgg19):
        name = f"{'compiled' if network.is_fused else 'torch'} {network.precision}"
    sizes = task.recipe.schedule.model_dump_json(
        include={"optimizer", "style_size", "style_scale", "stroke"}
    )
    parts = (
        {name: loss.model_dump_json() for name, loss in task.terms(level).losses.items()},
        [task.style_mix < 1, task.recipe.objective.protect_detail > 0],
        task.recipe.objective.network.model_dump_json(),
        sizes,
        [max(small.size) for small in _small_levels(task, network, level)],
        [(style.size, style.scale, style.mask is None) for style in task.at(level).styles],
        region_count(task.content_mask),
        (task.content is None, task.prior is None),
    )
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    device = f"{device_model(network.device)}, {torch.get_num_threads()} threads"
    libraries = f"torch {torch.__version__}, kernels {kernels.variant()}"
    return f"{device}, {libraries}, {name}, {digest}"


def _measured(task: Task, network: FeatureMaps, level: Level) -> tuple[Cost, bool]:
    """Return the cost from trials at two small sizes, and whether it is reliable.

    It is not if another program used the processors.
    """
    clock, tried = _Clock(network.device), []
    for small in _small_levels(task, network, level):
        pixels = padded_pixels(small.size, task.recipe.objective.network)
        tried.append((pixels, _tried(task, network, level, small, clock)))
    (few, lower), (many, higher) = tried
    lines = (Line.through(few, low, many, high) for low, high in zip(lower, higher, strict=True))
    return Cost(*lines), clock.is_alone


def _small_levels(task: Task, network: FeatureMaps, level: Level) -> list[Level]:
    """Return the sizes of the trials for a level."""
    sides = _SIDES if network.device.type == "cpu" else _SIDES_ON_GPU
    return [_small(task, level, side) for side in sides]


def _tried(
    task: Task, network: FeatureMaps, level: Level, small: Level, clock: "_Clock"
) -> tuple[float, ...]:
    """Return the costs at a small size, in the order of the fields of Cost."""
    canvas = _TrialCanvas(task.at(level), network.mean, network.device)
    start = canvas.start(small.size)
    scene = Scene(canvas, network, small, task.terms(level), start)
    target_seconds = clock.seconds(lambda: Objective(scene), 1)
    u, optimizer = start.clone(), new_optimizer(canvas, small)
    settings, objective = task.recipe.schedule.optimizer, Objective(scene)
    step_seconds = clock.seconds(
        # a step with a line search makes several evaluations
        lambda: objective(u) if settings.searches_line else optimizer.step(u, objective), _STEPS
    )  # fmt: skip
    # memory is measured last, because the first evaluations allocate memory that the network keeps
    with peak(network.device) as while_targets:
        objective = Objective(scene)
    with peak(network.device) as while_stepping:
        objective(start)
    peaks = (while_targets.peak, while_stepping.peak, while_targets.now)
    return (target_seconds, step_seconds, *peaks)


def _small(task: Task, level: Level, side: int) -> Level:
    """Return the level reduced to a long side of `side` pixels.

    The side is longer if a feature map would be empty otherwise.
    """
    (width, height), objective = level.size, task.recipe.objective
    least = least_side(objective.network, objective.layers)
    scale = max(min(1.0, side / max(level.size)), min(1.0, least / min(level.size)))
    size = max(least, round(width * scale)), max(least, round(height * scale))
    return replace(level, size=size, scale=scale * level.scale, slowest=0.0)


class _Clock:
    """Clock for functions that also detects whether other programs use the processors."""

    def __init__(self, device: torch.device) -> None:
        self._device, self.is_alone = device, True

    def seconds(self, function: Callable[[], object], times: int) -> float:
        """Return the least of several times, after a first call that sets up the libraries."""
        function()
        passed = []
        for _ in range(times):
            self._wait()
            began, worked = time.perf_counter(), time.process_time()
            function()
            self._wait()
            passed.append(time.perf_counter() - began)
            share = (time.process_time() - worked) / max(passed[-1], 1e-9)
            if self._device.type == "cpu" and share < _ALONE:
                self.is_alone = False
        return min(passed)

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


@dataclass
class _Bytes:
    """Number of bytes of all tensors, at the peak and at present."""

    peak: int = 0
    now: int = 0


@contextmanager
def peak(device: torch.device) -> Iterator[_Bytes]:
    """Count the bytes of the tensors that are created inside the context."""
    count = _Bytes()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield count
        count.peak = torch.cuda.max_memory_allocated(device) - before
        count.now = torch.cuda.memory_allocated(device) - before
        return
    with _LiveTensors(count):
        yield count


class _LiveTensors(TorchDispatchMode):
    """Mode that counts the storages that operations create, until they are freed."""

    def __init__(self, count: _Bytes) -> None:
        super().__init__()
        self._count = count
        self._live: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operation and count the new storages of its results."""
        kwargs = kwargs or {}
        given = {_storage_id(x) for x in tree_iter((args, kwargs)) if isinstance(x, Tensor)}
        result = func(*args, **kwargs)
        for tensor in tree_iter(result):
            if isinstance(tensor, Tensor) and (number := _storage_id(tensor)) not in given:
                self._add(number, tensor.untyped_storage())
        return result

    def _add(self, number: int, storage: torch.UntypedStorage) -> None:
        if number in self._live:
            return
        self._live.add(number)
        self._count.now += storage.nbytes()
        self._count.peak = max(self._count.peak, self._count.now)
        weakref.finalize(storage, self._free, number, storage.nbytes())

    def _free(self, number: int, nbytes: int) -> None:
        self._live.discard(number)
        self._count.now -= nbytes


def _storage_id(tensor: Tensor) -> int:
    number: int = tensor.untyped_storage()._cdata
    return number
