"""Bytes of a painting calculated by hand, seconds by a clock of the test, limits of memory."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.paintings import AT_ONCE, painting

from stylewatch_painter.algorithm import forecast as module
from stylewatch_painter.algorithm.forecast import (
    MemorySettings,
    content_bytes,
    evaluations,
    forecast,
    map_bytes,
    memory_plan,
    needed,
    optimizer_bytes,
    warnings,
)
from stylewatch_painter.algorithm.neighbors import SEARCH_BYTES
from stylewatch_painter.algorithm.scales import Level
from stylewatch_painter.algorithm.task import UNLIMITED, MemoryPlan, Prior, Task
from stylewatch_painter.errors import PictureError
from stylewatch_painter.network.vgg19 import MapFormat
from stylewatch_painter.recipes.book import change, find
from stylewatch_painter.recipes.recipe import Objective, Transport


def test_maps_by_layer() -> None:
    """Three maps of the first block; a map with a loss counts with its gradient."""
    for pool, layer, expected in (
        ("max", "conv1_1", 3 * 64 * 4 + 64 * 2 * 4),
        # 128 maps of a quarter of the pixels, the signs of 2 x 64 maps, indices of 64 quarters
        ("average", "conv2_1", 3 * 64 * 4 + 128 // 4 * 2 * 4 + 2 * 64),
        ("max", "conv2_1", 3 * 64 * 4 + 128 // 4 * 2 * 4 + 2 * 64 + 64 // 4 * 8),
    ):
        style = {"gram": "mean", "loss": "mean", "layers": {layer: 1.0}}
        objective = Objective.model_validate({"network": {"pool": pool}, "style": style})
        assert map_bytes(objective, objective.network.pool) == expected


def test_compiled_convolutions_hold_each_map_once() -> None:
    """With flags of 3/8 of a byte for each value, and one more map in the first block."""
    style = {"gram": "mean", "loss": "mean", "layers": {"conv1_1": 1.0, "conv2_1": 1.0}}
    objective = Objective.model_validate({"style": style})
    values = 64 + 64 + 128 // 4
    each = map_bytes(objective, "max", MapFormat.FUSED)
    assert each == (64 + 32) * 4 + values * 3 / 8 + 80 * 4


def test_vectors_and_evaluations_by_optimizer() -> None:
    """Three floats per pixel; after 30 steps L-BFGS has 30 pairs at most."""
    searching = {"kind": "lbfgs", "line_search": "strong_wolfe", "first_step": None}
    table: list[tuple[dict[str, Any], int, float]] = [
        ({"kind": "adam"}, 4, 300),
        ({"kind": "sgd"}, 2, 300),
        ({"kind": "rmsprop"}, 4, 300),
        ({"kind": "lbfgs", "history": 100}, 2 * 30 + 8, 300),
        ({"kind": "lbfgs", "history": 100, "step_back": None}, 2 * 30 + 5, 300),
        ({**searching, "history": 10}, 28, 300 * 1.03 + 20),
    ]
    for settings, vectors, of_300 in table:
        optimizer = change(find("gram"), {"optimizer": settings}).schedule.optimizer
        assert optimizer_bytes(optimizer, 30) == vectors * 3 * 4
        assert evaluations(optimizer, 300) == pytest.approx(of_300)


Seconds = Callable[[Level], float]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep no times of one test for another."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Seconds], list[tuple[int, int]]]:
    """Replace the times of evaluations; returns a function that returns the sizes timed so far."""

    def replace_times(seconds: Seconds, *, busy: bool = False) -> list[tuple[int, int]]:
        sizes = []

        def _timed(task: Task, network: object, level: Level, clock: object) -> Any:
            sizes.append(level.size)
            return (math.prod(level.size), seconds(level), seconds(level)), busy

        monkeypatch.setattr(module, "_timed", _timed)
        return sizes

    return replace_times


def test_forecast_interpolates_between_pixels_and_multiplies_by_steps(
    timed: Callable[[Seconds], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes 1 s, and 1 s for each 10,000 pixels; each size needs another for its targets."""
    monkeypatch.setattr(module, "_peak_memory", lambda: 1000)
    timed(lambda level: 1 + math.prod(level.size) / 10_000)
    task = painting({"size": "1050x900", "fit": "stretch", "enlarge": True})
    expected = forecast(task, small.network())
    half, full = 1 + 525 * 450 / 10_000, 1 + 1050 * 900 / 10_000
    assert expected.seconds == pytest.approx(half * (3 + 1) + full * (4 + 1), rel=1e-3)
    assert not expected.busy
    schedule = task.recipe.schedule
    each = map_bytes(task.final_terms, "max") + optimizer_bytes(schedule.optimizer, schedule.steps)
    assert expected.memory == 1000 + 1050 * 900 * each


