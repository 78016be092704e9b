"""Backend `torch`: VGG in torch, on any torch device, in the fastest precision of the device."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, BeforeValidator, Field

from stylewatch_painter.network import kernels, store, weights
from stylewatch_painter.network.calibration import FLOAT32, Calibration, calibrated, checked_plan
from stylewatch_painter.network.vgg19 import TORCH, FeatureMaps, Precision, Vgg19
from stylewatch_painter.network.weights import WeightsFile
from stylewatch_painter.paint.paint import measure, paint
from stylewatch_painter.scene.style_cache import DiskCache, StyleCache
from stylewatch_painter.scene.task import Task
from stylewatch_painter.stage import Losses, Step, Wish
from stylewatch_painter.vgg import LayerName, layers_up_to
from stylewatch_plugins.contract import Device
from stylewatch_plugins.vgg_backend import VggBackend, VggOptions


def _plan(text: str) -> str:
    return text if text == "auto" else checked_plan(text)


class Options(VggOptions):
    """The options under `backends: torch:`."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?|xpu(:\d+)?)$")] = "auto"
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"
    """Number format of the convolutions; `auto`: the fastest of the device."""
    convolution: Annotated[str, BeforeValidator(str), AfterValidator(_plan)] = "auto"
    """How to convolve on a CPU: `torch`, or a plan as receipts have it; `auto`: fastest."""


@dataclass(frozen=True, eq=False)
class LoadedNetwork:
    """A network on its device with its style cache; `layers` are the convolutions it has."""

    network: Vgg19
    layers: tuple[LayerName, ...]
    styles: StyleCache


_last: dict[tuple[str, str, int, Calibration], LoadedNetwork] = {}
"""At most one entry: a network takes as much memory as a painting."""


def load_network(
    file: WeightsFile,
    layers: Collection[LayerName],
    device: torch.device,
    calibration: Calibration = FLOAT32,
) -> LoadedNetwork:
    """Load the network of `file` up to the deepest of `layers`, or reuse the network used last.

    A network for another number of threads is a different one: its last bits differ. Raises
    WeightsError.
    """
    key = (file.sha256, str(device), torch.get_num_threads(), calibration)
    needed = layers_up_to(layers, file.layers)
    last = _last.get(key)
    if last is not None and len(last.layers) >= len(needed):
        return last
    styles = StyleCache(disk=DiskCache.of(device, key)) if last is None else last.styles
    _last.clear()
    mean, arrays = store.load(file, needed)
    on_device = {name: torch.from_numpy(a).to(device) for name, a in arrays.items()}
    network = Vgg19(on_device, mean, calibration.precision, calibration.plan)
    _last[key] = loaded = LoadedNetwork(network, needed, styles)
    return loaded


class TorchAutograd(VggBackend):
    """Runs in torch; the network is loaded with the first task, and kept for the next."""

    name = "torch"
    version = str(torch.__version__)
    options_model = Options

    def devices(self) -> tuple[Device, ...]:
        """List the GPUs that torch can use here, then the CPU."""
        return (*_gpus(), Device("cpu", f"{torch.get_num_threads()} threads"))

    def problem(self) -> str | None:
        """Explain why it cannot run here: its device or its weights are missing."""
        if problem := self._device_problem(f"torch {self.version} finds"):
            return problem
        if self._options.precision == "tf32" and not torch.cuda.is_available():
            return "precision tf32 is for GPUs of NVIDIA, and there is none here: say auto or fp32"
        return weights.problem(self._options.weights)

    def measure(self, task: Task) -> Losses:
        """Compute the losses of the float picture that `task` starts from at its final size."""
        memory_plan = self._memory_plan(task)
        return measure(task, self._network(task), memory_plan)

    def paint(self, task: Task, wish: Callable[[], Wish]) -> Iterator[Step]:
        """Run the painter's loop."""
        memory_plan, ready = self._memory_plan(task), self._trained(task)
        return paint(task, ready.network, wish, styles=ready.styles, memory_plan=memory_plan)

    @cached_property
    def _calibration(self) -> Calibration:
        precision: Precision | Literal["auto"] = self._options.precision
        plan: str = self._options.convolution
        if precision == "tf32" and self._device.type != "cuda":  # a job may be moved off its GPU
            precision = "fp32"
        if precision == "auto" or plan == "auto":
            fastest = calibrated(self._device, precision)
            precision = fastest.precision
            plan = fastest.plan if plan == "auto" else plan
        return Calibration(precision, plan if self._can_follow(plan, precision) else TORCH)

    def _can_follow(self, plan: str, precision: Precision) -> bool:
        """Check that the convolutions of `plan` are compiled for this device and `precision`."""
        if plan == TORCH or self._device.type != "cpu" or kernels.library() is None:
            return False
        return precision == "fp32" or (precision == "bf16" and kernels.has_bfloat16())

    @property
    def _precision(self) -> Precision:
        return self._calibration.precision

    @property
    def _decided(self) -> Mapping[str, str]:
        return {"precision": self._precision, "convolution": self._calibration.plan}

    def _network(self, task: Task) -> FeatureMaps:
        return self._trained(task).network

    def _trained(self, task: Task) -> LoadedNetwork:
        """Load the network up to the deepest layer of `task`."""
        layers = set(task.recipe.objective.all_layers)
        file = self._trained_weights(task)
        return load_network(file, layers, self._device, self._calibration)


def _gpus() -> Iterator[Device]:
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield Device(f"cuda:{index}", properties.name, properties.total_memory)
    if torch.backends.mps.is_available():
        yield Device("mps", "Apple GPU")
    if torch.xpu.is_available():
        for index in range(torch.xpu.device_count()):
            yield Device(f"xpu:{index}", torch.xpu.get_device_properties(index).name)
