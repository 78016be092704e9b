"""Plan of a painting's memory: its need by formulas, and the tiles and history that fit."""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal

import torch

from stylewatch_painter.algorithm.neighbors import SEARCH_BYTES, Search, grid, neighbor_searches
from stylewatch_painter.algorithm.padding import border, padded_pixels
from stylewatch_painter.algorithm.scales import Level, Size, channels, pools_before
from stylewatch_painter.algorithm.task import (
    LEAST_PAIRS,
    UNLIMITED,
    MemoryPlan,
    Settings,
    Task,
    region_count,
)
from stylewatch_painter.algorithm.tiles import halo
from stylewatch_painter.errors import PictureError
from stylewatch_painter.network.vgg19 import MapFormat, layers_up_to
from stylewatch_painter.process_memory import available, resident
from stylewatch_painter.recipes import recipe
from stylewatch_painter.recipes.recipe import LayerName

_FLOAT = 4  # bytes
_FLAG = 1  # byte: whether a value is above zero
_AVERAGED = 3 * 3 * _FLOAT  # bytes per pixel: a moving average, and the picture made from it
_INDEX = 8  # bytes: the position of a maximum in a pool
_PICTURE = 3 * _FLOAT  # bytes of a pixel, in a vector of the picture's size
_BEFORE = 1  # vectors: the picture before the step
_WORKING = 4  # vectors that a step works with, or that a picture to be shown passes through
_SMOOTH = 5  # vectors: differences for the smoothness loss
_SEEN = 3  # vectors of a picture that the network sees: in its units, padded, channels last
_SAMPLES = 5  # copies of the samples of a layer that a backward pass needs, measured
_SIMILARITIES = 7  # matrices of samples by samples that self-similarity needs, measured
_BLOCKS = 2  # blocks of similarities in a backward pass, with what it leaves free, measured

SIDES = (2048, 1536, 1024, 768, 512)
"""Sides of tiles to try in pixels, largest first: then halos matter least."""
_SHORTER = (384, 256)
_PROCESS = 250 * 10**6  # bytes: the network, and what the libraries allocate while they compute
_LOADED = resident()  # bytes, before there is any picture or network, but with torch
_SHARE = 0.9  # of the free memory; the rest is for other processes


@dataclass(frozen=True)
class MemorySettings:
    """Memory settings: `limit` in bytes for the process, or for a GPU's memory.

    `tile` in pixels, `history` in pairs; `auto` is chosen so that it fits. `left`: bytes that
    earlier paintings of this process hold; they are not counted for this one.
    """

    tile: Literal["auto", "none"] | int = "auto"
    history: Literal["auto", "whole"] | int = "auto"
    limit: int | None = None
    left: int = 0


def left() -> int:
    """Bytes that earlier paintings hold in this process, before the next pictures are read.

    They are the cached network and the libraries' allocations.
    """
    return max(0, resident() - _LOADED)


def choose(
    task: Task, wanted: MemorySettings, device: torch.device, map_format: MapFormat
) -> MemoryPlan:
    """Choose the limits for `task` on `device`, for a network whose maps have `map_format`.

    If none fits, raises PictureError where there is a limit, and else returns the one that takes
    least.
    """
    free = _free(wanted, device)
    choice = UNLIMITED
    for choice in _memory_plans(task, wanted):
        least = needed(task, choice, map_format)
        if least <= free:
            return choice
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
    return choice


def warnings(task: Task, chosen: MemoryPlan) -> Iterator[str]:
    """Describe where the limits of memory make a painting depart from its recipe."""
    settings = task.recipe.schedule.optimizer
    used = chosen.optimizer(settings)
    if used is settings or not isinstance(settings, recipe.Lbfgs):
        return
    width, height = task.final
    yield (
        f"there is not enough memory for {settings.history} pairs of L-BFGS at {width}x{height} "
        "pixels: "
        + (f"it keeps {used.history}" if isinstance(used, recipe.Lbfgs) else "Adam replaces it")
    )


