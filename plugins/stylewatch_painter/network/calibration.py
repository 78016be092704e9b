"""The fastest ways to convolve on a device: measured once, then read from a file.

They must not change: an interrupted painting continues in the same way, and a job gives the same
picture on another day.
"""

import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import torch
from platformdirs import user_cache_path
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from torch import Tensor
from torch.nn import functional

from stylewatch_painter.network import kernels, store
from stylewatch_painter.network.kernels import Convolution
from stylewatch_painter.network.vgg19 import PLAN_SHAPES, PLAN_SIDES, TORCH, Precision, cut

_PAYS = 0.9
"""A lower precision is used if it takes at most this share of the time."""
_TRIALS = 5
_CHANNELS, _SIDE = 128, 96
_MOST_OUTPUTS = 512
_SMALL = 16
"""Sides up to this many pixels may be convolved fastest directly."""
_SMALL_TRIALS = 15
"""Trials for those: they are so short that other programs disturb most of them."""


def checked_plan(plan: str) -> str:
    """Return `plan` if it is one; raises ValueError otherwise."""
    digits = "".join(map(str, kernels.TILES))
    is_plan = len(plan) == len(PLAN_SHAPES) * len(PLAN_SIDES) and set(plan) <= set(digits)
    if plan != TORCH and not is_plan:
        raise ValueError(
            f"{plan!r} is no plan of convolutions: say auto or torch, or repeat that of a receipt"
        )
    return plan


@dataclass(frozen=True)
class Calibration:
    """Precision and plan of a network (see Vgg19)."""

    precision: Precision = "fp32"
    plan: Annotated[str, AfterValidator(checked_plan)] = TORCH


FLOAT32 = Calibration()
"""The calibration that every device supports."""

_FILE = TypeAdapter(dict[str, Annotated[list[Calibration], Field(min_length=1)]])

Measured = TypeVar("Measured")


def cached_measurement(
    file: Path,
    entries: TypeAdapter[dict[str, Measured]],
    key: str,
    measure: Callable[[], tuple[Measured, bool]],
) -> Measured:
    """Return the entry `key` of a file; where it is missing, measure it, and add it if reliable.

    `measure` returns the measurement, and whether it is reliable. If another process adds it
    meanwhile, that entry counts.
    """

    def read() -> dict[str, Measured]:
        with suppress(OSError, ValidationError):
            return entries.validate_json(file.read_bytes())
        return {}

    if key in (known := read()):
        return known[key]
    measured, is_reliable = measure()
    if not is_reliable:
        return measured
    known = read()
    entry = known.setdefault(key, measured)
    with (
        suppress(OSError),  # the next process measures again
        store.replaced(file, f".{file.name}.{os.getpid()}") as part,
    ):
        part.write_bytes(entries.dump_json(known, indent=1))
    return entry


def environment_key(device: torch.device) -> str:
    """The device, the number of threads and the libraries, on which all times depend."""
    parts = [
        device_model(device),
        f"{torch.get_num_threads()} threads",
        f"torch {torch.__version__}",
    ]
    return ", ".join(parts + [f"kernels {kernels.variant()}"] * (device.type == "cpu"))


def calibrated(
    device: torch.device, precision: Precision | Literal["auto"] = "auto"
) -> Calibration:
    """Return the calibration of `device` for a precision, or that of the fastest one.

    It is read from a file in the user's cache, or measured and written to it.
    """
    file = user_cache_path("stylewatch") / "calibration.json"
    fastest = cached_measurement(
        file, _FILE, environment_key(device), lambda: (measured(device), True)
    )
    if precision == "auto":
        return fastest[0]
    of_precision = (each for each in fastest if each.precision == precision)
    return next(of_precision, Calibration(precision))


def measured(device: torch.device) -> list[Calibration]:
    """Measure the fastest plan of each precision; fp32 is first unless another precision pays."""
    if device.type not in ("cpu", "cuda"):
        return [FLOAT32]
    exact = 2 * _seconds(device, "fp32")
    times = {FLOAT32: exact}
    others: tuple[Precision, ...] = ("bf16", "tf32") if device.type == "cuda" else ("bf16",)
    for other in others:
        times[Calibration(other)] = 2 * _seconds(device, other, bored=2 * exact)
    if device.type == "cpu" and kernels.library() is not None:
        plan = measured_plan()
        forward, backward = (
            min(_tile_seconds(_CHANNELS, _CHANNELS, _SIDE, tile, kind) for tile in (4, 6))
            for kind in ("fp32", "bf16")
        )
        times |= {
            Calibration("fp32", plan): 2 * forward,
            Calibration("bf16", plan): forward + backward,
        }
    fastest: dict[Precision, Calibration] = {}
    for calibration in sorted(times, key=times.__getitem__):
        fastest.setdefault(calibration.precision, calibration)
    times[fastest["fp32"]] *= _PAYS
    return sorted(fastest.values(), key=times.__getitem__)


def measured_plan() -> str:
    """Measure the fastest tile for each kind of layer and side of its maps.

    F(6x6, 3x3) is not for the deepest layers: it is no faster there, and their filters would take 7
    times the memory of the weights.
    """

    def fastest(inputs: int, outputs: int, side: int) -> int:
        tiles = [4] if outputs == _MOST_OUTPUTS else [4, 6]
        if side <= _SMALL:
            tiles.append(kernels.DIRECT)
        return min(tiles, key=lambda tile: _tile_seconds(inputs, outputs, side, tile))

    return "".join(str(fastest(*shape, side)) for shape in PLAN_SHAPES for side in PLAN_SIDES)


def _tile_seconds(
    inputs: int, outputs: int, side: int, tile: int, precision: Precision = "fp32"
) -> float:
    """The least of several times of a compiled convolution, in seconds; inf if unsupported."""
    bfloat16 = precision == "bf16"
    if bfloat16 and not kernels.has_bfloat16():
        return float("inf")
    x, output = torch.rand(side, side, inputs), torch.empty(side, side, outputs)
    filters = kernels.pack(torch.rand(outputs, inputs, 3, 3), tile, bfloat16=bfloat16)
    times = []
    for _ in range(_SMALL_TRIALS if side <= _SMALL else 3):
        began = time.perf_counter()
        Convolution(x=x, filters=filters, output=output).run()
        times.append(time.perf_counter() - began)
    return min(times)


def _seconds(device: torch.device, precision: Precision, bored: float = float("inf")) -> float:
    """Seconds of a convolution in torch; inf if unsupported; stops early above `bored`."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    x = torch.rand(1, _CHANNELS, _SIDE, _SIDE, device=device)
    weight = torch.rand(_CHANNELS, _CHANNELS, 3, 3, device=device)
    x, weight = (t.to(dtype, memory_format=torch.channels_last) for t in (x, weight))
    quickest = float("inf")
    with suppress(RuntimeError), cut(precision):  # no such convolution on this device
        for trial in range(1 + _TRIALS):
            began = time.perf_counter()
            convolved: Tensor = functional.conv2d(x, weight, padding=1)
            float(convolved[0, 0, 0, 0])  # waits for it
            taken = time.perf_counter() - began
            if trial:  # the first one also sets up the libraries
                quickest = min(quickest, taken)
                if taken > bored:
                    break
    return quickest


def device_model(device: torch.device) -> str:
    """The model of a device; for a CPU also the instruction set that torch uses."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = platform.processor()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        model = next(names, model)
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()} {model}".strip()
