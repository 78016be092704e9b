"""Measures: a step and its memory beside the program pastiche, and beside plain eager PyTorch."""

import json
from collections.abc import Iterator

from bench.child import told
from bench.rows import Measure, Reading, Row, Setting

STEP = Row("step_ratio", "a step of objective `pastiche`, precision `auto`, ours / pastiche's",
           must=0.40, aim=0.30)  # fmt: skip
MEMORY = Row("memory_ratio", "peak memory of such steps, ours / pastiche's", must=0.8, aim=0.5)
FP32 = Row("step_ratio_fp32", "the same step in fp32, the better backend, ours / pastiche's",
           must=0.80, aim=0.65)  # fmt: skip
OURS = Row("step_s", "our step, precision `auto`", "s")
THEIRS = Row("pastiche_step_s", "pastiche's step", "s")
TORCH = Row("step_fp32_torch_s", "our step in fp32, backend `torch`", "s")
ONNX = Row("step_fp32_onnx_s", "our step in fp32, backend `onnx`", "s")
EAGER = Row("eager_step_s", "a step in plain eager PyTorch", "s")
EAGER_RATIO = Row("step_ratio_eager", "our step, precision `auto` / plain eager PyTorch's")
PEAK = Row("peak_mb", "peak memory of our steps", "MB")
THEIR_PEAK = Row("pastiche_peak_mb", "peak memory of pastiche's steps", "MB")


def ours(setting: Setting, backend: str = "torch", **options: object) -> dict[str, float]:
    """Measurement of the probe with stylewatch."""
    return told("ours", *_given(setting), backend, json.dumps(options))


def theirs(setting: Setting) -> dict[str, float]:
    """Measurement of the probe with pastiche."""
    return told("theirs", *_given(setting))


def _given(setting: Setting) -> tuple[object, ...]:
    return setting.content, setting.style, setting.pixels, setting.steps


def as_it_comes(setting: Setting) -> Iterator[Reading]:
    """Our step with nothing said, pastiche's, and one in plain PyTorch."""
    own, peer = ours(setting), theirs(setting)
    eager = told("eager", *_given(setting))
    yield STEP.key, own["step"] / peer["step"]
    yield MEMORY.key, own["peak"] / peer["peak"]
    yield EAGER_RATIO.key, own["step"] / eager["step"]
    for row, value in ((OURS, own["step"]), (THEIRS, peer["step"]), (EAGER, eager["step"]),
                       (PEAK, own["peak"]), (THEIR_PEAK, peer["peak"])):  # fmt: skip
        yield row.key, value


def in_fp32(setting: Setting) -> Iterator[Reading]:
    """Our step in fp32, in both backends, and pastiche's."""
    torch, peer = ours(setting, precision="fp32"), theirs(setting)
    onnx = ours(setting, "onnx", precision="fp32")
    yield FP32.key, min(torch["step"], onnx["step"]) / peer["step"]
    yield TORCH.key, torch["step"]
    yield ONNX.key, onnx["step"]


MEASURES = (
    Measure((STEP, MEMORY, EAGER_RATIO, OURS, THEIRS, EAGER, PEAK, THEIR_PEAK), as_it_comes),
    Measure((FP32, TORCH, ONNX), in_fp32),
)
