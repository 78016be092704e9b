"""Draws losses.png: how much each term counts at each step, over all sizes, by Matplotlib."""

import io
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from stylewatch_daemon.artifacts.contract import Curves
from stylewatch_painter.errors import PictureError

SIZE, DPI = (8.0, 6.0), 135
"""Inches, and pixels in each: with these letters it can be read on a telephone."""

_INK, _GRAY, _LETTERS = "#202020", "#8a8a8a", 15
_HEAD = 3
"""Of a row: the step, the width and the height."""

_SHADES = {"content": "Blues", "style": "Oranges", "tv": "Greens"}
_MORE_STYLES = ("Oranges", "Purples", "RdPu", "YlOrBr")
_WORDS = {"tv": "smoothness"}
_LIGHTEST, _DARKEST = 0.3, 0.95
"""Of the shades of a color, those that are used."""

_MANY = 24
"""More stages than this are marked by smaller rings."""

_CROWD = 0.09
"""Of the width: as much does the name of a size take, at least."""


def draw(curves: Curves) -> bytes:
    """The picture, as PNG. Raises PictureError where there is nothing to draw."""
    if not curves.rows:
        raise PictureError("there are no losses to draw")
    table = np.array(curves.rows, dtype=np.float64)
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    _draw_terms(axes, curves, table)
    _draw_total(axes, curves, table)
    _draw_sizes(axes, table)
    _dress(axes, table[:, 0])
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": "stylewatch"})
    return content.getvalue()


def _draw_terms(axes: Axes, curves: Curves, table: np.ndarray) -> None:
    """The terms, those of one side in shades of one color, from light to dark as layers go."""
    styles = 0
    for side, found in groupby(_terms(curves), lambda one: one[1].partition(".")[0]):
        columns = list(found)
        shades = _SHADES.get(side)
        if side not in ("content", "tv"):
            shades, styles = _MORE_STYLES[styles % len(_MORE_STYLES)], styles + 1
        tones = colormaps[shades or "Grays"](np.linspace(_LIGHTEST, _DARKEST, len(columns) + 1))
        for (column, name), tone in zip(columns, tones[1:], strict=True):
            values = table[:, column] * curves.weights.get(name, 1.0)
            label = _label(side, columns) if (column, name) == columns[-1] else None
            axes.plot(table[:, 0], _above_zero(values), color=tone, linewidth=1.8, label=label)


def _terms(curves: Curves) -> Iterator[tuple[int, str]]:
    """The terms that count, with their columns in the table."""
    for number, name in enumerate(curves.columns):
        if name != "total" and curves.weights.get(name, 1.0) > 0:
            yield _HEAD + number, name


def _label(side: str, columns: Sequence[tuple[int, str]]) -> str:
    layers = [layer for _, name in columns if (layer := name.partition(".")[2])]
    side = _WORDS.get(side, side)
    if len(layers) > 1:
        return f"{side}: {layers[0]} … {layers[-1]}, light to dark"
    return f"{side}: {layers[0]}" if layers else side


def _draw_total(axes: Axes, curves: Curves, table: np.ndarray) -> None:
    if "total" not in curves.columns:
        return
    total = _above_zero(table[:, _HEAD + curves.columns.index("total")])
    axes.plot(table[:, 0], total, color=_INK, linewidth=3, label="total", zorder=3)
    at = np.isin(table[:, 0], curves.stages)
    axes.plot(
        table[at, 0], total[at], "o", color="white", markeredgecolor=_INK, markeredgewidth=1.8,
        markersize=7 if at.sum() <= _MANY else 4, clip_on=False, label="a stage was written",
        zorder=4,
    )  # fmt: skip


def _above_zero(values: np.ndarray) -> np.ndarray:
    """On a scale of powers there is no zero."""
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def _draw_sizes(axes: Axes, table: np.ndarray) -> None:
    """A line where the picture becomes larger, and above the axes what sizes there were."""
    sizes = table[:, 1:_HEAD]
    starts = [0, *(np.flatnonzero(np.any(np.diff(sizes, axis=0), axis=1)) + 1)]
    steps = table[:, 0]
    first, last = steps[0], max(steps[-1], steps[0] + 1)
    ends = [*(steps[start] for start in starts[1:]), last]
    for start, end in zip(starts, ends, strict=True):
        if start:
            axes.axvline(steps[start] - 0.5, color=_GRAY, linewidth=1.2, linestyle=(0, (4, 3)))
        if (end - steps[start]) / (last - first) >= _CROWD:
            width, height = sizes[start].astype(int)
            axes.text(
                (steps[start] + end) / 2, 1.015, f"{width}x{height}", color=_INK,
                fontsize=_LETTERS - 2, ha="center", va="bottom",
                transform=axes.get_xaxis_transform(),
            )  # fmt: skip


def _dress(axes: Axes, steps: np.ndarray) -> None:
    """Scales, letters, and a legend below, where it hides nothing."""
    axes.set_yscale("log")
    axes.set_xlim(steps[0] - 0.5, max(steps[-1], steps[0] + 1) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(LogLocator(numticks=7))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("step", fontsize=_LETTERS, color=_INK)
    axes.set_ylabel("loss: value x weight", fontsize=_LETTERS, color=_INK)
    axes.tick_params(labelsize=_LETTERS - 1, colors=_INK)
    axes.grid(which="major", color="#e4e4e4", linewidth=1)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    lines, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda one: labels[one] != "total")
    axes.figure.legend(
        [lines[one] for one in order], [labels[one] for one in order], loc="outside lower center",
        ncols=2, fontsize=_LETTERS - 2, frameon=False, labelcolor=_INK,
    )  # fmt: skip
