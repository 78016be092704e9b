"""The sizes of paintings and of style pictures, against numbers worked out by hand."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.painter import small
from tests.painter.paintings import NOISE, painted, painting

from stylewatch_painter.algorithm.scales import (
    Level,
    Size,
    after,
    check_side,
    final_size,
    first_size,
    levels,
    preview_size,
    style_size,
    upward,
)
from stylewatch_painter.algorithm.task import Style, Task
from stylewatch_painter.errors import PictureError
from stylewatch_painter.recipes.book import change, find
from stylewatch_painter.recipes.recipe import Recipe, Schedule
from stylewatch_painter.stage import Wish
from stylewatch_plugins.testing.tasks import OPTIMIZERS
from stylewatch_plugins.testing.tasks import after as resumed_after

WIDE, TALL, LONG, SMALL = (1000, 750), (600, 900), (3000, 1000), (300, 200)

SIZES: dict[str, dict[Size, Size]] = {
    # stretched, whatever it was
    "devos": dict.fromkeys((WIDE, TALL, LONG, SMALL), (640, 480)),
    # 600 x 512 / 900 = 341.3; 1000 x 512 / 3000 = 170.7; nothing is enlarged
    "gatys": {WIDE: (512, 384), TALL: (341, 512), LONG: (512, 171), SMALL: (300, 200)},
    "blank-canvas": {WIDE: (512, 384), TALL: (341, 512), LONG: (512, 171), SMALL: (300, 200)},
    # 400 rows; 1000 x 400 / 750 = 533.3 and 600 x 400 / 900 = 266.7 are cut, not rounded
    "keras": {WIDE: (533, 400), TALL: (266, 400), LONG: (1200, 400), SMALL: (600, 400)},
    # sqrt(250000 x 0.75) = 433.01, then 4/3 x 433 = 577.3; sqrt(375000) = 612.4, 2/3 x 612 = 408;
    # sqrt(83333) = 288.7, 3 x 289 = 867; sqrt(166667) = 408.2, 1.5 x 408 = 612
    "pastiche": {WIDE: (577, 433), TALL: (408, 612), LONG: (867, 289), SMALL: (612, 408)},
    # as gatys, but small pictures are enlarged: 200 x 512 / 300 = 341.3
    "neural-style": {WIDE: (512, 384), TALL: (341, 512), LONG: (512, 171), SMALL: (512, 341)},
    # 600 x 640 / 900 = 426.7; 1000 x 640 / 3000 = 213.3
    "crowson": {WIDE: (512, 384), TALL: (341, 512), LONG: (512, 171), SMALL: (512, 341)},
    "best": {WIDE: (640, 480), TALL: (427, 640), LONG: (640, 213), SMALL: (300, 200)},
}

STYLES: dict[str, dict[Size, Size]] = {
    # of a style of 1000x500 (and one of 400x500), beside a painting of a WIDE picture
    "devos": {(1000, 500): (640, 480), (400, 500): (640, 480)},
    # 512 x 384 pixels: sqrt(98304) = 313.5, 2 x 314; the small one has 200000, and is cut to
    # sqrt(196608 x 1.25) = 495.7, 0.8 x 496 = 396.8
    "gatys": {(1000, 500): (628, 314), (400, 500): (397, 496)},
    "keras": {(1000, 500): (533, 400), (400, 500): (533, 400)},
    # 577 x 433 pixels: sqrt(124920.5) = 353.4; sqrt(312301) = 558.8, 0.8 x 559 = 447.2
    "pastiche": {(1000, 500): (706, 353), (400, 500): (447, 559)},
    "neural-style": {(1000, 500): (512, 256), (400, 500): (410, 512)},
    "crowson": {(1000, 500): (512, 256), (400, 500): (410, 512)},
    # 640 x 480 pixels: sqrt(153600) = 391.9; the small one stays as it is
    "best": {(1000, 500): (784, 392), (400, 500): (400, 500)},
}


def schedule(**changed: object) -> Schedule:
    return change(find("best"), changed).schedule


@pytest.mark.parametrize(
    ("name", "content"), [(name, content) for name in SIZES for content in SIZES[name]]
)
def test_recipe_sizes_match_the_source(name: str, content: Size) -> None:
    assert final_size(find(name).schedule, content) == SIZES[name][content]


@pytest.mark.parametrize(
    ("name", "style"), [(name, style) for name in STYLES for style in STYLES[name]]
)
def test_style_sizes_match_the_source(name: str, style: Size) -> None:
    painted = SIZES[name][WIDE]
    assert style_size(find(name).schedule, style, painted) == STYLES[name][style]


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ("500", (500, 375)),
        ("500x500", (500, 375)),
        ("500x300", (400, 300)),
        ("x300", (400, 300)),
        ("400x", (400, 300)),
        ("0.12mp", (400, 300)),
        (".03mp", (200, 150)),
        ("2000", (1000, 750)),
        ("2000x2000", (1000, 750)),
        ("x2000", (1000, 750)),
        ("2000x", (1000, 750)),
        ("4mp", (1000, 750)),
    ],
)
def test_every_form_of_a_size_is_a_bound(rule: str, wanted: Size) -> None:
    """And nothing is enlarged unless that is asked for."""
    assert final_size(schedule(size=rule), WIDE) == wanted


def test_stretching_changes_the_ratio() -> None:
    """Without `enlarge`, the box shrinks until neither side is longer than the picture's."""
    stretched = {"size": "640x480", "fit": "stretch"}
    assert final_size(schedule(**stretched), (640, 2000)) == (640, 480)
    assert final_size(schedule(**stretched), (320, 2000)) == (320, 240)
    assert final_size(schedule(**stretched, enlarge=True), (320, 200)) == (640, 480)


