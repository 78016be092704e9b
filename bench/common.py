"""Parts that several benchmarks share: commands that are measured, tasks, CPU time."""

import csv
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from stylewatch_painter.images.read import read
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Recipe
from stylewatch_painter.scene.task import Style, Task
from stylewatch_painter.stage import Pixels

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "bench" / "pictures"
STYLEWATCH = Path(sysconfig.get_path("scripts")) / "stylewatch"

_MEASURED = """
import resource, subprocess, sys, time
began = time.monotonic()
code = subprocess.run(sys.argv[1:]).returncode
seconds = time.monotonic() - began
print(seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6)
sys.exit(code)
"""
"""A small process that runs a command: a peak of memory counts the process it was forked from."""


@dataclass(frozen=True)
class Done:
    """A command that was run: its seconds, its peak of memory in MB, and its lines of output.

    `moments` are the seconds from its start to each line.
    """

    seconds: float
    peak: float
    lines: list[str]
    moments: list[float]


def run(*command: object, cwd: Path | None = None) -> Done:
    """Run a command, and measure it from its start to its end.

    Raises RuntimeError: the command fails.
    """
    words, began = [*map(str, command)], time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-c", _MEASURED, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, cwd=cwd, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        seen = [(line.rstrip("\n"), time.monotonic() - began) for line in process.stdout]
    lines, moments = [line for line, _ in seen], [moment for _, moment in seen]
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {process.returncode}: {lines}")
    seconds, peak = map(float, lines[-1].split())
    return Done(seconds, peak, lines[:-1], moments[:-1])


def pastiche(pair: tuple[Path, Path], pixels: int, steps: int, out: Path, *options: object) -> Done:
    """Paint a pair at about so many pixels; every step prints a line."""
    content, style = pair
    return run(
        sys.executable, "-m", "pastiche", "--content", content, "--styles", style, "--output", out,
        "--size-pixels", pixels, "--num-steps", steps, "--info-step", 1, "--device", "cpu",
        *options,
    )  # fmt: skip


def ends_of_steps(done: Done) -> list[float]:
    """Return the seconds from the start of pastiche to the end of each step."""
    lines = zip(done.lines, done.moments, strict=True)
    return [moment for line, moment in lines if line[:1].isdigit() and not line.startswith("0 ")]


def seconds_in(losses: Path) -> list[float]:
    """Return the seconds to each step of a painting, or frame of a clip, from its losses.csv."""
    with losses.open(encoding="ascii") as file:
        return [float(line["seconds"]) for line in csv.DictReader(file)]


def usual_step(ends: Sequence[float]) -> float:
    """Return the median of the seconds between the ends of steps."""
    return median(after - before for before, after in pairwise(ends))


def pastiche_step(
    pair: tuple[Path, Path], pixels: int, steps: int, out: Path, *options: object
) -> tuple[float, float]:
    """Return the seconds of a step of pastiche, and the peak of memory."""
    done = pastiche(pair, pixels, steps, out, *options)
    return usual_step(ends_of_steps(done)), done.peak


def area(pixels: int) -> str:
    """Return a number of pixels as `--size` takes it."""
    return f"{pixels / 1e6:.6f}mp"


def task(
    recipe: Recipe, pair: tuple[Path | Pixels, Path | Pixels], changes: Mapping[str, object]
) -> Task:
    """Return a task for a content and a style, files or arrays, by `recipe` with `changes`."""
    content, style = (
        read(picture).pixels if isinstance(picture, Path) else picture for picture in pair
    )
    return Task(book.change(recipe, changes), content, (Style(style),))


def cpu_seconds(pid: int) -> float:
    """Return the seconds of a core that a process took so far."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
