"""Measures on the processor: steps, whole commands, the daemon, beside the program pastiche."""

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bench import common
from bench.common import probe
from bench.probes import work
from bench.rows import Measure, Reading, Row, Setting
from bench.table import AVX2, CPU, cpu_file

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


def row_with_goals(key: str, title: str, unit: str = "") -> Row:
    """A row with the goals for this kind of processor."""
    return Row(key, title, unit, *GOALS[cpu_file()].get(key, ()))


STEP = row_with_goals(
    "step_ratio", "a step of objective `pastiche`, precision `auto`, ours / pastiche's"
)
MEMORY = row_with_goals("memory_ratio", "peak memory of such steps, ours / pastiche's")
FP32 = Row("step_ratio_fp32", "the same step in fp32, the better backend, ours / pastiche's")
OURS = Row("step_s", "our step, precision `auto`", "s")
THEIRS = Row("pastiche_step_s", "pastiche's step", "s")
TORCH = Row("step_fp32_torch_s", "our step in fp32, backend `torch`", "s")
ONNX = Row("step_fp32_onnx_s", "our step in fp32, backend `onnx`", "s")
EAGER = Row("eager_step_s", "a step in plain eager PyTorch", "s")
EAGER_RATIO = Row("step_ratio_eager", "our step, precision `auto` / plain eager PyTorch's")
PEAK = Row("peak_mb", "peak memory of our steps", "MB")
THEIR_PEAK = Row("pastiche_peak_mb", "peak memory of pastiche's steps", "MB")
LIMIT = Row("limit_s", "the convolutions of a step by F(4x4, 3x3), without its transforms", "s")
SPEED = Row("limit_gflops", "the speed of torch's direct convolutions, best data type", "GFLOP/s")
SHARE = Row("limit_share", "their share of our step: 1 is the machine's limit", higher=True)
FIRST = row_with_goals(
    "first_step_s", "start to the end of step 1 (and its PNG), 256^2 pixels", "s"
)
THEIR_FIRST = Row("pastiche_first_step_s", "the same of pastiche", "s")
BEST = row_with_goals("best_s", "recipe `best`, 0.25 megapixels", "s")
GRAM = row_with_goals("gram_s", "recipe `gram`, 0.25 megapixels", "s")
BEST_LARGE = row_with_goals("best_4mp_s", "recipe `best`, 4 megapixels", "s")
FORECAST = Row("forecast_ratio", "the time that `--dry-run` forecasts, of `best_s`")
FORECAST_GRAM = Row("forecast_ratio_gram", "the same of `gram_s`")
FORECAST_LARGE = Row("forecast_ratio_4mp", "the same at 4 megapixels, of `best_4mp_s`")
HOURLY = Row(
    "pictures_per_hour", "recipe `best` over an album, 0.25 megapixels, by the daemon", higher=True
)

SAVED = 4
"""Times fewer multiplications that F(4x4, 3x3) needs."""

SIZES = {"0.06mp": 62_500, "0.25mp": 250_000, "1mp": 1_000_000, "4mp": 4_000_000}
LARGE_PEER = 16 * 10**9
"""Bytes that must be free for pastiche at four megapixels: it takes 12.1 GB."""

THREADS = (1, 2)
FEW_STEPS = 4
"""Enough at sizes where a step takes many seconds."""

PARTS = 5
"""Parts of the album that count by themselves, for its spread."""


def _given(setting: Setting) -> tuple[object, ...]:
    return setting.content, setting.style, setting.pixels, setting.steps


def ours(setting: Setting, backend: str = "torch", **options: object) -> dict[str, float]:
    """Return seconds a step and peak of memory of stylewatch."""
    found: dict[str, float] = probe(
        "probes", "ours", *_given(setting), backend, json.dumps(options)
    )
    return found


def theirs(setting: Setting) -> dict[str, float]:
    """Return seconds a step and peak of memory of pastiche."""
    found: dict[str, float] = probe("probes", "theirs", *_given(setting))
    return found


def with_defaults(setting: Setting) -> Iterator[Reading]:
    """Yield our step by default, pastiche's, and one in plain PyTorch."""
    own, peer = ours(setting), theirs(setting)
    eager = probe("probes", "eager", *_given(setting))
    yield STEP.key, own["step"] / peer["step"]
    yield MEMORY.key, own["peak"] / peer["peak"]
    yield EAGER_RATIO.key, own["step"] / eager["step"]
    for row, value in ((OURS, own["step"]), (THEIRS, peer["step"]), (EAGER, eager["step"]),
                       (PEAK, own["peak"]), (THEIR_PEAK, peer["peak"])):  # fmt: skip
        yield row.key, value


def in_fp32(setting: Setting) -> Iterator[Reading]:
    """Yield our step in fp32, in both backends, and its ratio to pastiche's."""
    torch, peer = ours(setting, precision="fp32"), theirs(setting)
    onnx = ours(setting, "onnx")  # which has no other precision
    yield FP32.key, min(torch["step"], onnx["step"]) / peer["step"]
    yield TORCH.key, torch["step"]
    yield ONNX.key, onnx["step"]


def share_of_limit(setting: Setting) -> Iterator[Reading]:
    """Yield the limit of the machine, and our step beside it, measured in turn."""
    from bench.referee import Referee

    size = Referee(setting.content, setting.style, setting.pixels).size
    seconds = probe("probes", "convolutions", *size)
    least = min(seconds.values())
    exact = min(value for name, value in seconds.items() if name.startswith("fp32"))
    limit = (exact + least) / 2 / SAVED  # the forward pass is in fp32
    yield LIMIT.key, limit
    yield SPEED.key, work(*size) / least / 1e9
    yield SHARE.key, limit / ours(setting)["step"]


