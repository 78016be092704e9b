"""Checks on an NVIDIA GPU, `make test-gpu`: its results are those of the processor.

They also run from a checkout with PYTHONPATH alone. Without a GPU a sentence reports it.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from stylewatch_painter.network.device import Precision
from stylewatch_painter.paint import paint as painting
from stylewatch_painter.recipes import book
from stylewatch_painter.scene.task import Style, Task
from stylewatch_painter.stage import Pixels, Stage, Step, Wish, go_on
from stylewatch_plugins.testing.tasks import picture
from stylewatch_plugins.torch_autograd import TorchAutograd

Check = tuple[str, bool]

COARSE_FIRST: Mapping[str, Any] = {"scales": [{"scale": 0.5, "steps": 20}], "smallest": 1}
"""Half the size before the final one: `best` has other losses there, of other layers."""


def task(name: str, seed: int = 0, **changes: object) -> Task:
    """A task of odd sides, its pictures by chance."""
    small = {"size": "147x110", "fit": "stretch", "enlarge": True, "steps": 24, "save_every": 24}
    recipe = book.change(book.find(name), {**small, **changes})
    return Task(recipe, picture(147, 110, seed), (Style(picture(120, 130, seed + 50)),), seed=seed)


def painter(device: str, precision: Precision = "fp32") -> TorchAutograd:
    """The backend as users have it; on the processor with torch's own convolutions."""
    return TorchAutograd({"device": device, "precision": precision, "convolution": "torch"})


def last(steps: Iterable[Step]) -> Pixels:
    """The picture of the last stage."""
    *_, stage = steps
    if not isinstance(stage, Stage):
        raise TypeError("the last step is no stage")
    return stage.picture


def apart(one: Pixels, other: Pixels) -> float:
    """Levels, root mean square."""
    return float(np.sqrt(np.square(one - other).mean()))


def near_the_processor() -> Iterator[Check]:
    """After few steps of Adam, which does not let small differences grow."""
    job = task("devos", scales=[], steps=10)
    wanted = last(painter("cpu").paint(job, go_on))
    bounds: dict[Precision, float] = {"fp32": 0.1, "tf32": 2.0, "bf16": 5.0}
    for precision, bound in bounds.items():
        found = apart(last(painter("cuda", precision).paint(job, go_on)), wanted)
        yield (
            f"{precision} is {found:.3f} levels from the processor, {bound} allowed",
            found < bound,
        )


def recorded_as_made() -> Iterator[Check]:
    """A recorded step does what one does that Python asks for, kernel by kernel."""
    gpu = painter("cuda", "bf16")
    for name in ("best", "devos", "pastiche"):
        job = task(name, **(COARSE_FIRST if name == "best" else {"scales": []}))
        quick = last(gpu.paint(job, go_on))
        worth, painting._MIN_GRAPH_STEPS = painting._MIN_GRAPH_STEPS, sys.maxsize
        slow = last(gpu.paint(job, go_on))
        painting._MIN_GRAPH_STEPS = worth
        yield f"{name}: a recorded painting has the same bytes", np.array_equal(quick, slow)


def on_again() -> Iterator[Check]:
    """A painting that was broken off goes on in the same bytes."""
    job, gpu = task("best", **COARSE_FIRST), painter("cuda", "bf16")
    whole = last(gpu.paint(job, go_on))
    yield "painted twice it has the same bytes", np.array_equal(last(gpu.paint(job, go_on)), whole)
    for after in (7, 33):
        wishes = [*[Wish.GO_ON] * (after - 1), Wish.STOP]
        *_, stopped = gpu.paint(job, iter(wishes).__next__)
        rest = last(gpu.paint(replace(job, resume=stopped.checkpoint), go_on))
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
