"""A painting to be made: frozen, and clear about its sizes before anything is painted."""

from dataclasses import replace

import pytest
from tests.painter import small
from tests.painter.paintings import NOISE, painting

from stylewatch_painter.algorithm.task import Style


def test_the_content_gives_the_shape_and_without_it_the_next_best_picture() -> None:
    """What it starts from, then the first of the styles."""
    content, init, style = (
        small.picture(0, 20, 10), small.picture(1, 10, 20), small.picture(2, 20, 20)
    )  # fmt: skip
    task = painting({"size": "10", **NOISE}, styles=(Style(style),))
    assert replace(task, content=content, init=init).final == (10, 5)
    assert replace(task, content=None, init=init).final == (5, 10)
    assert replace(task, content=None).final == (10, 10)


def test_a_size_at_which_a_style_would_vanish_is_left_out() -> None:
    """Pools that drop the rest leave nothing of a side under 16: neither of a style's."""
    told = {"objective.network.pool_edge": "floor", "size": "64", "style_size": "64"}
    broad = painting(told, content=small.picture(0, 64, 48))
    wide, narrow = Style(small.picture(1, 64, 40)), Style(small.picture(1, 64, 20))
    assert [level.size for level in replace(broad, styles=(wide,)).levels()] == [(32, 24), (64, 48)]
    assert [level.size for level in replace(broad, styles=(wide, narrow)).levels()] == [(64, 48)]


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
