"""Limits of memory: the plan that fits, and what the parts of a painting declare."""

import math
from dataclasses import replace
from functools import cache
from typing import Literal

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.tensor_bytes import measured, peak

from stylewatch_daemon.worker.paint_clip import following
from stylewatch_daemon.worker.regions import divided
from stylewatch_painter.errors import PictureError
from stylewatch_painter.losses.gram import GramStyle
from stylewatch_painter.losses.loss import Extent, LayerSettings, Loss
from stylewatch_painter.network import store, weights
from stylewatch_painter.network.device import Precision
from stylewatch_painter.network.vgg19 import Vgg19
from stylewatch_painter.paint import memory
from stylewatch_painter.paint.memory import MemorySettings, choose, needed, warnings
from stylewatch_painter.paint.memory_plan import UNLIMITED, MemoryPlan
from stylewatch_painter.recipes.book import find, names
from stylewatch_painter.scene.canvas import Canvas
from stylewatch_painter.scene.scene import Scene
from stylewatch_painter.scene.task import Prior, Style, Task
from stylewatch_painter.vgg import LAYERS, channels

NETWORK = small.network()
HELD = 10**9
LEAST = MemoryPlan(256, 0)
_SMALL = 10**6
"""Bytes of what does not grow with the picture, such as the positions of a draw."""
_SEARCHES = 120 * 10**6
"""Bytes that a search may take in addition, whatever the size."""


