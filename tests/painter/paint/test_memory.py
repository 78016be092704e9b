"""Limits of memory: the plan that fits, and what a painting takes."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.painter import small
from tests.painter.paintings import painted

from stylewatch_painter.errors import PictureError
from stylewatch_painter.paint import memory, trial
from stylewatch_painter.paint.memory import (
    MemorySettings,
    ample,
    choose,
    needed,
    warnings,
)
from stylewatch_painter.paint.memory_plan import UNLIMITED, MemoryPlan
from stylewatch_painter.paint.trial import costs, peak
from stylewatch_painter.scene.task import Task

NETWORK = small.network()
HELD = 10**9
LEAST = MemoryPlan(256, 0)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def process_of_a_gigabyte(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fix what this process holds, and keep the measured costs of each task between tests."""
    monkeypatch.setattr(memory, "resident", lambda: HELD)
    monkeypatch.setattr(memory, "_LIBRARIES", 0)
    monkeypatch.setattr(trial, "_ALONE", 0.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


def large() -> Task:
    """3000x2000 pixels, by L-BFGS with six pairs."""
    sizes = {"size": "3000x2000", "fit": "stretch", "enlarge": True, "style_size": "21"}
    return small.task("gram", {**sizes, "steps": 20})


def chosen(task: Task, wanted: MemorySettings) -> MemoryPlan:
    return choose(task, NETWORK.device, wanted, lambda: NETWORK)


def limit(task: Task, plan: MemoryPlan) -> int:
    """A limit that suffices for a plan, and for nothing more."""
    return HELD + needed(task, costs(task, NETWORK), plan)


@pytest.mark.parametrize("plan", [UNLIMITED, MemoryPlan(512), MemoryPlan(512, 4), LEAST])
def test_best_plan_that_fits_is_chosen(plan: MemoryPlan) -> None:
    """Whole, in tiles, with fewer pairs, at last with Adam."""
    task = large()
    made = chosen(task, MemorySettings(limit=limit(task, plan)))
    assert needed(task, costs(task, NETWORK), made) <= needed(task, costs(task, NETWORK), plan)
    assert made.history == plan.history
    if plan in (UNLIMITED, LEAST):
        assert made == plan


def test_without_limit_free_memory_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is ample nothing is tried."""
    task = large()
    for free, plan in ((math.inf, UNLIMITED), (2 * ample(task), UNLIMITED), (1.0, LEAST)):
        monkeypatch.setattr(memory, "available", lambda free=free: free)
        monkeypatch.setattr(memory, "needed", needed if free == 1.0 else None)
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


@pytest.mark.parametrize(
    ("name", "tile"),
    [("gram", 64), ("best", None), ("strotss", None)],
)
def test_need_is_about_the_tensors_of_a_painting(name: str, tile: int | None) -> None:
    """Measured at a size of 12 times the pixels of a trial, and never less than was needed."""
    fields = {"size": "880x640", "fit": "stretch", "enlarge": True, "style_size": "area",
              "steps": 2, "scales": ()}  # fmt: skip
    task = small.task(name, fields)
    with peak(torch.device("cpu")) as count:
        painted(task, memory_plan=MemoryPlan(tile))
    assert (
        0.9 * count.peak < needed(task, costs(task, NETWORK), MemoryPlan(tile)) < 2.5 * count.peak
    )
