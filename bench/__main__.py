"""Speed and memory beside the program pastiche, in one run: `make bench`.

Each figure comes from processes of its own, ours and pastiche's in turn, so that a machine whose
speed drifts treats both alike. `docs/performance.md` describes the rows.
"""

import shutil
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from pathlib import Path

from bench import cpu_rows, daemon_rows, publish, reach, table
from bench.common import ROOT, names, pair_of, with_pair_options
from bench.rows import Measure, Setting, measure_all, with_known_rows

MEASURES: tuple[Measure[Setting], ...] = (
    *cpu_rows.STEPS,
    *cpu_rows.OF_LIMIT,
    *cpu_rows.COMMANDS,
    *reach.MEASURES,
    *cpu_rows.SCALING,
    *cpu_rows.ALBUM,
    *daemon_rows.DAEMON,
)


def main(words: list[str]) -> int:
    """Measure and print a table, or put the last results on the pages."""
    options = arguments(words)
    if options.publish:
        publish.publish(options.results, ROOT)
        return 0
    options.results.mkdir(parents=True, exist_ok=True)
    about = {**table.machine(), "pictures": names(options.content, options.style)}
    with tempfile.TemporaryDirectory() as name:
        setting = prepare(options, Path(name))
        return measure_all(MEASURES, setting, options, options.results / table.cpu_file(), about)


def arguments(words: list[str]) -> Namespace:
    """Parse the command line."""
    parser = with_pair_options(ArgumentParser(prog="python -m bench", description=__doc__))
    parser.add_argument("--album", type=int, default=50, help="pictures for the daemon")
    parser.add_argument("--pixels", type=int, default=250_000, help="of steps and of `best`")
    parser.add_argument("--steps", type=int, default=8, help="steps that are timed in a row")
    publish_help = "measure nothing: put the last results into bench/results/speed.md"
    parser.add_argument("--publish", action="store_true", help=publish_help)
    return with_known_rows(parser, words, MEASURES)


def prepare(options: Namespace, scratch: Path) -> Setting:
    """Copy the pictures under short names."""
    pair = pair_of(options.content, options.style, scratch)
    for source, name in zip(pair, ("content.jpg", "style.jpg"), strict=True):
        if source != scratch / name:
            shutil.copyfile(source, scratch / name)
    return Setting(scratch / "content.jpg", scratch / "style.jpg", options.results, scratch,
                   pixels=options.pixels, album=options.album, steps=options.steps)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
