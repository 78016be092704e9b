"""Forecast of the time of a painting, from trials at a small size, and of its memory."""

import resource
import sys

from stylewatch_painter.network.vgg19 import CountedMaps
from stylewatch_painter.paint.memory import needed
from stylewatch_painter.paint.memory_plan import UNLIMITED, MemoryPlan
from stylewatch_painter.paint.trial import costs
from stylewatch_painter.process_memory import resident
from stylewatch_painter.scene.canvas import check_pictures
from stylewatch_painter.scene.padding import padded_pixels
from stylewatch_painter.scene.scales import Level
from stylewatch_painter.scene.task import Task
from stylewatch_painter.scene.tiles import tiles

_TILE_PASSES = 1.4  # tiles are evaluated twice, once without a backward pass


def forecast(
    task: Task, network: CountedMaps, plan: MemoryPlan = UNLIMITED
) -> tuple[float, int, int | None]:
    """Return the time and the memory that painting `task` would take, from trials at small sizes.

    The result has the seconds of all targets and steps, the peak memory of the process in bytes,
    and the side of the tiles at the final size in pixels, or None for a single piece. Costs may be
    stored in the user's cache folder (see `costs`). Raises PictureError as `check_pictures` does,
    and RecipeError as `Canvas.start` does.
    """
    check_pictures(task)
    levels = task.levels()
    optimizer = task.recipe.schedule.optimizer
    seconds = 0.0
    tried = costs(task, network)
    for level in levels:
        each = tried[level]
        pixels = _pixels_evaluated(level, task, plan)
        evaluated = optimizer.evaluations(level.steps)
        seconds += each.targets.at(pixels) + evaluated * each.step.at(pixels)
    memory = max(resident() + needed(task, network, plan), _peak_memory())
    return seconds, memory, plan.tile_at(levels[-1].size)


def _pixels_evaluated(level: Level, task: Task, plan: MemoryPlan) -> float:
    """Return the number of pixels that one evaluation processes, with halos and both passes."""
    terms = task.terms(level)
    pieces = tiles(level.size, None if terms.needs_whole_picture else plan.tile, terms.layers)
    if len(pieces) == 1:
        return padded_pixels(level.size, task.recipe.objective.network)
    return _TILE_PASSES * sum(tile.pixels(level.size) for tile in pieces)


def _peak_memory() -> int:
    """Return the peak memory of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
