"""Measures on a GPU: whole paintings, the speed of steps, pictures an hour.

The backend is made by its class, so that the packages need not be installed. Times are those of
one warm process, from pictures in main memory to paintings there; `devos_from_start_s` counts
from the start of a process.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from bench.common import area, timed
from bench.probes import per_step as median_step
from bench.probes import theirs, work
from bench.rows import Measure, Reading, Row

from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Recipe
from stylewatch_painter.scene.task import Style, Task
from stylewatch_painter.stage import Pixels, Stage, go_on
from stylewatch_plugins.torch_autograd import TorchAutograd

PRECISIONS = ("auto", "fp32", "tf32")

DEVOS = Row("devos_h200_s", "`devos`, 500 steps at 640x480, `--schedule fast`, precision `auto`",
            "s", must=2, aim=0.8)  # fmt: skip
FRACTION = Row("h200_fraction", "speed of steps at 640x480 / that of bf16 matrix products",
               must=0.35, aim=0.6, higher=True)  # fmt: skip
HOURLY = Row("h200_pictures_per_hour", "`best` at 1 megapixel, one after the other",
             must=3000, aim=10_000, higher=True)  # fmt: skip
DEVOS_ROWS = {
    "auto": DEVOS,
    "fp32": Row("devos_fp32_s", "the same in fp32", "s"),
    "tf32": Row("devos_tf32_s", "the same in TF32", "s"),
}
DEVOS_SPEED = Row("devos_tflops", "the speed of the first of them", "TFLOP/s", higher=True)
FROM_START = Row("devos_from_start_s", "the same, from the start of a process", "s")
MATMUL = Row("matmul_tflops", "bf16 matrix products of side 8192", "TFLOP/s", higher=True)
SPEED = Row("step_tflops", "the speed of steps at 640x480", "TFLOP/s", higher=True)
PEAK = Row("gpu_peak_mb", "the GPU's memory at the peak of `best` at 1 megapixel", "MB")
STEP = Row("gpu_step_ratio", "a step of objective `pastiche` at 577x433, ours / pastiche's")
THEIRS = Row("pastiche_gpu_step_s", "pastiche's step", "s")


@dataclass(frozen=True)
class Setting:
    """Pictures and sizes that are measured on `device`.

    `box` is a size as recipes take it; speeds come from the difference of `long` and `short`
    steps; `several` paintings are made for pictures an hour; `side` is that of the matrices.
    """

    content: Pixels
    style: Pixels
    files: tuple[Path, Path]
    device: str = "cuda"
    box: str = "640x480"
    large: int = 1_000_000
    small: int = 250_000
    steps: int = 500
    short: int = 50
    long: int = 250
    several: int = 8
    side: int = 8192


def backend(setting: Setting, precision: str = "auto") -> Any:
    """Our painter on the device."""
    return TorchAutograd({"device": setting.device, "precision": precision})


def task(setting: Setting, recipe: Recipe) -> Task:
    """A painting of the photograph."""
    return Task(recipe, setting.content, (Style(setting.style),))


def devos_fast(setting: Setting, **changes: object) -> Recipe:
    """Objective `devos` on our own way."""
    fast = book.fast(book.find("devos"))
    always = {"size": setting.box, "fit": "stretch", "enlarge": True, "steps": setting.steps}
    return book.change(fast, {**always, **changes})


def paint(painter: Any, wanted: Task) -> tuple[float, int]:
    """Seconds of a painting, and the steps that it took."""
    began = time.perf_counter()
    end = [None, *painter.paint(wanted, go_on)][-1]
    seconds = time.perf_counter() - began
    assert isinstance(end, Stage), "a painting ends with a picture"
    return seconds, end.step


def per_step(setting: Setting, recipe: Recipe) -> float:
    """Seconds a step: start and targets cancel out."""
    painter = backend(setting, "auto")
    given = [task(setting, book.change(recipe, {"steps": steps}))
             for steps in (setting.short, setting.long)]  # fmt: skip
    paint(painter, given[0])
    (short, few), (long, many) = (paint(painter, each) for each in given)
    return (long - short) / (many - few)


def devos(setting: Setting) -> Iterator[Reading]:
    """A whole painting in each precision, by a backend that painted before."""
    wanted = task(setting, devos_fast(setting))
    first = task(setting, devos_fast(setting, steps=min(20, setting.steps)))
    for precision in PRECISIONS:
        painter = backend(setting, precision)
        paint(painter, first)
        seconds, steps = paint(painter, wanted)
        assert steps == sum(level.steps for level in wanted.levels()), "none is left out"
        yield DEVOS_ROWS[precision].key, seconds
        if precision == "auto":
            done = sum(level.steps * work(*level.size) for level in wanted.levels())
            yield DEVOS_SPEED.key, done / seconds / 1e12


def from_start(setting: Setting) -> Iterator[Reading]:
    """The same painting by a process of its own."""
    files = ("--content", setting.files[0], "--style", setting.files[1])
    yield FROM_START.key, timed(sys.executable, "-m", "bench.gpu", "--devos", *files)


def fraction(setting: Setting) -> Iterator[Reading]:
    """The speed of steps of `gram` beside the ceiling.

    `work` counts the layers up to conv5_1, which `gram` ends with, and no neighbors.
    """
    ceiling = matmul(setting)
    step_alone = {"scales": [], "save_every": setting.long, "size": setting.box, "fit": "stretch",
                  "enlarge": True}  # fmt: skip
    recipe = book.change(book.find("gram"), step_alone)
    speed = work(*task(setting, recipe).final) / per_step(setting, recipe) / 1e12
    yield FRACTION.key, speed / ceiling
    yield SPEED.key, speed
    yield MATMUL.key, ceiling


def hourly(setting: Setting) -> Iterator[Reading]:
    """Paintings of recipe `best`; the first warms up."""
    changes = {"size": area(setting.large), "enlarge": True}
    given = task(setting, book.change(book.find("best"), changes))
    painter = backend(setting)
    paint(painter, given)
    if setting.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    seconds = sum(paint(painter, given)[0] for _ in range(setting.several))
    yield HOURLY.key, setting.several * 3600 / seconds
    if setting.device.startswith("cuda"):
        yield PEAK.key, torch.cuda.max_memory_allocated() / 1e6


def beside_pastiche(setting: Setting) -> Iterator[Reading]:
    """Our step of its objective, and its own."""
    wanted = {"size": area(setting.small), "save_every": setting.long}
    recipe = book.change(book.find("pastiche"), wanted)
    content, style = map(str, setting.files)
    peer = median_step(theirs(content, style, setting.small, setting.short, setting.device))
    yield THEIRS.key, peer
    yield STEP.key, per_step(setting, recipe) / peer


def matmul(setting: Setting) -> float:
    """TFLOP/s of bf16 matrix products of random numbers: the best of three times ten."""
    one, other = (torch.randn(setting.side, setting.side, device=setting.device).bfloat16()
                  for _ in range(2))  # fmt: skip
    best = float("inf")
    for _ in range(3):
        began = _settled(setting.device)
        for _ in range(10):
            one @ other
        best = min(best, (_settled(setting.device) - began) / 10)
    return 2 * setting.side**3 / best / 1e12


def _settled(device: str) -> float:
    """The time, once the device has done all that it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter()


MEASURES: tuple[Measure[Setting], ...] = (
    Measure((*DEVOS_ROWS.values(), DEVOS_SPEED), devos),
    Measure((FRACTION, SPEED, MATMUL), fraction),
    Measure((HOURLY, PEAK), hourly),
    Measure((STEP, THEIRS), beside_pastiche),
    Measure((FROM_START,), from_start),
)
