"""Rows of a benchmark: their figures in every run, and whether these reach their goals."""

import statistics
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

FAILED = 70  # as in sysexits: an internal error


@dataclass(frozen=True)
class Row:
    """A figure that is measured: its key in the JSON, a title, its unit, and its goals.

    `must` and `aim` hold for the median: the largest figure that will do, or the smallest where
    more is better (`higher`). Rows without them are for information.
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
        """Return the median, the spread, and whether it reaches the required value and the goal."""
        median = statistics.median(self.values)
        plain: dict[str, object] = {
            "title": self.row.title,
            "unit": self.row.unit,
            "median": median,
            "min": min(self.values),
            "max": max(self.values),
            "values": list(self.values),
        }
        for name, wanted in (("must", self.row.must), ("aim", self.row.aim)):
            if wanted is not None:
                plain |= {name: wanted, f"{name}_met": self._meets(median, wanted)}
        return plain

    def _meets(self, median: float, wanted: float) -> bool:
        return median >= wanted if self.row.higher else median <= wanted


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
            except RuntimeError as error:  # the others are still measured
                print(f"{measure.rows[0].key}: {error}", file=sys.stderr, flush=True)
            yield {key: found for key, found in figures.items() if found.values}


def with_known_rows(
    parser: ArgumentParser, words: Sequence[str], measures: Sequence[Measure[Any]]
) -> Namespace:
    """Parse a command line, and refuse rows in `--only` that no measure has."""
    options = parser.parse_args(words)
    known = {row.key for measure in measures for row in measure.rows}
    if unknown := {*options.only} - known:
        parser.error(f"no row {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    return options


def measure_all(
    measures: Sequence[Measure[Given]],
    setting: Given,
    options: Namespace,
    path: Path,
    about: Mapping[str, Any],
) -> int:
    """Measure the rows `options.only`, or all; keep them in `path`, print a table.

    Returns 0, or FAILED where a row has no figure.
    """
    from bench import table

    only = {*options.only}
    wanted = [
        measure for measure in measures if not only or {row.key for row in measure.rows} & only
    ]
    kept: dict[str, Any] = {}
    figures: Mapping[str, Figures] = {}
    for figures in in_turn(wanted, setting, options.runs):
        kept = table.keep(path, figures, dict(about))
        print(f"{len(figures)} rows measured, {path}", file=sys.stderr, flush=True)
    print("\n".join(table.lines(kept)))
    return (
        0 if figures.keys() >= {row.key for measure in wanted for row in measure.rows} else FAILED
    )