def _memory_plans(task: Task, wanted: MemorySettings) -> Iterator[MemoryPlan]:
    """All choices, best first: in one piece, in tiles, then with shorter histories.

    A recipe that cannot be divided into tiles has no choice but the length of its history.
    Computing the content's maps at each step takes half as long again, Adam more steps.
    """
    settings, tile = task.recipe.schedule.optimizer, wanted.tile
    if task.final_terms.needs_whole_picture:
        tile = "none"
    histories: list[int | None] = [wanted.history if isinstance(wanted.history, int) else None]
    none_at_all: list[int | None] = []
    if wanted.history == "auto" and isinstance(settings, recipe.Lbfgs):
        histories += range(settings.history - 1, LEAST_PAIRS - 1, -1)
        none_at_all = [0]
    groups: tuple[tuple[int | None, ...], ...] = (SIDES, _SHORTER)
    if tile != "auto":
        groups = ((None if tile == "none" else tile,),)
    if isinstance(tile, str):
        yield MemoryPlan(None, histories[0])
    for tried in (histories, none_at_all):
        for keeps, sides, pairs in product((True, False), groups, tried):
            yield from (MemoryPlan(side, pairs, keeps) for side in sides)


def _free(wanted: MemorySettings, device: torch.device) -> float:
    """Bytes that a painting may allocate.

    The first painting of a process must leave room for the caches; later ones find them filled.
    """
    limit = wanted.limit
    if device.type == "cuda":
        allocated = torch.cuda.memory_allocated(device)
        free, _ = torch.cuda.mem_get_info(device)
        free += torch.cuda.memory_reserved(device) - allocated
        return _SHARE * free if limit is None else min(free, limit - max(0, allocated - _PROCESS))
    if limit is not None:
        return limit - resident() - max(0, _PROCESS - wanted.left)
    return _SHARE * available() - _PROCESS


def needed(task: Task, memory_plan: MemoryPlan, map_format: MapFormat) -> int:
    """Peak memory of a painting in bytes, beyond its input pictures.

    It is the sum of the feature maps that exist at once, and the optimizer's vectors; with tiles
    also the content maps that are kept, and the vectors of a step. Where positions are compared, a
    coarse size can take more than the final one, and the maps of a large style more than those of
    the painting.
    """
    schedule, objective = task.recipe.schedule, task.recipe.objective
    pixels, tile = math.prod(task.final), memory_plan.tile
    averaged = _AVERAGED if schedule.ema_decay else 0
    undivided = max(
        (
            _undivided_bytes(task, level, tile, map_format)
            + _vectors(task, memory_plan, level)
            + math.prod(level.size) * averaged
            for level in task.levels()
            if task.terms(level).needs_whole_picture
        ),
        default=0,
    )
    terms = task.final_terms
    if terms.needs_whole_picture:
        return undivided
    is_whole = tile is None or tile >= max(task.final)
    content = content_bytes(objective) if is_whole or memory_plan.keeps_content else _PICTURE
    styles = max(_style_bytes(task, level, tile, map_format) for level in task.levels())
    styles += pixels * (content + _WORKING * _PICTURE + averaged)
    # the last sizes of an upscaled painting have few steps and so a short history
    vectors = max(_vectors(task, memory_plan, level) for level in task.levels())
    vectors += pixels * averaged
    maps = _pixels_at_once(task.final, tile, terms.layers, objective.network)
    maps *= map_bytes(terms, objective.network.pool, map_format)
    if is_whole:
        return max(undivided, styles, maps + vectors)
    planes = 0 if task.content_mask is None else region_count(task.content_mask)
    smooth = 0 if objective.tv is None else _SMOOTH * _PICTURE
    kept = pixels * (content + _BEFORE * _PICTURE + planes * 2 * _FLOAT)
    tiled = vectors + kept + max(maps, pixels * (_WORKING * _PICTURE + smooth))
    return max(undivided, styles, tiled)


def _pixels_at_once(
    size: Size, tile: int | None, layers: Collection[LayerName], network: recipe.Network
) -> int:
    """Pixels that the network sees at once of a picture of `size`, in tiles of that side."""
    if tile is None or tile >= max(size):
        return padded_pixels(size, network)
    side = tile + 2 * (halo(layers) + border(network))
    return min(side, size[0]) * min(side, size[1])


def _style_bytes(task: Task, level: Level, tile: int | None, map_format: MapFormat) -> int:
    """Peak bytes while the maps of a style are computed at a level, for the largest style."""
    pool, peak = task.recipe.objective.network.pool, 0.0
    for size, layers, pixels in _style_passes(task, level, tile):
        maps = pixels * seen_bytes(layers, pool, map_format)
        peak = max(peak, maps + math.prod(size) * _SEEN * _PICTURE)
    return round(peak)


