"""Checks on an NVIDIA GPU, `make test-gpu`: its results are those of the processor.

They also run from a checkout with PYTHONPATH alone. Without a GPU a sentence reports it.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from stylewatch_painter.network.device import Precision
from stylewatch_painter.network.vgg19 import Vgg19
from stylewatch_painter.network.weights import locate
from stylewatch_painter.paint import paint as painting
from stylewatch_painter.paint.paint import paint
from stylewatch_painter.recipes import book
from stylewatch_painter.scene.task import Style, Task
from stylewatch_painter.stage import Pixels, Stage, Step, Wish
from stylewatch_plugins.testing.tasks import picture
from stylewatch_plugins.torch_autograd import Arithmetic, load_network

Check = tuple[str, bool]


def task(name: str, seed: int = 0, **changes: object) -> Task:
    """A task of odd sides, its pictures by chance."""
    small = {"size": "147x110", "fit": "stretch", "enlarge": True, "steps": 24, "save_every": 24}
    recipe = book.change(book.find(name), {**small, **changes})
    return Task(recipe, picture(147, 110, seed), (Style(picture(120, 130, seed + 50)),), seed=seed)


def network(job: Task, device: str, precision: Precision = "fp32") -> Vgg19:
    """The network for a task."""
    layers = job.recipe.objective.layers
    return load_network(locate(), layers, torch.device(device), Arithmetic(precision))


def last(steps: list[Step]) -> Pixels:
    """The picture of the last stage."""
    stage = steps[-1]
    if not isinstance(stage, Stage):
        raise TypeError("the last step is no stage")
    return stage.picture


def apart(one: Pixels, other: Pixels) -> float:
    """Levels, root mean square."""
    return float(np.sqrt(np.square(one - other).mean()))


def near_the_processor() -> Iterator[Check]:
    """After few steps of Adam, which does not let small differences grow."""
    job = task("devos", scales=[], steps=10)
    wanted = last(list(paint(job, network(job, "cpu"))))
    bounds: dict[Precision, float] = {"fp32": 0.1, "tf32": 2.0, "bf16": 5.0}
    for precision, bound in bounds.items():
        found = apart(last(list(paint(job, network(job, "cuda", precision)))), wanted)
        yield (
            f"{precision} is {found:.3f} levels from the processor, {bound} allowed",
            found < bound,
        )


def recorded_as_made() -> Iterator[Check]:
    """A recorded step does what one does that Python asks for, kernel by kernel."""
    for name in ("best", "devos", "pastiche"):
        job = task(name, scales=[])
        vgg = network(job, "cuda", "bf16")
        quick = last(list(paint(job, vgg)))
        worth, painting._MIN_GRAPH_STEPS = painting._MIN_GRAPH_STEPS, sys.maxsize
        slow = last(list(paint(job, vgg)))
        painting._MIN_GRAPH_STEPS = worth
        yield f"{name}: a recorded painting has the same bytes", np.array_equal(quick, slow)


def on_again() -> Iterator[Check]:
    """A painting that was broken off goes on in the same bytes."""
    job = task("best", scales=[{"scale": 0.5, "steps": 20}], smallest=1)
    vgg = network(job, "cuda", "bf16")
    whole = last(list(paint(job, vgg)))
    yield "painted twice it has the same bytes", np.array_equal(last(list(paint(job, vgg))), whole)
    for after in (7, 33):
        wishes = [*[Wish.GO_ON] * (after - 1), Wish.STOP]
        *_, stopped = paint(job, vgg, iter(wishes).__next__)
        rest = last(list(paint(replace(job, resume=stopped.checkpoint), vgg)))
        same = np.array_equal(rest, whole)
        yield f"stopped after {after} steps it goes on in the same bytes", same


def main() -> None:
    """Print each check, and whether it holds."""
    if not torch.cuda.is_available():
        sys.stderr.write("torch finds no GPU of NVIDIA here, so nothing was checked on one\n")
        sys.exit(69)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    good = True
    for checks in (near_the_processor, recorded_as_made, on_again):
        for what, holds in checks():
            print(f"{'ok  ' if holds else 'WRONG'} {what}", flush=True)
            good = good and holds
    sys.exit(not good)


if __name__ == "__main__":
    main()
