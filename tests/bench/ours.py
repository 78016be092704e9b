"""Probe: paints some steps of recipe `pastiche` with our painter; prints seconds and bytes."""

import sys
from pathlib import Path

from tests.bench.report import report

from stylewatch_painter import recipe_book
from stylewatch_painter.image import read
from stylewatch_painter.stage import go_on
from stylewatch_painter.task import Style, Task
from stylewatch_plugins import registry


def paint(folder: Path, pixels: int, steps: int) -> list[float]:
    """The times, in seconds, at which each step ended."""
    size = f"{pixels / 1e6:.6f}mp"
    recipe = recipe_book.change(recipe_book.find("pastiche"), {"size": size, "steps": steps})
    content, style = read(folder / "content.jpg"), read(folder / "style.jpg")
    task = Task(recipe, content.pixels, (Style(style.pixels),))
    return [step.seconds for step in registry.load("torch", {"device": "cpu"}).paint(task, go_on)]


if __name__ == "__main__":
    report(paint(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
