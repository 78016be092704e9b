"""Backend `torch`: VGG in torch, on any of its devices, by default in the fastest precision."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import torch

from stylewatch_painter.fields import written_as
from stylewatch_painter.network import kernels, store, weights
from stylewatch_painter.network.device import Precision, fastest_precision
from stylewatch_painter.network.vgg19 import Vgg19
from stylewatch_painter.network.weights import Triple, WeightsFile
from stylewatch_painter.scene.task import Task
from stylewatch_painter.vgg import LayerName, layers_up_to
from stylewatch_plugins.contract import Device
from stylewatch_plugins.vgg_backend import VggBackend, VggOptions

TorchDevice = Annotated[
    str,
    *written_as(
        r"auto|cpu|mps|cuda(:[0-9]+)?|xpu(:[0-9]+)?", "auto, cpu, mps, cuda, cuda:1, xpu or xpu:1"
    ),
]
"""The name of a device of torch, or `auto` for the best one."""


class TorchOptions(VggOptions):
    """The options under `backends: torch:`."""

    device: TorchDevice = "auto"
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"
    """Number format of the convolutions; `auto` is the fastest of the device."""
    convolution: Literal["auto", "compiled", "torch"] = "auto"
    """Method of convolution on a CPU: compiled kernels if there are any (`auto`), or torch."""


@dataclass(frozen=True)
class Arithmetic:
    """Precision of a network's convolutions, and whether compiled kernels compute them.

    With `keep_packed` the kernels keep their packed filters, which takes more memory (see Vgg19).
    """

    precision: Precision = "fp32"
    compiled: bool = False
    keep_packed: bool = True


_last: dict[tuple[str, Triple, str, int, Arithmetic], Vgg19] = {}
"""The network of the last task, at most one: a network takes as much memory as a painting."""


def load_network(
    file: WeightsFile,
    layers: Collection[LayerName],
    device: torch.device,
    arithmetic: Arithmetic,
    threads: int,
) -> Vgg19:
    """Load the network of `file` up to the deepest of `layers`, or reuse the last network.

    A network for another number of `threads` is not reused, because the last bits of its results
    differ. Raises WeightsError if the weights cannot be loaded.
    """
    key = (file.sha256, file.mean, str(device), threads, arithmetic)
    needed = layers_up_to(layers, file.layers)
    last = _last.get(key)
    if last is not None and len(last.layers) >= len(needed):
        return last
    _last.clear()
    mean, arrays = store.load(file, needed)
    on_device = {name: torch.from_numpy(a).to(device) for name, a in arrays.items()}
    _last[key] = Vgg19(
        on_device,
        mean,
        arithmetic.precision,
        compiled=arithmetic.compiled,
        keep_packed=arithmetic.keep_packed,
    )
    return _last[key]


class TorchAutograd(VggBackend):
    """Backend that runs in torch. It loads the network with the first task, and then keeps it."""

    name = "torch"
    version = str(torch.__version__)
    options_model = TorchOptions

    def devices(self) -> tuple[Device, ...]:
        """List the GPUs that torch can use here, then the CPU."""
        return (*_gpus(), Device("cpu", f"{torch.get_num_threads()} threads"))

    def problem(self) -> str | None:
        """Explain why the backend cannot run with its options; None if it can.

        It needs the device, the precision and the kernels of the options, and weights.
        """
        problem = self.device_problem()
        if problem:
            return problem
        if self._options.precision == "tf32" and not torch.cuda.is_available():
            return "precision tf32 is for NVIDIA GPUs, and there is none here: use auto or fp32"
        return self._kernels_problem() or weights.problem(self._options.weights)

    def device_problem(self) -> str | None:
        """Explain that the device of the options is missing; None if it is present."""
        return self._device_problem(f"torch {self.version} finds")

    def _kernels_problem(self) -> str | None:
        """Explain why `convolution: compiled` is impossible here.

        Returns None if it is possible or not set, or if the device is a GPU.
        """
        on_cpu = self._options.device == "cpu" or not any(_gpus())
        if self._options.convolution != "compiled" or not on_cpu:
            return None
        if kernels.library() is None:
            return f"convolution compiled is impossible: {kernels.problem()}, or use auto"
        if self._options.precision == "bf16" and not kernels.has_bfloat16():
            return (
                "compiled convolutions have no precision bf16 on this processor: use fp32, or "
                "convolution auto"
            )
        return None

    @cached_property
    def _arithmetic(self) -> Arithmetic:
        precision: Precision | Literal["auto"] = self._options.precision
        on_cpu = self.device.type == "cpu"
        has_kernels = on_cpu and kernels.library() is not None
        compiled = has_kernels and self._options.convolution != "torch"
        if precision == "tf32" and self.device.type != "cuda":  # the job changed devices
            precision = "fp32"
        if precision == "bf16" and not kernels.has_bfloat16():
            compiled = False
        if precision == "auto":
            precision = fastest_precision(self.device, compiled=compiled)
        # packed filters would count against the limit of this job and of the next
        return Arithmetic(precision, compiled, keep_packed=self._memory_settings.limit is None)

    @property
    def _precision(self) -> Precision:
        return self._arithmetic.precision

    @property
    def _decided(self) -> Mapping[str, str]:
        convolution = "compiled" if self._arithmetic.compiled else "torch"
        return {"precision": self._precision, "convolution": convolution}

    @property
    def _advice(self) -> tuple[str, ...]:
        """A sentence about a faster library for the CPU that cannot be used, if there is one.

        There is none on a GPU, or if the options choose the method of convolution.
        """
        if self.device.type != "cpu" or self._options.convolution != "auto":
            return ()
        delay = kernels.delay()
        return () if delay is None else (delay,)

    def network(self, layers: Collection[LayerName]) -> Vgg19:
        """Load VGG19 up to the deepest of `layers`, for programs that compute their own losses.

        Raises BackendMissingError if the backend has a `problem`, and WeightsError if the weights
        cannot be loaded.
        """
        return self._load(weights.choose(self._options.weights, "vgg19", layers), layers)

    def _network(self, task: Task) -> Vgg19:
        """Load the network up to the deepest layer of `task`."""
        return self._load(self._trained_weights(task), task.recipe.objective.layers)

    def _load(self, file: WeightsFile, layers: Collection[LayerName]) -> Vgg19:
        return load_network(file, layers, self.device, self._arithmetic, self._thread_count)


def _gpus() -> Iterator[Device]:
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield Device(f"cuda:{index}", properties.name, properties.total_memory)
    if torch.backends.mps.is_available():
        yield Device("mps", "Apple GPU")
    if torch.xpu.is_available():
        for index in range(torch.xpu.device_count()):
            yield Device(f"xpu:{index}", torch.xpu.get_device_properties(index).name)
