"""The loss of a job over its steps: SVG lines on a logarithmic scale, and the same in words."""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 320, 96
"""Units of the SVG view box; the picture is stretched to the space there is."""

_MARGIN = 4
_MIN_DECADES = 0.1
_MAX_POINTS = 160

Point = tuple[int, float]
"""A step and its loss."""

Lines = Mapping[str, Sequence[Point]]
"""The points of each column of a losses.csv, by its name."""


@dataclass(frozen=True)
class Curve:
    """SVG paths of the total and, by name, of its terms; `decades` are (height, label)."""

    path: str
    terms: tuple[tuple[str, str], ...]
    decades: tuple[tuple[float, str], ...]
    first: Point
    last: Point

    @property
    def words(self) -> str:
        """The curve as text, for people who do not see it."""
        (begin, high), (end, low) = self.first, self.last
        if begin == end:
            return f"loss {high:.3g} at step {end}"
        share = f", {100 * (1 - low / high):.0f} % less" if low < high else ""
        return f"loss {high:.3g} at step {begin}, {low:.3g} at step {end}{share}"

    @property
    def svg(self) -> str:
        """The curve as an SVG element, to be styled by its classes."""
        decades = "".join(
            f'<line class="decade" x1="0" x2="{WIDTH}" y1="{height}" y2="{height}"/>'
            for height, _ in self.decades
        )
        terms = "".join(
            f'<path class="term {escape(name.partition(".")[0])}" d="{path}">'
            f"<title>{escape(name)}</title></path>"
            for name, path in self.terms
        )
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
            f'aria-label="{escape(self.words)}">{decades}{terms}'
            f'<path class="line" d="{self.path}"/></svg>'
        )


def parse(table: str) -> Lines:
    """Read all columns of a losses.csv; empty where the table is damaged."""
    rows = list(csv.DictReader(table.splitlines()))
    try:
        return {
            column: [(int(row["step"]), float(row[column])) for row in rows] for column in rows[0]
        }
    except (IndexError, KeyError, TypeError, ValueError):
        return {}


def curve(total: Iterable[Point], steps: int = 0, terms: Lines | None = None) -> Curve | None:
    """Draw the total, and the weighted `terms`, of a job of `steps` steps (0: those so far).

    None where nothing can be drawn: a logarithmic scale has no place for zero and below.
    """
    main = _positive(total)
    if not main:
        return None
    others = {name: kept for name, line in (terms or {}).items() if (kept := _positive(line))}

    # The scale reaches from the lowest to the highest value; around a constant there is some room.
    logs = [math.log10(loss) for line in (main, *others.values()) for _, loss in line]
    low, high = min(logs), max(logs)
    if high - low < _MIN_DECADES:
        low, high = low - _MIN_DECADES / 2, high + _MIN_DECADES / 2
    first, last = main[0][0], max(main[-1][0], steps)

    def height(log: float) -> float:
        return _MARGIN + (high - log) / (high - low) * (HEIGHT - 2 * _MARGIN)

    def path(line: Sequence[Point]) -> str:
        scale = WIDTH / ((last - first) or 1)
        drawn = (((step - first) * scale, height(math.log10(loss))) for step, loss in _thin(line))
        return "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in drawn)

    return Curve(
        path=path(main),
        terms=tuple((name, path(line)) for name, line in others.items()),
        decades=tuple(
            (round(height(decade), 1), f"{10.0**decade:g}")
            for decade in range(math.ceil(low), math.floor(high) + 1)
        ),
        first=main[0],
        last=main[-1],
    )


def _positive(line: Iterable[Point]) -> list[Point]:
    return [(step, loss) for step, loss in line if loss > 0 and math.isfinite(loss)]


def _thin(line: Sequence[Point]) -> Sequence[Point]:
    """Few enough points for a small file; both ends are among them."""
    stride = max(1, math.ceil(len(line) / _MAX_POINTS))
    return [*line[:-1:stride], line[-1]]
