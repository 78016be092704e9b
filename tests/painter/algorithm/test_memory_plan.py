"""Bytes of a painting calculated by hand, and limits of memory."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any
from weakref import WeakSet

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.paintings import AT_ONCE, matching, painting
from torch import Tensor
from torch.overrides import TorchFunctionMode

from stylewatch_painter.algorithm import memory_plan, neighbors, transport
from stylewatch_painter.algorithm.memory_plan import (
    MemorySettings,
    choose,
    content_bytes,
    map_bytes,
    needed,
    optimizer_bytes,
    seen_bytes,
    warnings,
)
from stylewatch_painter.algorithm.neighbors import SEARCH_BYTES
from stylewatch_painter.algorithm.task import UNLIMITED, MemoryPlan, Task
from stylewatch_painter.errors import PictureError
from stylewatch_painter.network.vgg19 import MapFormat, Vgg19
from stylewatch_painter.network.weights import LAYERS
from stylewatch_painter.recipes.book import change, find
from stylewatch_painter.recipes.recipe import LayerName, Network, Objective, Pool, Transport


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


def test_vectors_by_optimizer() -> None:
    """Three floats per pixel; after 30 steps L-BFGS has 30 pairs at most."""
    searching = {"kind": "lbfgs", "line_search": "strong_wolfe", "first_step": None}
    table: list[tuple[dict[str, Any], int]] = [
        ({"kind": "adam"}, 4),
        ({"kind": "sgd"}, 2),
        ({"kind": "rmsprop"}, 4),
        ({"kind": "lbfgs", "history": 100}, 2 * 30 + 8),
        ({"kind": "lbfgs", "history": 100, "step_back": None}, 2 * 30 + 5),
        ({**searching, "history": 10}, 28),
    ]
    for settings, vectors in table:
        optimizer = change(find("gram"), {"optimizer": settings}).schedule.optimizer
        assert optimizer_bytes(optimizer, 30) == vectors * 3 * 4


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
    working += 7 * 1024**2  # the distances between samples
    each = map_bytes(task.final_terms, "max") + optimizer_bytes(task.recipe.schedule.optimizer, 250)
    expected = pixels * each + content + (style + working) * 4
    assert needed(task, UNLIMITED, MapFormat.FLOAT32) == expected


CPU = torch.device("cpu")
HELD = 10**9
LEAST = MemoryPlan(256, 0, False)


@pytest.fixture(autouse=True)
def process_of_a_gigabyte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_plan, "resident", lambda: HELD - memory_plan._PROCESS)


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
    chosen = choose(task, MemorySettings(limit=limit(task, plan)), CPU, MapFormat.FLOAT32)
    assert needed(task, chosen, MapFormat.FLOAT32) <= needed(task, plan, MapFormat.FLOAT32)
    assert (chosen.history, chosen.keeps_content) == (plan.history, plan.keeps_content)
    if plan == UNLIMITED or not plan.keeps_content:
        assert chosen == plan


def test_without_limit_free_memory_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for free, plan in ((float("inf"), UNLIMITED), (1.0, LEAST)):
        monkeypatch.setattr(memory_plan, "available", lambda free=free: free)
        assert choose(large(), MemorySettings(), CPU, MapFormat.FLOAT32) == plan


def test_departures_from_the_recipe_are_described_and_impossible_limits_refused() -> None:
    task = large()
    start = "there is not enough memory for 6 pairs of L-BFGS at 3000x2000 pixels: "
    assert list(warnings(task, MemoryPlan(512))) == []
    assert list(warnings(task, MemoryPlan(512, 4))) == [start + "it keeps 4"]
    assert list(warnings(task, MemoryPlan(512, 0))) == [start + "Adam replaces it"]
    least = limit(task, MemoryPlan(256, 0, False))
    with pytest.raises(PictureError, match=f"about {least / 1e9:.3g} GB at the least"):
        choose(task, MemorySettings(limit=least - 1), CPU, MapFormat.FLOAT32)


def test_memory_left_by_earlier_paintings_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to what a process keeps anyway: the network and what the libraries allocated."""
    task = large()
    wanted = MemorySettings(limit=limit(task, MemoryPlan(512, 4)))
    fresh = choose(task, wanted, CPU, MapFormat.FLOAT32)
    kept = memory_plan._PROCESS
    for left, is_same in ((kept, True), (2 * kept, False)):
        monkeypatch.setattr(memory_plan, "resident", lambda held=HELD - kept + left: held)
        with_left = choose(task, replace(wanted, left=left), CPU, MapFormat.FLOAT32)
        assert (with_left == fresh) == is_same
        assert choose(task, wanted, CPU, MapFormat.FLOAT32) != fresh


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


