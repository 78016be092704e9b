"""Drawing of losses.png: the weighted value of each term at each step, over all sizes."""

import io
from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from stylewatch_daemon.artifacts.request import LossTable
from stylewatch_painter.errors import PictureError

SIZE, DPI = (8.0, 6.0), 135
"""Size in inches, and pixels per inch; with these letters the plot is legible on a phone."""

_INK, _GRAY, _LETTERS = "#202020", "#8a8a8a", 15
_HEAD = 4
"""Number of columns of a row before the losses: step, width, height, seconds."""

_SHADES = {"content": "Blues", "tv": "Greens"}
_STYLES = ("Oranges", "Purples", "RdPu", "YlOrBr")
_WORDS = {"tv": "smoothness"}
_LIGHTEST, _DARKEST = 0.3, 0.95
"""Range of a color map from which shades are taken."""

_MANY = 24
"""Number of stages above which their rings are smaller."""

_MIN_SHARE = 0.09
"""Minimum share of the plot's width that the label of a size needs."""


def draw(losses: LossTable) -> bytes:
    """Return the plot as PNG. Raises PictureError if there is nothing to draw."""
    if not losses.rows:
        raise PictureError("there are no losses to draw")
    table = np.array(losses.rows, dtype=np.float64)  # None becomes NaN
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    _draw_terms(axes, losses, table)
    _draw_total(axes, losses, table)
    _draw_sizes(axes, table)
    _style(axes, table[:, 0], losses.unit)
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": "stylewatch"})
    return content.getvalue()


def _draw_terms(axes: Axes, losses: LossTable, table: np.ndarray) -> None:
    """Draw the terms, those of one side in shades of one color, first layers lightest."""
    terms = [
        (column, name)
        for column, name in enumerate(losses.columns, start=_HEAD)
        if name != "total" and np.any(table[:, column] > 0)  # other terms only affect the gradient
    ]
    shades_of_styles = cycle(_STYLES)
    sides = dict.fromkeys(name.partition(".")[0] for _, name in terms)
    for side in sides:
        columns = [term for term in terms if term[1].partition(".")[0] == side]
        shades = _SHADES.get(side) or next(shades_of_styles)
        tones = colormaps[shades](np.linspace(_LIGHTEST, _DARKEST, len(columns) + 1))
        for (column, name), tone in zip(columns, tones[1:], strict=True):
            label = _label(side, columns) if (column, name) == columns[-1] else None
            axes.plot(
                table[:, 0], _above_zero(table[:, column]), color=tone, linewidth=1.8, label=label
            )


def _label(side: str, columns: Sequence[tuple[int, str]]) -> str:
    layers = [layer for _, name in columns if (layer := name.partition(".")[2])]
    side = _WORDS.get(side, side)
    if len(layers) > 1:
        return f"{side}: {layers[0]} … {layers[-1]}, light to dark"
    return f"{side}: {layers[0]}" if layers else side


def _draw_total(axes: Axes, losses: LossTable, table: np.ndarray) -> None:
    total = _above_zero(table[:, _HEAD + losses.columns.index("total")])
    axes.plot(table[:, 0], total, color=_INK, linewidth=3, label="total", zorder=3)
    at = np.isin(table[:, 0], losses.stages)
    axes.plot(
        table[at, 0], total[at], "o", color="white", markeredgecolor=_INK, markeredgewidth=1.8,
        markersize=7 if at.sum() <= _MANY else 4, clip_on=False, label="a stage was written",
        zorder=4,
    )  # fmt: skip


def _above_zero(values: np.ndarray) -> np.ndarray:
    """Return the values, with NaN for those that a logarithmic scale cannot show."""
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def _draw_sizes(axes: Axes, table: np.ndarray) -> None:
    """Draw a line at each change of the picture's size, and the sizes above the axes."""
    sizes = table[:, 1:3]
    starts = [0, *(np.flatnonzero(np.any(np.diff(sizes, axis=0), axis=1)) + 1)]
    steps = table[:, 0]
    first, last = steps[0], max(steps[-1], steps[0] + 1)
    ends = [*(steps[start] for start in starts[1:]), last]
    for start, end in zip(starts, ends, strict=True):
        if start:
            axes.axvline(steps[start] - 0.5, color=_GRAY, linewidth=1.2, linestyle=(0, (4, 3)))
        if (end - steps[start]) / (last - first) >= _MIN_SHARE:
            width, height = sizes[start].astype(int)
            axes.text(
                (steps[start] + end) / 2, 1.015, f"{width}x{height}", color=_INK,
                fontsize=_LETTERS - 2, ha="center", va="bottom",
                transform=axes.get_xaxis_transform(),
            )  # fmt: skip


def _style(axes: Axes, steps: np.ndarray, unit: str) -> None:
    """Set scales and letters, and put the legend below the plot, where it hides nothing."""
    axes.set_yscale("log")
    axes.set_xlim(steps[0] - 0.5, max(steps[-1], steps[0] + 1) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(LogLocator(numticks=7))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(unit, fontsize=_LETTERS, color=_INK)
    axes.set_ylabel("loss: value x weight", fontsize=_LETTERS, color=_INK)
    axes.tick_params(labelsize=_LETTERS - 1, colors=_INK)
    axes.grid(which="major", color="#e4e4e4", linewidth=1)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    lines, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda index: labels[index] != "total")
    axes.figure.legend(
        [lines[index] for index in order], [labels[index] for index in order],
        loc="outside lower center", ncols=2, fontsize=_LETTERS - 2, frameon=False, labelcolor=_INK,
    )  # fmt: skip
