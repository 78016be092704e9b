"""The losses of a job as curves: on the page, from its losses.csv, and in losses.svg."""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, groupby, pairwise
from typing import NamedTuple
from xml.sax.saxutils import escape

from stylewatch_daemon.artifacts.request import LossTable
from stylewatch_painter.errors import PictureError

WIDTH, HEIGHT = 320, 96
"""Size in units of the SVG view box on the page, which is stretched to the available space."""

MARGIN = 4
"""Space above and below the curve, in units."""

MIN_DECADES = 0.1
"""Minimum range of the scale in decades, so that a constant loss is drawn in the middle."""

MAX_POINTS = 160
"""Minimum number of points of a curve that was thinned out; any path has fewer than twice as many.
"""

MAX_STEP = 2**53
"""Largest step that is shown; larger numbers cannot be represented exactly as floats."""


class Point(NamedTuple):
    """A step, the total loss before it, and the picture's size, (width, height) in pixels."""

    step: int
    loss: float
    size: tuple[int, int]


@dataclass(frozen=True)
class Scales:
    """Scales of a box of `width` x `height` units: steps across it, losses down it.

    The scale of the steps is linear from `first` to `last`. That of the losses is logarithmic, and
    `low` and `high` are the logarithms to base 10 of its ends.
    """

    first: float
    last: float
    low: float
    high: float
    width: float
    height: float

    @classmethod
    def of(
        cls, steps: Sequence[float], losses: Sequence[float], width: float, height: float
    ) -> "Scales":
        """Return the scales of a box of `width` x `height` units that shows all steps and losses.

        The losses must be more than 0. Their scale covers MIN_DECADES at least.
        """
        low, high = math.log10(min(losses)), math.log10(max(losses))
        if high - low < MIN_DECADES:
            low, high = low - MIN_DECADES / 2, high + MIN_DECADES / 2
        return cls(min(steps), max(steps), low, high, width, height)

    def across(self, step: float) -> float:
        """Return the distance of a step from the left side of the box, in units."""
        return (step - self.first) * (self.width / ((self.last - self.first) or 1))

    def down(self, loss: float) -> float:
        """Return the distance of a loss from the top of the box, in units."""
        share = (self.high - math.log10(loss)) / (self.high - self.low)
        return MARGIN + share * (self.height - 2 * MARGIN)

    def decades(self) -> list[float]:
        """Return the powers of ten within the scale of the losses."""
        return [10.0**power for power in range(math.ceil(self.low), math.floor(self.high) + 1)]

    def path(self, points: Sequence[tuple[float, float]]) -> str:
        """Return a line through points, each a step and its loss, as an SVG path.

        Of many points, some are left out.
        """
        thinned = [*points[: -1 : max(1, len(points) // MAX_POINTS)], points[-1]]
        return "M" + " L".join(f"{self.across(x):.1f} {self.down(y):.1f}" for x, y in thinned)


# On the page


@dataclass(frozen=True)
class Curve:
    """The total loss on a logarithmic scale, as an SVG path in a view box of WIDTH x HEIGHT."""

    path: str
    decades: tuple[float, ...]
    """Distances of the powers of ten from the top, in units."""
    changes: tuple[float, ...]
    """Distances from the left, in units, of the steps at which the size of the picture changes."""
    words: str
    """Description of the curve at the last size, as losses at other sizes cannot be compared."""


def parse(table: str) -> list[Point]:
    """Return the points in `table`, the text of a losses.csv; an empty list if it is damaged.

    Points are left out if their step is less than 0 or more than MAX_STEP, or if a logarithmic
    scale cannot show their loss.
    """
    try:
        points = [
            Point(int(row["step"]), float(row["total"]), (int(row["width"]), int(row["height"])))
            for row in csv.DictReader(table.splitlines())
        ]
    except (csv.Error, KeyError, TypeError, ValueError):
        return []
    return [
        point
        for point in points
        if 0 <= point.step <= MAX_STEP and point.loss > 0 and math.isfinite(point.loss)
    ]


def curve(points: Sequence[Point], steps: int = 0, unit: str = "step") -> Curve | None:
    """Return the curve of a job, from its first to its last point; None without points.

    The steps reach to `steps`, if that is later than the last point. `unit` is "step", or "frame"
    for a clip.
    """
    if not points:
        return None
    numbers = [point.step for point in points]
    losses = [point.loss for point in points]
    first, last = numbers[0], max(numbers[-1], steps)
    scales = Scales.of((first, last), losses, WIDTH, HEIGHT)
    begin, end = next(point for point in points if point.size == points[-1].size), points[-1]
    told = (f"{loss:.3g} at {unit} {step}" for step, loss, _ in dict.fromkeys((begin, end)))
    starts = [after.step for before, after in pairwise(points) if before.size != after.size]
    note = "; at each vertical line the size changes, and the loss begins anew" if starts else ""
    return Curve(
        path=scales.path([*zip(numbers, losses, strict=True)]),
        decades=tuple(round(scales.down(decade), 1) for decade in scales.decades()),
        changes=tuple(round(scales.across(step), 1) for step in starts),
        words=f"loss at {end.size[0]}x{end.size[1]}: {', '.join(told)}{note}",
    )


# As a file

PLOT_WIDTH, PLOT_HEIGHT = 720, 420
"""Size in units of the box with the curves in losses.svg."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 20, 36, 62
"""Space in units around the box with the curves, for letters; the legend is below that space."""

_LETTERS, _LINE = 15, 24
"""Height of letters, and of a line of the legend, in units."""

_HEAD = 4
"""Number of columns of a row before the losses: step, width, height, seconds."""

_HUES = {"content": 210, "tv": 120}
_STYLE_HUES = (25, 280, 335, 45, 180)
"""Hues in degrees. A side is what a term's name has before the dot: the content, the smoothness,
or, for example, a style; all sides but the first two get _STYLE_HUES in turn. All layers of a side
have the same hue; the first layer is the lightest."""

_LIGHTEST, _DARKEST = 72, 28
"""Lightness in percent: an upper limit for the first layer of a side, and that of its last one."""

_WORDS = {"tv": "smoothness"}
_TICKS = 7
"""Maximum number of values that are written along an axis."""

_MIN_SHARE = 0.09
"""Minimum share of the box's width that a size must have to be labeled."""

Run = list[tuple[float, float]]
"""Points of a term without a gap, each a step and a weighted value."""


class Term(NamedTuple):
    """A curve of losses.svg, with a line in the legend unless its `label` is empty."""

    label: str
    color: str
    runs: list[Run]
    width: float = 1.8


def svg(losses: LossTable) -> bytes:
    """Return losses.svg: each term and the total at each step.

    Terms that act on the gradient alone have no values that a logarithmic scale can show, and are
    left out. Raises PictureError if there is nothing to draw.
    """
    terms = [*_terms(losses), Term("total", "#202020", _runs(losses, "total"), 3)]
    drawn = [term for term in terms if term.runs]
    values = [value for term in drawn for run in term.runs for _, value in run]
    if not values:
        raise PictureError("there are no losses to draw")
    steps = [row[0] or 0 for row in losses.rows]
    scales = Scales.of(steps, values, PLOT_WIDTH, PLOT_HEIGHT)
    labeled = [term for term in (drawn[-1], *drawn[:-1]) if term.label]
    legend = [(term.label, term.color) for term in labeled]
    height = _TOP + PLOT_HEIGHT + _BOTTOM + _LINE * math.ceil((len(legend) + 1) / 2)
    width = _LEFT + PLOT_WIDTH + _RIGHT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" font-family="sans-serif" font-size="{_LETTERS}" fill="#202020">',
        f"<title>The losses of a painting, by {losses.unit}</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<g transform="translate({_LEFT} {_TOP})">',
        *_axes(scales, losses.unit),
        *_sizes(scales, losses),
        *(_curve_of(term, scales) for term in drawn),
        *_stages(scales, losses),
        *_legend(legend),
        "</g></svg>\n",
    ]
    return "\n".join(lines).encode()


def _terms(losses: LossTable) -> Iterator[Term]:
    """Yield the curve of each term, except the total and terms without a value to show.

    Of the layers of a side, the last one has the label.
    """
    names = [name for name in losses.columns if name != "total" and _runs(losses, name)]
    hues_of_styles = cycle(_STYLE_HUES)
    for side in dict.fromkeys(name.partition(".")[0] for name in names):
        layers = [name for name in names if name.partition(".")[0] == side]
        hue = _HUES.get(side) or next(hues_of_styles)
        for number, name in enumerate(layers, start=1):
            lightness = _LIGHTEST - (_LIGHTEST - _DARKEST) * number / len(layers)
            label = _label(side, layers) if name == layers[-1] else ""
            yield Term(label, f"hsl({hue}, 75%, {lightness:.0f}%)", _runs(losses, name))


def _label(side: str, names: Sequence[str]) -> str:
    layers = [layer for name in names if (layer := name.partition(".")[2])]
    side = _WORDS.get(side, side)
    if len(layers) > 1:
        return f"{side}: {layers[0]} … {layers[-1]}, light to dark"
    return f"{side}: {layers[0]}" if layers else side


def _runs(losses: LossTable, name: str) -> list[Run]:
    """Return the points of a column, divided into runs where a logarithmic scale shows no value."""
    column = _HEAD + losses.columns.index(name)
    points = [(row[0] or 0, row[column] or 0) for row in losses.rows]
    runs = groupby(points, key=lambda point: point[1] > 0 and math.isfinite(point[1]))
    return [[*run] for is_shown, run in runs if is_shown]


def _curve_of(term: Term, scales: Scales) -> str:
    path = " ".join(map(scales.path, term.runs))
    return (
        f'<path d="{path}" fill="none" stroke="{term.color}" stroke-width="{term.width}"'
        ' stroke-linejoin="round" stroke-linecap="round"/>'
    )


def _stages(scales: Scales, losses: LossTable) -> Iterator[str]:
    """Yield a circle on the curve of the total for each stage, where the curve has a point."""
    stages = {*losses.stages}
    points = (point for run in _runs(losses, "total") for point in run if point[0] in stages)
    for step, total in points:
        yield (
            f'<circle cx="{scales.across(step):.1f}" cy="{scales.down(total):.1f}" r="4"'
            ' fill="#ffffff" stroke="#202020" stroke-width="1.8"/>'
        )


def _axes(scales: Scales, unit: str) -> Iterator[str]:
    """Yield the grid, the numbers along it, and the labels of both axes."""
    decades = scales.decades()
    few = decades[:: math.ceil(len(decades) / _TICKS) or 1]
    for loss in few if len(few) > 1 else (10**scales.low, 10**scales.high):
        y = f"{scales.down(loss):.1f}"
        yield f'<path d="M0 {y} H{PLOT_WIDTH}" stroke="#e4e4e4"/>'
        yield f'<text x="-8" y="{y}" dy="0.35em" text-anchor="end">{loss:.3g}</text>'
    for step in _round_steps(scales.first, scales.last):
        at = f'x="{scales.across(step):.1f}" y="{PLOT_HEIGHT + _LETTERS + 6}"'
        yield f'<text {at} text-anchor="middle">{step:,}</text>'
    yield f'<path d="M0 0 V{PLOT_HEIGHT} H{PLOT_WIDTH}" fill="none" stroke="#8a8a8a"/>'
    middle = f'x="{PLOT_WIDTH / 2:.0f}" y="{PLOT_HEIGHT + 2 * _LETTERS + 12}"'
    yield f'<text {middle} text-anchor="middle">{escape(unit)}</text>'
    turned = f'transform="translate({16 - _LEFT} {PLOT_HEIGHT / 2:.0f}) rotate(-90)"'
    yield f'<text {turned} text-anchor="middle">loss: value x weight</text>'


def _round_steps(first: float, last: float) -> range:
    """Return at most _TICKS steps from `first` to `last`: the multiples of a round number."""
    distances = (ones * 10**zeros for zeros in range(17) for ones in (1, 2, 5))
    distance = next(each for each in distances if (last - first) / each <= _TICKS - 1)
    return range(math.ceil(first / distance) * distance, math.floor(last) + 1, distance)


def _sizes(scales: Scales, losses: LossTable) -> Iterator[str]:
    """Yield a line at each change of the picture's size, and a label above each size with room."""
    steps_of = groupby(losses.rows, key=lambda row: row[1:3])
    starts = [(next(rows)[0] or 0, size) for size, rows in steps_of]
    for (start, size), (end, _) in pairwise([*starts, (scales.last, ())]):
        left, right = scales.across(start), scales.across(end)
        if start != starts[0][0]:
            dashes = 'stroke="#8a8a8a" stroke-width="1.2" stroke-dasharray="5 4"'
            yield f'<path d="M{left:.1f} 0 V{PLOT_HEIGHT}" {dashes}/>'
        if (right - left) / PLOT_WIDTH >= _MIN_SHARE:
            label = "x".join(f"{side:.0f}" for side in size)
            at = f'x="{(left + right) / 2:.1f}" y="-10" text-anchor="middle"'
            yield f"<text {at}>{label}</text>"


def _legend(entries: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield the lines of the legend in two columns; the last line explains the circles."""
    for number, (label, color) in enumerate([*entries, ("a stage was written", "")]):
        x, y = number % 2 * PLOT_WIDTH // 2, PLOT_HEIGHT + _BOTTOM + number // 2 * _LINE
        if color:
            yield f'<path d="M{x} {y} h26" stroke="{color}" stroke-width="3"/>'
        else:
            at = f'cx="{x + 13}" cy="{y}" r="4"'
            yield f'<circle {at} fill="#ffffff" stroke="#202020" stroke-width="1.8"/>'
        yield f'<text x="{x + 36}" y="{y}" dy="0.35em">{escape(label)}</text>'
