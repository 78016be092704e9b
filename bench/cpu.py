"""Measures on the processor: steps beside the program pastiche, and whole commands.

Commands are also run with the program of a kept version (`--kept`), in the same run.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bench.common import PASTICHE, STYLEWATCH, area, run
from bench.probes import Painting, Request, painted
from bench.rows import Measure, Reading, Row
from bench.table import AVX2, CPU, cpu_file
from PIL import Image

from stylewatch_painter.process_memory import available

GOALS: dict[str, dict[str, tuple[float, float]]] = {
    CPU: {
        "step_ratio": (0.30, 0.20), "step_ratio_1mp": (0.33, 0.22), "step_ratio_4mp": (0.33, 0.22),
        "memory_ratio": (0.67, 0.50), "gram_s": (12.5, 9), "best_4mp_s": (300, 150),
        "first_step_s": (1.6, 1.3),
        "png_ratio": (0.10, 0.05), "float_ratio": (0.28, 0.15),
    },
    AVX2: {
        "step_ratio": (0.40, 0.28), "step_ratio_1mp": (0.45, 0.30), "step_ratio_4mp": (0.45, 0.30),
        "memory_ratio": (0.80, 0.50), "png_ratio": (0.12, 0.06), "float_ratio": (0.30, 0.15),
        "best_s": (50.7, 30.4), "gram_s": (25.3, 20.3),
    },
}  # fmt: skip
"""Required value and goal of rows, by kind of processor. Seconds are for two AMD EPYC cores, on
which the default recipe took 50.7 s without compiled convolutions and limited to AVX2."""

FEW_STEPS = 4
"""Enough at sizes where a step takes many seconds."""

LARGE_PEER = 16 * 10**9
"""Bytes that must be free for pastiche at four megapixels: it takes 12.1 GB."""

SMALL_JOBS = ("--set", "backend=sketch", "--set", "size=16", "--set", "steps=1")


@dataclass(frozen=True)
class Setting:
    """Setting of a benchmark: a pair of pictures, a folder for results, a temporary folder.

    `pixels` is the size of steps and of `best`, `small` that of paintings to a given loss,
    `large` that of a large one; `steps` is how many are timed in a row; `album` and `jobs` are
    how many pictures and small jobs go through the daemon. `kept` is the program of a kept version.
    """

    pair: tuple[Path, Path]
    results: Path
    scratch: Path
    kept: Path | None = None
    pixels: int = 250_000
    small: int = 65_536
    large: int = 4_000_000
    steps: int = 8
    album: int = 5
    jobs: int = 500

    @property
    def out(self) -> Path:
        """The picture that a command writes."""
        return self.scratch / "out.png"


def row_with_goals(key: str, title: str, unit: str = "") -> Row:
    """Return a row with the goals for this kind of processor."""
    return Row(key, title, unit, *GOALS[cpu_file()].get(key, ()))


# Steps, beside pastiche's.


def ours(setting: Setting, backend: str = "torch", **options: object) -> Painting:
    """Return some steps of stylewatch."""
    request = Request(setting.pair, setting.pixels, setting.steps, setting.out)
    return painted("ours", replace(request, backend=backend, options=options))


def theirs(setting: Setting) -> Painting:
    """Return some steps of pastiche."""
    return painted("theirs", Request(setting.pair, setting.pixels, setting.steps, setting.out))


def by_default(setting: Setting) -> Iterator[Reading]:
    """Yield the time and the memory of steps, ours by default and pastiche's."""
    own, peer = ours(setting), theirs(setting)
    yield "step_ratio", own.per_step / peer.per_step
    yield "memory_ratio", own.peak / peer.peak
    yield "step_s", own.per_step
    yield "pastiche_step_s", peer.per_step
    yield "peak_mb", own.peak
    yield "pastiche_peak_mb", peer.peak


