"""How the loss went down, as a line to be drawn and in words; its scale is logarithmic."""

import csv
import math
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 320, 96
"""The units that the line is drawn in; it is stretched to whatever room there is."""

_EDGE = 4
_LEAST = 0.1  # of a power of ten, from bottom to top
_MOST = 160  # points of a line
_JOBS, _STEPS = 64, 4096  # of which what is published is remembered, at most

Point = tuple[int, float]
"""A step and its loss."""


@dataclass(frozen=True)
class Curve:
    """A line: `path` as in SVG, heights of decades, and what it says, in words."""

    path: str
    decades: tuple[tuple[float, str], ...]
    first: Point
    last: Point

    @property
    def words(self) -> str:
        """The line, for who does not see it."""
        (begin, high), (end, low) = self.first, self.last
        if begin == end:
            return f"loss {high:.3g} at step {end}"
        share = f", {100 * (1 - low / high):.0f} % less" if low < high else ""
        return f"loss {high:.3g} at step {begin}, {low:.3g} at step {end}{share}"


class Trails:
    """What was published of each painting, step by step: more than its table has yet."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, list[Point]] = OrderedDict()

    def add(self, job: str, step: int, loss: float | None) -> None:
        """The painting of `job` has made `step`; the loss is not known at once."""
        if loss is None or not step:
            return
        trail = self._seen.setdefault(job, [])
        self._seen.move_to_end(job)
        del trail[bisect_left(trail, (step, -math.inf)) :]  # one that goes on from further back
        trail.append((step, loss))
        del trail[:-_STEPS]
        if len(self._seen) > _JOBS:
            self._seen.popitem(last=False)

    def after(self, job: str, step: int) -> list[Point]:
        """What was published of `job` after `step`."""
        trail = self._seen.get(job, [])
        return trail[bisect_left(trail, (step + 1, -math.inf)) :]


def points(table: str) -> list[Point]:
    """The total of each step, by a job's table of losses; empty where that is damaged."""
    rows = csv.DictReader(table.splitlines())
    try:
        return [(int(row["step"]), float(row["total"])) for row in rows]
    except (KeyError, TypeError, ValueError):
        return []


def curve(found: Sequence[Point], steps: int = 0) -> Curve | None:
    """The line through `found`, of a painting of so many `steps`; None where there is none.

    A log scale has no place for what is not above zero; that is left out.
    """
    seen = [(step, loss) for step, loss in found if loss > 0 and math.isfinite(loss)]
    if not seen:
        return None
    logs = [math.log10(loss) for _, loss in seen]
    low, high = min(logs), max(logs)
    if high - low < _LEAST:  # a straight line has some room around it
        low, high = low - 0.05, high + 0.05
    first, last = seen[0][0], max(seen[-1][0], steps)

    def place(step: int, log: float) -> tuple[float, float]:
        across = (step - first) / ((last - first) or 1)
        return across * WIDTH, _EDGE + (high - log) / (high - low) * (HEIGHT - 2 * _EDGE)

    drawn = [place(step, log) for (step, _), log in zip(seen, logs, strict=True)]
    lines = " L".join(f"{x:.1f} {y:.1f}" for x, y in _thin(drawn))
    whole = range(math.ceil(low), math.floor(high) + 1)
    decades = tuple((round(place(first, one)[1], 1), f"{10.0**one:g}") for one in whole)
    return Curve(f"M{lines}", decades, seen[0], seen[-1])


def _thin(line: Sequence[tuple[float, float]]) -> Iterable[tuple[float, float]]:
    """Points enough to draw the line by; its ends are among them."""
    stride = max(1, math.ceil(len(line) / _MOST))
    return [*line[:-1:stride], line[-1]]
