"""What the backends that paint with VGG19 are told of memory, and how they keep to it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Literal
from weakref import WeakKeyDictionary

import torch
from pydantic import Field

from stylewatch_painter.algorithm import forecast as fitting
from stylewatch_painter.algorithm.task import AMPLE, Room, Task
from stylewatch_painter.errors import PainterError
from stylewatch_painter.recipes.recipe import Strict
from stylewatch_painter.stage import Step, Wish
from stylewatch_plugins.malloc import give_back_freed, give_back_large_blocks

Paint = Callable[[Task, Callable[[], Wish]], Iterator[Step]]


class MemoryOptions(Strict):
    """What may be said of memory under `backends: torch:` and `backends: onnx:`."""

    tile: Literal["auto", "none"] | Annotated[int, Field(ge=16, le=1_000_000)] = "auto"
    """Pixels of the tiles that large pictures are looked at in; `auto`: only if it takes that."""
    history: Literal["auto", "whole"] | Annotated[int, Field(ge=0, le=10_000)] = "auto"
    """Pairs that L-BFGS may remember; `whole`: the recipe's own, `auto`: as many as fit."""
    memory: Annotated[int, Field(gt=0, le=10**15)] | None = None
    """Bytes that a painting may take; where it is not said, what is free."""

    @property
    def wanted(self) -> fitting.Wanted:
        """The same, as the painter takes it."""
        return fitting.Wanted(self.tile, self.history, self.memory)

    def left(self) -> int:
        """Bytes that earlier paintings left in this process, where there is a limit to keep to.

        To be asked before the pictures of the next one are read.
        """
        if self.memory is None:
            return 0
        give_back_freed()
        return fitting.left()


class Fitted:
    """The room that each task has on `device`, decided once, where a value takes so many bytes.

    `left` are bytes of this process that earlier paintings left.
    """

    def __init__(
        self, options: MemoryOptions, device: torch.device, value: int, left: int = 0
    ) -> None:
        self._device, self._value = device, value
        self._wanted = replace(options.wanted, left=left)
        self._rooms: WeakKeyDictionary[Task, Room] = WeakKeyDictionary()

    def room(self, task: Task) -> Room:
        """What `task` has room for; raises PictureError where that is not enough."""
        if task not in self._rooms:
            if self._wanted.limit is not None:
                give_back_freed()  # of what it took to read the pictures
            found = fitting.room(task, self._wanted, self._device, self._value)
            if found != AMPLE:
                give_back_large_blocks()  # else holes are left where no maps fit
            self._rooms[task] = found
        return self._rooms[task]

    def at_once(self, task: Task) -> int:
        """How many like `task` may be painted at once; one at the least."""
        return fitting.at_once(task, self._wanted, self._device, self._value)

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
