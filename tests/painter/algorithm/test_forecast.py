"""Seconds by a clock of the test."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.paintings import AT_ONCE, matching, painting

from stylewatch_painter.algorithm import forecast as forecast_module
from stylewatch_painter.algorithm.forecast import evaluations, forecast
from stylewatch_painter.algorithm.memory_plan import map_bytes, optimizer_bytes
from stylewatch_painter.algorithm.neighbors import neighbor_searches
from stylewatch_painter.algorithm.scales import Level
from stylewatch_painter.algorithm.task import Prior, Task
from stylewatch_painter.recipes.book import change, find


def test_evaluations_by_optimizer() -> None:
    """A line search takes more than one in some steps, and at first if no step is given."""
    searching = {"kind": "lbfgs", "line_search": "strong_wolfe", "first_step": None}
    table: list[tuple[dict[str, Any], float]] = [
        ({"kind": "adam"}, 300),
        ({"kind": "lbfgs", "history": 100}, 300),
        ({**searching, "history": 10}, 300 * 1.03 + 20),
    ]
    for settings, of_300 in table:
        optimizer = change(find("gram"), {"optimizer": settings}).schedule.optimizer
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

        monkeypatch.setattr(forecast_module, "_timed", _timed)
        return sizes

    return replace_times


def test_forecast_interpolates_between_pixels_and_multiplies_by_steps(
    timed: Callable[[Seconds], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes 1 s, and 1 s for each 10,000 pixels; each size needs another for its targets."""
    monkeypatch.setattr(forecast_module, "_peak_memory", lambda: 1000)
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
    monkeypatch.setattr(forecast_module, "_processors", lambda: float(processors))
    monkeypatch.setattr(torch, "get_num_threads", lambda: used[-1])
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    monkeypatch.setattr(forecast_module, "_TRIAL_SIDES", {False: (21,)})
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


def test_searches_are_timed_by_themselves(
    timed: Callable[[Seconds], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By columns once at a size; by layers in each evaluation, among as many samples if larger."""
    monkeypatch.setattr(forecast_module, "_search_time", lambda *_: 1e-9)
    by_layer = 1e-9 * (64 * 48) * 4 * (64 * 55)
    by_column = 1e-9 * (128 * 96) * 4 * (128 * 110)
    task = matching({"conv1_1": 1}, size="512x384", style_size="512",
                    scales=[{"scale": 1, "steps": 9}], steps=4)  # fmt: skip

    def seconds_of(level: Level) -> float:
        pairs = [search.queries * search.candidates for search in neighbor_searches(task, level)]
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
        millions, searches = math.prod(level.size) / 1e6, neighbor_searches(task, level)
        search = 1e-9 * sum(each.queries * each.candidates for each in searches)
        return 8 * millions * bool(searches) + search, millions * (5 if searches else 1)

    def _timed(task: Task, network: object, trial: Level, clock: object) -> Any:
        trials.append(task.terms(trial).neighbors is not None)
        return (math.prod(trial.size), *seconds_of(task, trial)), False

    monkeypatch.setattr(forecast_module, "_timed", _timed)
    monkeypatch.setattr(forecast_module, "padded_pixels", lambda size, _: math.prod(size))
    monkeypatch.setattr(forecast_module, "_search_time", lambda *_: 1e-9)
    task = small.task("best", {
        "size": f"{side}x{side}", "fit": "stretch", "enlarge": True, "steps": 2, "smallest": 1,
        "scales": [{"scale": 0.5, "steps": 3}], "objective.coarse": None,
        "objective.neighbors.largest": largest,
    })  # fmt: skip
    half, full = (seconds_of(task, level) for level in task.levels())
    expected = half[0] + 3 * half[1] + full[0] + 2 * full[1]
    assert forecast(task, small.network()).seconds == pytest.approx(expected)
    assert sorted(trials) == matches


def test_forecast_of_a_match_needs_no_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast_module, "_TRIAL_SIDES", {False: (24, 48), True: (24,)})
    expected = forecast(matching({"conv1_1": 1, "conv2_1": 1}), small.network())
    assert expected.seconds > 0 and expected.tile is None


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
    monkeypatch.setattr(forecast_module, "_TRIAL_SIDES", {False: (24, 48), True: (16, 24)})
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
