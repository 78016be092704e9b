"""What a painting would take: bytes worked out by hand, seconds by a clock of the test's own."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
import torch
from tests.painter import small
from tests.painter.paintings import AT_ONCE, painting

from stylewatch_painter.algorithm import forecast as module
from stylewatch_painter.algorithm.forecast import (
    SIDES,
    Wanted,
    at_once,
    content_bytes,
    evaluations,
    forecast,
    map_bytes,
    needed,
    optimizer_bytes,
    room,
    warnings,
)
from stylewatch_painter.algorithm.task import AMPLE, Room, Task
from stylewatch_painter.errors import PictureError
from stylewatch_painter.recipes.book import change, find
from stylewatch_painter.recipes.recipe import Objective

FIRST_BLOCK = 3 * 64 * 4
SEARCHING = {"kind": "lbfgs", "line_search": "strong_wolfe", "first_step": None}


def objective(pool: str, *layers: str) -> Objective:
    """An objective of style alone."""
    style = {"gram": "mean", "loss": "mean", "layers": dict.fromkeys(layers, 1.0)}
    return Objective.model_validate({"network": {"pool": pool}, "style": style})


def every(seconds: float) -> Callable[[], float]:
    """A clock that goes on by so much whenever somebody looks at it."""
    ticks = count()
    return lambda: next(ticks) * seconds


def test_map_with_a_loss_counts_with_its_gradient() -> None:
    assert map_bytes(objective("max", "conv1_1")) == FIRST_BLOCK + 64 * 2 * 4


def test_other_maps_count_signs_and_pool_indices() -> None:
    """128 maps of a quarter of the pixels, after 2 x 64 maps and a pool of 64 quarters."""
    asked = FIRST_BLOCK + 128 // 4 * 2 * 4 + 2 * 64
    assert map_bytes(objective("average", "conv2_1")) == asked
    assert map_bytes(objective("max", "conv2_1")) == asked + 64 // 4 * 8


@pytest.mark.parametrize(
    ("plain", "vectors"),
    [({"kind": "adam"}, 4), ({"kind": "sgd"}, 2), ({"kind": "lbfgs", "history": 10}, 28),
     ({"kind": "lbfgs", "history": 100}, 2 * 30 + 8),
     ({"kind": "lbfgs", "history": 100, "step_back": None}, 2 * 30 + 5)],
)  # fmt: skip
def test_optimizer_counts_its_vectors(plain: dict[str, Any], vectors: int) -> None:
    """Three floats for each pixel; after 30 steps L-BFGS knows 30 moves at the most."""
    settings = painting({"optimizer": plain}).recipe.schedule.optimizer
    assert optimizer_bytes(settings, 30) == vectors * 3 * 4


def test_memory_is_process_memory_plus_bytes_per_pixel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_peak_memory", lambda: 1000)
    task = painting()
    each = map_bytes(task.recipe.objective)
    each += optimizer_bytes(task.recipe.schedule.optimizer, task.recipe.schedule.steps)
    assert forecast(task, small.network()).memory == 1000 + 21 * 18 * each


def test_seconds_scale_with_pixels_and_steps() -> None:
    """An evaluation of 21x18 takes 2 s by this clock; a size needs one more for its targets."""
    found = forecast(painting(), small.network(), clock=every(2.0))
    per_pixel = 2.0 / (21 * 18)
    assert found.seconds == pytest.approx(per_pixel * (10 * 9 * (3 + 1) + 21 * 18 * (4 + 1)))


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (SEARCHING, 300 * 1.03 + 20),
        ({**SEARCHING, "first_step": 3}, 300 * 1.03),
        ({"kind": "lbfgs"}, 300),
        ({"kind": "adam"}, 300),
        ({"kind": "sgd"}, 300),
    ],
)
def test_step_is_one_evaluation_without_line_search(said: dict[str, Any], wanted: float) -> None:
    settings = change(find("best"), {"optimizer": said}).schedule.optimizer
    assert evaluations(settings, 300) == pytest.approx(wanted)


def test_tiled_maps_cover_tile_and_halo() -> None:
    """Beside them vectors, what is kept of the content, and what a step works with if more."""
    task = painting({"size": "2100x1800", "enlarge": True, "optimizer.history": 3, **AT_ONCE})
    pixels, objective = 2100 * 1800, task.recipe.objective
    vectors = optimizer_bytes(task.recipe.schedule.optimizer, task.recipe.schedule.steps)
    kept = pixels * (vectors + content_bytes(objective) + 3 * 4)
    maps = (1024 + 160) ** 2 * map_bytes(objective)
    assert maps > pixels * 4 * 12
    assert needed(task, Room(1024), 4) == kept + maps
    assert needed(task, Room(16), 4) == kept + pixels * 4 * 12
    anew = needed(task, Room(1024, keeps_content=False), 4)
    assert anew == kept + maps - pixels * (content_bytes(objective) - 3 * 4)


def test_history_is_bounded_by_steps_at_last_size() -> None:
    """Three there, while its preview, of a hundredth of the pixels, makes thirty."""
    told = {"optimizer": {"kind": "lbfgs", "history": 20}, "steps": 30, "upscale_steps": 3,
            "size": "210x180", "enlarge": True, "preview": "21", **AT_ONCE}  # fmt: skip
    task = painting(told)
    settings = task.recipe.schedule.optimizer
    maps = 210 * 180 * map_bytes(task.recipe.objective)
    assert needed(task, Room(), 4) == maps + 210 * 180 * optimizer_bytes(settings, 3)
    many = painting({**told, "upscale_steps": 20})
    assert needed(many, Room(), 4) == maps + 210 * 180 * optimizer_bytes(settings, 20)


CPU = torch.device("cpu")
HELD = 10**9


@pytest.fixture(autouse=True)
def a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that holds a gigabyte by now, all told."""
    monkeypatch.setattr(module, "resident", lambda: HELD - module._PROCESS)


