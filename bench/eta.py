"""Error of the remaining time: runs one job, as a worker does, and compares each estimate.

`python -m bench.eta best --size 320`; the errors are relative to the time that was really left.
"""

import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path

from stylewatch_daemon.base.model import Progress, Started
from stylewatch_daemon.jobs.eta import EtaEstimator
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.worker.messages import Order
from stylewatch_daemon.worker.run_job import work
from stylewatch_painter import sample
from stylewatch_painter.stage import go_on

SHARES = (0.1, 0.25, 0.5)
"""Shares of the whole time after which the estimate is compared."""

Step = tuple[float, Progress]
"""Seconds since the start, and the step that was reported then."""


def run(order: Order) -> tuple[Started, list[Step], float]:
    """Run a job; return how it started, its steps, and the seconds it took."""
    began = time.monotonic()
    started, steps = None, []
    for event in work(order, go_on):
        if isinstance(event, Started):
            started, began = event, time.monotonic()
        elif isinstance(event, Progress):
            steps.append((time.monotonic() - began, event))
    assert started is not None
    return started, steps, time.monotonic() - began


def errors(started: Started, steps: list[Step], whole: float) -> dict[float, float]:
    """Return the relative error of the remaining time at each of SHARES."""
    eta, off = EtaEstimator(started), {}
    for at, step in steps:
        left = eta.left(step)
        for share in SHARES:
            if share not in off and at >= share * whole and left is not None:
                off[share] = left / (whole - at) - 1
    return off


def main() -> None:
    """Measure, and print a line."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("--size")
    parser.add_argument("--steps", type=int)
    options = parser.parse_args()
    job = {"recipe": options.recipe, "size": options.size, "steps": options.steps, "device": "cpu"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sample.write(folder)
        order = Order(
            name="eta", settings=JobSettings.model_validate(job), content=folder / "content.jpg",
            styles=(folder / "style.jpg",), staging=folder / "staging",
            checkpoint=folder / "checkpoint.npz",
        )  # fmt: skip
        order.staging.mkdir()
        started, steps, whole = run(order)
    off = errors(started, steps, whole)
    text = "   ".join(f"{share:.0%}: {error:+.0%}" for share, error in off.items())
    print(f"{options.recipe:14} {options.size or '':8} {whole:7.0f} s   {text}", flush=True)


if __name__ == "__main__":
    main()
