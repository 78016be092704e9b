"""The losses, drawn: every term as it counts, sizes one after the other, stages marked."""

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from tests.daemon.artifacts.paintings import curves

from stylewatch_daemon.artifacts import loss_plot as module
from stylewatch_daemon.artifacts.contract import Curves
from stylewatch_painter.errors import PictureError


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Figure]]:
    """The figures that are drawn."""
    seen: list[Figure] = []

    class Seen(Figure):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            seen.append(self)

    monkeypatch.setattr(module, "Figure", Seen)
    yield seen


def lines(figure: Figure) -> dict[str, Any]:
    """The lines of a figure by their names."""
    (axes,) = figure.axes
    return {str(line.get_label()): line for line in axes.get_lines()}


def test_it_is_a_picture_on_white_with_dark_letters() -> None:
    with Image.open(io.BytesIO(module.draw(curves()))) as image:
        assert image.format == "PNG" and image.size == (1080, 810)
        pixels = np.asarray(image.convert("L"))
    assert (pixels == 255).mean() > 0.8 and (pixels < 60).sum() > 1000


def test_the_same_losses_are_the_same_bytes() -> None:
    assert module.draw(curves()) == module.draw(curves())


def test_each_term_is_drawn_as_it_counts_on_a_scale_of_powers(figures: list[Figure]) -> None:
    module.draw(curves(4))
    drawn = lines(figures[0])
    assert figures[0].axes[0].get_yscale() == "log"
    assert list(drawn["total"].get_ydata()) == [9, 9 / 2, 3, 9 / 4]
    assert list(drawn["content: conv4_2"].get_ydata()) == [1, 1 / 2, 1 / 3, 1 / 4]
    assert list(drawn["style: conv1_1"].get_ydata()) == [2, 1, 2 / 3, 1 / 2]


def test_stages_are_marked_and_so_is_where_the_picture_becomes_larger(
    figures: list[Figure],
) -> None:
    module.draw(curves(12))
    (axes,) = figures[0].axes
    assert list(lines(figures[0])["a stage was written"].get_xdata()) == [4, 8, 12]
    assert [one.get_text() for one in axes.texts] == ["24x18", "48x36"]
    borders = [line for line in axes.get_lines() if np.array_equal(line.get_xdata(), [6.5, 6.5])]
    assert len(borders) == 1


def test_layers_of_several_styles_are_told_apart_by_color(figures: list[Figure]) -> None:
    columns = ("total", *(f"style-{style}.conv{layer}_1" for style in (1, 2) for layer in (1, 2)))
    module.draw(Curves(columns, ((1, 9, 9, 5, 1, 2, 3, 4), (2, 9, 9, 4, 1, 2, 2, 3))))
    drawn = lines(figures[0])
    names = [f"style-{style}: conv1_1 … conv2_1, light to dark" for style in (1, 2)]
    first, second = (drawn[name].get_color() for name in names)
    assert tuple(first) != tuple(second)
    assert len(figures[0].axes[0].get_lines()) == 6


def test_a_term_that_does_not_count_is_not_drawn(figures: list[Figure]) -> None:
    given = curves()
    module.draw(replace(given, weights={**given.weights, "style.conv1_1": 0.0}))
    assert not [name for name in lines(figures[0]) if name.startswith("style")]


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_what_has_no_place_on_such_a_scale_is_left_out(value: float, figures: list[Figure]) -> None:
    module.draw(Curves(("total",), ((1, 9, 9, value), (2, 9, 9, 3.0))))
    found = np.asarray(lines(figures[0])["total"].get_ydata())
    assert np.isnan(found[0]) and found[1] == 3


def test_a_single_step_is_drawn_and_none_is_an_error() -> None:
    assert module.draw(Curves(("total",), ((1, 9, 9, 3.0),)))
    with pytest.raises(PictureError, match="no losses"):
        module.draw(Curves())