def large(**changes: Any) -> Task:
    """3000x2000 pixels, by L-BFGS with six pairs; nothing of it is painted."""
    return small.task(
        "best",
        {"size": "3000x2000", "fit": "stretch", "enlarge": True, "style_size": "21",
         "steps": 20, **changes},
    )  # fmt: skip


def taking(task: Task, one: Room) -> int:
    """A limit that suffices for a painting in that room, and for nothing more."""
    return HELD + needed(task, one, 4)


def test_small_painting_is_not_tiled() -> None:
    task = large()
    assert room(task, Wanted(limit=taking(task, AMPLE)), CPU, 4) == AMPLE


def test_largest_fitting_tiles_are_used() -> None:
    task = large()
    for side in SIDES:
        assert room(task, Wanted(limit=taking(task, Room(side))), CPU, 4).history is None
    assert room(task, Wanted(limit=taking(task, AMPLE) - 1), CPU, 4).tile == SIDES[0]


def test_history_is_shortened_next() -> None:
    task = large()
    found = room(task, Wanted(limit=taking(task, Room(512, 4))), CPU, 4)
    assert (found.history, found.keeps_content) == (4, True)
    assert list(warnings(task, found)) == [
        "memory does not suffice for 6 pairs of L-BFGS at 3000x2000 pixels: there it remembers 4"
    ]


def test_content_is_recomputed_next() -> None:
    """Where it is by a layer whose maps are many times the picture."""
    task = large(**{"objective.content.layers": {"conv1_1": 1.0}})
    found = room(task, Wanted(limit=taking(task, Room(512, 3, False))), CPU, 4)
    assert found == Room(512, 3, False)
    found = room(task, Wanted(limit=taking(task, Room(256, 3, False))), CPU, 4)
    assert found == Room(256, 3, False)


def test_adam_is_the_last_resort() -> None:
    task = large()
    found = room(task, Wanted(limit=taking(task, Room(256, 0, False))), CPU, 4)
    assert found.history == 0
    (told,) = warnings(task, found)
    assert told.endswith("there Adam paints in its place")


def test_impossible_limit_is_refused_with_the_minimum() -> None:
    task = large()
    least = taking(task, Room(256, 0, False))
    with pytest.raises(PictureError, match=f"about {least / 1e9:.3g} GB at the least"):
        room(task, Wanted(limit=least - 1), CPU, 4)


def test_without_limit_free_memory_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "available", lambda: float("inf"))
    assert room(large(), Wanted(), CPU, 4) == AMPLE
    monkeypatch.setattr(module, "available", lambda: 1.0)
    assert room(large(), Wanted(), CPU, 4) == Room(256, 0, False)


def test_memory_left_by_earlier_paintings_is_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As long as it is what a process keeps anyway: the network, and what libraries set aside."""
    task = large()
    wanted = Wanted(limit=taking(task, Room(512, 4)))
    fresh = room(task, wanted, CPU, 4)
    more = 0
    monkeypatch.setattr(module, "resident", lambda: HELD - module._PROCESS + more)
    for more in (100 * 10**6, module._PROCESS):
        assert room(task, replace(wanted, left=more), CPU, 4) == fresh
        assert room(task, wanted, CPU, 4) != fresh
    more = 2 * module._PROCESS
    assert room(task, replace(wanted, left=more), CPU, 4) != fresh


def test_batch_size_follows_from_the_limit() -> None:
    task = large()
    three = HELD + 3 * needed(task, AMPLE, 4)
    for limit, most in ((three, 3), (three - 1, 2), (taking(task, AMPLE) - 1, 1), (1, 1)):
        assert at_once(task, Wanted(limit=limit), CPU, 4) == most
    assert at_once(task, Wanted(), CPU, 4) > 10**6