@pytest.mark.parametrize(
    ("rule", "scale", "wanted"),
    [
        ("area", 1.0, (400, 200)),
        ("area", 0.5, (200, 100)),
        ("side", 1.0, (400, 200)),
        ("side", 0.5, (200, 100)),
        ("stretch", 1.0, (400, 200)),
        ("stretch", 0.5, (200, 100)),
        ("300", 1.0, (300, 150)),
        ("300", 0.5, (150, 75)),
        ("300", 9.0, (1000, 500)),  # a style, too, is never enlarged unless that is asked for
        ("area", 9.0, (1000, 500)),
        ("side", 9.0, (1000, 500)),
    ],
)
def test_style_sizes_by_rule_and_scale(rule: str, scale: float, wanted: Size) -> None:
    """A style of 1000x500 beside a painting of 400x200; the style's own scale multiplies."""
    for own, whole in ((1.0, scale), (scale, 1.0)):
        told = schedule(style_size=rule, style_scale=whole)
        assert style_size(told, (1000, 500), (400, 200), own) == wanted


def sizes(recipe: Recipe, final: Size) -> list[tuple[Size, int]]:
    return [(level.size, level.steps) for level in levels(recipe, final)]


def test_best_uses_the_expected_scales() -> None:
    """1/8, 1/4, 1/2 of the sides, but none with a long side under 112 pixels."""
    best = find("best")
    large = [((200, 150), 20), ((400, 300), 20), ((800, 600), 12), ((1600, 1200), 14)]
    assert sizes(best, (1600, 1200)) == large
    assert sizes(best, (640, 480))[:2] == [((112, 84), 20), ((160, 120), 20)]
    assert sizes(best, (100, 75)) == [((100, 75), 14)]


def test_small_scales_are_joined() -> None:
    best = find("best")
    assert sizes(best, (296, 222)) == [((112, 84), 40), ((148, 111), 12), ((296, 222), 14)]
    assert sizes(best, (160, 120)) == [((112, 84), 52), ((160, 120), 14)]


def test_scales_without_feature_maps_are_left_out() -> None:
    """conv5_1 lies behind four pools, and 15 pixels, halved four times, are none."""
    recipe = change(find("best"), {"smallest": 1})
    assert [size for size, _ in sizes(recipe, (1000, 30))] == [(1000, 30)]
    assert sizes(recipe, (1000, 32))[0][0] == (500, 16)


def test_crowson_scales_by_the_root_of_two() -> None:
    """1000 steps at the first size, wherever that is; 500 at each of the others."""
    assert sizes(find("crowson"), (512, 384)) == [
        ((128, 96), 1000),
        ((181, 136), 500),
        ((256, 192), 500),
        ((362, 272), 500),
        ((512, 384), 500),
    ]
    assert sizes(find("crowson"), (150, 100)) == [((128, 85), 1000), ((150, 100), 500)]
    assert [size[0] for size, _ in sizes(find("crowson"), (4096, 4096))][:2] == [128, 181]