@pytest.mark.parametrize("field", ["hub_penalty", "brightness"])
def test_search_that_counts_more_than_directions_holds_a_second_block(field: str) -> None:
    coarse = {"style_size": "3000", "size": "3000x2000", "fit": "stretch", "enlarge": True,
              "scales": [{"scale": 0.5, "steps": 1}], "objective.coarse.largest": 2000,
              "objective.coarse.neighbors.hub_penalty": 0,
              "objective.coarse.neighbors.brightness": 0}  # fmt: skip
    alone, both = (
        needed(small.task("best", {**coarse, **more}), MemoryPlan(256, 3), MapFormat.FLOAT32)
        for more in ({}, {f"objective.coarse.neighbors.{field}": 1})
    )
    assert both - alone == SEARCH_BYTES


class Allocations(TorchFunctionMode):
    """The most bytes that the tensors held at once which were computed within the context."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._storages = WeakSet[torch.UntypedStorage]()

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = result if isinstance(result, tuple) else (result,)
        self._storages.update(x.untyped_storage() for x in tensors if isinstance(x, Tensor))
        self.peak = max(self.peak, sum(storage.nbytes() for storage in self._storages))
        return result


@pytest.mark.parametrize(("hub_penalty", "factor", "blocks"), [(0, 0, 1), (1, 0, 2), (0, 1, 2)])
def test_search_holds_as_many_blocks_as_planned(
    hub_penalty: float, factor: float, blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries, candidates = torch.randn(500, 2), torch.randn(400, 2)
    brightness = (torch.randn(500), torch.randn(400)) if factor else None
    peaks = []
    for at_once in (50, 100):
        monkeypatch.setattr(neighbors, "SEARCH_BYTES", 4 * 500 * at_once)
        with Allocations() as allocations:
            neighbors.nearest(queries, candidates, hub_penalty, brightness=brightness)
        peaks.append(allocations.peak)
    assert peaks[1] - peaks[0] == pytest.approx(blocks * 4 * 500 * 50, rel=0.2)


def test_styles_are_searched_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second style adds its targets, and nothing else."""
    monkeypatch.setattr(neighbors, "SEARCH_BYTES", 2**13)
    sizes = {"style_size": "64", "enlarge": True, "scales": [{"scale": 1, "steps": 1}]}
    made, peaks, columns = small.wide_task("best", sizes), [], torch.empty(0)
    for styles in (made.styles, made.styles * 2):
        objective = small.objective(replace(made, styles=styles), level=0)
        canvas, network, level = objective.canvas, objective.network, objective.level
        assert level.is_coarse and small.content(objective) is not None
        with Allocations() as allocations:
            (*_, (target,)) = neighbors.targets(canvas, network, level, None)
        peaks.append(allocations.peak)
        columns = target.columns
    assert peaks[1] - peaks[0] == pytest.approx(columns.nbytes, rel=0.1)
    assert peaks[0] > 2 * 4 * (16 * 14) * columns.shape[1] * 4, "the candidates, and a copy"


def test_samples_keep_no_maps_of_a_style() -> None:
    """The maps of one style are gone before those of the next are there."""
    few = {"scales": [], "style_size": "64", "objective.transport.style_samples": 2}
    made, peaks = small.wide_task("strotss", few), []
    for styles in (made.styles, made.styles * 2):
        objective = small.objective(replace(made, styles=styles))
        with Allocations() as allocations:
            transport.targets(objective.canvas, objective.network, objective.level)
        peaks.append(allocations.peak)
    assert peaks[1] - peaks[0] < 64 * 56 * 4 < peaks[0] / 4, "less than a map of the style"


def test_search_in_the_mask_of_a_style_holds_more_candidates() -> None:
    sizes = {"size": "300x200", "fit": "stretch", "enlarge": True}
    made = small.task("best", {**sizes, "scales": [{"scale": 1, "steps": 1}]})
    masked = replace(made.styles[0], mask=np.ones((18, 21), np.float32))
    alone, in_mask = (
        needed(replace(made, styles=styles), UNLIMITED, MapFormat.FUSED)
        for styles in (made.styles, (masked,))
    )
    assert in_mask - alone == 4 * (75 * 50) * 2688 * 4


