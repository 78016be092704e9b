"""Precision: what convolutions are computed in, and which is the quickest on a device."""

import json
import os
import platform
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Literal, get_args

import torch
from platformdirs import user_cache_path
from torch import Tensor
from torch.nn import functional

Precision = Literal["fp32", "tf32", "bf16"]
"""`tf32` and `bf16` cut factors to ten and seven bits of mantissa; sums are always float32."""

_PAYS = 0.8
"""Fewer bits are taken where they need no more than this share of the time."""
_TRIALS = 5
_SHAPE = (1, 128, 96, 96)


def quickest(device: torch.device, file: Path | None = None) -> Precision:
    """Which precision is the quickest on `device`: measured once, then known from `file`.

    It has to stay what it was: a painting that was broken off goes on in the same precision, and
    the same job gives the same picture tomorrow.
    """
    file = user_cache_path("stylewatch") / "precision.json" if file is None else file
    known = _read(file)
    key = f"{named(device)}, torch {torch.__version__}"
    for precision in get_args(Precision):
        if known.get(key) == precision:
            known_precision: Precision = precision
            return known_precision
    found = measured(device)
    _write(file, {**known, key: found})
    return found


def measured(device: torch.device, clock: Callable[[], float] = time.perf_counter) -> Precision:
    """Which precision convolves the quickest on `device`; fp32, unless another one pays."""
    if device.type not in ("cpu", "cuda"):
        return "fp32"
    exact = _seconds(device, "fp32", clock)
    others: tuple[Precision, ...] = ("bf16", "tf32") if device.type == "cuda" else ("bf16",)
    times = {other: _seconds(device, other, clock, bored=4 * exact) for other in others}
    best = min(others, key=times.__getitem__)
    return best if times[best] <= _PAYS * exact else "fp32"


def _seconds(
    device: torch.device,
    precision: Precision,
    clock: Callable[[], float],
    bored: float = float("inf"),
) -> float:
    """How long a convolution takes; infinite where there is no such, or it takes `bored` long."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    x, weight = torch.rand(_SHAPE, device=device), torch.rand(128, 128, 3, 3, device=device)
    x, weight = (t.to(dtype, memory_format=torch.channels_last) for t in (x, weight))
    quickest = float("inf")
    with suppress(RuntimeError), cut(precision):  # no such convolution on this device
        for trial in range(1 + _TRIALS):
            began = clock()
            found: Tensor = functional.conv2d(x, weight, padding=1)
            float(found[0, 0, 0, 0])  # waits for it
            taken = clock() - began
            if trial:  # the first one also sets up the machinery, and tells nothing
                quickest = min(quickest, taken)
                if taken > bored:
                    break
    return quickest


def cut(precision: Precision) -> AbstractContextManager[None]:
    """Within it, factors of float32 are cut to TF32 where that is the precision, and only there."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=precision == "tf32")


def named(device: torch.device) -> str:
    """The model of a device, and of a CPU also what of it torch uses."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()} {_model()}".strip()


def _model() -> str:
    """What the processor is called; empty where the system does not say."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _read(file: Path) -> dict[str, str]:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(file: Path, known: dict[str, str]) -> None:
    """Keep it, whole or not at all; where that cannot be, it is measured again next time."""
    beside = file.with_name(f"{file.name}.{os.getpid()}")
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(known, indent=1), encoding="utf-8")
        beside.replace(file)
