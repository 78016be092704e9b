"""A painting to be made: frozen, and clear about its sizes before anything is painted."""

from dataclasses import FrozenInstanceError, replace

import pytest
from tests.painter import small
from tests.painter.paintings import NOISE, painting

from stylewatch_painter.algorithm.scales import Level
from stylewatch_painter.algorithm.task import Style, Task, size_of
from stylewatch_painter.errors import PictureError


def test_a_picture_and_a_recipe_are_enough() -> None:
    task = Task(painting().recipe, small.picture(0), (Style(small.picture(1)),))
    assert (task.init, task.alpha, task.content_mask, task.resume) == (None,) * 4
    assert task.seed == 0
    (style,) = task.styles
    assert (style.name, style.weight, style.scale, style.mask) == ("style-1", 1.0, 1.0, None)


@pytest.mark.parametrize("record", [painting(), painting().styles[0]])
def test_tasks_and_styles_are_frozen_and_told_apart_by_which_they_are(
    record: Task | Style,
) -> None:
    name = next(iter(vars(record)))
    with pytest.raises(FrozenInstanceError):
        setattr(record, name, None)
    assert record != replace(record)


def test_the_size_of_a_picture_is_its_width_and_height() -> None:
    assert size_of(small.picture(0, 21, 18)) == (21, 18)


def test_the_content_gives_the_shape_and_without_it_the_next_best_picture() -> None:
    """What it starts from, then the first of the styles."""
    content, init, style = (
        small.picture(0, 20, 10), small.picture(1, 10, 20), small.picture(2, 20, 20)
    )  # fmt: skip
    task = painting({"size": "10", **NOISE}, styles=(Style(style),))
    assert replace(task, content=content, init=init).final == (10, 5)
    assert replace(task, content=None, init=init).final == (5, 10)
    assert replace(task, content=None).final == (10, 10)


def test_without_any_picture_there_is_no_size() -> None:
    with pytest.raises(PictureError, match="neither a content nor a style picture"):
        _ = painting(content=None, styles=()).final


def test_its_levels_lead_from_coarse_to_fine() -> None:
    assert painting().levels() == (Level((10, 9), 0.5, 3), Level((21, 18), 1.0, 4))


def test_a_size_at_which_a_style_would_vanish_is_left_out() -> None:
    """Pools that drop the rest leave nothing of a side under 16: neither of a style's."""
    told = {"objective.network.pool_edge": "floor", "size": "64", "style_size": "64"}
    broad = painting(told, content=small.picture(0, 64, 48))
    wide, narrow = Style(small.picture(1, 64, 40)), Style(small.picture(1, 64, 20))
    assert [level.size for level in replace(broad, styles=(wide,)).levels()] == [(32, 24), (64, 48)]
    assert [level.size for level in replace(broad, styles=(wide, narrow)).levels()] == [(64, 48)]


def test_a_style_is_looked_at_beside_the_size_of_the_painting() -> None:
    """As many pixels, its own shape, by its own scale, and smaller where the painting is."""
    style = Style(small.picture(1, 84, 42))
    task = painting({"style_size": "area"}, styles=(style,))
    assert task.style_size(style) == (28, 14)  # 392 pixels of 378
    assert task.style_size(style, 0.5) == (14, 7)
    assert task.style_size(replace(style, scale=2.0)) == (54, 27)


def test_a_style_may_have_a_rule_of_its_own_for_its_size() -> None:
    """Beside another that goes by the recipe's; never stretched unless it says so."""
    style = Style(small.picture(1, 84, 42))
    task = painting({"style_size": "area"}, styles=(style,))
    assert task.style_size(replace(style, size="side")) == (21, 10)
    assert task.style_size(replace(style, size="42")) == (42, 21)
    assert task.style_size(replace(style, size="42", scale=0.5)) == (21, 10)
    assert task.style_size(replace(style, size="stretch")) == task.final


def test_a_texture_is_as_large_as_is_asked_whatever_the_style_is() -> None:
    """Its style is not enlarged for that, and gives the shape only where that is left open."""
    style = Style(small.picture(1, 20, 10))
    task = painting({"size": "64x48", "style_size": "area", **NOISE}, content=None, styles=(style,))
    assert task.final == (64, 48)
    assert task.style_size(style) == (20, 10)
    by_side = painting({"size": "64", **NOISE}, content=None, styles=(style,))
    assert by_side.final == (64, 32)


def test_how_large_a_style_is_to_be_seen_beside_the_painting() -> None:
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