def test_times_of_an_idle_machine_are_kept_for_each_objective(
    timed: Callable[..., list[Any]],
) -> None:
    def again(task: Task) -> float:
        return forecast(task, small.network()).seconds

    sizes, task = timed(lambda _: 2.0, busy=True), painting(AT_ONCE)
    seconds = again(task)
    assert again(task) == seconds and len(sizes) == 4, "timed again"
    sizes = timed(lambda _: 2.0)
    again(task)
    timed(lambda _: 3.0)
    assert again(task) == again(painting({**AT_ONCE, "strength": 0.9})) == seconds
    several = painting(AT_ONCE, 2), painting({**AT_ONCE, "objective.content": None})
    assert [again(other) / seconds for other in several] == pytest.approx([1.5, 1.5])


@pytest.mark.parametrize(("threads", "processors"), [(2, 8), (2, 1)])
def test_forecast_on_a_busy_machine_is_that_of_an_idle_one(
    monkeypatch: pytest.MonkeyPatch, threads: int, processors: int
) -> None:
    """An evaluation takes 20 s: 10 s of work and waiting for each other; or 6 s by one thread.

    Nothing is left of that for targets.
    """
    used = [threads]
    monkeypatch.setattr(module, "_processors", lambda: float(processors))
    monkeypatch.setattr(torch, "get_num_threads", lambda: used[-1])
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    monkeypatch.setattr(module, "_TRIAL_SIDES", {False: (21,)})
    wall, work = count(0.0, 20.0), [0.0]

    def clock() -> tuple[float, float]:
        work.append(work[-1] + (6.0 if used[-1] == 1 else 10.0))
        return next(wall), work[-1]

    expected = forecast(painting(AT_ONCE), small.network(), clock=clock)
    assert expected.seconds == pytest.approx(6.0 / min(threads, processors) * 4)
    assert expected.busy and used == [threads, 1, threads, 1, threads]


def test_coarse_terms_are_timed_by_themselves(timed: Callable[[Seconds], object]) -> None:
    """An evaluation takes 6 s with the terms of coarse sizes, 2 s with the others."""
    timed(lambda level: 6.0 if level.is_coarse else 2.0)
    task = painting({"objective.coarse": {"neighbors": {"layers": {"conv1_1": 1}}},
                     "size": "400x300", "fit": "stretch", "enlarge": True})  # fmt: skip
    assert forecast(task, small.network()).seconds == pytest.approx(6 * (3 + 1) + 2 * (4 + 1), 0.01)


def test_tiled_maps_cover_tile_and_halo() -> None:
    """With vectors, the content's maps, and the vectors of a step if they are larger."""
    task = painting({"size": "2100x1800", "enlarge": True, "optimizer.history": 3, **AT_ONCE})
    pixels, objective = 2100 * 1800, task.recipe.objective
    vectors = optimizer_bytes(task.recipe.schedule.optimizer, task.recipe.schedule.steps)
    kept = pixels * (vectors + content_bytes(objective) + 3 * 4)
    maps = (1024 + 160) ** 2 * map_bytes(objective, "max")
    assert needed(task, MemoryPlan(1024), MapFormat.FLOAT32) == kept + maps
    assert needed(task, MemoryPlan(16), MapFormat.FLOAT32) == kept + pixels * 4 * 12
    recomputed = needed(task, MemoryPlan(1024, keeps_content=False), MapFormat.FLOAT32)
    assert recomputed == kept + maps - pixels * (content_bytes(objective) - 3 * 4)


def test_samples_take_the_same_memory_at_every_size() -> None:
    """Beside the maps of the content, which are kept; here of two hypercolumn layers."""
    layers = Transport(layers={"conv1_1": 1.0, "conv2_1": 1.0})
    recipe = change(find("strotss"), {"size": "1024x576", "fit": "stretch"})
    terms = recipe.objective.model_copy(update={"transport": layers})
    task = replace(small.task("gram"), recipe=recipe.model_copy(update={"objective": terms}))
    pixels, length = 1024 * 576, 3 + 64 + 128
    content = pixels * (64 + 128 // 4 + 2 * 3) * 4
    style = length * 5000 + length**2
    working = 2 * 5 * 1024 * length + 2 * 5000 * length + 3 * 1024 * 5000 + 4 * length**2
    each = map_bytes(task.final_terms, "max") + optimizer_bytes(task.recipe.schedule.optimizer, 250)
    expected = pixels * each + content + (style + working) * 4
    assert needed(task, UNLIMITED, MapFormat.FLOAT32) == expected


CPU = torch.device("cpu")
HELD = 10**9
LEAST = MemoryPlan(256, 0, False)


@pytest.fixture(autouse=True)
def process_of_a_gigabyte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "resident", lambda: HELD - module._PROCESS)


