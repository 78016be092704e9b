"""Forecast of time and memory, and the choice of tiles and history that fit."""

import hashlib
import math
import os
import resource
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from platformdirs import user_cache_path
from pydantic import TypeAdapter

from stylewatch_painter.algorithm.canvas import Canvas, check_pictures
from stylewatch_painter.algorithm.neighbors import MOST_SAMPLED, SEARCH_BYTES, grid, nearest
from stylewatch_painter.algorithm.objective import Objective
from stylewatch_painter.algorithm.padding import border, padded_pixels
from stylewatch_painter.algorithm.scales import Level, least_side, pools_before
from stylewatch_painter.algorithm.task import (
    LEAST_PAIRS,
    UNLIMITED,
    MemoryPlan,
    Settings,
    Task,
    region_count,
    searches_line,
)
from stylewatch_painter.algorithm.tiles import halo, tiles
from stylewatch_painter.errors import PictureError
from stylewatch_painter.network.calibration import kept, place
from stylewatch_painter.network.vgg19 import FeatureMaps, MapFormat, Vgg19, layers_up_to
from stylewatch_painter.process_memory import available, resident
from stylewatch_painter.recipes import recipe
from stylewatch_painter.recipes.recipe import LayerName

_TRIAL_SIDES = {False: (96, 256), True: (64, 160)}
"""Pixels of a long side, by whether coarse terms hold; seconds at others are extrapolated."""
_TRIAL_SEARCH = 1024, 4096  # queries and candidates, likewise
_TRIALS = 3  # the fastest counts: other processes disturb the others
_ENOUGH = 1.0  # second, after which there are no more trials
_ALONE = 0.8  # share of the processors that a process gets if there is no other; 0.96 measured
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_PER_SEARCH = 1.03  # evaluations per step with a line search, measured over 300 steps
_FIRST_SEARCH = 20  # more evaluations at each size without a `first_step`
_FLOAT = 4  # bytes
_FLAG = 1  # byte: whether a value is above zero
_AVERAGED = 3 * 3 * _FLOAT  # bytes per pixel: a moving average, and the picture made from it
_INDEX = 8  # bytes: the position of a maximum in a pool
_PICTURE = 3 * _FLOAT  # bytes of a pixel, in a vector of the picture's size
_BEFORE = 1  # vectors: the picture before the step
_WORKING = 4  # vectors that a step works with, or that a picture to be shown passes through
_SMOOTH = 5  # vectors: differences for the smoothness loss
_TILE_PASSES = 1.4  # tiles are evaluated twice, once without a backward pass
_CONTENT_PASS = 0.8  # a forward pass in float32
_SAMPLES = 5  # copies of the samples of a layer that a backward pass needs, measured
_BLOCKS = 2  # blocks of similarities in a backward pass, with what it leaves free, measured


@dataclass(frozen=True)
class Forecast:
    """All sizes, seconds from the first step to the last, bytes at the peak.

    `tile`: side of the tiles at the final size in pixels; None: in one piece. `busy`: other
    programs use the processors; `seconds` are without them.
    """

    levels: tuple[Level, ...]
    seconds: float
    memory: int
    tile: int | None = None
    busy: bool = False


Clock = Callable[[], tuple[float, float]]
"""Seconds that passed, and seconds that processors worked for this process."""


def _clock() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def forecast(
    task: Task,
    network: FeatureMaps,
    memory_plan: MemoryPlan = UNLIMITED,
    clock: Clock = _clock,
) -> Forecast:
    """Interpolate from the times of evaluations at small sizes; nothing is painted.

    The times of an objective are read from a file in the user's cache folder, or measured and, on
    an idle machine, written to it.
    """
    check_pictures(task)
    file = user_cache_path("stylewatch") / "durations.json"
    durations = kept(file, _FILE, _key(task, network), lambda: _measured(task, network, clock))
    levels, settings, total = task.levels(), task.recipe.schedule.optimizer, 0.0
    for level in levels:
        evaluated = evaluations(settings, level.steps)
        searching = durations.searching(_searches(task, level))
        pixels = _pixels_evaluated(level, task, memory_plan)
        total += durations.painting(_kind(task, level), pixels, evaluated)
        total += searching * (evaluated if task.terms(level).matches_layers else 1)
    maps = network.map_format if isinstance(network, Vgg19) else MapFormat.FLOAT32
    memory, tile = _peak_memory() + needed(task, memory_plan, maps), memory_plan.tile
    is_whole = tile is None or tile >= max(levels[-1].size)
    return Forecast(levels, total, memory, None if is_whole else tile, durations.busy)


