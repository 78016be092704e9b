"""Backend `onnx`: VGG19 and its gradient as ONNX graphs in ONNX Runtime, all else in torch."""

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import torch
from pydantic import BeforeValidator, Field, ValidationError

from stylewatch_painter.algorithm.forecast import forecast
from stylewatch_painter.algorithm.paint import measure, paint
from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.network import weights
from stylewatch_painter.stage import Losses, Step, Wish
from stylewatch_painter.validation import mistakes
from stylewatch_plugins import graphs
from stylewatch_plugins.contract import (
    BackendMissingError,
    BackendOptionError,
    Capabilities,
    Device,
    Estimate,
    Provenance,
)
from stylewatch_plugins.graph_file import Plan, Precision
from stylewatch_plugins.memory_options import Fitted, MemoryOptions
from stylewatch_plugins.runtime import runtime

if TYPE_CHECKING:
    from stylewatch_plugins.session_cache import Opened

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
"""Those that compute where torch says `cuda`; the others take pictures from main memory."""


_log = logging.getLogger(__name__)


def _as_list(value: object) -> object:
    """`cuda,cpu` is a list, too."""
    return value.split(",") if isinstance(value, str) else value


class Options(MemoryOptions):
    """What may be said under `backends: onnx:`."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    providers: Annotated[
        tuple[ProviderName, ...], BeforeValidator(_as_list), Field(min_length=1)
    ] = ("cuda", "cpu")
    """What ONNX Runtime may compute with, best first."""
    missing: Literal["skip", "refuse"] = "skip"
    """What to do about a provider that is not here: go on without it, or not at all."""
    precision: Precision = "fp32"
    weights: str = "bundled"
    threads: Annotated[int, Field(gt=0, le=4096)] | None = None
    """How many processor cores to use; all of them where it is not said."""


class OnnxVgg:
    """Paints with ONNX Runtime; graphs are built, and loaded, with the first task."""

    name = "onnx"
    capabilities = Capabilities(masks=True, memory=True)

    def __init__(self, options: Mapping[str, object]) -> None:
        try:
            self._options = Options.model_validate(options)
        except ValidationError as error:
            told = "; ".join(str(mistake) for mistake in mistakes(error, Options))
            raise BackendOptionError(f"backend onnx: {told}") from error
        if self._options.threads is not None:
            torch.set_num_threads(self._options.threads)
        self._left = self._options.left()
        self.version = "" if (here := _runtime()) is None else str(here.__version__)

    def devices(self) -> tuple[Device, ...]:
        """Where the providers that are here, of those asked for, compute."""
        names = ", ".join(self._here)
        found = []
        if _ON_GPU & {*self._here}:
            for index in range(torch.cuda.device_count()):
                about = torch.cuda.get_device_properties(index)
                found.append(Device(f"cuda:{index}", f"{about.name}, {names}", about.total_memory))
        if {*self._here} - _ON_GPU:
            found.append(Device("cpu", f"{torch.get_num_threads()} threads, {names}"))
        return tuple(found)

    def problem(self) -> str | None:
        """Why it cannot run here: a package, a provider, the device or the weights are missing."""
        if _runtime() is None:
            return "the package onnxruntime is not installed; `pip install onnxruntime` brings it"
        if problem := graphs.problem() or self._provider_problem():
            return problem
        return weights.problem(self._options.weights)

    def provenance(self, task: Task) -> Provenance:
        """Who paints: ONNX Runtime, its device and providers, and the trained network."""
        device = str(self._device)
        warnings = []
        if self._missing and "providers" in self._options.model_fields_set:
            warnings.append(
                self._lacks(self._missing) + f"; it paints with {', '.join(self._here)}"
            )
        return Provenance(
            name=self.name,
            version=self.version,
            device=device,
            precision=self._options.precision,
            weights=weights.locate(self._options.weights).for_receipt(),
            decided={
                "device": device,
                "threads": torch.get_num_threads(),
                "providers": ",".join(self._here),
                **self._fitted.decided(task),
            },
            warnings=(*warnings, *self._fitted.warnings(task)),
        )

    def estimate(self, task: Task) -> Estimate:
        """What `task` would take, judged by two evaluations of it at a small size."""
        room = self._fitted.room(task)  # before the graphs are there, as when it is painted
        network = self._opened(task, self._options.precision).network
        seen = forecast(task, network, room=room)
        sizes, steps = zip(*((level.size, level.steps) for level in seen.levels), strict=True)
        return Estimate(sizes, steps, seen.seconds, seen.memory, seen.tile)

    def measure(self, task: Task) -> Losses:
        """The losses, in fp32, of the float picture that `task` starts from at its final size."""
        room = self._fitted.room(task)
        return measure(task, self._opened(task, "fp32").network, room)

    def paint(self, task: Task, wish: Callable[[], Wish]) -> Iterator[Step]:
        """Paint by the painter's own loop."""
        from stylewatch_plugins.session_cache import forget

        room, ready = self._fitted.room(task), self._opened(task, self._options.precision)
        try:
            yield from paint(task, ready.network, wish, styles=ready.looks, room=room)
        except Exception:
            forget()  # for want of memory, say: the runtime gives back a GPU's with the graphs only
            raise

    @cached_property
    def _here(self) -> tuple[ProviderName, ...]:
        """The providers asked for that this machine has."""
        return tuple(name for name in self._options.providers if _is_here(name))

    @property
    def _missing(self) -> list[str]:
        return [name for name in self._options.providers if name not in self._here]

    def _lacks(self, names: list[str]) -> str:
        return f"ONNX Runtime {self.version} has no provider {', '.join(names)} here"

    def _provider_problem(self) -> str | None:
        there = ", ".join(name for name in get_args(ProviderName) if _is_here(name))
        if self._missing and (self._options.missing == "refuse" or not self._here):
            return (
                f"{self._lacks(self._missing)}; there are {there}: name others under "
                "backends.onnx.providers, or install the wheel of ONNX Runtime that has it"
            )
        wanted = self._options.device
        here = [device.name for device in self.devices()]
        if wanted not in ("auto", *here, *(name.partition(":")[0] for name in here)):
            found = ", ".join(here)
            return f"ONNX Runtime {self.version} has no device {wanted} here; there are {found}"
        return None

    @cached_property
    def _device(self) -> torch.device:
        if problem := self.problem():
            raise BackendMissingError(problem)
        wanted = self._options.device
        if wanted in ("auto", "cuda"):
            wanted = self.devices()[0].name
        return torch.device(wanted)

    @cached_property
    def _fitted(self) -> Fitted:
        # between the graphs all is in float32
        return Fitted(self._options, self._device, 4, self._left)

    def _opened(self, task: Task, precision: Precision) -> "Opened":
        """VGG19 for the layers and pools that `task` looks at."""
        from stylewatch_plugins.session_cache import opened

        device = self._device
        file = weights.locate(self._options.weights)
        plan = Plan.of(task.recipe.objective, file, precision)
        names = [name for name in self._here if device.type != "cpu" or name not in _ON_GPU]
        providers = [(_ORT_NAMES[name], _provider_options(name, device)) for name in names]
        ready = opened(plan, self._options.weights, device, providers, torch.get_num_threads())
        if lost := [name for name in names if _ORT_NAMES[name] not in ready.network.providers]:
            self._miss(lost)
        return ready

    def _miss(self, lost: list[ProviderName]) -> None:
        told = (
            f"ONNX Runtime {self.version} could not start its provider {', '.join(lost)}; "
            "its documentation says which libraries that needs"
        )
        if self._options.missing == "refuse":
            raise BackendMissingError(told)
        _log.warning(told)


def _runtime() -> Any:
    """The module onnxruntime; None where it is not installed."""
    try:
        return runtime()
    except ImportError:
        return None


def _is_here(name: ProviderName) -> bool:
    """Whether the runtime that is installed has a provider, and the machine a GPU if it needs."""
    here = _runtime()
    if here is None or _ORT_NAMES[name] not in here.get_available_providers():
        return False
    return name not in _ON_GPU or torch.cuda.is_available()


def _provider_options(name: ProviderName, device: torch.device) -> dict[str, str]:
    """Which GPU; and fp32 as it is, not cut to fewer bits."""
    if name not in _ON_GPU:
        return {}
    options = {"device_id": str(device.index or 0)}
    return {**options, "use_tf32": "0"} if name == "cuda" else options
