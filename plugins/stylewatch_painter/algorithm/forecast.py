"""Forecast of the time and memory of a painting."""

import hashlib
import os
import resource
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from platformdirs import user_cache_path
from pydantic import TypeAdapter

from stylewatch_painter.algorithm.canvas import Canvas, check_pictures
from stylewatch_painter.algorithm.memory_plan import needed
from stylewatch_painter.algorithm.neighbors import Search, nearest, neighbor_searches
from stylewatch_painter.algorithm.objective import Objective
from stylewatch_painter.algorithm.padding import padded_pixels
from stylewatch_painter.algorithm.scales import Level, channels, least_side
from stylewatch_painter.algorithm.task import (
    UNLIMITED,
    MemoryPlan,
    Settings,
    Task,
    region_count,
    searches_line,
)
from stylewatch_painter.algorithm.tiles import tiles
from stylewatch_painter.network.calibration import cached_measurement, environment_key
from stylewatch_painter.network.vgg19 import FeatureMaps, MapFormat, Vgg19

_TRIAL_SIDES = {False: (96, 256), True: (64, 160)}
"""Pixels of a long side, by whether coarse terms hold; seconds at others are extrapolated."""
_TRIAL_SEARCH = 1024, 4096  # queries and candidates, likewise
_TRIALS = 3  # the fastest counts: other processes disturb the others
_ENOUGH = 1.0  # second, after which there are no more trials
_ALONE = 0.8  # share of the processors that a process gets if there is no other; 0.96 measured
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_PER_SEARCH = 1.03  # evaluations per step with a line search, measured over 300 steps
_FIRST_SEARCH = 20  # more evaluations at each size without a `first_step`
_TILE_PASSES = 1.4  # tiles are evaluated twice, once without a backward pass
_CONTENT_PASS = 0.8  # a forward pass in float32


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
    an idle machine, written to it. Raises PictureError as `check_pictures` does.
    """
    check_pictures(task)
    file = user_cache_path("stylewatch") / "durations.json"
    durations = cached_measurement(
        file, _FILE, _key(task, network), lambda: _measured(task, network, clock)
    )
    levels, settings, total = task.levels(), task.recipe.schedule.optimizer, 0.0
    for level in levels:
        evaluated = evaluations(settings, level.steps)
        searching = durations.searching(neighbor_searches(task, level))
        pixels = _pixels_evaluated(level, task, memory_plan)
        total += durations.painting(_kind(task, level), pixels, evaluated)
        total += searching * (evaluated if task.terms(level).matches_layers else 1)
    maps = network.map_format if isinstance(network, Vgg19) else MapFormat.FLOAT32
    memory, tile = _peak_memory() + needed(task, memory_plan, maps), memory_plan.tile
    is_whole = tile is None or tile >= max(levels[-1].size)
    return Forecast(levels, total, memory, None if is_whole else tile, durations.busy)


def _timed(task: Task, network: FeatureMaps, trial: Level, clock: Clock) -> tuple["Point", bool]:
    """The times of a size, and whether other programs are busy here."""
    canvas = Canvas(task, network.mean, network.device)
    start, settings = canvas.start(trial.size), task.recipe.schedule.optimizer
    u, on_cpu = start.clone(), network.device.type == "cpu"

    def begin() -> Objective:
        return Objective(canvas, network, trial, start=start)

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

    def searching(self, searches: Collection[Search]) -> float:
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
    return f"{environment_key(network.device)}, {maps}, {digest}"


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
            searching = durations.searching(neighbor_searches(of_trial, trial))
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
            of_layers = [channels(layer) for layer in terms.neighbors.layers]
            counts.update([sum(of_layers)] if terms.neighbors.each == "column" else of_layers)
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


def _peak_memory() -> int:
    """Peak memory of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