def test_too_small_picture_is_refused() -> None:
    check_side(find("best"), (16, 16), "the painting")
    check_side(find("devos"), (1, 1), "the painting")  # its pools round up
    with pytest.raises(PictureError, match=r"the painting would be 15x99 pixels.* under 16"):
        check_side(find("best"), (15, 99), "the painting")


WAY = (Level((16, 12), 0.25, 10), Level((32, 24), 0.5, 20), Level((64, 48), 1.0, 30))


@pytest.mark.parametrize(
    ("step", "wanted"),
    [
        (0, [(16, 10), (32, 20), (64, 30)]),
        (9, [(16, 1), (32, 20), (64, 30)]),
        (10, [(32, 20), (64, 30)]),
        (25, [(32, 5), (64, 30)]),
        (30, [(64, 30)]),
        (59, [(64, 1)]),
        (60, [(64, 0)]),
    ],
)
def test_remaining_levels_after_some_steps(step: int, wanted: list[tuple[int, int]]) -> None:
    assert [(level.size[0], level.steps) for level in after(WAY, step)] == wanted


LARGE = (12000, 9000)
SLOW_SUMS: Mapping[str, Any] = {
    "objective.content": {"loss": "half_sum", "layers": {"conv4_2": 1e-3}},
    "objective.style": {"gram": "sum", "loss": "paper"},
}


def upscaling(**changed: object) -> Schedule:
    return change(find("best"), changed).schedule


def upscaled(told: Schedule, content: Size = LARGE) -> list[Size]:
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
def test_preview_that_is_not_smaller_has_no_effect(preview: str | None) -> None:
    told = upscaling(size="800", preview=preview)
    assert preview_size(told, LARGE) == first_size(told, LARGE) == (800, 600)
    assert upscaled(told) == []


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ("1000", [(1000, 750)]),
        ("1600", [(1600, 1200)]),
        ("3200", [(1600, 1200), (3200, 2400)]),
        ("8000", [(1724, 1293), (3713, 2785), (8000, 6000)]),  # 10^(1/3) = 2.154
    ],
)
def test_upscaling_doubles_sizes(size: str, wanted: list[Size]) -> None:
    told = upscaling(size=size, preview="800", upscale_steps=5)
    assert first_size(told, LARGE) == (800, 600)
    assert upscaled(told) == wanted
    assert {level.steps for level in upward(told, LARGE)} == {5}


def test_larger_strokes_start_smaller_and_pass_the_preview() -> None:
    told = upscaling(size="3200", preview="800", stroke=2)
    assert first_size(told, LARGE) == (400, 300)
    assert upscaled(told) == [(800, 600), (1600, 1200), (3200, 2400)]
    at_preview = upscaling(size="800", preview="800", stroke=2)
    assert upscaled(at_preview) == upscaled(upscaling(size="800", stroke=2)) == [(800, 600)]
    assert [level.slowest for level in upward(told, LARGE)] == [1 / 8, 1 / 8, 1 / 16]


def test_preview_of_another_ratio_is_refused() -> None:
    stretched = {"fit": "stretch", "size": "640x480"}
    with pytest.raises(PictureError, match=r"the preview would be 320x160 pixels.* boxes"):
        preview_size(upscaling(preview="320x160", **stretched), LARGE)
    assert preview_size(upscaling(preview="320x240", **stretched), LARGE) == (320, 240)


def test_preview_must_leave_feature_maps() -> None:
    task = pair({"objective.network.pool_edge": "floor", "stroke": 8}, 84)
    with pytest.raises(PictureError, match="what it begins with, by preview and stroke, would be"):
        painted(task)


@pytest.mark.parametrize(("scale", "expected"), [(0.5, 0.5), (1, 1), (1.5, 1.5), (8, 1.5)])
def test_shallow_layers_see_at_most_the_unenlarged_style(scale: float, expected: float) -> None:
    """A style of 120x90 pixels at 80x60, and one that was enlarged already."""
    rules = {"size": "80x60", "style_size": "stretch", "fit": "stretch", "enlarge": True}
    large, small_one = Style(small.picture(1, 120, 90)), Style(small.picture(1, 8, 6))
    task = painting(rules, styles=(large, small_one))
    assert task.grain(large, scale) == expected
    assert task.grain(small_one, scale) == min(1, scale)


