"""What a task would take in time and memory, judged by a small part of it."""

import resource
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from stylewatch_painter import recipe
from stylewatch_painter.canvas import Canvas, check_pictures
from stylewatch_painter.pyramid import Level, least_side, pools_before
from stylewatch_painter.recipe import LayerName
from stylewatch_painter.target import FeatureMaps, Target
from stylewatch_painter.task import Task
from stylewatch_painter.vgg19 import layers_up_to

_TRIAL_SIDE = 192  # pixels: large enough for the cores to be busy, small enough to take no time
_FLOAT = 4  # bytes
_INDEX = 8  # bytes: where a max pool found its value


@dataclass(frozen=True)
class Forecast:
    """The sizes on the way, seconds from the first step to the last, bytes at the peak."""

    levels: tuple[Level, ...]
    seconds: float
    memory: int


def forecast(
    task: Task, network: FeatureMaps, clock: Callable[[], float] = time.perf_counter
) -> Forecast:
    """Time one evaluation at a small size and count pixels; nothing is painted."""
    check_pictures(task)
    canvas = Canvas(task, network.mean, network.device)
    levels = canvas.levels()
    trial = _trial(task, levels[-1])
    target = Target(canvas, network, trial)
    u = canvas.start(trial.size)
    target(u)  # the first one also sets up the machinery
    began = clock()
    float(target(u).objective)
    per_pixel = (clock() - began) / _area(trial)
    evaluations = sum(_area(level) * (level.steps + 1) for level in levels)
    return Forecast(levels, per_pixel * evaluations, _memory(task, levels[-1]))


def _trial(task: Task, final: Level) -> Level:
    """The final level, shrunk to a small size that every feature map survives."""
    objective = task.recipe.objective
    least = least_side(objective.network, objective.layers)
    scale = max(_TRIAL_SIDE / max(final.size), least / min(final.size))
    if scale >= 1:
        return final
    width, height = final.size
    size = max(least, round(width * scale)), max(least, round(height * scale))
    return replace(final, size=size, scale=scale)


def _area(level: Level) -> int:
    return level.size[0] * level.size[1]


def _memory(task: Task, final: Level) -> int:
    """Bytes at the peak: what the process holds already, the maps, and the optimiser's vectors."""
    objective = task.recipe.objective
    per_pixel = map_bytes(objective.layers) + optimiser_bytes(task.recipe.schedule.optimiser)
    return _held() + _area(final) * per_pixel


def map_bytes(layers: Collection[LayerName]) -> int:
    """Bytes for each pixel of the picture that one evaluation holds at its peak.

    Every map and its pool stays until the gradient comes back through it; at the first block,
    three more maps of its size live at once (the gradients in and out, and a Gram's).
    """
    total = 0.0
    for layer in layers_up_to(layers):
        share = 4.0 ** -pools_before(layer)  # of the picture's pixels
        total += _channels(layer) * share * _FLOAT
        if layer.endswith("_1") and layer != "conv1_1":
            total += _channels(layer) / 2 * share * (_FLOAT + _INDEX)
    return round(total + 3 * _channels("conv1_1") * _FLOAT)


def optimiser_bytes(settings: recipe.Adam | recipe.Sgd | recipe.Lbfgs) -> int:
    """Bytes for each pixel that an optimiser remembers in the end: vectors of three floats."""
    match settings:
        case recipe.Adam():
            vectors = 4
        case recipe.Sgd():
            vectors = 2
        case recipe.Lbfgs():
            vectors = 2 * settings.history + 5
    return vectors * 3 * _FLOAT


def _channels(layer: LayerName) -> int:
    return min(512, 64 << pools_before(layer))


def _held() -> int:
    """The most that this process has held so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