@pytest.mark.parametrize("pool", ["max", "average"])
@pytest.mark.parametrize("kept", ["conv1_1", "conv2_1", "conv3_1"])
def test_maps_without_a_gradient(pool: Pool, kept: LayerName) -> None:
    """Of a network of full width, up to the first layer of its third block."""
    weights: dict[str, Tensor] = {}
    for layer, channels in islice(LAYERS.items(), 5):
        weights[f"{layer}.weight"] = torch.rand(*channels, 3, 3)
        weights[f"{layer}.bias"] = torch.rand(channels[0])
    network, picture = Vgg19(weights, (0.0, 0.0, 0.0)), torch.rand(1, 3, 48, 64)
    layers: tuple[LayerName, ...] = (kept, "conv3_1")
    with Allocations() as allocations, torch.no_grad():
        network(picture, layers, Network(pool=pool))
    expected = 48 * 64 * seen_bytes(layers, pool, MapFormat.FLOAT32)
    assert allocations.peak == pytest.approx(expected, rel=0.02)


def test_compiled_convolutions_write_no_map_in_front_of_a_pool() -> None:
    """Unless it is kept. The largest that is kept counts twice."""
    deep: LayerName = "conv2_2"
    assert seen_bytes((deep,), "max", MapFormat.FUSED) == (64 + 64 / 4) * 4
    assert seen_bytes(("conv1_2", deep), "max", MapFormat.FUSED) == (64 + 128 / 4 + 64) * 4


def test_large_style_can_take_most() -> None:
    """Whole if the painting is whole, otherwise in tiles with their halo."""
    layers: dict[LayerName, float] = {"conv1_1": 1.0, "conv2_1": 1.0}
    task = small.task("gram", {
        "objective.style.layers": {**dict.fromkeys(("conv3_1", "conv4_1", "conv5_1")), **layers},
        "objective.content.layers": {"conv4_2": None, "conv1_1": 1}, "size": "64x48",
        "fit": "stretch", "enlarge": True, "style_size": "1024x768", "steps": 1, **AT_ONCE,
    })  # fmt: skip
    width, height = task.style_size(task.styles[0])
    vectors = width * height * 3 * 12 + 64 * 48 * (content_bytes(task.recipe.objective) + 4 * 12)
    each = seen_bytes(layers, "max", MapFormat.FUSED)
    whole = needed(task, UNLIMITED, MapFormat.FUSED)
    assert whole == pytest.approx(width * height * each + vectors)
    tiled = needed(task, MemoryPlan(256), MapFormat.FUSED)
    assert tiled == pytest.approx((256 + 2 * 4) ** 2 * each + vectors)


@pytest.mark.parametrize("name", ["best", "nnst", "strotss"])
def test_large_style_counts_where_positions_are_compared(name: str) -> None:
    size = {"size": "64x48", "fit": "stretch", "enlarge": True, "style_size": "1024"}
    task = small.task(name, size)
    pixels = math.prod(task.style_size(task.styles[0]))
    each = seen_bytes(task.final_terms.layers, "max", MapFormat.FUSED)
    assert needed(task, UNLIMITED, MapFormat.FUSED) > pixels * each


def test_more_styles_and_regions_hold_more_targets() -> None:
    made = matching({"conv1_1": 1})
    mask = np.ones((48, 64, 3), np.float32)
    several = replace(made, styles=made.styles * 3)
    regions = replace(made, content_mask=mask)
    for task in (several, regions):
        assert needed(task, UNLIMITED, MapFormat.FUSED) >= needed(made, UNLIMITED, MapFormat.FUSED)
    held = needed(several, UNLIMITED, MapFormat.FUSED) - needed(made, UNLIMITED, MapFormat.FUSED)
    assert held == pytest.approx(2 * (4 * 64 * 55 + 5 * 64 * 48) * 64 * 4, rel=0.03)


@pytest.mark.parametrize("name", ["nnst", "strotss"])
@pytest.mark.parametrize("tile", ["auto", "none", 256])
def test_pictures_whose_positions_are_compared_are_never_divided(tile: Any, name: str) -> None:
    """Neither if a tile is set, nor for lack of memory."""
    task = small.task(name, {"size": "3000x2000", "fit": "stretch", "enlarge": True})
    enough = limit(task, UNLIMITED)
    for most in (enough, None):
        wanted = MemorySettings(tile, limit=most)
        assert choose(task, wanted, CPU, MapFormat.FLOAT32).tile is None
    refusal = (
        f"3000x2000 pixels take about {enough / 1e9:.3g} GB at the least, and limits.memory "
        f"allows {(enough - 1) / 1e9:.3g} GB (recipe {name} cannot be divided into tiles): raise it"
    )
    with pytest.raises(PictureError, match=re.escape(refusal)):
        choose(task, MemorySettings(tile, limit=enough - 1), CPU, MapFormat.FLOAT32)


@pytest.mark.parametrize("name", ["best", "nnst"])
def test_memory_without_a_style_can_be_planned(name: str) -> None:
    """The refusal of what cannot be painted without one comes later, with the pictures."""
    assert needed(replace(small.task(name), styles=()), UNLIMITED, MapFormat.FLOAT32) > 0


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