@pytest.mark.parametrize("objective", [{}, SLOW_SUMS], ids=["relative", "sums"])
def test_upscaled_painting_passes_its_preview_byte_for_byte(objective: Mapping[str, Any]) -> None:
    preview, print_ = pair(objective, 21), pair({"preview": "21", **objective}, 42)
    (end,) = {step.steps for step in painted(preview)}
    assert np.array_equal(stood(print_, end), stood(preview, end))


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_low_frequencies_of_the_preview_are_kept(kind: str) -> None:
    """Waves longer than four of its pixels do not move, and others do."""
    task = pair({"preview": "21", "keep_range": False, "optimizer": OPTIMIZERS[kind]}, 42)
    first, last = (stood(task, step)[0].astype(np.float64) for step in (8, 10))
    moved = np.abs(np.fft.fft2(last - first))
    down, right = np.meshgrid(np.fft.fftfreq(36), np.fft.fftfreq(42), indexing="ij")
    slow = np.hypot(down, right) < 1 / 8
    assert moved[:, slow].max() < 1e-3 * moved[:, ~slow].max()


def test_first_available_picture_gives_the_shape() -> None:
    """What it starts from, then the first of the styles."""
    content, init, style = (
        small.picture(0, 20, 10), small.picture(1, 10, 20), small.picture(2, 20, 20)
    )  # fmt: skip
    task = painting({"size": "10", **NOISE}, styles=(Style(style),))
    assert replace(task, content=content, init=init).final == (10, 5)
    assert replace(task, content=None, init=init).final == (5, 10)
    assert replace(task, content=None).final == (10, 10)


def test_style_limits_the_scales() -> None:
    """Pools that drop the rest leave nothing of a side under 16: neither of a style's."""
    told = {"objective.network.pool_edge": "floor", "size": "64", "style_size": "64"}
    broad = painting(told, content=small.picture(0, 64, 48))
    wide, narrow = Style(small.picture(1, 64, 40)), Style(small.picture(1, 64, 20))
    assert [level.size for level in replace(broad, styles=(wide,)).levels()] == [(32, 24), (64, 48)]
    assert [level.size for level in replace(broad, styles=(wide, narrow)).levels()] == [(64, 48)]


def test_style_may_have_its_own_size_rule() -> None:
    """Beside another that goes by the recipe's; never stretched unless it says so."""
    style = Style(small.picture(1, 84, 42))
    task = painting({"style_size": "area"}, styles=(style,))
    assert task.style_size(replace(style, size="side")) == (21, 10)
    assert task.style_size(replace(style, size="42")) == (42, 21)
    assert task.style_size(replace(style, size="42", scale=0.5)) == (21, 10)
    assert task.style_size(replace(style, size="stretch")) == task.final


def test_texture_has_the_requested_size() -> None:
    """Its style is not enlarged for that, and gives the shape only where that is left open."""
    style = Style(small.picture(1, 20, 10))
    task = painting({"size": "64x48", "style_size": "area", **NOISE}, content=None, styles=(style,))
    assert task.final == (64, 48)
    assert task.style_size(style) == (20, 10)
    by_side = painting({"size": "64", **NOISE}, content=None, styles=(style,))
    assert by_side.final == (64, 32)


def test_style_scale_relative_to_the_painting() -> None:
    """By its scale; by the sizes that come of it where it or the texture has its own."""
    style = Style(small.picture(1, 84, 42), scale=0.5)
    task = painting({"style_size": "area", "style_scale": 3.0}, styles=(style,))
    assert task.style_scale(style) == 1.5
    own = replace(style, size="20", scale=1.0)
    assert painting({"style_size": "area"}).style_scale(own) == pytest.approx(
        (20 * 10 / (21 * 18)) ** 0.5
    )
    texture = painting({"size": "84x84", **NOISE}, content=None, styles=(style,))
    seen = texture.style_size(style)
    assert texture.style_scale(style) == pytest.approx((seen[0] * seen[1]) ** 0.5 / 84)