def in_fp32(setting: Setting) -> Iterator[Reading]:
    """Yield our step in fp32, in both backends, and its ratio to pastiche's."""
    torch, peer = ours(setting, precision="fp32"), theirs(setting)
    onnx = ours(setting, "onnx")  # which has no other precision
    yield "step_ratio_fp32", min(torch.per_step, onnx.per_step) / peer.per_step
    yield "step_fp32_torch_s", torch.per_step
    yield "step_fp32_onnx_s", onnx.per_step


def larger(megapixels: int, setting: Setting) -> Iterator[Reading]:
    """Yield the ratio of steps at a larger size; raises RuntimeError without the memory."""
    if megapixels >= 4 and available() < LARGE_PEER:
        raise RuntimeError(f"pastiche needs {LARGE_PEER / 1e9:.0f} GB of free memory")
    sized = replace(setting, pixels=4 * megapixels * setting.pixels, steps=FEW_STEPS)
    yield f"step_ratio_{megapixels}mp", ours(sized).per_step / theirs(sized).per_step


STEPS: tuple[Measure[Setting], ...] = (
    Measure((
        row_with_goals("step_ratio", "a step of objective `pastiche`, precision `auto`, "
                       "ours / pastiche's"),
        row_with_goals("memory_ratio", "peak memory of such steps, ours / pastiche's"),
        Row("step_s", "our step, precision `auto`", "s"),
        Row("pastiche_step_s", "pastiche's step", "s"),
        Row("peak_mb", "peak memory of our steps", "MB"),
        Row("pastiche_peak_mb", "peak memory of pastiche's steps", "MB"),
    ), by_default),
    Measure((
        Row("step_ratio_fp32", "the same step in fp32, the better backend, ours / pastiche's"),
        Row("step_fp32_torch_s", "our step in fp32, backend `torch`", "s"),
        Row("step_fp32_onnx_s", "our step in fp32, backend `onnx`", "s"),
    ), in_fp32),
    *(
        Measure((row_with_goals(f"step_ratio_{size}mp",
                                f"a step at {size} megapixels, ours / pastiche's"),),
                partial(larger, size))
        for size in (1, 4)
    ),
)  # fmt: skip


# Whole commands, beside a kept version's.


def render(setting: Setting, *options: object, program: Path = STYLEWATCH) -> float:
    """Return the seconds that `stylewatch render` takes for a picture, as for a user."""
    always = ("-o", setting.out, "--force", "--quiet", "--device", "cpu")
    return run(program, "render", *setting.pair, *always, *options)[0]


def _size(pixels: int, recipe: str) -> tuple[str, ...]:
    return "--recipe", recipe, "--size", area(pixels), "--set", "enlarge=yes"


def first_step(setting: Setting, program: Path) -> float:
    """Return the seconds of a command with one step; it runs once before, to fill caches."""
    options = ("--recipe", "pastiche", "--size", area(setting.small), "--steps", 1)
    render(setting, *options, program=program)
    return render(setting, *options, program=program)


def album(setting: Setting, program: Path) -> float:
    """Return pictures an hour over an album of the same photograph, with the daemon's start."""
    size = ("--set", "recipe=best", "--set", "enlarge=yes", "--set", f"size={area(setting.pixels)}")
    took = ends_of_jobs(setting, program, setting.pair, setting.album, size)
    return setting.album * 3600 / took[-1]


def small_jobs(setting: Setting, program: Path) -> float:
    """Return jobs a second between the first and the last of an album of small pictures."""
    small = tuple(setting.scratch / f"small-{path.stem}.jpg" for path in setting.pair)
    for source, target in zip(setting.pair, small, strict=True):
        Image.open(source).convert("RGB").resize((48, 32)).save(target)
    took = ends_of_jobs(setting, program, small, setting.jobs, SMALL_JOBS)
    return (setting.jobs - 1) / (took[-1] - took[0])


