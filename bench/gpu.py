"""Speed on a GPU, beside the program pastiche and what matrix products allow: `make bench-gpu`.

It runs where the packages are only on PYTHONPATH: the backend is made by its class. Times are those
of one warm process, from pictures in main memory to paintings there; `devos_from_start_s` counts
from the start of a process.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from bench import common, table
from bench.common import ROOT, area, ends_of_steps, pastiche, run
from bench.rows import Measure, Reading, Row, command_line, measured

from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Recipe
from stylewatch_painter.scene.task import Task
from stylewatch_painter.stage import Stage, go_on
from stylewatch_plugins.torch_autograd import TorchAutograd

STEP_FLOP = 443_783_577_600
"""Floating-point operations of a step at 640x480: two for each weight of VGG19 up to conv5_1 and
position, in the forward and in the backward pass."""

NO_DEVICE = 69  # as in sysexits: a service that is not available


@dataclass(frozen=True)
class Setting:
    """Pictures and sizes that are measured on `device`, and a temporary folder.

    `box` is a size as recipes take it; speeds come from the difference of `long` and `short`
    steps; `several` paintings are made for pictures an hour; `side` is that of the matrices.
    """

    pair: tuple[Path, Path]
    scratch: Path
    device: str = "cuda"
    box: str = "640x480"
    large: int = 1_000_000
    small: int = 250_000
    steps: int = 500
    short: int = 50
    long: int = 250
    several: int = 8
    side: int = 8192

    def task(self, recipe: Recipe, **changes: object) -> Task:
        """Return a painting of the pair by `recipe` with `changes`."""
        return common.task(recipe, self.pair, changes)

    def painter(self, precision: str = "auto") -> Any:
        """Return our painter on the device."""
        return TorchAutograd({"device": self.device, "precision": precision})

    def devos(self, steps: int) -> Task:
        """Return a painting by `devos` with the fast schedule, in the box."""
        fast = book.fast(book.find("devos"))
        return self.task(fast, size=self.box, fit="stretch", enlarge=True, steps=steps)


def paint(painter: Any, wanted: Task) -> float:
    """Return the seconds of a painting with all of its steps."""
    began = time.perf_counter()
    end = [None, *painter.paint(wanted, go_on)][-1]
    seconds = time.perf_counter() - began
    assert isinstance(end, Stage), "a painting ends with a picture"
    assert end.step == sum(level.steps for level in wanted.levels()), "no step is left out"
    return seconds


def step_seconds(setting: Setting, recipe: Recipe, **changes: object) -> float:
    """Return the seconds of a step: start and targets cancel out."""
    painter, given = setting.painter(), {**changes, "save_every": setting.long}
    few, many = (setting.task(recipe, **given, steps=steps)
                 for steps in (setting.short, setting.long))  # fmt: skip
    paint(painter, few)
    short, long = paint(painter, few), paint(painter, many)
    return (long - short) / (setting.long - setting.short)


def devos(setting: Setting) -> Iterator[Reading]:
    """Yield the seconds of a whole painting in each precision, after a short one."""
    for precision, key in (("auto", "h200"), ("fp32", "fp32"), ("tf32", "tf32")):
        painter = setting.painter(precision)
        paint(painter, setting.devos(min(20, setting.steps)))
        yield f"devos_{key}_s", paint(painter, setting.devos(setting.steps))


def from_start(setting: Setting) -> Iterator[Reading]:
    """Yield the seconds of the same painting by a process of its own."""
    files = ("--content", setting.pair[0].absolute(), "--style", setting.pair[1].absolute())
    words = (sys.executable, "-m", "bench.gpu", "--devos", *files)
    yield "devos_from_start_s", run(*words, cwd=ROOT).seconds


def fraction(setting: Setting) -> Iterator[Reading]:
    """Yield the speed of steps of `gram`, which ends with conv5_1, beside the ceiling."""
    alone = {"scales": [], "size": setting.box, "fit": "stretch", "enlarge": True}
    speed = STEP_FLOP / step_seconds(setting, book.find("gram"), **alone) / 1e12
    ceiling = matmul(setting)
    yield "h200_fraction", speed / ceiling
    yield "step_tflops", speed
    yield "matmul_tflops", ceiling


def hourly(setting: Setting) -> Iterator[Reading]:
    """Yield paintings an hour by recipe `best`, after one; and the peak of the GPU's memory."""
    given = setting.task(book.find("best"), size=area(setting.large), enlarge=True)
    painter = setting.painter()
    paint(painter, given)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    seconds = sum(paint(painter, given) for _ in range(setting.several))
    yield "h200_pictures_per_hour", setting.several * 3600 / seconds
    yield "gpu_peak_mb", torch.cuda.max_memory_allocated() / 1e6  # 0 on a CPU


