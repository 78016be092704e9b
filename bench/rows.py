"""Rows of a benchmark: their figures in every run, and whether these reach their goals."""

import json
import os
import platform
import statistics
import sys
import tempfile
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from bench.common import ROOT

from stylewatch_painter import sample
from stylewatch_painter.network.device import device_model

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

    def as_json(self, values: Sequence[float]) -> dict[str, object]:
        """Return the median, the spread, and whether it reaches the required value and the goal."""
        return {
            **asdict(self), "median": statistics.median(values),
            "min": min(values), "max": max(values), "values": list(values),
            "must_met": self._reaches(self.must, values),
            "aim_met": self._reaches(self.aim, values),
        }  # fmt: skip

    def line(self, values: Sequence[float]) -> str:
        """Return the row of a table in Markdown, whose first line is HEAD."""
        median, least, most = map(_number, (statistics.median(values), min(values), max(values)))
        measured = f"{f'{median} {self.unit}'.rstrip()} ({least} .. {most}, {len(values)})"
        goals = (
            "" if goal is None else f"{goal:g} {'✓' if self._reaches(goal, values) else '✗'}"
            for goal in (self.must, self.aim)
        )
        return f"| `{self.key}` | {self.title} | {measured} | {' | '.join(goals)} |"

    def _reaches(self, goal: float | None, values: Sequence[float]) -> bool | None:
        """Return whether the median reaches a goal; None without one."""
        if goal is None:
            return None
        median = statistics.median(values)
        return median >= goal if self.higher else median <= goal


HEAD = "| | what | median (spread, runs) | must | aim |\n| --- | --- | --- | --- | --- |"


def _number(value: float) -> str:
    """Return three figures that count, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


Reading = tuple[str, float]
"""The key of a row, and a figure of it."""

Given = TypeVar("Given")


@dataclass(frozen=True)
class Measure(Generic[Given]):
    """Rows that are measured together: `run` gives their figures of one run, in some setting.

    Measures with `once` are long: they are not repeated.
    """

    rows: tuple[Row, ...]
    run: Callable[[Given], Iterator[Reading]]
    once: bool = False


def command_line(
    program: str, about: str | None, measures: Sequence[Measure[Any]]
) -> ArgumentParser:
    """Return a parser with the options that all benchmarks with rows have."""
    rows = {row.key: row.title for measure in measures for row in measure.rows}
    parser = ArgumentParser(
        prog=program, description=about, formatter_class=RawDescriptionHelpFormatter,
        epilog="\n".join(f"{key:27} {title}" for key, title in rows.items()),
    )  # fmt: skip
    keys = sorted(rows)
    add = parser.add_argument
    add("--runs", type=int, default=5, help="how often each row is measured")
    add("--only", nargs="+", choices=keys, default=keys, metavar="ROW", help="only these rows")
    add("--content", type=Path, default=sample.CONTENT, help="a photograph")
    add("--style", type=Path, default=sample.STYLE, help="a painting")
    add("--results", type=Path, default=ROOT / "build", help="where JSON goes")
    return parser


def measured(
    measures: Sequence[Measure[Given]],
    options: Namespace,
    setting_of: Callable[[tuple[Path, Path], Path], Given],
    file: str,
    **about: str,
) -> int:
    """Measure the rows `options.only` in turn; keep them in the JSON `file`, and print a table.

    `setting_of` makes the setting of a pair of pictures and a temporary folder. A measure that
    fails stops no other. Returns 0, or FAILED if one failed.
    """
    pair = options.content, options.style
    about = {**machine(), "pictures": " + ".join(path.name for path in pair), **about}
    wanted = [measure for measure in measures
              if {row.key for row in measure.rows} & {*options.only}]  # fmt: skip
    values: dict[Row, list[float]] = {}
    code = 0
    options.results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        setting = setting_of(pair, Path(name))
        turns = (each for run in range(options.runs) for each in wanted if not (run and each.once))
        for measure in turns:
            rows = {row.key: row for row in measure.rows}
            try:
                for key, value in measure.run(setting):
                    values.setdefault(rows[key], []).append(value)
            except Exception as error:  # of a program, a picture or a figure: the rest goes on
                print(f"{measure.rows[0].key}: {error}", file=sys.stderr, flush=True)
                code = FAILED
            keep(options.results / file, values, about)
            print(f"{len(values)} rows measured", file=sys.stderr, flush=True)
    print(HEAD, *(row.line(found) for row, found in values.items()), sep="\n")
    return code


def machine() -> dict[str, str]:
    """Describe the machine of the measurements."""
    return {
        "machine": f"{os.cpu_count()} cores ({device_model(torch.device('cpu'))})",
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }


def keep(path: Path, values: Mapping[Row, Sequence[float]], about: Mapping[str, str]) -> None:
    """Write the rows measured so far as JSON, by their keys, with `about` the machine."""
    rows = {row.key: row.as_json(found) for row, found in values.items()}
    path.write_text(json.dumps({"about": about, **rows}, indent=1), encoding="utf-8")