def large(**changes: Any) -> Task:
    """3000x2000 pixels, by L-BFGS with six pairs."""
    sizes = {"size": "3000x2000", "fit": "stretch", "enlarge": True, "style_size": "21"}
    return small.task("gram", {**sizes, "steps": 20, **changes})


def limit(task: Task, plan: MemoryPlan) -> int:
    """A limit that suffices for a plan, and for nothing more."""
    return HELD + needed(task, plan, MapFormat.FLOAT32)


@pytest.mark.parametrize(
    "plan", [UNLIMITED, MemoryPlan(512), MemoryPlan(512, 4), MemoryPlan(256, 3, False), LEAST]
)
def test_best_plan_that_fits_is_chosen(plan: MemoryPlan) -> None:
    """Whole, in tiles, with fewer pairs, then without the content's maps, at last with Adam."""
    task = large(**{"objective.content.layers": {"conv1_1": 1.0}})
    if plan.keeps_content:  # whose maps are small at a deep layer
        task = large()
    chosen = memory_plan(task, MemorySettings(limit=limit(task, plan)), CPU, MapFormat.FLOAT32)
    assert needed(task, chosen, MapFormat.FLOAT32) <= needed(task, plan, MapFormat.FLOAT32)
    assert (chosen.history, chosen.keeps_content) == (plan.history, plan.keeps_content)
    if plan == UNLIMITED or not plan.keeps_content:
        assert chosen == plan


def test_without_limit_free_memory_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for free, plan in ((float("inf"), UNLIMITED), (1.0, LEAST)):
        monkeypatch.setattr(module, "available", lambda free=free: free)
        assert memory_plan(large(), MemorySettings(), CPU, MapFormat.FLOAT32) == plan


def test_departures_from_the_recipe_are_described_and_impossible_limits_refused() -> None:
    task = large()
    start = "memory does not suffice for 6 pairs of L-BFGS at 3000x2000 pixels: there "
    assert list(warnings(task, MemoryPlan(512))) == []
    assert list(warnings(task, MemoryPlan(512, 4))) == [start + "it remembers 4"]
    assert list(warnings(task, MemoryPlan(512, 0))) == [start + "Adam paints in its place"]
    least = limit(task, MemoryPlan(256, 0, False))
    with pytest.raises(PictureError, match=f"about {least / 1e9:.3g} GB at the least"):
        memory_plan(task, MemorySettings(limit=least - 1), CPU, MapFormat.FLOAT32)


