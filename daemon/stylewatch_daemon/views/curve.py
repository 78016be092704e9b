"""The loss curve of a job, drawn from its losses.csv."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stylewatch_daemon.views.formatting import in_pixels

WIDTH, HEIGHT = 320, 96
"""Size of the SVG view box in units; the picture is stretched to the available space."""

MARGIN = 4
"""Space above and below the curve, in units."""

MIN_DECADES = 0.1
"""Minimum range of the scale in decades, so that a constant loss is drawn in the middle."""

MAX_POINTS = 160
"""Approximate maximum number of points of a path; longer curves are thinned out."""

MAX_STEP = 2**53
"""Largest step; larger numbers cannot be represented exactly as floats."""


class Point(NamedTuple):
    """A step, the total loss before it, and the picture's size, (width, height) in pixels."""

    step: int
    loss: float
    size: tuple[int, int]


@dataclass(frozen=True)
class Curve:
    """The total loss on a logarithmic scale, as an SVG path in a view box of WIDTH x HEIGHT."""

    path: str
    decades: tuple[float, ...]
    """Heights of the powers of ten."""
    words: str
    """Description of the curve at the last size, as losses at other sizes cannot be compared."""


def parse(table: str) -> list[Point]:
    """Return the points of a losses.csv; none if the table is damaged.

    Steps that no job can have, and losses that a logarithmic scale cannot show, are left out.
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
    """Draw the losses of a job of `steps` steps (0: as many as there are); None without points.

    `unit` is "step", or "frame" for a clip.
    """
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
    thinned = [*points[: -1 : max(1, len(points) // MAX_POINTS)], points[-1]]
    drawn = [((point.step - first) * across, height(math.log10(point.loss))) for point in thinned]
    begin, end = next(point for point in points if point.size == points[-1].size), points[-1]
    losses = (f"{loss:.3g} at {unit} {step}" for step, loss, _ in dict.fromkeys((begin, end)))
    return Curve(
        path="M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in drawn),
        decades=tuple(
            round(height(decade), 1) for decade in range(math.ceil(low), math.floor(high) + 1)
        ),
        words=f"loss at {in_pixels(end.size)}: {', '.join(losses)}",
    )
