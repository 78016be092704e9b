"""What the backends that paint with VGG19 are told of memory, and how they keep to it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Literal
from weakref import WeakKeyDictionary

import torch
from pydantic import Field, PositiveInt

from stylewatch_painter import memory as fitting
from stylewatch_painter.errors import PainterError
from stylewatch_painter.recipe import Strict
from stylewatch_painter.room import AMPLE, Room
from stylewatch_painter.stage import Step, Wish
from stylewatch_painter.task import Task
from stylewatch_plugins.heap import give_back_large_blocks

Paint = Callable[[Task, Callable[[], Wish]], Iterator[Step]]


class MemoryOptions(Strict):
    """What may be said of memory under `backends: torch:` and `backends: onnx:`."""

    tile: Literal["auto", "none"] | Annotated[int, Field(ge=16)] = "auto"
    """Pixels of the tiles that large pictures are looked at in; `auto`: only if it takes that."""
    history: Literal["auto", "whole"] | Annotated[int, Field(ge=0)] = "auto"
    """Pairs that L-BFGS may remember; `whole`: the recipe's own, `auto`: as many as fit."""
    memory: PositiveInt | None = None
    """Bytes that a painting may take; where it is not said, what is free."""

    @property
    def wanted(self) -> fitting.Wanted:
        """The same, as the painter takes it."""
        return fitting.Wanted(self.tile, self.history, self.memory)


class Fitted:
    """The room that each task has on `device`, decided once, where a value takes so many bytes."""

    def __init__(self, options: MemoryOptions, device: torch.device, value: int) -> None:
        self._options, self._device, self._value = options, device, value
        self._rooms: WeakKeyDictionary[Task, Room] = WeakKeyDictionary()

    def room(self, task: Task) -> Room:
        """What `task` has room for; raises PictureError where that is not enough."""
        if task not in self._rooms:
            found = fitting.room(task, self._options.wanted, self._device, self._value)
            if found != AMPLE:
                give_back_large_blocks()  # else holes are left where no maps fit
            self._rooms[task] = found
        return self._rooms[task]

    def decided(self, task: Task) -> dict[str, str | int]:
        """The same as options that choose it again."""
        found = self.room(task)
        return {
            "tile": "none" if found.tile is None else found.tile,
            "history": "whole" if found.history is None else found.history,
        }

    def warnings(self, task: Task) -> tuple[str, ...]:
        """Where it departs from the recipe, in sentences."""
        return tuple(fitting.warnings(task, self.room(task)))

    def is_ample(self, task: Task) -> bool:
        """Whether `task` has room for all of it, so that others may be painted with it."""
        try:
            return self.room(task) == AMPLE
        except PainterError:  # which whoever paints it is going to tell
            return False


def by_turns(
    tasks: Sequence[Task], wishes: Sequence[Callable[[], Wish]], fitted: Fitted, paint: Paint
) -> Iterator[tuple[int, Step | Exception]]:
    """Paint those by themselves that there is no ample room for, and say whose a Step is."""
    for number, (task, wish) in enumerate(zip(tasks, wishes, strict=True)):
        if not fitted.is_ample(task):
            try:
                for step in paint(task, wish):
                    yield number, step
            except PainterError as error:
                yield number, error
