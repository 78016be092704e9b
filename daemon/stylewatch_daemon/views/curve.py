"""The loss curve of a job, drawn from its losses.csv."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stylewatch_daemon.views.formatting import size as in_pixels

WIDTH, HEIGHT = 320, 96
"""Units of the SVG view box; the picture is stretched to the space there is."""

MARGIN = 4
"""Units above and below the curve."""

MIN_DECADES = 0.1
"""Decades of the scale at least, so that a constant loss is drawn in the middle."""

MAX_POINTS = 160
"""Points of a path, about; of longer curves some points are left out."""

MAX_STEP = 2**53
"""The largest step; larger numbers are no exact floats."""


class Point(NamedTuple):
    """A step, the total loss before it, and the size of the picture, (width, height) in pixels."""

    step: int
    loss: float
    size: tuple[int, int]


@dataclass(frozen=True)
class Curve:
    """The total loss on a logarithmic scale, as an SVG path in a view box of WIDTH x HEIGHT.

    Losses at different sizes cannot be compared, so `words` speaks of the last size alone: from
    the point `begin` to the point `end`. The steps of a clip are frames, by their `unit`.
    """

    path: str
    decades: tuple[float, ...]
    """The height of each power of ten."""
    begin: Point
    end: Point
    unit: str = "step"

    @property
    def words(self) -> str:
        """Description of the curve, also for screen readers."""
        points = dict.fromkeys((self.begin, self.end))
        losses = ", ".join(f"{loss:.3g} at {self.unit} {step}" for step, loss, _ in points)
        return f"loss at {in_pixels(self.end.size)}: {losses}"


def parse(table: str) -> list[Point]:
    """Return the points of a losses.csv; none if the table is damaged.

    Steps that no job can have are left out, and so are losses that a logarithmic scale cannot show.
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
    """Draw the losses of a job of `steps` steps (0: those so far); None without any point."""
    if not points:
        return None
    logs = [math.log10(point.loss) for point in points]
    low, high = min(logs), max(logs)
    if high - low < MIN_DECADES:
        low, high = low - MIN_DECADES / 2, high + MIN_DECADES / 2
    first, last = points[0].step, max(points[-1].step, steps)

    def height(log: float) -> float:
        return MARGIN + (high - log) / (high - low) * (HEIGHT - 2 * MARGIN)

    across = WIDTH / ((last - first) or 1)
    drawn = [((point.step - first) * across, height(math.log10(point.loss)))
             for point in _thinned(points)]  # fmt: skip
    return Curve(
        path="M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in drawn),
        decades=tuple(
            round(height(decade), 1) for decade in range(math.ceil(low), math.floor(high) + 1)
        ),
        begin=next(point for point in points if point.size == points[-1].size),
        end=points[-1],
        unit=unit,
    )


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    """Return few enough points for a small file, the last one among them."""
    return [*points[: -1 : max(1, len(points) // MAX_POINTS)], points[-1]]