def ends_of_jobs(
    setting: Setting, program: Path, pair: Sequence[Path], jobs: int, options: Sequence[str]
) -> list[float]:
    """Run the daemon once on an album; return the seconds from its start to each receipt."""
    root = setting.scratch / "daemon"
    shutil.rmtree(root, ignore_errors=True)
    folder = root / "inbox" / "album"
    folder.mkdir(parents=True)
    content, style = pair
    shutil.copyfile(style, folder / f"style{style.suffix}")
    for number in range(jobs):
        data = content.read_bytes() + number.to_bytes(4, "big")  # no two are the same
        (folder / f"{number:04}{content.suffix}").write_bytes(data)
    places = [word for name in ("inbox", "outbox", "state") for word in (f"--{name}", root / name)]
    began = time.time()
    run(program, "run", "--once", "--quiet", *places, "--set", "device=cpu", *options)
    ends = sorted(path.stat().st_mtime for path in (root / "outbox").rglob("receipt.json"))
    if len(ends) != jobs:
        raise RuntimeError(f"{jobs} jobs have {len(ends)} receipts")
    return [end - began for end in ends]


def beside_kept(
    row: Row, measure: Callable[[Setting, Path], float], once: bool = False
) -> Measure[Setting]:
    """Measure a row with our program, and its ratio to a kept version's, if there is one."""
    ratio = Row(f"{row.key}_kept_ratio", f"`{row.key}`, ours / the kept version's")

    def both(setting: Setting) -> Iterator[Reading]:
        own = measure(setting, STYLEWATCH)
        yield row.key, own
        if setting.kept:
            yield ratio.key, own / measure(setting, setting.kept)

    return Measure((row, ratio), both, once)


def forecast(setting: Setting) -> Iterator[Reading]:
    """Yield the seconds that `--dry-run` forecasts, relative to those of the command."""
    options = _size(setting.pixels, "best")
    dry = ("--dry-run", "--json", "--device", "cpu")
    _, plain = run(STYLEWATCH, "render", *setting.pair, *options, *dry)
    yield "forecast_ratio", json.loads(plain)["seconds"] / render(setting, *options)


def peer_first_step(setting: Setting) -> Iterator[Reading]:
    """Yield the seconds of one step of pastiche."""
    files = ("--content", setting.pair[0], "--styles", setting.pair[1], "--output", setting.out)
    rest = ("--size-pixels", setting.small, "--num-steps", 1, "--device", "cpu")
    yield "pastiche_first_step_s", run(PASTICHE, *files, *rest)[0]


COMMANDS: tuple[Measure[Setting], ...] = (
    beside_kept(
        row_with_goals("first_step_s", "start to the end of step 1 (and its PNG), 256^2 pixels",
                       "s"),
        first_step,
    ),
    Measure((Row("pastiche_first_step_s", "the same of pastiche", "s"),), peer_first_step),
    beside_kept(
        row_with_goals("best_s", "recipe `best`, 0.25 megapixels", "s"),
        lambda setting, program: render(setting, *_size(setting.pixels, "best"), program=program),
    ),
    beside_kept(
        row_with_goals("gram_s", "recipe `gram`, 0.25 megapixels", "s"),
        lambda setting, program: render(setting, *_size(setting.pixels, "gram"), program=program),
    ),
    beside_kept(
        row_with_goals("best_4mp_s", "recipe `best`, 4 megapixels", "s"),
        lambda setting, program: render(setting, *_size(setting.large, "best"), program=program),
    ),
    Measure((Row("forecast_ratio", "the time that `--dry-run` forecasts, of that of the command"),),
            forecast),
    beside_kept(
        Row("pictures_per_hour", "recipe `best` over an album, 0.25 megapixels, by the daemon",
            higher=True),
        album,
        once=True,
    ),
    beside_kept(
        Row("jobs_per_s", "small jobs by `sketch`, one worker", "1/s", must=3, higher=True),
        small_jobs,
        once=True,
    ),
)  # fmt: skip
