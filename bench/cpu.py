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

import torch
from bench.common import STYLEWATCH, Done, area, pastiche_step, run, seconds_in, usual_step
from bench.rows import Measure, Reading, Row
from PIL import Image

from stylewatch_painter.network.device import fastest_precision
from stylewatch_painter.process_memory import available

FEW_STEPS = 4
"""Enough at sizes where a step takes many seconds."""

LARGE_PEER = 16 * 10**9
"""Bytes that must be free for pastiche at four megapixels: it takes 12.1 GB."""


@dataclass(frozen=True)
class Setting:
    """Setting of a benchmark: a pair of pictures, and a temporary folder.

    `pixels` is the size of steps and of `best`, `small` that of paintings to a given loss,
    `large` that of a large one; `steps` is how many are timed in a row; `album` and `jobs` are
    how many pictures and small jobs go through the daemon, `pairs` how many it claims. `kept` is
    the program of a kept version.
    """

    pair: tuple[Path, Path]
    scratch: Path
    kept: Path | None = None
    pixels: int = 250_000
    small: int = 65_536
    large: int = 4_000_000
    steps: int = 8
    album: int = 5
    jobs: int = 500
    pairs: int = 5000

    @property
    def out(self) -> Path:
        """The picture that a command writes."""
        return self.scratch / "out.png"


def row(
    key: str, title: str, unit: str = "", bf16: Sequence[float] = (), avx2: Sequence[float] = ()
) -> Row:
    """Return a row with the required value and the goal for this kind of processor.

    Seconds are for two AMD EPYC cores.
    """
    has_bf16 = fastest_precision(torch.device("cpu"), compiled=True) == "bf16"
    must, aim = (bf16 if has_bf16 else avx2) or (None, None)
    return Row(key, title, unit, must, aim)


def render(setting: Setting, *options: object, program: Path = STYLEWATCH) -> Done:
    """Run `stylewatch render` for a picture, as a user does."""
    always = ("-o", setting.out, "--force", "--quiet", "--device", "cpu")
    return run(program, "render", *setting.pair, *always, *options)


def ours(setting: Setting, *options: str) -> tuple[float, float]:
    """Return the seconds of a step of stylewatch, and the peak of memory."""
    folder = setting.scratch / "steps"
    done = render(setting, "--recipe", "pastiche", "--size", area(setting.pixels), "--steps",
                  setting.steps, "-o", f"{folder}/", *options)  # fmt: skip
    return usual_step(seconds_in(folder / "losses.csv")), done.peak


def theirs(setting: Setting) -> tuple[float, float]:
    """Return the seconds of a step of pastiche, and the peak of memory."""
    return pastiche_step(setting.pair, setting.pixels, setting.steps, setting.out)


def by_default(setting: Setting) -> Iterator[Reading]:
    """Yield the time and the memory of steps, ours by default and pastiche's."""
    (own, own_peak), (peer, peer_peak) = ours(setting), theirs(setting)
    yield "step_ratio", own / peer
    yield "memory_ratio", own_peak / peer_peak


def in_fp32(setting: Setting) -> Iterator[Reading]:
    """Yield our step in fp32, in both backends, and its ratio to pastiche's."""
    torch, _ = ours(setting, "--set", "backends.torch.precision=fp32")
    onnx, _ = ours(setting, "--backend", "onnx")  # which has no other precision
    peer, _ = theirs(setting)
    yield "step_ratio_fp32", min(torch, onnx) / peer
    yield "step_fp32_torch_s", torch
    yield "step_fp32_onnx_s", onnx


def larger(megapixels: int, setting: Setting) -> Iterator[Reading]:
    """Yield the ratio of steps at a larger size; raises RuntimeError without the memory."""
    if megapixels >= 4 and available() < LARGE_PEER:
        raise RuntimeError(f"pastiche needs {LARGE_PEER / 1e9:.0f} GB of free memory")
    sized = replace(setting, pixels=megapixels * 10**6, steps=FEW_STEPS)
    yield f"step_ratio_{megapixels}mp", ours(sized)[0] / theirs(sized)[0]


