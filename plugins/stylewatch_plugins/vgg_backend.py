"""Common base of the backends that use VGG and the painter's loop: options and memory."""

import gc
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import Annotated, Any, ClassVar, Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch
from pydantic import Field

from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.fields import Strict
from stylewatch_painter.network import weights
from stylewatch_painter.network.vgg19 import CountedMaps
from stylewatch_painter.paint import memory
from stylewatch_painter.paint.forecast import forecast
from stylewatch_painter.paint.memory_plan import UNLIMITED, MemoryPlan
from stylewatch_painter.paint.paint import measure, paint
from stylewatch_painter.process_memory import (
    available,
    give_back_large_blocks,
    keep_large_blocks,
    trim_heap,
)
from stylewatch_painter.scene.canvas import check_pictures
from stylewatch_painter.scene.task import Task
from stylewatch_painter.stage import Losses, Step, Wish
from stylewatch_plugins.contract import (
    BackendMissingError,
    Capabilities,
    Device,
    Estimate,
    Provenance,
    check_options,
)

_HOLES = 1.5  # factor of the memory if freed blocks are kept; 1.47 was measured at 4 megapixels
_NO_VGG16 = (
    "the recipe asks for VGG16, and the weights {!r} are a VGG19; `stylewatch weights fetch "
    "vgg16-torchvision` installs a VGG16"
)


class VggOptions(Strict):
    """The options that `backends: torch:` and `backends: onnx:` share."""

    weights: str = weights.AUTO
    threads: Annotated[int, Field(gt=0, le=4096)] | None = None
    """Number of processor cores to use on the CPU; all of them by default."""
    tile: Literal["auto", "none"] | Annotated[int, Field(ge=16, le=1_000_000)] = "auto"
    """Side in pixels of the tiles of large pictures. `none`: no tiles; `auto`: tiles only if the
    picture does not fit into the memory in one piece."""
    history: Literal["auto", "whole"] | Annotated[int, Field(ge=0, le=10_000)] = "auto"
    """Number of pairs of vectors that L-BFGS keeps; with fewer than 3, Adam replaces it. `whole`:
    the recipe's number, `auto`: as many as fit."""
    memory: Annotated[int, Field(gt=0, le=10**15)] | None = None
    """Maximum number of bytes that a job may take; by default, what is free."""


class _Threads:
    """Owner of the number of torch's threads, which is a setting of the process."""

    def __init__(self) -> None:
        self._usual = 0  # the number without the option
        self._latest = 0  # the number that a backend set

    def count(self, option: int | None) -> int:
        """Return the number of threads for a backend's `option`; the usual number if it is None."""
        current = torch.get_num_threads()
        if option is not None:
            return option
        # the caller has set another number than the latest backend
        return current if current != self._latest else self._usual

    def use(self, option: int | None) -> None:
        """Set the number of threads for a backend's `option`."""
        current = torch.get_num_threads()
        self._usual = self.count(None)
        self._latest = self.count(option)
        if self._latest != current:
            torch.set_num_threads(self._latest)


_threads = _Threads()


