"""How a painting is fitted into the memory there is: in tiles, with a shorter history."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from stylewatch_painter import recipe
from stylewatch_painter.errors import PictureError
from stylewatch_painter.forecast import needed
from stylewatch_painter.room import LEAST_PAIRS, Room
from stylewatch_painter.task import Task

SIDES = (2048, 1536, 1024, 768, 512)
"""Pixels of the tiles that are tried, the longest first: halos weigh little beside them."""
_SHORTER = (384, 256)
_PROCESS = 250 * 10**6  # bytes: the network, and what the libraries set aside while they compute
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


def room(task: Task, wanted: Wanted, device: torch.device, value: int) -> Room:
    """The room that `task` is painted in on `device`, by a network of `value` bytes a value.

    Raises PictureError where the limit does not suffice, whatever is done.
    """
    free = _free(wanted.limit, device)
    found = Room()
    for found in _rooms(task, wanted):
        least = needed(task, found, value)
        if least <= free:
            return found
    if wanted.limit is not None:
        width, height = task.final
        raise PictureError(
            f"{width}x{height} pixels take about {(wanted.limit - free + least) / 1e9:.1f} GB at "
            f"the least, and limits.memory allows {wanted.limit / 1e9:.1f} GB: raise it, or ask "
            "for a smaller size"
        )
    return found


def warnings(task: Task, found: Room) -> Iterator[str]:
    """Where a painting in this room departs from its recipe, in sentences."""
    asked = task.recipe.schedule.optimiser
    given = found.optimiser(asked)
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
    settings = task.recipe.schedule.optimiser
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


def _free(limit: int | None, device: torch.device) -> float:
    """Bytes that a painting may take beyond what is held by now."""
    if device.type == "cuda":
        there, _ = torch.cuda.mem_get_info(device)
        there += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        allocated = torch.cuda.memory_allocated(device)
        return _SHARE * there if limit is None else min(there, limit - allocated)
    if limit is not None:
        return limit - resident() - _PROCESS
    return _SHARE * available() - _PROCESS


def resident() -> int:
    """Bytes of this process that lie in memory; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * 4096


def available() -> float:
    """Bytes that programs may still take, of the machine or of our part of it; else endless."""
    found = float("inf")
    try:
        said = Path("/proc/meminfo").read_text(encoding="ascii")
        if told := re.search(r"MemAvailable: +(\d+) kB", said):
            found = int(told[1]) * 1024.0
        group = Path("/sys/fs/cgroup")
        most = (group / "memory.max").read_text(encoding="ascii").strip()
        if most != "max":
            taken = int((group / "memory.current").read_text(encoding="ascii"))
            found = min(found, int(most) - taken)
    except OSError:
        pass
    return found
