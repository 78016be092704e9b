"""Speed on a GPU, beside what its matrix products allow: `make bench-gpu`.

It runs where the packages are only on PYTHONPATH, with torch, NumPy, Pillow and pydantic.
`gpu_rows.py` has the measures.
"""

import sys
import tempfile
from argparse import ArgumentParser, Namespace
from pathlib import Path

import torch
from bench import table
from bench.common import names, pair_of, with_pair_options
from bench.gpu_rows import MEASURES, Setting, backend, devos_fast, paint, task
from bench.rows import measure_all, with_known_rows

from stylewatch_painter.images.read import read

NO_DEVICE = 69  # as in sysexits: a service that is not available


def main(words: list[str]) -> int:
    """Measure and print a table; with `--devos` only paint, as a process that is timed."""
    options = arguments(words)
    if not torch.cuda.is_available():
        print(f"torch {torch.__version__} finds no GPU here, and this benchmark needs one.",
              file=sys.stderr)  # fmt: skip
        return NO_DEVICE
    with tempfile.TemporaryDirectory() as name:
        setting = prepare(options, Path(name))
        if options.devos:
            paint(backend(setting), task(setting, devos_fast(setting)))
            return 0
        about = {"machine": torch.cuda.get_device_name(), "pictures": names(*setting.files)}
        about = table.machine() | about
        return measure_all(MEASURES, setting, options, options.results / table.GPU, about)


def arguments(words: list[str]) -> Namespace:
    """Parse the command line."""
    parser = with_pair_options(ArgumentParser(prog="python -m bench.gpu", description=__doc__))
    parser.add_argument("--devos", action="store_true", help="paint `devos` once, measure nothing")
    return with_known_rows(parser, words, MEASURES)


def prepare(options: Namespace, folder: Path) -> Setting:
    """Read the pictures into memory."""
    files = pair_of(options.content, options.style, folder)
    content, style = (read(file).pixels for file in files)
    return Setting(content, style, files)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