class VggBackend(ABC):
    """Abstract base of the backends for VGG16 and VGG19; a subclass adds devices and the network.

    All methods but `devices` and `problem` raise BackendMissingError if the backend has a
    `problem`, RecipeError if the weights lack a layer of the recipe, and PictureError if a picture
    is unusable or the limit of memory too low.
    """

    name: str
    options_model: ClassVar[type[VggOptions]]
    capabilities = Capabilities(masks=True, memory=True)
    keeps_freed_blocks: ClassVar[bool] = True
    """True if freed feature maps are kept for the next step when there is enough memory."""
    version: str

    def __init__(self, options: Mapping[str, object]) -> None:
        self._options: Any = check_options(self.name, self.options_model, options)
        _threads.use(self._options.threads)
        self._memory_settings = memory.MemorySettings(
            self._options.tile, self._options.history, self._options.memory
        )
        self._memory_plans: WeakKeyDictionary[Task, MemoryPlan] = WeakKeyDictionary()

    @abstractmethod
    def devices(self) -> tuple[Device, ...]:
        """List the devices of this machine that the backend can run on, best first."""

    @abstractmethod
    def problem(self) -> str | None:
        """Explain why the backend cannot run here with its options; None if it can."""

    @abstractmethod
    def _network(self, task: Task) -> CountedMaps:
        """Load the network for the layers and pools of `task`."""

    def provenance(self, task: Task) -> Provenance:
        """Describe the library, its device, and the trained network."""
        device = str(self.device)
        plan = self._memory_plan(task)
        file = self._trained_weights(task)
        architecture = task.recipe.objective.network.architecture
        lacks_vgg16 = architecture == "vgg16" and file.architecture != "vgg16"
        return Provenance(
            name=self.name,
            version=self.version,
            device=device,
            precision=self._precision,
            weights=file.for_receipt(),
            decided={
                "device": device,
                "threads": self._thread_count,
                "weights": file.name,
                **self._decided,
                "tile": "none" if plan.tile is None else plan.tile,
                "history": "whole" if plan.history is None else plan.history,
            },
            warnings=(
                *self._warnings,
                *((_NO_VGG16.format(file.name),) if lacks_vgg16 else ()),
                *memory.warnings(task, plan),
            ),
            advice=self._advice,
        )

    def estimate(self, task: Task) -> Estimate:
        """Estimate the cost of `task` from trials at a small size."""
        levels = task.levels()
        sizes = tuple(level.size for level in levels)
        steps = tuple(level.steps for level in levels)
        plan = self._begin(task)
        return Estimate(sizes, steps, *forecast(task, self._network(task), plan))

    def measure(self, task: Task) -> Losses:
        """Compute the losses of the float picture that `task` starts from at its final size."""
        plan = self._begin(task)
        return measure(task, self._network(task), plan)

    def paint(self, task: Task, wish: Callable[[], Wish]) -> Iterator[Step]:
        """Run the painter's loop, and yield its steps.

        Each checkpoint also has the digest of the weights. Raises CheckpointError if `task.resume`
        was painted with other weights.
        """
        plan = self._begin(task)
        digest = np.frombuffer(self._trained_weights(task).digest, np.uint8)
        saved = task.resume or {}
        if not np.array_equal(saved.get("network", digest), digest):  # earlier versions lack it
            raise CheckpointError.because("this checkpoint was painted with other weights")
        for step in paint(task, self._network(task), wish, plan):
            if step.checkpoint is None:
                yield step
            else:
                yield replace(step, checkpoint={**step.checkpoint, "network": digest})

    def _begin(self, task: Task) -> MemoryPlan:
        """Set up the process for `task`, and return the task's memory plan."""
        plan = self._memory_plan(task)
        _threads.use(self._options.threads)  # another backend may have set others
        self._choose_freed_blocks(task, plan)
        return plan

    def _memory_plan(self, task: Task) -> MemoryPlan:
        """Return the memory plan of `task`, computed once from the memory that is free then.

        This changes no setting of the process, because another task may be in progress. Raises
        PictureError if a picture is unusable or the limit of memory is too low.
        """
        if task not in self._memory_plans:
            check_pictures(task)
            trim_heap()  # what the last task freed would count as used
            load = partial(self._loaded, task)
            plan = memory.choose(task, self.device, self._memory_settings, load)
            self._memory_plans[task] = plan
        return self._memory_plans[task]

    def _loaded(self, task: Task) -> CountedMaps:
        """Load the network for `task`, and free the garbage of the loading and of the last task.

        Both the network and garbage count against a limit of memory.
        """
        network = self._network(task)
        gc.collect()
        trim_heap()
        return network

    def _choose_freed_blocks(self, task: Task, plan: MemoryPlan) -> None:
        """Choose whether the process keeps freed feature maps or returns them to the system.

        It keeps them on a CPU without a limit of memory if memory suffices for the whole task. If
        memory does not suffice, the plan saves memory, or a loss needs the whole picture, it
        returns them. Otherwise nothing changes.
        """
        on_cpu = self.device.type == "cpu"
        may_keep = self._memory_settings.limit is None and on_cpu and self.keeps_freed_blocks
        if plan == UNLIMITED and may_keep and _HOLES * memory.at_most(task) <= available():
            keep_large_blocks()
        elif plan != UNLIMITED or may_keep or task.final_terms.needs_whole_picture:
            give_back_large_blocks()

    @property
    def _thread_count(self) -> int:
        """Number of torch's threads in a painting by this backend."""
        return _threads.count(self._options.threads)

    def _device_problem(self, library: str) -> str | None:
        """Explain that the requested device is missing; return None if it is present.

        `library` begins the sentence, such as `torch 2.9 finds`.
        """
        requested = self._options.device
        names = [device.name for device in self.devices()]
        kinds = (name.partition(":")[0] for name in names)
        if requested in ("auto", *names, *kinds):
            return None
        return f"{library} no device {requested} here; there are {', '.join(names)}"

    @cached_property
    def device(self) -> torch.device:
        """The device that the backend runs on.

        Raises BackendMissingError if the backend has a `problem`.
        """
        problem = self.problem()
        if problem is not None:
            raise BackendMissingError(problem)
        requested = self._options.device
        return torch.device(self.devices()[0].name if requested == "auto" else requested)

    @property
    @abstractmethod
    def _precision(self) -> str:
        """Number format of the network."""

    @property
    @abstractmethod
    def _decided(self) -> Mapping[str, str]:
        """Values that the backend chose for its own options."""

    @property
    def _warnings(self) -> tuple[str, ...]:
        return ()

    @property
    def _advice(self) -> tuple[str, ...]:
        return ()

    def _trained_weights(self, task: Task) -> weights.WeightsFile:
        """Return the weights for `task`; raises WeightsError and RecipeError as `choose` does."""
        objective = task.recipe.objective
        return weights.choose(
            self._options.weights, objective.network.architecture, objective.layers
        )