def test_memory_left_by_earlier_paintings_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to what a process keeps anyway: the network and what the libraries allocated."""
    task = large()
    wanted = MemorySettings(limit=limit(task, MemoryPlan(512, 4)))
    fresh = memory_plan(task, wanted, CPU, MapFormat.FLOAT32)
    for left, is_same in ((module._PROCESS, True), (2 * module._PROCESS, False)):
        monkeypatch.setattr(module, "resident", lambda held=HELD - module._PROCESS + left: held)
        assert (
            memory_plan(task, replace(wanted, left=left), CPU, MapFormat.FLOAT32) == fresh
        ) == is_same
        assert memory_plan(task, wanted, CPU, MapFormat.FLOAT32) != fresh


def matching(layers: dict[str, Any], **changes: Any) -> Task:
    """64x48 pixels by recipe `nnst`, with a style of 64x54."""
    recipe = find("nnst")
    both = {layer: layers.get(layer) for layer in recipe.objective.layers}
    return small.task("nnst", {
        "size": "64x48", "fit": "stretch", "enlarge": True, "style_size": "64",
        "objective.neighbors.layers": both, "objective.coarse.neighbors.layers": both, **changes,
    })  # fmt: skip


def test_search_for_neighbors_by_hand() -> None:
    """Of hypercolumns at a sixteenth of the pixels, at the size where it takes most."""
    scales = [{"scale": 1, "steps": 1}]
    task = matching({"conv1_1": 1, "conv2_1": 1}, scales=scales)
    assert [level.size for level in task.levels()] == [(64, 48)] * 2
    value, columns, candidates = (64 + 128) * 4, 16 * 12, 4 * 16 * 13
    objective, pixels = task.recipe.objective, 64 * 48
    at_column = columns * value + max(
        (2 * candidates + 3 * columns) * value + columns * candidates * 4,
        pixels * map_bytes(objective, "max") + 2 * columns * value,
    )
    held = 4 * (64 * 55) * (64 + 128 / 4) * 4
    samples = 5 * pixels * (64 + 128 / 4) * 4
    search = pixels * 4 * (64 * 55) * 4  # less than a block
    at_layer = held + pixels * map_bytes(objective, "max") + samples + 3 * 4 * (64 * 55) * 64 * 4
    vectors = pixels * 8 * 3 * 4
    assert search > SEARCH_BYTES
    expected = max(at_column, at_layer + 2 * SEARCH_BYTES) + vectors
    assert needed(task, UNLIMITED, MapFormat.FLOAT32) == pytest.approx(expected, rel=0.03)


def test_match_at_a_coarse_size_can_take_most() -> None:
    """Even where the final size is painted in tiles; and less for a smaller style."""
    coarse = {"objective.coarse.largest": 2000, "size": "3000x2000", "fit": "stretch",
              "enlarge": True, "scales": [{"scale": 0.5, "steps": 1}]}  # fmt: skip
    tiled = MemoryPlan(256, 3)
    large_style, small_style, without = (
        needed(small.task("best", {**coarse, **changes}), tiled, MapFormat.FLOAT32)
        for changes in (
            {"style_size": "3000"}, {"style_size": "300"}, {"objective.coarse": None}
        )
    )  # fmt: skip
    assert large_style > small_style > without
    assert large_style > 2 * 4 * (375 * 321) * 2688 * 4, "candidates, also centered"


def test_more_styles_and_regions_hold_more_targets() -> None:
    made = matching({"conv1_1": 1})
    mask = np.ones((48, 64, 3), np.float32)
    several = replace(made, styles=made.styles * 3)
    regions = replace(made, content_mask=mask)
    for task in (several, regions):
        assert needed(task, UNLIMITED, MapFormat.FUSED) >= needed(made, UNLIMITED, MapFormat.FUSED)
    held = needed(several, UNLIMITED, MapFormat.FUSED) - needed(made, UNLIMITED, MapFormat.FUSED)
    assert held == pytest.approx(2 * (4 * 64 * 55 + 5 * 64 * 48) * 64 * 4, rel=0.03)


def test_searches_are_timed_by_themselves(
    timed: Callable[[Seconds], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By columns once at a size; by layers in each evaluation, among as many samples if larger."""
    monkeypatch.setattr(module, "_search_time", lambda *_: 1e-9)
    by_layer = 1e-9 * (64 * 48) * 4 * (64 * 55)
    by_column = 1e-9 * (128 * 96) * 4 * (128 * 110)
    task = matching({"conv1_1": 1}, size="512x384", style_size="512",
                    scales=[{"scale": 1, "steps": 9}], steps=4)  # fmt: skip

    def seconds_of(level: Level) -> float:
        pairs = [search.queries * search.candidates for search in module._searches(task, level)]
        return 1.0 if level.is_coarse else 1.0 + 1e-9 * sum(pairs)

    timed(seconds_of)
    seconds = (9 + 1) + by_column + (1 + by_layer) * (4 + 1)
    assert forecast(task, small.network()).seconds == pytest.approx(seconds, rel=1e-2)


