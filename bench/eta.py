"""How right the time left is: paints one job, as a worker does, and holds what was said against it.

`python -m bench.eta best --size 320`; the errors are of the time that was really left.
"""

import json
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path

from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.queue.eta import Clock
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.worker.messages import Order
from stylewatch_daemon.worker.run_job import work
from stylewatch_painter import sample
from stylewatch_painter.stage import go_on

SHARES = (0.1, 0.25, 0.5)
"""Of the whole time, where what was said is looked at."""

Told = tuple[float, Progress]
"""Event of a worker with a step, and its time in seconds from the start."""


def listen(order: Order) -> tuple[Started, list[Told], float]:
    """Paint `order`: how it started, each step with its moment, and how long it took."""
    began = time.monotonic()
    started, steps = None, []
    for event in work(order, go_on):
        if isinstance(event, Started):
            started, began = event, time.monotonic()
        elif isinstance(event, Progress):
            steps.append((time.monotonic() - began, event))
    assert started is not None
    return started, steps, time.monotonic() - began


def errors(started: Started, steps: list[Told], whole: float) -> dict[float, float]:
    """For each of SHARES, how far the time left was off, relative to what was really left."""
    clock, off = Clock(started), {}
    for at, step in steps:
        left = clock.left(step)
        for share in SHARES:
            if share not in off and at >= share * whole and left is not None:
                off[share] = left / (whole - at) - 1
    return off


def order(folder: Path, recipe: str, said: dict[str, object]) -> Order:
    """An order for the sample pair, which is written into `folder`."""
    sample.write(folder)
    return Order(
        name="eta",
        settings=JobSettings.model_validate({"recipe": recipe, **said}),
        content=folder / "content.jpg",
        styles=(folder / "style.jpg",),
        staging=folder / "staging",
        checkpoint=folder / "checkpoint.npz",
    )


def main() -> None:
    """Measure, and print a line."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("--size")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--keep", type=Path, help="a file for all that was told, as JSON")
    asked = parser.parse_args()
    said = {"size": asked.size, "steps": asked.steps, "device": "cpu"}
    with tempfile.TemporaryDirectory() as name:
        given = order(Path(name), asked.recipe, said)
        given.staging.mkdir()
        started, steps, whole = listen(given)
    if asked.keep:
        told = [(at, step.step, step.steps, step.size, step.seconds) for at, step in steps]
        asked.keep.write_text(json.dumps([started.sizes, started.steps_at, told, whole]))
    off = errors(started, steps, whole)
    said_at = "   ".join(f"{share:.0%}: {error:+.0%}" for share, error in off.items())
    print(f"{asked.recipe:14} {asked.size or '':8} {whole:7.0f} s   {said_at}", flush=True)


if __name__ == "__main__":
    main()
