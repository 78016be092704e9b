"""Speed and memory beside the program pastiche, in one run: `make bench`.

Each figure comes from processes of its own, ours and theirs in turn, so that a machine whose
speed drifts treats both alike. `docs/benchmark.md` says what each row is.
"""

import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from pathlib import Path

from bench import album, limit, publish, reach, scaling, steps, table, whole
from bench.child import ROOT
from bench.rows import Measure, Setting, in_turn, measures_with

FAILED = 70  # as in sysexits: a fault of our own
MEASURES: tuple[Measure[Setting], ...] = (
    *steps.MEASURES,
    *limit.MEASURES,
    *whole.MEASURES,
    *reach.MEASURES,
    *scaling.MEASURES,
    *album.MEASURES,
)


def main(words: list[str]) -> int:
    """Measure and print a table, or put what was measured on the pages."""
    asked = arguments(words)
    if asked.publish:
        publish.publish(asked.results, ROOT)
        return 0
    results = asked.results / table.CPU
    wanted = measures_with(MEASURES, asked.only)
    asked.results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        setting = prepare(asked, Path(name))
        for figures in in_turn(wanted, setting, asked.runs):
            kept = table.keep(results, figures, {**table.machine(), "pictures": names(asked)})
            print(f"{len(figures)} rows measured, {results}", file=sys.stderr, flush=True)
    print("\n".join(table.lines(kept)))
    return 0 if figures.keys() >= {row.key for one in wanted for row in one.rows} else FAILED


def arguments(words: list[str]) -> Namespace:
    """The command line."""
    parser = ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="how often each row is measured")
    parser.add_argument("--only", nargs="*", default=[], metavar="ROW", help="only these rows")
    parser.add_argument("--content", type=Path, help="a photograph, not that of the sample pair")
    parser.add_argument("--style", type=Path, help="a painting, not that of the sample pair")
    parser.add_argument("--album", type=int, default=50, help="pictures for the daemon")
    parser.add_argument("--pixels", type=int, default=250_000, help="of steps and of `best`")
    parser.add_argument("--steps", type=int, default=8, help="steps that are timed in a row")
    parser.add_argument("--results", type=Path, default=ROOT / "build", help="where JSON goes")
    publish_help = "measure nothing: put the last results into docs/benchmark.md"
    parser.add_argument("--publish", action="store_true", help=publish_help)
    asked = parser.parse_args(words)
    known = {row.key for measure in MEASURES for row in measure.rows}
    if strange := {*asked.only} - known:
        parser.error(f"no row {', '.join(sorted(strange))}; there are {', '.join(sorted(known))}")
    return asked


def names(asked: Namespace) -> str:
    """Return the names of the pictures, for a page."""
    both = (asked.content, asked.style)
    return " + ".join(path.name if path else "the sample pair's" for path in both)


def prepare(asked: Namespace, scratch: Path) -> Setting:
    """The pictures, copied under short names."""
    subprocess.run(
        [sys.executable, "-m", "stylewatch_painter.sample", str(scratch)],
        check=True, capture_output=True,
    )  # fmt: skip
    for given, name in ((asked.content, "content.jpg"), (asked.style, "style.jpg")):
        if given:
            shutil.copyfile(given, scratch / name)
    return Setting(scratch / "content.jpg", scratch / "style.jpg", asked.results, scratch,
                   pixels=asked.pixels, album=asked.album, steps=asked.steps)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
