"""The bytes of all tensors that exist at once, counted operation by operation."""

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from stylewatch_painter.paint.objective import Objective
from stylewatch_painter.scene.scene import Scene


@dataclass
class TensorBytes:
    """Number of bytes of all tensors, at the peak and at present."""

    peak: int = 0
    now: int = 0


@contextmanager
def peak() -> Iterator[TensorBytes]:
    """Count the bytes of the tensors that are created inside the context, on the CPU."""
    count = TensorBytes()
    with _LiveTensors(count):
        yield count


def measured(scene: Scene) -> tuple[int, int, int]:
    """Return the bytes that targets keep, and the peaks while targets and a step are computed."""
    u = scene.canvas.start(scene.size)
    scene.canvas.content(scene.size)
    Objective(scene)(u)  # what libraries keep for good
    with peak() as while_targets:
        objective = Objective(scene)
    kept = while_targets.now
    with peak() as while_stepping:
        objective(u)
    return kept, while_targets.peak, while_stepping.peak


class _LiveTensors(TorchDispatchMode):
    """Mode that counts the storages that operations create, until they are freed."""

    def __init__(self, count: TensorBytes) -> None:
        super().__init__()
        self._count = count
        self._live: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operation and count the new storages of its results."""
        kwargs = kwargs or {}
        given = {_storage_id(x) for x in tree_iter((args, kwargs)) if isinstance(x, Tensor)}
        result = func(*args, **kwargs)
        for tensor in tree_iter(result):
            if isinstance(tensor, Tensor) and (number := _storage_id(tensor)) not in given:
                self._add(number, tensor.untyped_storage())
        return result

    def _add(self, number: int, storage: torch.UntypedStorage) -> None:
        if number in self._live:
            return
        self._live.add(number)
        self._count.now += storage.nbytes()
        self._count.peak = max(self._count.peak, self._count.now)
        weakref.finalize(storage, self._free, number, storage.nbytes())

    def _free(self, number: int, nbytes: int) -> None:
        self._live.discard(number)
        self._count.now -= nbytes


def _storage_id(tensor: Tensor) -> int:
    number: int = tensor.untyped_storage()._cdata
    return number
