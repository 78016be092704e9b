"""Speed on a GPU, beside the program pastiche and what matrix products allow: `make bench-gpu`.

It runs where the packages are only on PYTHONPATH: the backend is made by its class. Times are those
of one warm process, from pictures in main memory to paintings there; `devos_from_start_s` counts
from the start of a process.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from bench.common import ROOT, area, pastiche_step, run, task
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
BOX = "640x480"  # a size as recipes take it
SMALL = 250_000  # pixels of a painting beside pastiche's
SHORT, LONG = 50, 250  # steps of two paintings: the speed comes from the difference
SEVERAL = 8  # paintings that are made for pictures an hour
SIDE = 8192  # rows and columns of matrices


@dataclass(frozen=True)
class Setting:
    """Pictures that are painted, and a temporary folder."""

    pair: tuple[Path, Path]
    scratch: Path

    def painter(self, precision: str = "auto") -> Any:
        """Return our painter on the GPU."""
        return TorchAutograd({"device": "cuda", "precision": precision})

    def devos(self, steps: int = 500) -> Task:
        """Return a painting by `devos` with the fast schedule, in the box."""
        fast = book.fast(book.find("devos"))
        changes = {"size": BOX, "fit": "stretch", "enlarge": True, "steps": steps}
        return task(fast, self.pair, changes)


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
    painter, given = setting.painter(), {**changes, "save_every": LONG}
    few, many = (task(recipe, setting.pair, {**given, "steps": steps}) for steps in (SHORT, LONG))
    paint(painter, few)
    short, long = paint(painter, few), paint(painter, many)
    return (long - short) / (LONG - SHORT)


def devos(setting: Setting) -> Iterator[Reading]:
    """Yield the seconds of a whole painting in each precision, after a short one."""
    for precision, key in (("auto", "h200"), ("fp32", "fp32"), ("tf32", "tf32")):
        painter = setting.painter(precision)
        paint(painter, setting.devos(20))
        yield f"devos_{key}_s", paint(painter, setting.devos())


def from_start(setting: Setting) -> Iterator[Reading]:
    """Yield the seconds of the same painting by a process of its own."""
    files = ("--content", setting.pair[0].absolute(), "--style", setting.pair[1].absolute())
    words = (sys.executable, "-m", "bench.gpu", "--devos", *files)
    yield "devos_from_start_s", run(*words, cwd=ROOT).seconds


def fraction(setting: Setting) -> Iterator[Reading]:
    """Yield the speed of steps of `gram`, which ends with conv5_1, beside the ceiling."""
    alone = {"scales": [], "size": BOX, "fit": "stretch", "enlarge": True}
    speed = STEP_FLOP / step_seconds(setting, book.find("gram"), **alone) / 1e12
    ceiling = matmul()
    yield "h200_fraction", speed / ceiling
    yield "step_tflops", speed
    yield "matmul_tflops", ceiling


def hourly(setting: Setting) -> Iterator[Reading]:
    """Yield paintings an hour by recipe `best`, after one; and the peak of the GPU's memory."""
    changes = {"size": area(1_000_000), "enlarge": True}
    given = task(book.find("best"), setting.pair, changes)
    painter = setting.painter()
    paint(painter, given)
    torch.cuda.reset_peak_memory_stats()
    seconds = sum(paint(painter, given) for _ in range(SEVERAL))
    yield "h200_pictures_per_hour", SEVERAL * 3600 / seconds
    yield "gpu_peak_mb", torch.cuda.max_memory_allocated() / 1e6


def beside_pastiche(setting: Setting) -> Iterator[Reading]:
    """Yield our step of pastiche's objective beside its own."""
    out = setting.scratch / "pastiche.png"
    peer, _ = pastiche_step(setting.pair, SMALL, SHORT, out, "--device", "cuda")
    own = step_seconds(setting, book.find("pastiche"), size=area(SMALL))
    yield "gpu_step_ratio", own / peer
    yield "pastiche_gpu_step_s", peer


def matmul() -> float:
    """Return the TFLOP/s of bf16 matrix products of random numbers: the best of three times ten."""
    one, other = (torch.randn(SIDE, SIDE, device="cuda").bfloat16() for _ in range(2))
    best = float("inf")
    for _ in range(3):
        began = _settled()
        for _ in range(10):
            one @ other
        best = min(best, (_settled() - began) / 10)
    return 2 * SIDE**3 / best / 1e12


def _settled() -> float:
    """Synchronize the GPU, then return the time."""
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
        paint(setting.painter(), setting.devos())
        return 0
    name = torch.cuda.get_device_name()
    return measured(MEASURES, options, Setting, "bench-gpu.json", machine=name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
