"""Rows of a bench: what each is, its figures of every run, and whether they are good enough."""

import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar


@dataclass(frozen=True)
class Row:
    """Something that is measured: its key in the JSON, in words, its unit, and what is wanted.

    `must` and `aim` hold for the median: the largest figure that will do, or the smallest one
    where more is better (`higher`). Rows without them are there to look at.
    """

    key: str
    title: str
    unit: str = ""
    must: float | None = None
    aim: float | None = None
    higher: bool = False


Reading = tuple[str, float]
"""The key of a row, and a figure of it."""


@dataclass(frozen=True)
class Setting:
    """Setting of a benchmark: a pair of pictures, a folder for results, a temporary folder.

    `pixels` is the size of steps and of `best`, `small` that of paintings to a given loss,
    `large` that of a large one; `steps` is how many are timed in a row, `album` how many
    pictures go through the daemon.
    """

    content: Path
    style: Path
    results: Path
    scratch: Path
    pixels: int = 250_000
    small: int = 65_536
    large: int = 4_000_000
    steps: int = 8
    album: int = 50


Given = TypeVar("Given")


@dataclass(frozen=True)
class Measure(Generic[Given]):
    """Rows that are measured together: `run` gives their figures of one run, in some setting.

    Measures with `once` are long, and have their own spread: they are not repeated.
    """

    rows: tuple[Row, ...]
    run: Callable[[Given], Iterator[Reading]]
    once: bool = False


@dataclass
class Figures:
    """All figures of one row."""

    row: Row
    values: list[float] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """Median, spread, and whether the median is what it must be and aims to be."""
        median = statistics.median(self.values)
        told: dict[str, object] = {
            "title": self.row.title,
            "unit": self.row.unit,
            "median": median,
            "min": min(self.values),
            "max": max(self.values),
            "values": list(self.values),
        }
        for name, wanted in (("must", self.row.must), ("aim", self.row.aim)):
            if wanted is not None:
                told |= {name: wanted, f"{name}_met": self._meets(median, wanted)}
        return told

    def _meets(self, median: float, wanted: float) -> bool:
        return median >= wanted if self.row.higher else median <= wanted


def measures_with(measures: Iterable[Measure[Given]], keys: Sequence[str]) -> list[Measure[Given]]:
    """Those that measure one of `keys`; all of them where none is named."""
    return [one for one in measures if not keys or {row.key for row in one.rows} & {*keys}]


def in_turn(
    measures: Sequence[Measure[Given]], setting: Given, runs: int
) -> Iterator[Mapping[str, Figures]]:
    """Run every measure `runs` times, one after the other; all figures so far after each."""
    figures = {row.key: Figures(row) for measure in measures for row in measure.rows}
    for run in range(runs):
        for measure in measures:
            if run and measure.once:
                continue
            try:
                for key, value in measure.run(setting):
                    figures[key].values.append(value)
            except RuntimeError as error:  # the others are measured all the same
                print(f"{measure.rows[0].key}: {error}", file=sys.stderr, flush=True)
            yield {key: one for key, one in figures.items() if one.values}
