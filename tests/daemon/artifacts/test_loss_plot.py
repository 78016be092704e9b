"""The plot of the losses."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from tests.daemon.artifacts.paintings import losses

from stylewatch_daemon.artifacts import loss_plot
from stylewatch_daemon.artifacts.request import LossTable

Plot = Callable[[LossTable], tuple[Figure, dict[str, Any]]]


@pytest.fixture
def plot(monkeypatch: pytest.MonkeyPatch) -> Plot:
    """Draw losses; return the figure with its lines by their labels."""

    def plot(table: LossTable) -> tuple[Figure, dict[str, Any]]:
        figure = Figure()
        monkeypatch.setattr(loss_plot, "Figure", lambda **_: figure)
        loss_plot.draw(table)
        return figure, {str(line.get_label()): line for line in figure.axes[0].get_lines()}

    return plot


def test_terms_stages_and_sizes_are_drawn(plot: Plot) -> None:
    figure, lines = plot(losses())
    (axes,) = figure.axes
    assert axes.get_yscale() == "log"
    for label, first in (("total", 9), ("content: conv4_2", 1), ("style: conv1_1", 2)):
        assert list(lines[label].get_ydata()) == [first / step for step in range(1, 13)]
    assert list(lines["a stage was written"].get_xdata()) == [4, 8, 12]
    assert [text.get_text() for text in axes.texts] == ["24x18", "48x36"]


@pytest.mark.parametrize("value", [-1.0, float("inf")])
def test_values_that_a_logarithm_lacks_are_left_out(value: float, plot: Plot) -> None:
    _, lines = plot(LossTable(("total",), ((1, 9, 9, 0.1, value), (2, 9, 9, 0.2, 3.0))))
    total = np.asarray(lines["total"].get_ydata())
    assert np.isnan(total[0]) and total[1] == 3