def beside_pastiche(setting: Setting) -> Iterator[Reading]:
    """Yield our step of pastiche's objective beside its own."""
    done = pastiche(setting.pair, setting.small, setting.short, setting.scratch / "pastiche.png",
                    "--device", setting.device)  # fmt: skip
    ends = ends_of_steps(done)
    peer = median(after - before for before, after in pairwise(ends))
    own = step_seconds(setting, book.find("pastiche"), size=area(setting.small))
    yield "gpu_step_ratio", own / peer
    yield "pastiche_gpu_step_s", peer


def matmul(setting: Setting) -> float:
    """Return the TFLOP/s of bf16 matrix products of random numbers: the best of three times ten."""
    one, other = (torch.randn(setting.side, setting.side, device=setting.device).bfloat16()
                  for _ in range(2))  # fmt: skip
    best = float("inf")
    for _ in range(3):
        began = _settled()
        for _ in range(10):
            one @ other
        best = min(best, (_settled() - began) / 10)
    return 2 * setting.side**3 / best / 1e12


def _settled() -> float:
    """Return the time when the GPU has done all that it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


MEASURES: tuple[Measure[Setting], ...] = (
    Measure((
        Row("devos_h200_s", "`devos`, 500 steps at 640x480, `--schedule fast`, precision `auto`",
            "s", must=2, aim=0.8),
        Row("devos_fp32_s", "the same in fp32", "s"),
        Row("devos_tf32_s", "the same in TF32", "s"),
    ), devos),
    Measure((
        Row("h200_fraction", "speed of steps at 640x480 / that of bf16 matrix products",
            must=0.35, aim=0.6, higher=True),
        Row("step_tflops", "the speed of steps at 640x480", "TFLOP/s", higher=True),
        Row("matmul_tflops", "bf16 matrix products of side 8192", "TFLOP/s", higher=True),
    ), fraction),
    Measure((
        Row("h200_pictures_per_hour", "`best` at 1 megapixel, one after the other",
            must=3000, aim=10_000, higher=True),
        Row("gpu_peak_mb", "the GPU's memory at the peak of `best` at 1 megapixel", "MB"),
    ), hourly),
    Measure((
        Row("gpu_step_ratio", "a step of objective `pastiche` at 577x433, ours / pastiche's"),
        Row("pastiche_gpu_step_s", "pastiche's step", "s"),
    ), beside_pastiche),
    Measure((Row("devos_from_start_s", "`devos`, from the start of a process", "s"),), from_start),
)  # fmt: skip


def main(words: list[str]) -> int:
    """Measure and print a table; with `--devos` only paint, as a process that is timed."""
    parser = command_line("python -m bench.gpu", __doc__, MEASURES)
    parser.add_argument("--devos", action="store_true", help="paint `devos` once, measure nothing")
    options = parser.parse_args(words)
    if not torch.cuda.is_available():
        print(f"torch {torch.__version__} finds no GPU here, and this benchmark needs one.",
              file=sys.stderr)  # fmt: skip
        return NO_DEVICE
    if options.devos:
        setting = Setting((options.content, options.style), Path())
        paint(setting.painter(), setting.devos(setting.steps))
        return 0
    name = torch.cuda.get_device_name()
    return measured(
        MEASURES, options, lambda content, style, scratch: Setting((content, style), scratch),
        table.GPU, machine=name,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
