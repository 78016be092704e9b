"""Probe: paints some steps of recipe `pastiche` with our painter; prints seconds and megabytes.

`python -m bench.ours CONTENT STYLE PIXELS STEPS BACKEND OPTIONS`, the options as JSON.
"""

import json
import sys
import time
from pathlib import Path

from bench.child import area
from bench.report import report

from stylewatch_painter.algorithm.task import Style, Task
from stylewatch_painter.images.read import read
from stylewatch_painter.recipes import book
from stylewatch_painter.stage import go_on
from stylewatch_plugins import registry


def task(content: Path, style: Path, pixels: int, steps: int) -> Task:
    """The pair, painted by recipe `pastiche` at so many pixels."""
    recipe = book.find("pastiche")
    changed = book.change(recipe, {"size": area(pixels), "steps": steps})
    return Task(changed, read(content).pixels, (Style(read(style).pixels),))


def paint(given: Task, backend: str, options: dict[str, object]) -> list[float]:
    """The moments, in seconds, at which the backend told of each step."""
    steps = registry.load(backend, {"device": "cpu", **options}).paint(given, go_on)
    return [time.monotonic() for _ in steps]


if __name__ == "__main__":
    files, counts, (name, said) = sys.argv[1:3], sys.argv[3:5], sys.argv[5:7]
    given = task(Path(files[0]), Path(files[1]), int(counts[0]), int(counts[1]))
    report(paint(given, name, json.loads(said)))
