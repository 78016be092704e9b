"""Backend `torch`: VGG19 in torch, on any device that torch has, in the precision it is best at."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Literal

import torch
from pydantic import Field, ValidationError

from stylewatch_painter.algorithm.caches import LoadedNetwork, load_network
from stylewatch_painter.algorithm.forecast import forecast
from stylewatch_painter.algorithm.paint import measure, paint, paint_many
from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.network import weights
from stylewatch_painter.network.vgg19 import Precision, quickest
from stylewatch_painter.stage import Losses, Step, Wish
from stylewatch_painter.validation import mistakes
from stylewatch_plugins.contract import (
    BackendMissingError,
    BackendOptionError,
    Capabilities,
    Device,
    Estimate,
    Provenance,
)
from stylewatch_plugins.memory_options import Fitted, MemoryOptions, by_turns


class Options(MemoryOptions):
    """What may be said under `backends: torch:`."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?|xpu(:\d+)?)$")] = "auto"
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"
    """What convolutions are computed in; `auto`: in what the device is the quickest at."""
    weights: str = "bundled"
    threads: Annotated[int, Field(gt=0, le=4096)] | None = None
    """How many processor cores to use on the CPU; all of them where it is not said."""


class TorchAutograd:
    """Paints with torch; the network is loaded with the first task, and kept for the next."""

    name = "torch"
    capabilities = Capabilities(masks=True, memory=True)
    version = str(torch.__version__)

    def __init__(self, options: Mapping[str, object]) -> None:
        try:
            self._options = Options.model_validate(options)
        except ValidationError as error:
            told = "; ".join(str(mistake) for mistake in mistakes(error, Options))
            raise BackendOptionError(f"backend torch: {told}") from error
        if self._options.threads is not None:
            torch.set_num_threads(self._options.threads)
        self._left = self._options.left()

    def devices(self) -> tuple[Device, ...]:
        """The GPUs that torch can use here, then the CPU."""
        return (*_gpus(), Device("cpu", f"{torch.get_num_threads()} threads"))

    def problem(self) -> str | None:
        """Why it cannot run here: its device is not there, or its weights are not."""
        wanted = self._options.device
        here = [device.name for device in self.devices()]
        if wanted not in ("auto", *here, *(name.partition(":")[0] for name in here)):
            return (
                f"torch {self.version} finds no device {wanted} here; there are {', '.join(here)}"
            )
        if self._options.precision == "tf32" and not torch.cuda.is_available():
            return "precision tf32 is for GPUs of NVIDIA, and there is none here: say auto or fp32"
        return weights.problem(self._options.weights)

    def provenance(self, task: Task) -> Provenance:
        """Who paints: torch, its device, and the trained network."""
        return Provenance(
            name=self.name,
            version=self.version,
            device=str(self._device),
            precision=self._precision,
            weights=weights.locate(self._options.weights).for_receipt(),
            decided={
                "device": str(self._device),
                "threads": torch.get_num_threads(),
                "precision": self._precision,
                **self._fitted.decided(task),
            },
            warnings=self._fitted.warnings(task),
        )

    def estimate(self, task: Task) -> Estimate:
        """What `task` would take, judged by two evaluations of it at a small size."""
        room = self._fitted.room(task)  # before the network is there, as when it is painted
        seen = forecast(task, self._trained(task).network, room=room)
        sizes, steps = zip(*((level.size, level.steps) for level in seen.levels), strict=True)
        return Estimate(sizes, steps, seen.seconds, seen.memory, seen.tile)

    def measure(self, task: Task) -> Losses:
        """The losses of the float picture that `task` starts from at its final size."""
        room = self._fitted.room(task)
        return measure(task, self._trained(task).network, room)

    def paint(self, task: Task, wish: Callable[[], Wish]) -> Iterator[Step]:
        """Paint by the painter's own loop."""
        room, ready = self._fitted.room(task), self._trained(task)
        return paint(task, ready.network, wish, styles=ready.styles, room=room)

    def paint_many(
        self, tasks: Sequence[Task], wishes: Sequence[Callable[[], Wish]]
    ) -> Iterator[tuple[int, Step | Exception]]:
        """Paint tasks of one shape together, and one group after the other."""
        ready = self._trained(*tasks)
        ample = [number for number, task in enumerate(tasks) if self._fitted.is_ample(task)]
        some = [tasks[number] for number in ample], [wishes[number] for number in ample]
        at_once = self._fitted.at_once
        for row, made in paint_many(some[0], ready.network, some[1], ready.styles, at_once):
            yield ample[row], made
        yield from by_turns(tasks, wishes, self._fitted, self.paint)

    @cached_property
    def _device(self) -> torch.device:
        if problem := self.problem():
            raise BackendMissingError(problem)
        wanted = self._options.device
        return torch.device(self.devices()[0].name if wanted == "auto" else wanted)

    @cached_property
    def _precision(self) -> Precision:
        wanted = self._options.precision
        if wanted == "tf32" and self._device.type != "cuda":  # a job may be moved off its GPU
            return "fp32"
        return quickest(self._device) if wanted == "auto" else wanted

    @cached_property
    def _fitted(self) -> Fitted:
        value = 2 if self._precision == "bf16" else 4
        return Fitted(self._options, self._device, value, self._left)

    def _trained(self, *tasks: Task) -> LoadedNetwork:
        """VGG19 up to the deepest layer that `tasks` look at."""
        file = weights.locate(self._options.weights)
        layers = {layer for task in tasks for layer in task.recipe.objective.layers}
        return load_network(file, layers, self._device, self._precision)


def _gpus() -> Iterator[Device]:
    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        yield Device(f"cuda:{index}", found.name, found.total_memory)
    if torch.backends.mps.is_available():
        yield Device("mps", "Apple GPU")
    if torch.xpu.is_available():
        for index in range(torch.xpu.device_count()):
            name = torch.xpu.get_device_properties(index).name
            yield Device(f"xpu:{index}", name)
