"""How a painting is fitted into the memory there is: in tiles, with a shorter history."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from stylewatch_painter.algorithm.forecast import needed
from stylewatch_painter.algorithm.memory_budget import AMPLE, LEAST_PAIRS, Room
from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.errors import PictureError
from stylewatch_painter.process_memory import available, resident
from stylewatch_painter.recipes import recipe

SIDES = (2048, 1536, 1024, 768, 512)
"""Pixels of the tiles that are tried, the longest first: halos weigh little beside them."""
_SHORTER = (384, 256)
_PROCESS = 250 * 10**6  # bytes: the network, and what the libraries set aside while they compute
_LOADED = resident()  # bytes, before there is any picture or network, but with torch
_SHARE = 0.9  # of what is free: others want some, too

Tile = Literal["auto", "none"] | int
History = Literal["auto", "whole"] | int


@dataclass(frozen=True)
class Wanted:
    """What was said of memory: `limit` in bytes, of the process, or of a GPU's own.

    `tile` in pixels, `history` in pairs. What is `auto` is chosen so that it fits.
    """

    tile: Tile = "auto"
    history: History = "auto"
    limit: int | None = None
    left: int = 0
    """Bytes of this process that earlier paintings `left`: they are none of this one's."""


def left() -> int:
    """Bytes that earlier paintings left in this process, if no picture of the next is read yet.

    The network is kept, for one, and what the libraries have set aside.
    """
    return max(0, resident() - _LOADED)


def room(task: Task, wanted: Wanted, device: torch.device, value: int) -> Room:
    """The room that `task` is painted in on `device`, by a network of `value` bytes a value.

    Raises PictureError where the limit does not suffice, whatever is done.
    """
    free = _free(wanted, device)
    found = Room()
    for found in _rooms(task, wanted):
        least = needed(task, found, value)
        if least <= free:
            return found
    if wanted.limit is not None:
        width, height = task.final
        raise PictureError(
            f"{width}x{height} pixels take about {(wanted.limit - free + least) / 1e9:.3g} GB at "
            f"the least, and limits.memory allows {wanted.limit / 1e9:.3g} GB: raise it, or ask "
            "for a smaller size"
        )
    return found


def at_once(task: Task, wanted: Wanted, device: torch.device, value: int) -> int:
    """How many like `task` the limit suffices for at once, each in one piece; one at the least."""
    if wanted.limit is None:
        return sys.maxsize
    return max(1, int(_free(wanted, device) // needed(task, AMPLE, value)))


def warnings(task: Task, found: Room) -> Iterator[str]:
    """Where a painting in this room departs from its recipe, in sentences."""
    asked = task.recipe.schedule.optimizer
    given = found.optimizer(asked)
    if given is asked or not isinstance(asked, recipe.Lbfgs):
        return
    at = "memory does not suffice for {} pairs of L-BFGS at {}x{} pixels: ".format(
        asked.history, *task.final
    )
    yield at + (
        f"there it remembers {given.history}"
        if isinstance(given, recipe.Lbfgs)
        else "there Adam paints in its place"
    )


def _rooms(task: Task, wanted: Wanted) -> Iterator[Room]:
    """Those that are tried, best first: in one piece, in tiles, with shorter and shorter memory.

    To work out the content's maps at each step takes half as long again, and Adam more steps.
    """
    whole = [None] if wanted.tile in ("auto", "none") else []
    settings = task.recipe.schedule.optimizer
    pairs: list[int | None] = [wanted.history if isinstance(wanted.history, int) else None]
    most = settings.history if isinstance(settings, recipe.Lbfgs) else 0
    may_be_less = wanted.history == "auto" and most > 0
    shorter = range(most - 1, LEAST_PAIRS - 1, -1) if may_be_less else ()
    for tile in whole:
        yield Room(tile, pairs[0])
    for keeps in (True, False):
        for sides in _sides(wanted.tile):
            for one in (*pairs, *shorter):
                yield from (Room(side, one, keeps) for side in sides)
    for keeps in (True, False) if may_be_less else ():
        yield from (Room(side, 0, keeps) for sides in _sides(wanted.tile) for side in sides)


def _sides(tile: Tile) -> Iterator[tuple[int | None, ...]]:
    if tile == "auto":
        yield SIDES
        yield _SHORTER
    else:
        yield (None if tile == "none" else tile,)


def _free(wanted: Wanted, device: torch.device) -> float:
    """Bytes that a painting may take beyond what is held by now.

    The first one in a process has to leave room for what the process will keep; for the next ones
    that is there already, and may not count twice.
    """
    limit = wanted.limit
    if device.type == "cuda":
        allocated = torch.cuda.memory_allocated(device)
        there, _ = torch.cuda.mem_get_info(device)
        there += torch.cuda.memory_reserved(device) - allocated
        return _SHARE * there if limit is None else min(there, limit - max(0, allocated - _PROCESS))
    if limit is not None:
        return limit - resident() - max(0, _PROCESS - wanted.left)
    return _SHARE * available() - _PROCESS
