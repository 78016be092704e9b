"""A backend on a device with little memory: the sketch, where it has room."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch

from stylewatch_plugins import registry
from stylewatch_plugins.contract import Device, Provenance, Step, Task, Wish
from stylewatch_plugins.sketch import Sketch

Size = tuple[int, int]


@dataclass
class Room:
    """Of the device `gpu`: pixels that it holds. What was tried: device, and size in pixels."""

    pixels: int
    tried: list[tuple[str, Size]] = field(default_factory=list)
    at_step: int = 1
    """Where it is noticed that there is too little."""
    error: Exception = field(
        default_factory=lambda: torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2 GiB."
        )
    )


def furnish(patch: pytest.MonkeyPatch, room: Room) -> None:
    """Let every backend paint there."""

    class Cramped(Sketch):
        def __init__(self, options: Mapping[str, object]) -> None:
            super().__init__({})
            self._device = str(options.get("device", "gpu"))

        def devices(self) -> tuple[Device, ...]:
            return (Device("gpu", "a small one"), Device("cpu", "the processor"))

        def provenance(self, task: Task) -> Provenance:
            seen = super().provenance(task)
            return replace(seen, device=self._device, decided={"device": self._device})

        def paint(self, task: Task, wish: Callable[[], Wish]) -> Iterator[Step]:
            room.tried.append((self._device, task.final))
            fits = self._device == "cpu" or task.final[0] * task.final[1] <= room.pixels
            for step in super().paint(task, wish):
                if not fits and step.step >= room.at_step:
                    raise room.error
                yield step

    def load(name: str, options: Mapping[str, Any]) -> Cramped:
        return Cramped(options)

    patch.setattr(registry, "load", load)


def in_tiles(patch: pytest.MonkeyPatch, holds: int) -> list[object]:
    """A backend that cannot paint in tiles of more than so many pixels; those that it tried."""
    tried: list[object] = []

    class Tiled(Sketch):
        def __init__(self, options: Mapping[str, object]) -> None:
            super().__init__({})
            self._tile = str(options.get("tile", "none"))

        def provenance(self, task: Task) -> Provenance:
            return replace(super().provenance(task), decided={"tile": self._tile})

        def paint(self, task: Task, wish: Callable[[], Wish]) -> Iterator[Step]:
            tried.append(self._tile)
            if self._tile == "none" or int(self._tile) > holds:
                raise torch.OutOfMemoryError("out of memory")
            return super().paint(task, wish)

    patch.setattr(registry, "load", lambda _, options: Tiled(options))
    return tried
