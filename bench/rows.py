"""Rows of a benchmark: their figures in every run, and whether these reach their goals."""

import statistics
import sys
import tempfile
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from bench import table
from bench.common import ROOT

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
        median = statistics.median(values)
        plain: dict[str, object] = {
            "title": self.title, "unit": self.unit, "median": median,
            "min": min(values), "max": max(values), "values": list(values),
        }  # fmt: skip
        for name, wanted in (("must", self.must), ("aim", self.aim)):
            if wanted is not None:
                met = median >= wanted if self.higher else median <= wanted
                plain |= {name: wanted, f"{name}_met": met}
        return plain


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
    parser = ArgumentParser(
        prog=program, description=about, formatter_class=RawDescriptionHelpFormatter
    )
    keys = sorted(row.key for measure in measures for row in measure.rows)
    add = parser.add_argument
    add("--runs", type=int, default=5, help="how often each row is measured")
    add("--only", nargs="+", choices=keys, default=keys, metavar="ROW", help="only these rows")
    add("--content", type=Path, help="a photograph, not that of the sample pair")
    add("--style", type=Path, help="a painting, not that of the sample pair")
    add("--results", type=Path, default=ROOT / "build", help="where JSON goes")
    return parser


def measured(
    measures: Sequence[Measure[Given]],
    options: Namespace,
    setting_of: Callable[[Path, Path, Path], Given],
    file: str,
    **about: str,
) -> int:
    """Measure the rows `options.only` in turn; keep them in the JSON `file`, and print a table.

    `setting_of` makes the setting of a content, a style and a temporary folder. A measure that
    fails stops no other. Returns 0, or FAILED if one failed.
    """
    from stylewatch_painter import sample

    names = [path.name for path in (options.content, options.style) if path]
    about = {**table.machine(), "pictures": " + ".join(names) or "the sample pair", **about}
    wanted = [measure for measure in measures
              if {row.key for row in measure.rows} & {*options.only}]  # fmt: skip
    rows = {row.key: row for measure in wanted for row in measure.rows}
    values: dict[str, list[float]] = {}
    code, kept = 0, table.keep(options.results / file, {}, about)
    with tempfile.TemporaryDirectory() as name:
        content, style = options.content or sample.CONTENT, options.style or sample.STYLE
        setting = setting_of(content, style, Path(name))
        turns = (each for run in range(options.runs) for each in wanted if not (run and each.once))
        for measure in turns:
            try:
                for key, value in measure.run(setting):
                    values.setdefault(key, []).append(value)
            except RuntimeError as error:
                print(f"{measure.rows[0].key}: {error}", file=sys.stderr, flush=True)
                code = FAILED
            figures = {key: rows[key].as_json(found) for key, found in values.items()}
            kept = table.keep(options.results / file, figures, about)
            print(f"{len(figures)} rows measured", file=sys.stderr, flush=True)
    print("\n".join(table.markdown(kept)))
    return code