def by_pixels(setting: Setting) -> Iterator[Reading]:
    """Yield seconds a step and megabytes at each size."""
    for name, pixels in SIZES.items():
        sized = replace(setting, pixels=pixels, steps=FEW_STEPS)
        own, peer = ours(sized), None
        if name != "4mp" or available() > LARGE_PEER:
            peer = theirs(sized)
            yield f"step_ratio_{name}", own["step"] / peer["step"]
        for prefix, measured in (("", own), ("pastiche_", peer)):
            if measured is not None:
                yield f"{prefix}step_{name}_s", measured["step"]
                yield f"{prefix}peak_{name}_mb", measured["peak"]


def _rows_by_pixels() -> Iterator[Row]:
    for name in SIZES:
        yield row_with_goals(f"step_ratio_{name}", f"a step at {name}, ours / pastiche's")
        for whose, prefix in (("our", ""), ("pastiche's", "pastiche_")):
            yield Row(f"{prefix}step_{name}_s", f"{whose} step at {name}", "s")
            yield Row(f"{prefix}peak_{name}_mb", f"{whose} peak memory at {name}", "MB")


def by_threads(setting: Setting) -> Iterator[Reading]:
    """Yield seconds a step with each number of threads."""
    for threads in THREADS:
        yield f"step_{threads}_threads_s", ours(setting, threads=threads)["step"]


def first_step(setting: Setting) -> Iterator[Reading]:
    """Yield the seconds of one step of both programs; ours runs once before, to fill caches."""
    out, small = setting.scratch / "first.png", setting.small
    options = ("--recipe", "pastiche", "--size", common.area(small), "--steps", 1)
    common.render(setting.content, setting.style, out, *options)
    yield FIRST.key, common.render(setting.content, setting.style, out, *options)
    peer = (common.PASTICHE, "--content", setting.content, "--styles", setting.style)
    rest = ("--output", out, "--size-pixels", small, "--num-steps", 1, "--device", "cpu")
    yield THEIR_FIRST.key, common.timed(*peer, *rest)


def _rendered(
    setting: Setting, row: Row, forecast: Row, pixels: int, recipe: str = "best"
) -> Iterator[Reading]:
    options = ("--recipe", recipe, "--size", common.area(pixels), "--set", "enlarge=yes")
    pair, out = (setting.content, setting.style), setting.scratch / "best.png"
    dry = ("--dry-run", "--json", "--device", "cpu")
    _, plain = common.run(common.STYLEWATCH, "render", *pair, *options, *dry)
    seconds = common.render(*pair, out, *options)
    yield row.key, seconds
    yield forecast.key, json.loads(plain)["seconds"] / seconds


def album(setting: Setting) -> Iterator[Reading]:
    """Yield pictures an hour in each part of an album; the first has the start of the daemon."""
    inbox, outbox, state = (setting.scratch / name for name in ("inbox", "outbox", "state"))
    fill_album(inbox / "album", setting)
    began = time.time()
    common.timed(
        common.STYLEWATCH, "run", "--once", "--quiet", "--inbox", inbox, "--outbox", outbox,
        "--state", state, "--set", "recipe=best", "--set", "enlarge=yes", "--set", "device=cpu",
        "--set", f"size={common.area(setting.pixels)}",
    )  # fmt: skip
    ends = sorted(path.stat().st_mtime for path in outbox.rglob("receipt.json"))
    assert len(ends) == setting.album, "each picture has its receipt"
    for rate in hourly([began, *ends]):
        yield HOURLY.key, rate


def fill_album(folder: Path, setting: Setting) -> None:
    """Make an album of the same photograph, repeated."""
    folder.mkdir(parents=True)
    shutil.copyfile(setting.style, folder / "style.jpg")
    for number in range(setting.album):
        shutil.copyfile(setting.content, folder / f"{number:03}.jpg")


def hourly(moments: Sequence[float]) -> Iterator[float]:
    """Yield pictures an hour in each of PARTS, given the start and when each one was done."""
    pictures = len(moments) - 1
    parts = min(PARTS, pictures)
    for part in range(parts):
        first, last = pictures * part // parts, pictures * (part + 1) // parts
        yield (last - first) * 3600 / (moments[last] - moments[first])


STEPS: tuple[Measure[Setting], ...] = (
    Measure((STEP, MEMORY, EAGER_RATIO, OURS, THEIRS, EAGER, PEAK, THEIR_PEAK), with_defaults),
    Measure((FP32, TORCH, ONNX), in_fp32),
)
COMMANDS: tuple[Measure[Setting], ...] = (
    Measure((FIRST, THEIR_FIRST), first_step),
    Measure((BEST, FORECAST), lambda setting: _rendered(setting, BEST, FORECAST, setting.pixels)),
    Measure(
        (GRAM, FORECAST_GRAM),
        lambda setting: _rendered(setting, GRAM, FORECAST_GRAM, setting.pixels, "gram"),
    ),
    Measure(
        (BEST_LARGE, FORECAST_LARGE),
        lambda setting: _rendered(setting, BEST_LARGE, FORECAST_LARGE, setting.large),
    ),
)
SCALING: tuple[Measure[Setting], ...] = (
    Measure(tuple(_rows_by_pixels()), by_pixels),
    Measure(
        tuple(Row(f"step_{n}_threads_s", f"our step, threads: {n}", "s") for n in THREADS),
        by_threads,
    ),
)
OF_LIMIT: tuple[Measure[Setting], ...] = (Measure((LIMIT, SPEED, SHARE), share_of_limit),)
ALBUM: tuple[Measure[Setting], ...] = (Measure((HOURLY,), album, once=True),)
