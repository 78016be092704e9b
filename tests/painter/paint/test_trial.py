"""Trials at a small size, and the forecasts that they give."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.painter import small
from tests.painter.paintings import painting

from stylewatch_painter.paint import forecast as forecasts
from stylewatch_painter.paint import trial
from stylewatch_painter.paint.forecast import forecast
from stylewatch_painter.paint.memory import needed
from stylewatch_painter.paint.memory_plan import UNLIMITED, MemoryPlan
from stylewatch_painter.paint.trial import Cost, Line, costs
from stylewatch_painter.recipes.book import find, names
from stylewatch_painter.scene.task import Style
from stylewatch_painter.size import Size

NETWORK = small.network()
OTHER = Cost(Line(0, 1e-3), Line(0, 1e-4))


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep no costs of one test for another."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.mark.parametrize("name", names())
def test_every_size_of_every_recipe_can_be_tried(name: str) -> None:
    """Some recipes have terms that do not apply at the size of a trial."""
    task = small.task(name, {"size": "200", "enlarge": True, "scales": find(name).schedule.scales})
    assert forecast(task, NETWORK)[0] > 0


def test_forecast_multiplies_pixels_and_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three steps at half size and four at the full size, and the targets of both."""
    monkeypatch.setattr(forecasts, "resident", lambda: 10**12)
    monkeypatch.setattr(trial, "_measured", lambda *_: (OTHER, True))
    task = painting({"size": "1050x900", "fit": "stretch", "enlarge": True})
    (seconds, memory, _), half, full = forecast(task, NETWORK), 525 * 450, 1050 * 900
    assert seconds == pytest.approx(half * (1e-3 + 3e-4) + full * (1e-3 + 4e-4))
    assert memory == 10**12 + needed(task, NETWORK, UNLIMITED)
    longer, in_tiles, tile = forecast(task, NETWORK, MemoryPlan(300))
    assert tile == 300 and longer > 1.4 * seconds and in_tiles < memory


def test_costs_are_kept_for_each_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = iter([(OTHER, True), (replace(OTHER, step=Line(0, 1)), True)])
    monkeypatch.setattr(trial, "_measured", lambda *_: next(measured))
    task, other = painting({"size": "100", "scales": ()}), small.network("tf32")
    for network, seconds in ((NETWORK, OTHER.step), (other, Line(0, 1))) * 2:
        assert [cost.step for cost in costs(task, network).values()] == [seconds]


def test_costs_with_a_tiny_style_are_not_those_with_a_large_one() -> None:
    """Styles that are not enlarged: their targets take as long as they are large."""
    sizes = {"size": "200", "enlarge": True, "style_size": "area", "enlarge_styles": False}
    task = painting({**sizes, "scales": ()})
    (level,) = task.levels()

    def key(side: int) -> str:
        style = Style(np.zeros((side, side, 3), np.float32), "style")
        return trial._key(replace(task, styles=(style,)), NETWORK, level)

    assert key(40) != key(640) == key(630)


ADD = """
import sys
from stylewatch_painter.paint.trial import Cost, Line, _kept
for number in range(50):
    _kept(f"{sys.argv[1]} {number}", lambda: (Cost(Line(0, 1), Line(0, 1)), True))
"""


def test_processes_that_add_costs_at_once_lose_none(tmp_path: Path) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", ADD, name]) for name in "abc"]
    assert [process.wait(240) for process in processes] == [0, 0, 0]
    assert len([*(tmp_path / "stylewatch/costs").glob("*.json")]) == 3 * 50


def test_a_trial_sees_all_styles_of_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that would be too narrow for the network at the size of the trial."""
    seen = set[str]()
    real = trial._TrialCanvas.style

    def style(canvas: trial._TrialCanvas, style: Style, size: Size) -> Any:
        seen.add(style.name)
        return real(canvas, style, size)

    monkeypatch.setattr(trial._TrialCanvas, "style", style)
    sizes = {"size": "900x700", "fit": "stretch", "enlarge": True, "scales": (),
             "objective.network.pool_edge": "floor", "style_size": "side"}  # fmt: skip
    plain = painting(sizes)
    narrow = Style(np.zeros((18, 900, 3), np.float32), "narrow")
    wide = Style(np.zeros((700, 900, 3), np.float32), "wide")
    trial.costs(replace(plain, styles=(wide, narrow)), NETWORK)
    assert seen == {"wide", "narrow"}