@pytest.mark.parametrize(
    ("largest", "side", "matches"),
    [
        (1000, 1000, [True, True]),
        (999, 1000, [False, False, True]),
        (499, 1000, [False, False]),
        (100, 100, [True, True]),
    ],
)
def test_trials_have_the_match_of_the_sizes_that_they_stand_for(
    largest: int, side: int, matches: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million pixels take 1 s in an evaluation and 4 s for their match, 8 s for its targets."""
    trials: list[bool] = []

    def seconds_of(task: Task, level: Level) -> tuple[float, float]:
        millions, searches = math.prod(level.size) / 1e6, module._searches(task, level)
        search = 1e-9 * sum(each.queries * each.candidates for each in searches)
        return 8 * millions * bool(searches) + search, millions * (5 if searches else 1)

    def _timed(task: Task, network: object, trial: Level, clock: object) -> Any:
        trials.append(task.terms(trial).neighbors is not None)
        return (math.prod(trial.size), *seconds_of(task, trial)), False

    monkeypatch.setattr(module, "_timed", _timed)
    monkeypatch.setattr(module, "padded_pixels", lambda size, _: math.prod(size))
    monkeypatch.setattr(module, "_search_time", lambda *_: 1e-9)
    task = small.task("best", {
        "size": f"{side}x{side}", "fit": "stretch", "enlarge": True, "steps": 2, "smallest": 1,
        "scales": [{"scale": 0.5, "steps": 3}], "objective.coarse": None,
        "objective.neighbors.largest": largest,
    })  # fmt: skip
    half, full = (seconds_of(task, level) for level in task.levels())
    expected = half[0] + 3 * half[1] + full[0] + 2 * full[1]
    assert forecast(task, small.network()).seconds == pytest.approx(expected)
    assert sorted(trials) == matches


@pytest.mark.parametrize("name", ["nnst", "strotss"])
@pytest.mark.parametrize("tile", ["auto", "none", 256])
def test_pictures_whose_positions_are_compared_are_never_divided(tile: Any, name: str) -> None:
    """Neither if a tile is set, nor for lack of memory."""
    task = small.task(name, {"size": "3000x2000", "fit": "stretch", "enlarge": True})
    enough = limit(task, UNLIMITED)
    for most in (enough, None):
        wanted = MemorySettings(tile, limit=most)
        assert memory_plan(task, wanted, CPU, MapFormat.FLOAT32).tile is None
    refusal = (
        f"3000x2000 pixels take about {enough / 1e9:.3g} GB at the least, and limits.memory "
        f"allows {(enough - 1) / 1e9:.3g} GB (recipe {name} cannot be divided into tiles): raise it"
    )
    with pytest.raises(PictureError, match=re.escape(refusal)):
        memory_plan(task, MemorySettings(tile, limit=enough - 1), CPU, MapFormat.FLOAT32)


def test_forecast_of_a_match_needs_no_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TRIAL_SIDES", {False: (24, 48), True: (24,)})
    expected = forecast(matching({"conv1_1": 1, "conv2_1": 1}), small.network())
    assert expected.seconds > 0 and expected.tile is None


@pytest.mark.parametrize("name", ["best", "nnst"])
def test_memory_without_a_style_can_be_planned(name: str) -> None:
    """The refusal of what cannot be painted without one comes later, with the pictures."""
    assert needed(replace(small.task(name), styles=()), UNLIMITED, MapFormat.FLOAT32) > 0


ENLARGED: dict[str, Any] = {
    "size": "512x384",
    "fit": "stretch",
    "enlarge": True,
    "scales": [{"scale": 0.5, "steps": 1}],
    "steps": 1,
}


@pytest.mark.parametrize(
    ("name", "changes", "fields"),
    [
        ("best", {"start": "noise"}, {"content": None}),
        ("best", {"objective.style": None}, {"styles": ()}),
        ("best", {"stroke": 0.125}, {}),
        ("gram", {"style_scale": 0.1}, {}),
        ("best", {"objective.neighbors.largest": 20, "size": "20x20", "scales": []}, {}),
    ],
)
def test_whatever_can_be_painted_can_be_forecast(
    name: str,
    changes: dict[str, Any],
    fields: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a side, with a style far smaller than the picture, above and below trial sizes."""
    monkeypatch.setattr(module, "_TRIAL_SIDES", {False: (24, 48), True: (16, 24)})
    task = replace(small.task(name, {**ENLARGED, "style_size": "side", **changes}), **fields)
    assert forecast(task, small.network()).seconds > 0


def test_times_of_another_kind_of_painting_are_not_used(
    timed: Callable[[Seconds], list[tuple[int, int]]],
) -> None:
    """A frame matches no neighbors, a smaller style takes less time, and so do some optimizers."""
    sizes = timed(lambda level: 1.0)
    still = small.task("best", ENLARGED)
    prior = Prior(small.picture(3), np.ones((small.HEIGHT, small.WIDTH), np.float32), 1.0)
    changed: list[dict[str, Any]] = [
        {"style_scale": 0.5},
        {"optimizer": find("pastiche").schedule.optimizer},
    ]
    others = [small.task("best", {**ENLARGED, **changes}) for changes in changed]
    for task in (still, replace(still, prior=prior), *others):
        sizes.clear()
        for _ in range(2):
            forecast(task, small.network())
        assert len(sizes) == 4, "trials, once for each kind"


def test_samples_at_a_coarse_size_count() -> None:
    """Even where the final size is painted in tiles."""
    large = {"size": "3000x2000", "fit": "stretch", "enlarge": True,
             "scales": [{"scale": 0.5, "steps": 1}]}  # fmt: skip
    gram = small.task("gram", large)
    transport = find("strotss").objective.transport
    sampled = small.task("gram", {**large, "objective.coarse": {"transport": transport},
                                  "objective.strength_by": "weight"})  # fmt: skip
    tiled = MemoryPlan(256, 3)
    needs = [needed(task, tiled, MapFormat.FLOAT32) for task in (gram, sampled)]
    assert needs[1] > needs[0]