def first_step(setting: Setting, program: Path) -> float:
    """Return the seconds of a command with one step; it runs once before, to fill caches."""
    options = ("--recipe", "pastiche", "--size", area(setting.small), "--steps", 1)
    render(setting, *options, program=program)
    return render(setting, *options, program=program).seconds


def painting(recipe: str, pixels: str, setting: Setting, program: Path) -> float:
    """Return the seconds of a painting; `pixels` is the name of a size of the setting."""
    options = ("--size", area(getattr(setting, pixels)), "--set", "enlarge=yes")
    return render(setting, "--recipe", recipe, *options, program=program).seconds


def forecast(setting: Setting) -> Iterator[Reading]:
    """Yield the seconds that `--dry-run` forecasts, relative to those of the command."""
    options = ("--recipe", "best", "--size", area(setting.pixels), "--set", "enlarge=yes")
    seconds = json.loads(render(setting, *options, "--dry-run", "--json").lines[-1])["seconds"]
    yield "forecast_ratio", seconds / render(setting, *options).seconds


def album(setting: Setting, program: Path) -> float:
    """Return pictures an hour over an album of the same photograph, with the daemon's start."""
    options = ("recipe=best", "enlarge=yes", f"size={area(setting.pixels)}")
    ends = ends_of_jobs(setting, program, setting.pair, setting.album, options)
    return setting.album * 3600 / ends[-1]


def small_jobs(setting: Setting, program: Path) -> float:
    """Return jobs a second between the first and the last of an album of small pictures."""
    pair = setting.scratch / "small-content.jpg", setting.scratch / "small-style.jpg"
    for source, target in zip(setting.pair, pair, strict=True):
        Image.open(source).convert("RGB").resize((48, 32)).save(target)
    options = ("backend=sketch", "size=16", "steps=1")
    ends = ends_of_jobs(setting, program, pair, setting.jobs, options)
    return (setting.jobs - 1) / (ends[-1] - ends[0])


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
    changes = [f"--set={option}" for option in ("device=cpu", *options)]
    began = time.time()
    run(program, "run", "--once", "--quiet", *places, *changes)
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


MEASURES: tuple[Measure[Setting], ...] = (
    Measure((
        row("step_ratio", "a step of objective `pastiche`, precision `auto`, ours / pastiche's",
            bf16=(0.30, 0.20), avx2=(0.40, 0.28)),
        row("memory_ratio", "peak memory of such steps, ours / pastiche's",
            bf16=(0.67, 0.50), avx2=(0.80, 0.50)),
    ), by_default),
    Measure((
        Row("step_ratio_fp32", "the same step in fp32, the better backend, ours / pastiche's"),
        Row("step_fp32_torch_s", "our step in fp32, backend `torch`", "s"),
        Row("step_fp32_onnx_s", "our step in fp32, backend `onnx`", "s"),
    ), in_fp32),
    *(
        Measure((row(f"step_ratio_{size}mp", f"a step at {size} megapixels, ours / pastiche's",
                     bf16=(0.33, 0.22), avx2=(0.45, 0.30)),), partial(larger, size))
        for size in (1, 4)
    ),
    beside_kept(row("first_step_s", "start to the end of step 1 (and its PNG), 256^2 pixels, warm "
                    "caches", "s", bf16=(1.6, 1.3)), first_step),
    beside_kept(row("best_s", "recipe `best`, 0.25 megapixels", "s", avx2=(50.7, 30.4)),
                partial(painting, "best", "pixels")),
    beside_kept(row("gram_s", "recipe `gram`, 0.25 megapixels", "s",
                    bf16=(12.5, 9), avx2=(25.3, 20.3)), partial(painting, "gram", "pixels")),
    beside_kept(row("best_4mp_s", "recipe `best`, 4 megapixels", "s", bf16=(300, 150)),
                partial(painting, "best", "large")),
    Measure((Row("forecast_ratio", "the time that `--dry-run` forecasts, of that of the command"),),
            forecast),
    beside_kept(Row("pictures_per_hour", "recipe `best` over an album of five, 0.25 megapixels, "
                    "by the daemon", higher=True), album, once=True),
    beside_kept(Row("jobs_per_s", "an album of 500 pictures of 16 pixels by `sketch`, one worker",
                    "1/s", must=3, higher=True), small_jobs, once=True),
)  # fmt: skip
