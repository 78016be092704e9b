"""What a painting would take: bytes worked out by hand, seconds by a clock of the test's own."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from tests.painter import small
from tests.painter.paintings import AT_ONCE, painting

from stylewatch_painter.algorithm import forecast as module
from stylewatch_painter.algorithm.forecast import (
    content_bytes,
    evaluations,
    forecast,
    map_bytes,
    needed,
    optimizer_bytes,
)
from stylewatch_painter.algorithm.task import Room
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


def test_a_map_that_a_loss_looks_at_counts_with_its_gradient() -> None:
    assert map_bytes(objective("max", "conv1_1")) == FIRST_BLOCK + 64 * 2 * 4


def test_of_other_maps_a_byte_a_value_counts_and_the_places_of_maxima() -> None:
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
def test_an_optimizer_counts_by_the_vectors_it_remembers(
    plain: dict[str, Any], vectors: int
) -> None:
    """Three floats for each pixel; after 30 steps L-BFGS knows 30 moves at the most."""
    settings = painting({"optimizer": plain}).recipe.schedule.optimizer
    assert optimizer_bytes(settings, 30) == vectors * 3 * 4


def test_memory_is_what_the_process_holds_and_the_bytes_of_every_pixel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_held", lambda: 1000)
    task = painting()
    each = map_bytes(task.recipe.objective)
    each += optimizer_bytes(task.recipe.schedule.optimizer, task.recipe.schedule.steps)
    assert forecast(task, small.network()).memory == 1000 + 21 * 18 * each


def test_seconds_are_those_of_an_evaluation_for_each_pixel_step_and_target() -> None:
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
def test_a_step_is_an_evaluation_but_for_line_searches(said: dict[str, Any], wanted: float) -> None:
    settings = change(find("best"), {"optimizer": said}).schedule.optimizer
    assert evaluations(settings, 300) == pytest.approx(wanted)


def test_in_tiles_maps_are_those_of_a_tile_and_its_halo() -> None:
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


def test_a_print_remembers_as_many_moves_as_it_makes_steps_at_its_last_size() -> None:
    """Three there, while its preview, of a hundredth of the pixels, makes thirty."""
    told = {"optimizer": {"kind": "lbfgs", "history": 20}, "steps": 30, "upscale_steps": 3,
            "size": "210x180", "enlarge": True, "preview": "21", **AT_ONCE}  # fmt: skip
    task = painting(told)
    settings = task.recipe.schedule.optimizer
    maps = 210 * 180 * map_bytes(task.recipe.objective)
    assert needed(task, Room(), 4) == maps + 210 * 180 * optimizer_bytes(settings, 3)
    many = painting({**told, "upscale_steps": 20})
    assert needed(many, Room(), 4) == maps + 210 * 180 * optimizer_bytes(settings, 20)
