"""Measures on a GPU: whole paintings, the speed of batches, pictures an hour.

The backend is made by its class, so that the packages need not be installed. Times are those of
one warm process, from pictures in main memory to paintings there; `devos_from_start_s` counts
from the start of a process.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from bench.common import area, timed
from bench.probes import per_step as median_step
from bench.probes import theirs, work
from bench.rows import Measure, Reading, Row

from stylewatch_painter.algorithm.task import Style, Task
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Recipe
from stylewatch_painter.stage import Pixels, Stage, go_on
from stylewatch_plugins.torch_autograd import TorchAutograd

PRECISIONS = ("auto", "fp32", "tf32")

DEVOS = Row("devos_h200_s", "`devos`, 500 steps at 640x480, `--schedule fast`, precision `auto`",
            "s", must=2, aim=0.8)  # fmt: skip
FRACTION = Row("h200_fraction", "speed of a batch at 640x480 / that of bf16 matrix products",
               must=0.35, aim=0.6, higher=True)  # fmt: skip
HOURLY = Row("h200_pictures_per_hour", "`best` at 1 megapixel, in batches",
             must=3000, aim=10_000, higher=True)  # fmt: skip
DEVOS_ROWS = {
    "auto": DEVOS,
    "fp32": Row("devos_fp32_s", "the same in fp32", "s"),
    "tf32": Row("devos_tf32_s", "the same in TF32", "s"),
}
DEVOS_SPEED = Row("devos_tflops", "the speed of the first of them", "TFLOP/s", higher=True)
FROM_START = Row("devos_from_start_s", "the same, from the start of a process", "s")
MATMUL = Row("matmul_tflops", "bf16 matrix products of side 8192", "TFLOP/s", higher=True)
BATCH = Row("batch_tflops", "the speed of a batch at 640x480", "TFLOP/s", higher=True)
ALONE = Row("alone_tflops", "that of one painting alone", "TFLOP/s", higher=True)
PEAK = Row("batch_peak_mb", "the GPU's memory at the peak of a batch at 1 megapixel", "MB")
STEP = Row("gpu_step_ratio", "a step of objective `pastiche` at 577x433, ours / pastiche's")
THEIRS = Row("pastiche_gpu_step_s", "pastiche's step", "s")


@dataclass(frozen=True)
class Setting:
    """Pictures and sizes that are measured on `device`.

    `box` is a size as recipes take it; `batch` paintings run at once; speeds come from the
    difference of `long` and `short` steps; `side` is that of the matrices.
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
    batch: int = 8
    side: int = 8192


def backend(setting: Setting, precision: str = "auto") -> Any:
    """Our painter on the device; it paints alone, and many at once."""
    return TorchAutograd({"device": setting.device, "precision": precision})


def tasks(setting: Setting, recipe: Recipe, count: int) -> list[Task]:
    """Paintings of one shape: the photograph, each time a little darker."""
    style = (Style(setting.style),)
    return [Task(recipe, setting.content * (1 - index / 50), style) for index in range(count)]


def devos_fast(setting: Setting, **changes: object) -> Recipe:
    """Objective `devos` on our own way."""
    fast = book.fast(book.find("devos"))
    always = {"size": setting.box, "fit": "stretch", "enlarge": True, "steps": setting.steps}
    return book.change(fast, {**always, **changes})


def paint(painter: Any, wanted: Sequence[Task]) -> tuple[float, int]:
    """Seconds of so many paintings, one alone or all at once, and the steps that each took.

    Raises what one of them met.
    """
    began = time.perf_counter()
    if len(wanted) == 1:
        last = [None, *painter.paint(wanted[0], go_on)][-1:]
    else:
        ends: dict[int, Any] = dict(painter.paint_many(wanted, [go_on] * len(wanted)))
        last = list(ends.values())
        assert len(last) == len(wanted), "each painting has an end"
    seconds = time.perf_counter() - began
    for end in last:
        if isinstance(end, Exception):
            raise end
        assert isinstance(end, Stage), "a painting ends with a picture"
    return seconds, last[0].step


def per_step(setting: Setting, recipe: Recipe, count: int) -> float:
    """Seconds a step of `count` paintings at once: start and targets cancel out."""
    painter = backend(setting, "auto")
    given = [tasks(setting, book.change(recipe, {"steps": steps}), count)
             for steps in (setting.short, setting.long)]  # fmt: skip
    paint(painter, given[0])
    (short, few), (long, many) = (paint(painter, batch) for batch in given)
    return (long - short) / (many - few)


def devos(setting: Setting) -> Iterator[Reading]:
    """A whole painting in each precision, by a backend that painted before."""
    (task,) = tasks(setting, devos_fast(setting), 1)
    (first,) = tasks(setting, devos_fast(setting, steps=min(20, setting.steps)), 1)
    for precision in PRECISIONS:
        painter = backend(setting, precision)
        paint(painter, [first])
        seconds, steps = paint(painter, [task])
        assert steps == sum(level.steps for level in task.levels()), "none is left out"
        yield DEVOS_ROWS[precision].key, seconds
        if precision == "auto":
            done = sum(level.steps * work(*level.size) for level in task.levels())
            yield DEVOS_SPEED.key, done / seconds / 1e12


def from_start(setting: Setting) -> Iterator[Reading]:
    """The same painting by a process of its own."""
    files = ("--content", setting.files[0], "--style", setting.files[1])
    yield FROM_START.key, timed(sys.executable, "-m", "bench.gpu", "--devos", *files)


def fraction(setting: Setting) -> Iterator[Reading]:
    """The speed of steps of `gram`, of a batch and of one alone, beside the ceiling.

    `work` counts the layers up to conv5_1, which `gram` ends with, and no neighbors.
    """
    ceiling = matmul(setting)
    step_alone = {"scales": [], "save_every": setting.long, "size": setting.box, "fit": "stretch",
                  "enlarge": True}  # fmt: skip
    recipe = book.change(book.find("gram"), step_alone)
    (one,) = tasks(setting, recipe, 1)
    flop = work(*one.final)
    batch = setting.batch * flop / per_step(setting, recipe, setting.batch) / 1e12
    yield FRACTION.key, batch / ceiling
    yield BATCH.key, batch
    yield ALONE.key, flop / per_step(setting, recipe, 1) / 1e12
    yield MATMUL.key, ceiling


def hourly(setting: Setting) -> Iterator[Reading]:
    """Paintings of recipe `best` in batches; the first batch warms up."""
    changes = {"size": area(setting.large), "enlarge": True}
    given = tasks(setting, book.change(book.find("best"), changes), setting.batch)
    painter = backend(setting)
    paint(painter, given)
    if setting.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    seconds, _ = paint(painter, given)
    yield HOURLY.key, setting.batch * 3600 / seconds
    if setting.device.startswith("cuda"):
        yield PEAK.key, torch.cuda.max_memory_allocated() / 1e6


def beside_pastiche(setting: Setting) -> Iterator[Reading]:
    """Our step of its objective, and its own."""
    wanted = {"size": area(setting.small), "save_every": setting.long}
    recipe = book.change(book.find("pastiche"), wanted)
    content, style = map(str, setting.files)
    peer = median_step(theirs(content, style, setting.small, setting.short, setting.device))
    yield THEIRS.key, peer
    yield STEP.key, per_step(setting, recipe, 1) / peer


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
    Measure((FRACTION, BATCH, ALONE, MATMUL), fraction),
    Measure((HOURLY, PEAK), hourly),
    Measure((STEP, THEIRS), beside_pastiche),
    Measure((FROM_START,), from_start),
)
