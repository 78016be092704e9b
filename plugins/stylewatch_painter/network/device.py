"""The model of a device, and its fastest precision.

The precision is derived from the device, not from a measurement, so that it never changes: an
interrupted painting continues in the same way, and a job gives the same picture on another day.
"""

import platform
from contextlib import suppress
from pathlib import Path
from typing import Literal

import torch

from stylewatch_painter.network import kernels

Precision = Literal["fp32", "tf32", "bf16"]
"""Precision of the convolutions. `tf32` and `bf16` round factors to 10 and 7 bits of mantissa. Sums
are float32."""

_AMPERE = (8, 0)
"""Lowest compute capability of GPUs that multiply bfloat16."""


def fastest_precision(device: torch.device, *, compiled: bool) -> Precision:
    """Return the fastest precision of convolutions on `device`: `bf16` or `fp32`.

    `compiled` is True if the kernels of this package compute the convolutions.
    """
    if device.type == "cuda":
        has_bfloat16 = torch.cuda.get_device_capability(device) >= _AMPERE
    elif device.type == "cpu" and compiled:
        has_bfloat16 = kernels.has_bfloat16()
    else:
        has_bfloat16 = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return "bf16" if has_bfloat16 else "fp32"


def device_model(device: torch.device) -> str:
    """Return a description of the model of `device`.

    For a CUDA device it is the name. For the CPU it is the architecture of the machine, the
    instruction set that torch uses, and the model. For any other device, whose model torch does not
    tell, it is the type of the device, and the machine.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":  # torch names no model of these
        return f"{device.type} of {platform.machine()} {platform.processor()}".strip()
    model = platform.processor()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        model = next(names, model)
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()} {model}".strip()