def _style_passes(
    task: Task, level: Level, tile: int | None
) -> Iterator[tuple[Size, Collection[LayerName], int]]:
    """The sizes, layers and pixels at once with which the network sees the styles at a level."""
    terms, network = task.terms(level), task.recipe.objective.network
    gram_layers = () if terms.style is None else tuple(terms.style.layers)
    for style in task.styles:
        for scale, layers in task.style_views(style, level.scale, gram_layers).items():
            size = task.style_size(style, scale)
            yield size, layers, _pixels_at_once(size, tile, layers, network)
        size = task.style_size(style, level.scale)
        for term in (terms.neighbors, terms.transport):
            if term is not None:
                yield size, term.layers, padded_pixels(size, network)


def _undivided_bytes(task: Task, level: Level, tile: int | None, map_format: MapFormat) -> int:
    """Peak bytes at a size whose positions are compared, without the optimizer's vectors."""
    terms, network = task.terms(level), task.recipe.objective.network
    sampled = _transport_bytes(task, level)
    styles = sampled + _style_bytes(task, level, tile, map_format)
    maps = padded_pixels(level.size, network) * map_bytes(terms, network.pool, map_format)
    maps += sampled
    neighbors = terms.neighbors
    if neighbors is None:
        return max(maps, styles)
    if map_format is MapFormat.FUSED:  # gradients of matched maps have memory of their own
        maps += round(math.prod(level.size) * _values(neighbors.layers) * _FLOAT)
    searches = neighbor_searches(task, level)
    if neighbors.each == "layer":
        turns = 4 if neighbors.rotations else 1
        pixels = sum(math.prod(task.style_size(style, level.scale)) for style in task.styles)
        held = turns * pixels * _values(neighbors.layers) * _FLOAT
        return round(held + max(maps + _sampled_bytes(searches), styles))
    value = sum(map(channels, neighbors.layers)) * _FLOAT
    columns = math.prod(grid(level.size))
    candidates = max((search.candidates for search in searches), default=0)
    outside = task.content_mask is not None  # which has targets, too
    regions = region_count(task.content_mask) + outside
    targets = len(task.styles) * regions * columns * value
    # candidates, those in the mask, those centered; columns of content and painting, those centered
    copies = 2 + any(style.mask is not None for style in task.styles)
    search = (copies * candidates + 3 * columns) * value
    blocks = 2 if neighbors.hub_penalty or neighbors.brightness else 1
    search += blocks * min(SEARCH_BYTES, columns * candidates * _FLOAT)
    return round(
        targets
        + max(search, maps + 2 * columns * value, styles + (candidates + 2 * columns) * value)
    )


def _sampled_bytes(searches: Collection[Search]) -> float:
    """Bytes of the samples in a match of single layers: of all layers, and of a search in one."""
    kept = sum(_SAMPLES * search.queries * search.features * _FLOAT for search in searches)
    largest = max(
        (
            _BLOCKS * min(SEARCH_BYTES, search.queries * search.candidates * _FLOAT)
            + 3 * search.candidates * search.features * _FLOAT
            for search in searches
        ),
        default=0,  # without a style, which is refused once the pictures are checked
    )
    return kept + largest


def _values(layers: Collection[LayerName]) -> float:
    """Values in the maps of some layers, for each pixel of the picture."""
    return sum(channels(layer) / float(4 ** pools_before(layer)) for layer in layers)


def _vectors(task: Task, memory_plan: MemoryPlan, level: Level) -> int:
    """Bytes of the optimizer at one size."""
    pixels, final = math.prod(level.size), math.prod(task.final)
    optimizer = memory_plan.optimizer(task.recipe.schedule.optimizer, final / pixels)
    return pixels * optimizer_bytes(optimizer, level.steps)


def content_bytes(objective: recipe.Objective) -> int:
    """Bytes of the content's maps in float32, for each pixel of the picture."""
    layers = () if objective.content is None else objective.content.layers
    return round(_values(layers) * _FLOAT)


