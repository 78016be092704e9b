"""Speed on a GPU, beside what its matrix products allow: `make bench-gpu`.

Runs where the packages are only on PYTHONPATH, with torch, NumPy, Pillow and pydantic. What is
measured stands in `gpu_rows.py`.
"""

import sys
import tempfile
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path

import torch
from bench import table
from bench.child import ROOT
from bench.gpu_rows import MEASURES, Setting, backend, devos_fast, paint, tasks
from bench.rows import in_turn, measures_with

from stylewatch_painter import sample
from stylewatch_painter.images.read import read

NO_DEVICE, FAILED = 69, 70  # as in sysexits: a service that is not there; a fault of our own


def main(words: list[str]) -> int:
    """Measure and print a table; with `--devos` only paint, as a process that is timed."""
    asked = arguments(words)
    if not torch.cuda.is_available():
        print(f"torch {torch.__version__} finds no GPU here, and this bench needs one.",
              file=sys.stderr)  # fmt: skip
        return NO_DEVICE
    with tempfile.TemporaryDirectory() as name:
        setting = prepare(asked, Path(name))
        if asked.devos:
            paint(backend(setting), tasks(setting, devos_fast(setting), 1))
            return 0
        where = {"machine": torch.cuda.get_device_name(), "pictures": names(setting)}
        wanted = measures_with(MEASURES, asked.only)
        for figures in in_turn(wanted, setting, asked.runs):
            print(f"{len(figures)} rows measured", file=sys.stderr, flush=True)
            kept = table.keep(asked.results / table.GPU, figures, table.machine() | where)
    print("\n".join(table.lines(kept)))
    return 0 if figures.keys() >= {row.key for one in wanted for row in one.rows} else FAILED


def arguments(words: list[str]) -> Namespace:
    """The command line."""
    parser = ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="how often each row is measured")
    parser.add_argument("--only", nargs="*", default=[], metavar="ROW", help="only these rows")
    parser.add_argument("--content", type=Path, help="a photograph, not that of the sample pair")
    parser.add_argument("--style", type=Path, help="a painting, not that of the sample pair")
    parser.add_argument("--batch", type=int, default=8, help="paintings at once")
    parser.add_argument("--results", type=Path, default=ROOT / "build", help="where JSON goes")
    parser.add_argument("--devos", action="store_true", help="paint `devos` once, measure nothing")
    return parser.parse_args(words)


def names(setting: Setting) -> str:
    """Return the names of the pictures, for a page."""
    return " + ".join(file.name for file in setting.files)


def prepare(asked: Namespace, folder: Path) -> Setting:
    """The pictures in memory: those named, or the sample pair's."""
    if asked.content is None or asked.style is None:
        sample.write(folder)
    files = asked.content or folder / "content.jpg", asked.style or folder / "style.jpg"
    content, style = (read(file).pixels for file in files)
    return replace(Setting(content, style, files), batch=asked.batch)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