@pytest.fixture(autouse=True)
def process_of_a_gigabyte(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fix what this process holds."""
    monkeypatch.setattr(memory, "resident", lambda: HELD)
    monkeypatch.setattr(memory, "_LIBRARIES", 0)


def large() -> Task:
    """3000x2000 pixels, by L-BFGS with six pairs."""
    sizes = {"size": "3000x2000", "fit": "stretch", "enlarge": True, "style_size": "21"}
    return small.task("gram", {**sizes, "steps": 20})


def chosen(task: Task, wanted: MemorySettings) -> MemoryPlan:
    return choose(task, NETWORK.device, wanted, lambda: NETWORK)


def limit(task: Task, plan: MemoryPlan) -> int:
    """A limit that suffices for a plan, and for nothing more."""
    return HELD + needed(task, NETWORK, plan)


@pytest.mark.parametrize("plan", [UNLIMITED, MemoryPlan(512), MemoryPlan(256, 4), LEAST])
def test_best_plan_that_fits_is_chosen(plan: MemoryPlan) -> None:
    """Whole, in tiles, with fewer pairs, at last with Adam."""
    task = large()
    made = chosen(task, MemorySettings(limit=limit(task, plan)))
    assert needed(task, NETWORK, made) <= needed(task, NETWORK, plan)
    assert made.history == plan.history
    if plan in (UNLIMITED, LEAST):
        assert made == plan


def test_without_limit_free_memory_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    task = large()
    for free, plan in ((math.inf, UNLIMITED), (1.0, LEAST)):
        monkeypatch.setattr(memory, "available", lambda free=free: free)
        assert chosen(task, MemorySettings()) == plan


def test_departures_from_the_recipe_are_described_and_impossible_limits_refused() -> None:
    task = large()
    start = "to save memory, at 3000x2000 pixels "
    assert list(warnings(task, MemoryPlan(512))) == []
    assert list(warnings(task, MemoryPlan(512, 4))) == [
        start + "L-BFGS keeps 4 pairs of vectors instead of 6"
    ]
    for pairs in (0, 1, 2):
        assert list(warnings(task, MemoryPlan(512, pairs))) == [start + "Adam replaces L-BFGS"]
    least = limit(task, LEAST)
    with pytest.raises(PictureError, match=f"about {least / 1e9:.3g} GB at the least"):
        chosen(task, MemorySettings(limit=least - 1))


@pytest.mark.parametrize(
    "allowed, free, told",
    [
        (
            10**12,
            10**9,
            r"and 3 GB of the GPU are free for it: end other programs that use the GPU",
        ),
        (10**9, 10**12, r"and limits\.memory allows 1 GB: raise it"),
    ],
)
def test_a_refusal_on_a_gpu_names_what_binds(
    monkeypatch: pytest.MonkeyPatch, allowed: int, free: int, told: str
) -> None:
    task = small.task("gram", {"size": "30000x20000", "fit": "stretch", "enlarge": True})
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 2 * 10**9)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 2 * 10**9)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, 10**12))
    with pytest.raises(PictureError, match=told):
        choose(task, torch.device("cuda"), MemorySettings(limit=allowed), lambda: NETWORK)


def test_tiles_and_history_that_are_set_are_kept_where_a_picture_can_be_divided() -> None:
    task = large()
    for wanted, plan in (
        (MemorySettings(tile=300, history="whole"), MemoryPlan(300)),
        (MemorySettings(tile="none", history=4), MemoryPlan(None, 4)),
    ):
        assert chosen(task, wanted) == plan
        assert chosen(task, replace(wanted, limit=1)) == plan, "an earlier attempt began with it"
    whole = small.task("nnst", {"size": "96x72", "fit": "stretch", "enlarge": True})
    assert chosen(whole, MemorySettings(tile=32)).tile is None, "positions are compared"


@cache
def vgg19(kind: Precision | Literal["compiled"]) -> Vgg19:
    """The real network, whose maps are as large as they are."""
    mean, arrays = store.load(weights.locate("bundled"), LAYERS)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    if kind == "compiled":
        return Vgg19(tensors, mean, compiled=True, keep_packed=False)
    return Vgg19(tensors, mean, kind)


@pytest.mark.parametrize(
    ("name", "network"),
    [*((name, "compiled") for name in names()), ("best", "fp32"), ("best", "bf16"),
     ("gram", "fp32"), ("gram", "bf16")],
)  # fmt: skip
def test_parts_declare_what_they_take_and_not_much_more(
    name: str, network: Precision | Literal["compiled"]
) -> None:
    """At every size that has losses of its own, with two styles and two regions."""
    vgg = vgg19(network)
    changes = {"size": "112x80", "fit": "stretch", "enlarge": True, "style_size": "area",
               "enlarge_styles": True}  # fmt: skip
    task = small.task(name, {**changes, "scales": find(name).schedule.scales})
    styles = [Style(small.picture(n, 112, 80), f"style-{n}") for n in (1, 2)]
    mask = np.zeros((80, 112, 2), np.float32)
    mask[:, :56, 0] = mask[:, 56:, 1] = 1
    task = replace(
        task,
        content=small.picture(0, 112, 80),
        styles=tuple(styles),
        content_mask=mask,
    )
    canvas = Canvas(task, vgg.mean, vgg.device)
    for is_coarse in {level.is_coarse for level in task.levels()}:
        level = replace(task.levels()[-1], is_coarse=is_coarse)
        scene = Scene(canvas, vgg, level, task.terms(level), canvas.start(level.size))
        kept, while_targets, while_stepping = measured(scene)
        declared = memory.declared(task, vgg, level)
        for found, most in ((kept, declared.kept), (while_targets, declared.targets),
                            (while_stepping, declared.step)):  # fmt: skip
            assert found <= most + _SMALL
        assert declared.step <= 4 * while_stepping + _SMALL
        assert declared.targets <= 4 * while_targets + _SEARCHES


def test_a_loss_that_reads_styles_as_a_whole_declares_them_so_in_tiles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = small.task("gram", {"size": "64", "style_size": "64", "enlarge_styles": True})
    level = task.levels()[-1]
    by_tiles = memory.declared(task, NETWORK, level, 16 * 16)
    monkeypatch.setattr(GramStyle, "targets_in_tiles", False)
    whole = memory.declared(task, NETWORK, level, 16 * 16)
    assert by_tiles.step == whole.step
    assert by_tiles.targets < whole.targets


class SortedSettings(LayerSettings):
    """A loss of sorted features, which declares nothing of its own."""

    name = "sorted"

    @property
    def formula(self) -> type[Loss]:
        """Return any class."""
        return GramStyle


def test_by_default_a_loss_that_sorts_declares_enough() -> None:
    rows, count = channels("conv1_1"), 5000
    extent = Extent(count, (count,), 1, has_mask=False, value=4, in_place=False)
    declared = SortedSettings(layers={"conv1_1": 1.0}).memory(extent)
    maps = torch.rand(rows, count, requires_grad=True)
    target = torch.rand(rows, count).sort(dim=1).values
    with peak() as used:
        loss = (maps.float().sort(dim=1).values - target).square().mean()
        torch.autograd.grad(loss, maps)
    assert used.peak <= declared.saved + declared.gradients + 100  # and a few scalars


@pytest.mark.parametrize("name", ["best", "gram", "nnst"])
def test_the_plan_of_a_first_frame_holds_for_those_that_follow(name: str) -> None:
    still = replace(small.task(name, {"size": "64", "steps": 20}), is_frame=True)
    assert still.content is not None
    trust = np.ones(still.content.shape[:2], np.float32)
    short = following(still.recipe, coarse=True)
    later = replace(still, recipe=short, init=still.content, prior=Prior(still.content, trust, 1))
    for frame in (later, divided(later, trust)):
        for plan in (UNLIMITED, MemoryPlan(32)):
            assert needed(frame, NETWORK, plan) <= needed(still, NETWORK, plan)