def _transport_bytes(task: Task, level: Level) -> int:
    """Bytes of the content's maps that are sampled, and of the samples, whatever the size."""
    settings, regions = task.terms(level).transport, region_count(task.content_mask)
    if settings is None:
        return 0
    content = math.prod(level.size) * (round(_values(settings.layers) * _FLOAT) + 2 * _PICTURE)
    length = 3 + sum(map(channels, settings.layers))
    kept = len(task.styles) * regions * length * (settings.style_samples + length)
    hypercolumn_sets = (1 + regions) * 5 * settings.samples * length
    pairs = (regions + 1) * settings.style_samples * length
    matrices = 3 * settings.samples * settings.style_samples + regions * 4 * length**2
    if task.content is not None:
        matrices += _SIMILARITIES * settings.samples**2
    return content + (kept + hypercolumn_sets + pairs + matrices) * _FLOAT


def map_bytes(
    terms: recipe.Terms, pool: recipe.Pool, map_format: MapFormat = MapFormat.FLOAT32
) -> int:
    """Peak bytes of the feature maps in an evaluation, for each pixel of the picture.

    Layers with a loss hold the map and its gradient; others hold signs, or the map itself where a
    value takes two bytes; max pools hold indices. In the first block three more maps exist at
    once: the input and output of a convolution, and one for the Gram matrix. The compiled
    convolutions hold less: gradients take the place of maps, a bit stands for a sign and a byte
    for an index, and in the first block one more map and its pooled one exist at once. This is for
    VGG19; VGG16 takes slightly less.
    """
    layers = terms.layers
    chain = layers_up_to(layers)
    if map_format is MapFormat.FUSED:
        sizes = {layer: channels(layer) / float(4 ** pools_before(layer)) for layer in chain}
        kept = sum(sizes[layer] for layer in chain if layer in layers) * _FLOAT
        flags = sum(sizes.values()) * (_FLAG / 8 + _FLAG / 4)
        first = sizes["conv1_1"] * (1 + 1 / 4) * _FLOAT
        return round(kept + flags + first)
    value = _FLOAT if map_format is MapFormat.FLOAT32 else _FLOAT // 2
    sign = _FLAG if value == _FLOAT else value
    total = 3.0 * channels("conv1_1") * value
    for layer, after in zip(chain, (*chain[1:], chain[-1]), strict=True):
        values = channels(layer) / 4 ** pools_before(layer)
        total += values * (2 * value if layer in layers else sign)
        if pool == "max" and pools_before(after) > pools_before(layer):
            total += values / 4 * _INDEX
    return round(total)


def seen_bytes(layers: Collection[LayerName], pool: recipe.Pool, map_format: MapFormat) -> float:
    """Peak bytes of feature maps without a gradient, for each pixel of the picture.

    The maps of `layers` are kept, and the indices of max pools; the output of a convolution exists
    beside its input, then beside that of its pool. Last a mask, or the cut after a padding, copies
    a map. The compiled convolutions pool at once: they write no indices, and in front of a pool
    only maps that are kept.
    """
    is_fused = map_format is MapFormat.FUSED
    value = _FLOAT // 2 if map_format is MapFormat.BFLOAT16 else _FLOAT
    peak = kept = indices = before = largest = 0.0
    chain = layers_up_to(layers)
    for layer, after in zip(chain, (*chain[1:], chain[-1]), strict=True):
        output, is_kept = channels(layer) / 4 ** pools_before(layer) * value, layer in layers
        pooled = output / 4 if pools_before(after) > pools_before(layer) else 0
        places = pooled / value * _INDEX if pool == "max" and not is_fused else 0
        written = 0 if pooled and is_fused and not is_kept else output
        beside = before + pooled if is_fused else max(before, pooled + places)
        peak = max(peak, kept + indices + written + beside)
        indices += places
        if is_kept:
            kept, largest = kept + output, max(largest, output)
        before = pooled or (0 if is_kept else output)
    return max(peak, kept + largest)


def optimizer_bytes(settings: Settings, steps: int) -> int:
    """Bytes of an optimizer for each pixel after `steps`, as vectors of three floats."""
    match settings:
        case recipe.Adam():
            vectors = 8 if settings.pyramid else 4
        case recipe.Sgd():
            vectors = 2
        case recipe.Rmsprop():
            vectors = 7 if settings.pyramid else 4
        case recipe.Lbfgs():
            to_go_back = 0 if settings.step_back is None else 3
            vectors = 2 * min(settings.history, steps) + 5 + to_go_back
    return vectors * 3 * _FLOAT
