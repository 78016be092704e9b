"""Time and memory of a large picture: `python -m bench.large WIDTHxHEIGHT STEPS [LIMIT ...]`.

The sample pair is painted by recipe `best`, at that one size, for
so many steps. Printed are what was decided, the most memory that the process held (resident, in
GB) and the seconds of a step. From these the time of the recipe's whole run is extrapolated, by
the pixels of all sizes on its way. LIMIT is `limits.memory`, as 6GB; KEY=VALUE are options of the
backend `torch`.
"""

import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from bench import common

from stylewatch_daemon.settings.sections import Limits
from stylewatch_painter import sample
from stylewatch_painter.images.read import read
from stylewatch_painter.images.resize import resize
from stylewatch_painter.paint.forecast import evaluations
from stylewatch_painter.recipes.book import change, find
from stylewatch_painter.scene.scales import Size
from stylewatch_painter.scene.task import Task
from stylewatch_painter.stage import Pixels, Step, go_on
from stylewatch_plugins import registry


def picture(size: Size, path: Path) -> Pixels:
    """Read a picture and resize it to `size` (width, height)."""
    return resize(read(path).pixels, size)


def task(size: Size, steps: int) -> Task:
    """The painting; its style is as many pixels as it is looked at with."""
    pair = picture(size, sample.CONTENT), picture((1280, 1024), sample.STYLE)
    changes = {"size": f"{size[0]}x{size[1]}", "fit": "stretch", "save_every": steps,
               "scales": [], "steps": steps}  # fmt: skip
    return common.task(find("best"), pair, changes)


def whole_run(size: Size, per_step: float) -> float:
    """Seconds of all that `best` does on the way to `size`, by those of a step there."""
    recipe = change(find("best"), {"size": f"{size[0]}x{size[1]}", "fit": "stretch"})
    levels = Task(recipe, np.zeros((size[1], size[0], 3), np.float32), ()).levels()
    settings = recipe.schedule.optimizer
    return per_step * sum(level.scale**2 * evaluations(settings, level.steps) for level in levels)


def paint(given: Task, options: Mapping[str, object]) -> None:
    """Paint, and print what it took."""
    backend = registry.load("torch", {"device": "cpu", **options})
    seen = backend.provenance(given)
    print(dict(seen.decided), *seen.warnings, sep="\n", flush=True)
    moments = [time.monotonic()]
    step: Step
    for step in backend.paint(given, go_on):
        moments.append(time.monotonic())
        print(f"step {step.step}: loss {step.losses.total:.4g}", flush=True)
    per_step = (moments[-1] - moments[1]) / max(1, len(moments) - 2)
    print(f"peak memory: {common.peak() / 1e3:.2f} GB")
    print(f"seconds a step: {per_step:.1f}; the first: {moments[1] - moments[0]:.1f}")
    run = whole_run(given.final, per_step)
    print(f"the whole run of `best`, extrapolated: {run / 3600:.2f} h")


if __name__ == "__main__":
    size, count, *more = sys.argv[1:]
    width, height = (int(side) for side in size.split("x"))
    options: dict[str, object] = {}
    for key, _, value in (word.partition("=") for word in more[1:]):
        options[key] = value
    if more:
        options["memory"] = Limits.model_validate({"memory": more[0]}).memory
    paint(task((width, height), int(count)), options)