@dataclass(frozen=True)
class _Search:
    """A search for the neighbors of so many rows of N features."""

    queries: float
    candidates: float
    features: int


def _searches(task: Task, level: Level) -> list[_Search]:
    """The searches for neighbors at a size: for each style, where single layers match for each."""
    neighbors = task.terms(level).neighbors
    if neighbors is None:
        return []
    turns = 4 if neighbors.rotations else 1
    styles = [task.style_size(style, level.scale) for style in task.styles]
    if neighbors.each == "column":
        features, queries = sum(map(_channels, neighbors.layers)), math.prod(grid(level.size))
        return [_Search(queries, turns * math.prod(grid(style)), features) for style in styles]
    searches = []
    for layer in neighbors.layers:
        stride = max(1, (max(level.size) >> pools_before(layer)) // MOST_SAMPLED)
        apart = 4 ** pools_before(layer) * stride**2
        for style in styles:
            queries, candidates = math.prod(level.size) / apart, turns * math.prod(style) / apart
            searches.append(_Search(queries, candidates, _channels(layer)))
    return searches


def _timed(task: Task, network: FeatureMaps, trial: Level, clock: Clock) -> tuple["Point", bool]:
    """The times of a size, and whether other programs are busy here."""
    canvas = Canvas(task, network.mean, network.device)
    start, settings = canvas.start(trial.size), task.recipe.schedule.optimizer
    u, on_cpu = start.clone(), network.device.type == "cpu"

    def begin() -> Objective:
        return Objective([canvas], network, trial, start=start)

    objective, optimizer = begin(), canvas.new_optimizer(trial)
    objective(u)  # the first evaluation also sets up the libraries

    def step() -> float:
        if searches_line(settings):  # makes several evaluations
            return float(objective(u).objective)
        return float(optimizer.step(u, objective).objective)

    seconds, busy = _shortest_time(step, clock, on_cpu=on_cpu)
    first, first_busy = _shortest_time(
        lambda: float(begin()(start).objective), clock, on_cpu=on_cpu
    )
    pixels = padded_pixels(trial.size, task.recipe.objective.network)
    return (pixels, max(0.0, first - seconds), seconds), busy or first_busy


Point = tuple[int, float, float]
"""The pixels of a small picture, the seconds until its targets are there, and of an evaluation.

An evaluation includes what the optimizer does between two of them.
"""


@dataclass(frozen=True)
class Durations:
    """The times of an objective on a device: of each kind of size, and of searches.

    Points have rising numbers of pixels, and times without searches. `search` has the seconds for
    each query and candidate by the number of features. `busy`: other programs used the processors.
    """

    points: Mapping[str, tuple[Point, ...]]
    search: Mapping[int, float]
    busy: bool = False

    def painting(self, kind: str, pixels: float, evaluations: float) -> float:
        """The seconds of targets and evaluations of so many pixels, without searches."""
        sizes, *times = zip((0, 0.0, 0.0), *self.points[kind], strict=True)
        begin, each = (_interpolated(pixels, sizes, seconds) for seconds in times)
        return begin + each * evaluations

    def searching(self, searches: Collection[_Search]) -> float:
        """The seconds of some searches."""
        return sum((self.search[x.features] * x.queries * x.candidates for x in searches), 0.0)


def _interpolated(pixels: float, sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """The seconds of so many pixels, linear between the sizes and behind them."""
    if pixels > sizes[-1]:
        per_pixel = (seconds[-1] - seconds[-2]) / (sizes[-1] - sizes[-2])
        return seconds[-1] + max(0.0, per_pixel) * (pixels - sizes[-1])
    return float(np.interp(pixels, sizes, seconds))


_FILE = TypeAdapter(dict[str, Durations])


def _key(task: Task, network: FeatureMaps) -> str:
    """The key of a task's times: device, libraries, format of maps, and a digest of its terms."""
    maps = network.map_format if isinstance(network, Vgg19) else type(network).__name__
    terms = (
        task.recipe.objective.model_dump_json(exclude={"strength"}),
        task.recipe.schedule.model_dump_json(
            include={"optimizer", "style_size", "style_scale", "stroke"}
        ),
        sorted({_kind(task, level) for level in task.levels()}),
        len(task.styles),
        region_count(task.content_mask),
        task.content is None,
        task.prior is None,
    )
    digest = hashlib.sha256(repr(terms).encode()).hexdigest()[:16]
    return f"{place(network.device)}, {maps}, {digest}"


_MATCHED = ", matched"


def _kind(task: Task, level: Level) -> str:
    """The kind of a size, by the terms that it has; each kind is timed by itself."""
    kind = "coarse" if level.is_coarse else "fine"
    return kind if task.terms(level).neighbors is None else kind + _MATCHED


def _measured(task: Task, network: FeatureMaps, clock: Clock) -> tuple[Durations, bool]:
    """Time evaluations at small sizes and small searches; return whether the times are reliable."""
    final, any_busy = task.levels()[-1], False
    points: dict[str, tuple[Point, ...]] = {}
    times = {count: _search_time(count, network.device, clock) for count in _matched_features(task)}
    durations = Durations({}, times)
    of_kinds = {_kind(task, level): level for level in task.levels()}
    for kind, level in sorted(of_kinds.items()):  # those without a match first
        unmatched = points.get(kind.removesuffix(_MATCHED), ())
        sides = _TRIAL_SIDES[level.is_coarse][: 1 if unmatched else None]
        at = replace(final, is_coarse=level.is_coarse)
        timed = []
        for trial in {_trial(task, at, side) for side in sides}:
            of_trial = _with_match_of(task, level, trial)
            (pixels, first, seconds), busy = _timed(of_trial, network, trial, clock)
            searching = durations.searching(_searches(of_trial, trial))
            if of_trial.terms(trial).matches_layers:
                seconds -= searching
            else:
                first -= searching
            timed.append((pixels, max(0.0, first), max(0.0, seconds)))
            any_busy |= busy
        points[kind] = _with_more(unmatched, *timed) if unmatched else tuple(sorted(timed))
    return replace(durations, points=points, busy=any_busy), not any_busy


def _with_match_of(task: Task, level: Level, trial: Level) -> Task:
    """The task with the match that `level` has, or without one, at the size of a trial."""
    objective, match = task.recipe.objective, task.terms(level).neighbors
    if match is not None:
        match = match.model_copy(update={"largest": max(trial.size)})
    terms = objective.at(coarse=level.is_coarse).model_copy(update={"neighbors": match})
    changed = objective.model_copy(update={"coarse": terms}) if level.is_coarse else terms
    return replace(task, recipe=task.recipe.model_copy(update={"objective": changed}))


def _with_more(points: Sequence[Point], trial: Point) -> tuple[Point, ...]:
    """The points with what a trial with a match takes longer than the first one, by their pixels.

    Without its search, a match takes as long for every pixel, so that one trial is enough.
    """
    (pixels, *times), (_, *others) = trial, points[0]
    first, seconds = (max(0.0, a - b) / pixels for a, b in zip(times, others, strict=True))
    return tuple((size, a + first * size, b + seconds * size) for size, a, b in points)


def _matched_features(task: Task) -> set[int]:
    """The number of features that rows have in the searches of any size."""
    objective, counts = task.recipe.objective, set[int]()
    for terms in (objective, objective.coarse):
        if terms is not None and terms.neighbors is not None:
            channels = [_channels(layer) for layer in terms.neighbors.layers]
            counts.update([sum(channels)] if terms.neighbors.each == "column" else channels)
    return counts


def _search_time(features: int, device: torch.device, clock: Clock) -> float:
    """Seconds for each query and candidate of a small search."""
    queries, candidates = _TRIAL_SEARCH
    rows = torch.randn(queries + candidates, features, device=device)

    def search() -> float:
        return float(nearest(rows[:queries], rows[queries:])[0])

    seconds, _ = _shortest_time(search, clock, on_cpu=device.type == "cpu")
    return seconds / (queries * candidates)


def _shortest_time(
    evaluate: Callable[[], float], clock: Clock, *, on_cpu: bool
) -> tuple[float, bool]:
    """Seconds of `evaluate` on an idle machine, and whether this one is busy.

    On a busy machine, threads wait for a processor and then for each other: that can take 20 times
    as long. The work of a single thread does not depend on it.
    """

    def trials() -> NDArray[np.float64]:
        moments = [clock()]
        while len(moments) <= _TRIALS and moments[-1][0] < moments[0][0] + _ENOUGH:
            evaluate()  # returns a float, which synchronizes
            moments.append(clock())
        return np.diff(moments, axis=0).T

    passed, worked = trials()
    threads = torch.get_num_threads()
    processors = min(threads, _processors())
    if not on_cpu or worked.sum() >= _ALONE * processors * passed.sum():
        return float(passed.min()), False
    torch.set_num_threads(1)
    try:
        _, worked = trials()
    finally:
        torch.set_num_threads(threads)
    return float(min(passed.min(), worked.min() / processors)), True


def _processors() -> float:
    """Number of processors that this process may use."""
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # "max" where there is no quota
        quota, period = map(int, _QUOTA.read_text().split())
        return min(allowed, quota / period)
    return allowed


def evaluations(settings: Settings, steps: int) -> float:
    """Estimated number of evaluations for `steps` steps at one size."""
    if not searches_line(settings) or not steps:
        return steps
    return steps * _PER_SEARCH + (_FIRST_SEARCH if settings.first_step is None else 0)


def _trial(task: Task, final: Level, side: int) -> Level:
    """The final level at a small size, at which no feature map is empty."""
    objective, (width, height) = task.recipe.objective, final.size
    least = least_side(objective.network, objective.all_layers)
    styles = [task.style_size(style, final.scale) for style in task.styles]
    narrowest = min(side for size in (final.size, *styles) for side in size)
    scale = max(side / max(final.size), least / narrowest)
    size = max(least, round(width * scale)), max(least, round(height * scale))
    return replace(final, size=size, scale=scale * final.scale)


def _pixels_evaluated(level: Level, task: Task, memory_plan: MemoryPlan) -> float:
    """Pixels that one evaluation processes, with halos and both passes."""
    terms = task.terms(level)
    tile = None if terms.needs_whole_picture else memory_plan.tile
    parts = tiles(level.size, tile, terms.layers)
    if len(parts) == 1:
        return padded_pixels(level.size, task.recipe.objective.network)
    passes = _TILE_PASSES if memory_plan.keeps_content else _TILE_PASSES + _CONTENT_PASS
    return passes * sum(part.pixels(level.size) for part in parts)


def needed(task: Task, memory_plan: MemoryPlan, map_format: MapFormat) -> int:
    """Peak memory of a painting in bytes, beyond its input pictures.

    It is the sum of the feature maps that exist at once, and the optimizer's vectors; with tiles
    also the content maps that are kept, and the vectors of a step. Where positions are compared, a
    coarse size can take more than the final one.
    """
    schedule, objective = task.recipe.schedule, task.recipe.objective
    width, height = task.final
    pixels = width * height
    averaged = _AVERAGED if schedule.ema_decay else 0
    undivided = max(
        (
            _undivided_bytes(task, level, map_format)
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
    each = map_bytes(terms, objective.network.pool, map_format)
    # the last sizes of an upscaled painting have few steps and so a short history
    vectors = max(_vectors(task, memory_plan, level) for level in task.levels())
    vectors += pixels * averaged
    if memory_plan.tile is None or memory_plan.tile >= max(width, height):
        maps = padded_pixels(task.final, objective.network) * each
        return max(undivided, maps + vectors)
    side = memory_plan.tile + 2 * (halo(terms.layers) + border(objective.network))
    maps = min(side, width) * min(side, height) * each
    content = content_bytes(objective) if memory_plan.keeps_content else _PICTURE
    planes = 0 if task.content_mask is None else region_count(task.content_mask)
    smooth = 0 if objective.tv is None else _SMOOTH * _PICTURE
    kept = pixels * (content + _BEFORE * _PICTURE + planes * 2 * _FLOAT)
    tiled = vectors + kept + max(maps, pixels * (_WORKING * _PICTURE + smooth))
    return max(undivided, tiled)


def _undivided_bytes(task: Task, level: Level, map_format: MapFormat) -> int:
    """Peak bytes at a size whose positions are compared, without the optimizer's vectors."""
    terms, network = task.terms(level), task.recipe.objective.network
    maps = padded_pixels(level.size, network) * map_bytes(terms, network.pool, map_format)
    maps += _transport_bytes(task, level)
    neighbors = terms.neighbors
    if neighbors is None:
        return maps
    if map_format is MapFormat.FUSED:  # gradients of matched maps have memory of their own
        maps += round(math.prod(level.size) * _values(neighbors.layers) * _FLOAT)
    searches = _searches(task, level)
    if neighbors.each == "layer":
        turns = 4 if neighbors.rotations else 1
        pixels = sum(math.prod(task.style_size(style, level.scale)) for style in task.styles)
        held = turns * pixels * _values(neighbors.layers) * _FLOAT
        return round(held + maps + _sampled_bytes(searches))
    value = sum(map(_channels, neighbors.layers)) * _FLOAT
    columns = math.prod(grid(level.size))
    candidates = max((search.candidates for search in searches), default=0)
    outside = task.content_mask is not None  # which has targets, too
    regions = region_count(task.content_mask) + outside
    targets = len(task.styles) * regions * columns * value
    # candidates, then centered; the content's columns, the painting's, and those centered
    search = (2 * candidates + 3 * columns) * value + min(SEARCH_BYTES, columns * candidates * 4)
    return round(targets + max(search, maps + 2 * columns * value))


def _sampled_bytes(searches: Collection[_Search]) -> float:
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
    return sum(_channels(layer) / float(4 ** pools_before(layer)) for layer in layers)


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
    length = 3 + sum(map(_channels, settings.layers))
    kept = len(task.styles) * regions * length * (settings.style_samples + length)
    hypercolumn_sets = (1 + regions) * 5 * settings.samples * length
    pairs = (regions + 1) * settings.style_samples * length
    matrices = 3 * settings.samples * settings.style_samples + regions * 4 * length**2
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
        sizes = {layer: _channels(layer) / float(4 ** pools_before(layer)) for layer in chain}
        kept = sum(sizes[layer] for layer in chain if layer in layers) * _FLOAT
        flags = sum(sizes.values()) * (_FLAG / 8 + _FLAG / 4)
        first = sizes["conv1_1"] * (1 + 1 / 4) * _FLOAT
        return round(kept + flags + first)
    value = _FLOAT if map_format is MapFormat.FLOAT32 else _FLOAT // 2
    sign = _FLAG if value == _FLOAT else value
    total = 3.0 * _channels("conv1_1") * value
    for layer, after in zip(chain, (*chain[1:], chain[-1]), strict=True):
        values = _channels(layer) / 4 ** pools_before(layer)
        total += values * (2 * value if layer in layers else sign)
        if pool == "max" and pools_before(after) > pools_before(layer):
            total += values / 4 * _INDEX
    return round(total)


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


def _channels(layer: LayerName) -> int:
    return min(512, 64 << pools_before(layer))


def _peak_memory() -> int:
    """Peak memory of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


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


def memory_plan(
    task: Task, wanted: MemorySettings, device: torch.device, map_format: MapFormat
) -> MemoryPlan:
    """Choose the limits for `task` on `device`, for a network whose maps have `map_format`.

    Raises PictureError if no choice fits the limit.
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


def at_once(task: Task, wanted: MemorySettings, device: torch.device, map_format: MapFormat) -> int:
    """Number of tasks like `task` that fit the limit in one batch, at least one."""
    if wanted.limit is None:
        return sys.maxsize
    return max(1, int(_free(wanted, device) // needed(task, UNLIMITED, map_format)))


def warnings(task: Task, chosen: MemoryPlan) -> Iterator[str]:
    """Describe where the limits of memory make a painting depart from its recipe."""
    settings = task.recipe.schedule.optimizer
    used = chosen.optimizer(settings)
    if used is settings or not isinstance(settings, recipe.Lbfgs):
        return
    width, height = task.final
    yield (
        f"memory does not suffice for {settings.history} pairs of L-BFGS at {width}x{height} "
        "pixels: there "
        + (
            f"it remembers {used.history}"
            if isinstance(used, recipe.Lbfgs)
            else "Adam paints in its place"
        )
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
