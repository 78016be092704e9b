"""Speed and memory beside the program pastiche, in one run: `make bench`.

Each figure comes from processes of its own, ours and theirs in turn, so that a machine whose
speed drifts treats both alike; what counts is the ratio, pair by pair.
"""

import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LARGE = 250_000  # pixels: what pastiche paints at if nothing is said
COMMANDS = Path(sysconfig.get_path("scripts"))


@dataclass(frozen=True)
class Figure:
    """Something measured of both programs, and its unit."""

    title: str
    unit: str
    ours: Callable[[], float]
    theirs: Callable[[], float]


def probe(program: str, folder: Path, steps: int) -> dict[str, float]:
    """What one of the probes beside this file measured."""
    command = [sys.executable, "-m", f"tests.bench.{program}", str(folder), str(LARGE), str(steps)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def whole(*command: str | Path) -> float:
    """Seconds that a command takes, from its start to its end."""
    began = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - began


def figures(folder: Path, steps: int) -> list[Figure]:
    """What is measured."""
    content, style, out = (folder / name for name in ("content.jpg", "style.jpg", "out.png"))
    ours = (COMMANDS / "stylewatch", "render", content, style, "-o", out, "--force", "--quiet",
            "--device", "cpu", "--recipe", "pastiche", "--size", "0.065536mp",
            "--steps", "1")  # fmt: skip
    theirs = (COMMANDS / "pastiche", "--content", content, "--styles", style, "--output", out,
              "--size-pixels", "65536", "--num-steps", "1", "--no-verbose")  # fmt: skip
    return [
        Figure("a step of recipe pastiche, 0.25 megapixels", "s",
               lambda: probe("ours", folder, steps)["step"],
               lambda: probe("theirs", folder, steps)["step"]),
        Figure(f"peak memory of {steps} such steps", "MB",
               lambda: probe("ours", folder, steps)["peak"],
               lambda: probe("theirs", folder, steps)["peak"]),
        Figure("the whole command for one step, 256x256 pixels", "s",
               lambda: whole(*ours),
               lambda: whole(*theirs)),
    ]  # fmt: skip


def compare(figure: Figure, pairs: int) -> str:
    """A line: both medians, and the median ratio with its spread."""
    both = [(figure.ours(), figure.theirs()) for _ in range(pairs)]
    ours, theirs = (statistics.median(side) for side in zip(*both, strict=True))
    ratios = [a / b for a, b in both]
    spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} .. {max(ratios):.2f})"
    return f"{figure.title:48} {ours:9.2f} {theirs:9.2f} {figure.unit:3}  {spread}"


def main() -> None:
    """Measure, and print a table."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="runs of each program")
    parser.add_argument("--steps", type=int, default=6, help="steps in each run")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-m", "stylewatch_painter.sample", name], check=True)
        wanted = figures(folder, asked.steps)
        wanted[-1].ours()  # the first run fills the caches
        print(f"{os.cpu_count()} cores, {asked.pairs} pairs; medians, ratio ours/theirs (spread)")
        print(f"{'':48} {'ours':>9} {'pastiche':>9}")
        for figure in wanted:
            print(compare(figure, asked.pairs), flush=True)


if __name__ == "__main__":
    main()
