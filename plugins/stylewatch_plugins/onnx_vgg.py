"""Backend `onnx`: VGG and its gradient as ONNX graphs in ONNX Runtime, everything else in torch."""

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, get_args

import torch
from pydantic import BeforeValidator, Field

from stylewatch_painter.fields import written_as
from stylewatch_painter.installation import install_command
from stylewatch_painter.network import weights
from stylewatch_painter.scene.task import Task
from stylewatch_painter.stage import Step, Wish
from stylewatch_plugins import graphs
from stylewatch_plugins.contract import BackendMissingError, Device
from stylewatch_plugins.graphs import Plan
from stylewatch_plugins.onnx_runtime import OrtVgg19, close_network, open_network, runtime
from stylewatch_plugins.vgg_backend import VggBackend, VggOptions

ProviderName = Literal[
    "tensorrt", "cuda", "migraphx", "openvino", "coreml", "dnnl", "xnnpack", "cpu"
]
_ORT_NAMES: Mapping[str, str] = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "dnnl": "DnnlExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
_ON_GPU = frozenset({"tensorrt", "cuda", "migraphx"})
"""Providers that compute on torch's device `cuda`; the others read pictures from main memory."""

_log = logging.getLogger(__name__)


class OnnxOptions(VggOptions):
    """The options under `backends: onnx:`."""

    device: Annotated[str, *written_as(r"auto|cpu|cuda(:[0-9]+)?", "auto, cpu, cuda or cuda:1")] = (
        "auto"
    )
    providers: Annotated[
        tuple[ProviderName, ...],
        BeforeValidator(lambda value: value.split(",") if isinstance(value, str) else value),
        Field(min_length=1),
    ] = ("cuda", "cpu")
    """Execution providers that ONNX Runtime may use, best first."""
    missing: Literal["skip", "refuse"] = "skip"
    """Treatment of a missing provider: run without it, or refuse to run."""


class OnnxVgg(VggBackend):
    """Backend whose VGG runs in ONNX Runtime.

    The graphs for a task are loaded at its start, and built first if the cache lacks them.
    """

    name = "onnx"
    keeps_freed_blocks = False
    options_model = OnnxOptions

    def __init__(self, options: Mapping[str, object]) -> None:
        super().__init__(options)
        module = _runtime()
        self.version = "" if module is None else str(module.__version__)

    def devices(self) -> tuple[Device, ...]:
        """List the devices of the requested providers that are available here."""
        names = ", ".join(self._available)
        devices = []
        if _ON_GPU & {*self._available}:
            for index in range(torch.cuda.device_count()):
                gpu = torch.cuda.get_device_properties(index)
                devices.append(Device(f"cuda:{index}", f"{gpu.name}, {names}", gpu.total_memory))
        if {*self._available} - _ON_GPU:
            devices.append(Device("cpu", f"{torch.get_num_threads()} threads, {names}"))
        return tuple(devices)

    def problem(self) -> str | None:
        """Explain which package, provider, device or file is missing; None if nothing is."""
        if _runtime() is None:
            return f"the package onnxruntime is not installed: {install_command('onnx')}"
        return (
            graphs.problem() or self._provider_problem() or weights.problem(self._options.weights)
        )

    def paint(self, task: Task, wish: Callable[[], Wish]) -> Iterator[Step]:
        """Run the painter's loop and yield its steps; close the graphs if an error is raised."""
        try:
            yield from super().paint(task, wish)
        except Exception:
            # for example after a lack of memory: the runtime frees a GPU's memory only with the
            # graphs
            close_network()
            raise

    @cached_property
    def _available(self) -> tuple[ProviderName, ...]:
        """The requested providers that this machine has."""
        return tuple(name for name in self._options.providers if _is_available(name))

    @property
    def _missing(self) -> list[str]:
        return [name for name in self._options.providers if name not in self._available]

    @property
    def _precision(self) -> str:
        return "fp32"

    @property
    def _decided(self) -> Mapping[str, str]:
        return {"providers": ",".join(self._available)}

    @property
    def _warnings(self) -> tuple[str, ...]:
        if not self._missing or "providers" not in self._options.model_fields_set:
            return ()
        return (f"{self._lacks}; it paints with {', '.join(self._available)}",)

    @property
    def _lacks(self) -> str:
        return f"ONNX Runtime {self.version} has no provider {', '.join(self._missing)} here"

    def _provider_problem(self) -> str | None:
        if self._missing and (self._options.missing == "refuse" or not self._available):
            available = ", ".join(name for name in get_args(ProviderName) if _is_available(name))
            return (
                f"{self._lacks}; there are {available}: name others under "
                "backends.onnx.providers, or install the wheel of ONNX Runtime that has it"
            )
        return self._device_problem(f"ONNX Runtime {self.version} has")

    @cached_property
    def device(self) -> torch.device:
        """The device that the backend runs on, with the index of a GPU.

        Raises BackendMissingError if the backend has a `problem`.
        """
        device = super().device
        # the runtime's options need the number of the GPU
        return torch.device(self.devices()[0].name) if str(device) == "cuda" else device

    def _network(self, task: Task) -> OrtVgg19:
        """Open the network for the layers and pools of `task`.

        If ONNX Runtime could not start a provider, log a warning or, with `missing: refuse`, raise
        BackendMissingError.
        """
        device = self.device
        file = self._trained_weights(task)
        plan = Plan.of(task.recipe.objective, file)
        names = [name for name in self._available if device.type != "cpu" or name not in _ON_GPU]
        providers = [(_ORT_NAMES[name], _provider_options(name, device)) for name in names]
        network = open_network(plan, file.name, device, providers, self._thread_count)
        failed = [name for name in names if _ORT_NAMES[name] not in network.providers]
        if failed:
            message = (
                f"ONNX Runtime {self.version} could not start its provider {', '.join(failed)}; "
                "its documentation says which libraries that needs"
            )
            if self._options.missing == "refuse":
                raise BackendMissingError(message)
            _log.warning(message)
        return network


def _runtime() -> Any:
    """Return the module onnxruntime, or None if it is not installed."""
    try:
        return runtime()
    except ImportError:
        return None


def _is_available(name: ProviderName) -> bool:
    """Return whether the runtime has a provider, and the machine has the GPU that it needs."""
    module = _runtime()
    if module is None or _ORT_NAMES[name] not in module.get_available_providers():
        return False
    return name not in _ON_GPU or torch.cuda.is_available()


def _provider_options(name: ProviderName, device: torch.device) -> dict[str, str]:
    """Return the options of a provider for `device`: its index, and for `cuda` no TF32.

    Providers that do not compute on torch's device `cuda` have no options.
    """
    if name not in _ON_GPU:
        return {}
    options = {"device_id": str(device.index or 0)}
    return {**options, "use_tf32": "0"} if name == "cuda" else options
