"""Prints: sizes worked out by hand, and paintings that come by their preview, byte for byte."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from tests.painter import small
from tests.painter.paintings import painted, painting

from stylewatch_painter.algorithm.scales import Size, first_size, grain, preview_size, upward
from stylewatch_painter.algorithm.task import Style, Task
from stylewatch_painter.errors import PictureError
from stylewatch_painter.recipes.book import change, find
from stylewatch_painter.recipes.recipe import Schedule
from stylewatch_painter.stage import Wish
from stylewatch_plugins.testing.tasks import OPTIMIZERS, after as resumed_after

LARGE = (12000, 9000)
SLOW_SUMS: Mapping[str, Any] = {
    "objective.content": {"loss": "half_sum", "layers": {"conv4_2": 1e-3}},
    "objective.style": {"gram": "sum", "loss": "paper"},
}


def schedule(**changed: object) -> Schedule:
    return change(find("best"), changed).schedule


def sizes(told: Schedule, content: Size = LARGE) -> list[Size]:
    return [level.size for level in upward(told, content)]


def pair(changes: Mapping[str, Any], side: int) -> Task:
    """A photograph and a style of 84x72 pixels, painted `side` pixels wide."""
    plain = {"size": str(side), "style_size": "area", "upscale_steps": 3, "save_every": 100}
    style = Style(small.picture(1, 84, 72))
    content = small.picture(0, 84, 72)
    return painting({**plain, **changes}, content=content, styles=(style,))


def stood(task: Task, step: int) -> np.ndarray[Any, Any]:
    """The picture of a painting after a step, in network units."""
    checkpoint = painted(task, *resumed_after(step, Wish.STOP))[-1].checkpoint
    assert checkpoint is not None
    return checkpoint["u"]


@pytest.mark.parametrize("preview", [None, "800", "9000"])
def test_what_is_no_larger_than_its_preview_is_painted_as_ever(preview: str | None) -> None:
    told = schedule(size="800", preview=preview)
    assert preview_size(told, LARGE) == first_size(told, LARGE) == (800, 600)
    assert sizes(told) == []


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ("1000", [(1000, 750)]),
        ("1600", [(1600, 1200)]),
        ("3200", [(1600, 1200), (3200, 2400)]),
        ("8000", [(1724, 1293), (3713, 2785), (8000, 6000)]),  # 10^(1/3) = 2.154
    ],
)
def test_a_print_goes_up_from_its_preview_by_about_two(size: str, wanted: list[Size]) -> None:
    told = schedule(size=size, preview="800", upscale_steps=5)
    assert first_size(told, LARGE) == (800, 600)
    assert sizes(told) == wanted
    assert {level.steps for level in upward(told, LARGE)} == {5}


def test_larger_strokes_begin_at_a_smaller_size_and_come_by_the_preview() -> None:
    told = schedule(size="3200", preview="800", stroke=2)
    assert first_size(told, LARGE) == (400, 300)
    assert sizes(told) == [(800, 600), (1600, 1200), (3200, 2400)]
    at_preview = schedule(size="800", preview="800", stroke=2)
    assert sizes(at_preview) == sizes(schedule(size="800", stroke=2)) == [(800, 600)]
    assert [level.slowest for level in upward(told, LARGE)] == [1 / 8, 1 / 8, 1 / 16]


def test_a_preview_of_another_shape_is_refused() -> None:
    stretched = {"fit": "stretch", "size": "640x480"}
    with pytest.raises(PictureError, match=r"the preview would be 320x160 pixels.* boxes"):
        preview_size(schedule(preview="320x160", **stretched), LARGE)
    assert preview_size(schedule(preview="320x240", **stretched), LARGE) == (320, 240)


def test_what_it_begins_with_must_leave_every_layer_something() -> None:
    task = pair({"objective.network.pool_edge": "floor", "stroke": 8}, 84)
    with pytest.raises(PictureError, match="what it begins with, by preview and stroke, would be"):
        painted(task)


@pytest.mark.parametrize(
    ("scale", "wanted"), [(0.5, 0.5), (1, 1), (1.25, 1.25), (1.5, 1.5), (2, 1.5), (8, 1.5)]
)
def test_grain_is_that_of_the_style_as_it_is(scale: float, wanted: float) -> None:
    """A style of 1200x900 pixels, seen as 800x600 beside the preview; and one that was enlarged."""
    assert grain((1200, 900), (800, 600), scale) == wanted
    assert grain((80, 60), (800, 600), scale) == min(1, scale)


@pytest.mark.parametrize("objective", [{}, SLOW_SUMS], ids=["relative", "sums"])
def test_on_its_way_a_print_is_its_preview_byte_for_byte(objective: Mapping[str, Any]) -> None:
    preview, print_ = pair(objective, 21), pair({"preview": "21", **objective}, 42)
    (end,) = {step.steps for step in painted(preview)}
    assert np.array_equal(stood(print_, end), stood(preview, end))


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_what_the_preview_shows_is_held_while_the_print_is_painted(kind: str) -> None:
    """Waves longer than four of its pixels do not move, and others do."""
    task = pair({"preview": "21", "keep_range": False, "optimizer": OPTIMIZERS[kind]}, 42)
    first, last = (stood(task, step)[0].astype(np.float64) for step in (8, 10))
    moved = np.abs(np.fft.fft2(last - first))
    down, right = np.meshgrid(np.fft.fftfreq(36), np.fft.fftfreq(42), indexing="ij")
    slow = np.hypot(down, right) < 1 / 8
    assert moved[:, slow].max() < 1e-3 * moved[:, ~slow].max()
