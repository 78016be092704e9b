"""Memory of a painting: the amount, from a trial at a small size, and the tiles that fit."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

import torch

from stylewatch_painter.errors import PictureError
from stylewatch_painter.network.vgg19 import FeatureMaps
from stylewatch_painter.paint.memory_plan import UNLIMITED, MemoryPlan
from stylewatch_painter.paint.trial import Cost, costs
from stylewatch_painter.process_memory import available, resident
from stylewatch_painter.scene.padding import border, padded_pixels
from stylewatch_painter.scene.scales import Level
from stylewatch_painter.scene.task import Task, region_count
from stylewatch_painter.scene.tiles import halo

_VECTOR = 3 * 4  # bytes per pixel of a float32 vector of the picture's size
_SHOWN = 4  # vectors needed to convert a picture for a stage
_IN_TILES = 6  # vectors for the gradient, its sum, differences for smoothness
_SUMS = 3  # sets of sums over tiles: those of all, of one, and the gradient with respect to them

SIDES = (2048, 1536, 1024, 768, 512, 384, 256)
"""Sides of tiles to try, in pixels, largest first: the larger the tile, the smaller the overhead of
halos."""

_LIBRARIES = 60 * 10**6  # bytes that libraries allocate in addition to tensors
_SHARE = 0.9  # share of the free memory; the rest is for other processes
_AMPLE = 2000  # bytes per pixel without the optimizer: more than any recipe needs
_AMPLE_BASE = 500 * 10**6  # bytes of samples and searches


@dataclass(frozen=True)
class MemorySettings:
    """Memory settings: `limit` in bytes for the process, or for a GPU's memory.

    `tile` is in pixels, `history` in pairs; `auto` chooses values that fit.
    """

    tile: Literal["auto", "none"] | int = "auto"
    history: Literal["auto", "whole"] | int = "auto"
    limit: int | None = None


def choose(
    task: Task, device: torch.device, wanted: MemorySettings, load: Callable[[], FeatureMaps]
) -> MemoryPlan:
    """Choose the memory plan for `task` on `device`.

    Tile and history that are both set, as those that an earlier attempt decided, are not examined.
    The network is loaded only if it is not certain that the first choice fits. If none fits, raise
    PictureError if there is a limit, or else return the plan that takes least.
    """
    plans = list(_plans(task, wanted))
    if "auto" not in (wanted.tile, wanted.history):
        return plans[0]
    if wanted.limit is None and (len(plans) == 1 or ample(task) <= _free(wanted, device)):
        return plans[0]
    network = load()
    free, tried = _free(wanted, device), costs(task, network)
    for plan in plans:
        least = needed(task, tried, plan)
        if least <= free:
            return plan
    if wanted.limit is not None:
        width, height = task.final
        undivided = (
            f" (recipe {task.recipe.name} cannot be divided into tiles)"
            if task.final_terms.needs_whole_picture
            else ""
        )
        raise PictureError(
            f"{width}x{height} pixels take about {(wanted.limit - free + least) / 1e9:.3g} GB at "
            f"the least, and limits.memory allows {wanted.limit / 1e9:.3g} GB{undivided}: raise "
            "it, or ask for a smaller size"
        )
    return plan


def warnings(task: Task, chosen: MemoryPlan) -> Iterator[str]:
    """Describe how limits of memory, or a history that is set, change a recipe's optimizer."""
    settings = task.recipe.schedule.optimizer
    used = chosen.optimizer(settings)
    if used is not settings:
        width, height = task.final
        difference = settings.compared_with(used)
        yield f"to save memory, at {width}x{height} pixels {difference}"


def _plans(task: Task, wanted: MemorySettings) -> Iterator[MemoryPlan]:
    """Yield all choices, best first: in one piece, in tiles, then with shorter histories.

    For a recipe that cannot be divided into tiles only the length of its history varies.
    """
    settings, tile = task.recipe.schedule.optimizer, wanted.tile
    if task.final_terms.needs_whole_picture:
        tile = "none"
    histories: list[int | None] = [wanted.history if isinstance(wanted.history, int) else None]
    if wanted.history == "auto":
        histories += settings.shorter_histories
    sides: tuple[int | None, ...] = SIDES
    if tile != "auto":
        sides = (None if tile == "none" else tile,)
    if tile == "auto":
        yield MemoryPlan(None, histories[0])
    for pairs, side in product(histories, sides):
        yield MemoryPlan(side, pairs)


def _free(wanted: MemorySettings, device: torch.device) -> float:
    """Return the bytes that a painting may allocate after the network is loaded."""
    limit = wanted.limit
    if device.type == "cuda":
        allocated = torch.cuda.memory_allocated(device)
        free, _ = torch.cuda.mem_get_info(device)
        free += torch.cuda.memory_reserved(device) - allocated
        return _SHARE * free if limit is None else min(free, limit - allocated)
    if limit is not None:
        return limit - resident() - _LIBRARIES
    return _SHARE * available() - _LIBRARIES


def ample(task: Task) -> float:
    """Return an upper bound of the bytes of a painting in one piece, without a trial."""
    vectors = max(_vectors(task, UNLIMITED, level) for level in task.levels())
    sizes = (task.final, *(task.style_size(style) for style in task.styles))
    return max(map(math.prod, sizes)) * _AMPLE + _AMPLE_BASE + vectors


def needed(task: Task, tried: Mapping[Level, Cost], plan: MemoryPlan) -> int:
    """Return the peak memory of a painting in bytes, without input pictures and network.

    `tried` are the costs of its sizes.
    """
    return round(max(_needed(task, each, plan, level) for level, each in tried.items()))


def _needed(task: Task, each: Cost, plan: MemoryPlan, level: Level) -> float:
    terms, settings = task.terms(level), task.recipe.objective.network
    pixels = math.prod(level.size)
    vectors = _vectors(task, plan, level) + pixels * _SHOWN * _VECTOR
    if task.recipe.schedule.ema_decay:
        vectors += pixels * 2 * _VECTOR
    if plan.tile is None or terms.needs_whole_picture or plan.tile >= max(level.size):
        pixels = padded_pixels(level.size, settings)
        stepping = each.kept_bytes.at(pixels) + each.step_bytes.at(pixels)
        return max(each.target_bytes.at(pixels), stepping) + vectors
    side = plan.tile + 2 * (halo(terms.layers) + border(settings))
    at_once = min(side, level.size[0]) * min(side, level.size[1])
    evaluated = max(each.target_bytes.at(at_once), each.step_bytes.at(at_once))
    in_tiles = pixels * _IN_TILES * _VECTOR + _SUMS * terms.sums_bytes * region_count(
        task.content_mask
    )
    return evaluated + each.kept_bytes.at(pixels) + in_tiles + vectors


def _vectors(task: Task, plan: MemoryPlan, level: Level) -> int:
    """Return the bytes of the optimizer at one size."""
    pixels, final = math.prod(level.size), math.prod(task.final)
    optimizer = plan.optimizer(task.recipe.schedule.optimizer, final / pixels)
    return pixels * _VECTOR * optimizer.vectors(level.steps)
