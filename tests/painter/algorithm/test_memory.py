"""How a painting is fitted into memory: by numbers, of this machine and of none."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.painter import small

from stylewatch_painter.algorithm import forecast as module
from stylewatch_painter.algorithm.forecast import (
    SIDES,
    Wanted,
    at_once,
    needed,
    room,
    warnings,
)
from stylewatch_painter.algorithm.task import AMPLE, Room, Task
from stylewatch_painter.errors import PictureError

CPU = torch.device("cpu")
HELD = 10**9


@pytest.fixture(autouse=True)
def a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that holds a gigabyte by now, all told."""
    monkeypatch.setattr(module, "resident", lambda: HELD - module._PROCESS)


def large(**changes: Any) -> Task:
    """3000x2000 pixels, by L-BFGS with six pairs; nothing of it is painted."""
    return small.task(
        "best",
        {"size": "3000x2000", "fit": "stretch", "enlarge": True, "style_size": "21",
         "steps": 20, **changes},
    )  # fmt: skip


def taking(task: Task, one: Room) -> int:
    """A limit that suffices for a painting in that room, and for nothing more."""
    return HELD + needed(task, one, 4)


def test_what_fits_as_a_whole_is_painted_as_a_whole() -> None:
    task = large()
    assert room(task, Wanted(limit=taking(task, AMPLE)), CPU, 4) == AMPLE


def test_else_it_is_painted_in_the_largest_tiles_that_fit() -> None:
    task = large()
    for side in SIDES:
        assert room(task, Wanted(limit=taking(task, Room(side))), CPU, 4).history is None
    assert room(task, Wanted(limit=taking(task, AMPLE) - 1), CPU, 4).tile == SIDES[0]


def test_then_the_history_is_shortened() -> None:
    task = large()
    found = room(task, Wanted(limit=taking(task, Room(512, 4))), CPU, 4)
    assert (found.history, found.keeps_content) == (4, True)
    assert list(warnings(task, found)) == [
        "memory does not suffice for 6 pairs of L-BFGS at 3000x2000 pixels: there it remembers 4"
    ]


def test_then_the_content_is_computed_anew_at_each_step() -> None:
    """Where it is by a layer whose maps are many times the picture."""
    task = large(**{"objective.content.layers": {"conv1_1": 1.0}})
    found = room(task, Wanted(limit=taking(task, Room(512, 3, False))), CPU, 4)
    assert found == Room(512, 3, False)
    found = room(task, Wanted(limit=taking(task, Room(256, 3, False))), CPU, 4)
    assert found == Room(256, 3, False)


def test_at_last_adam_paints() -> None:
    task = large()
    found = room(task, Wanted(limit=taking(task, Room(256, 0, False))), CPU, 4)
    assert found.history == 0
    (told,) = warnings(task, found)
    assert told.endswith("there Adam paints in its place")


def test_an_impossible_limit_is_refused_and_the_least_is_told() -> None:
    task = large()
    least = taking(task, Room(256, 0, False))
    with pytest.raises(PictureError, match=f"about {least / 1e9:.3g} GB at the least"):
        room(task, Wanted(limit=least - 1), CPU, 4)


def test_without_a_limit_what_is_free_counts_and_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "available", lambda: float("inf"))
    assert room(large(), Wanted(), CPU, 4) == AMPLE
    monkeypatch.setattr(module, "available", lambda: 1.0)
    assert room(large(), Wanted(), CPU, 4) == Room(256, 0, False)


def test_what_earlier_paintings_left_takes_nothing_from_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As long as it is what a process keeps anyway: the network, and what libraries set aside."""
    task = large()
    wanted = Wanted(limit=taking(task, Room(512, 4)))
    fresh = room(task, wanted, CPU, 4)
    more = 0
    monkeypatch.setattr(module, "resident", lambda: HELD - module._PROCESS + more)
    for more in (100 * 10**6, module._PROCESS):
        assert room(task, replace(wanted, left=more), CPU, 4) == fresh
        assert room(task, wanted, CPU, 4) != fresh
    more = 2 * module._PROCESS
    assert room(task, replace(wanted, left=more), CPU, 4) != fresh


def test_so_many_are_painted_at_once_as_the_limit_suffices_for_together() -> None:
    task = large()
    three = HELD + 3 * needed(task, AMPLE, 4)
    for limit, most in ((three, 3), (three - 1, 2), (taking(task, AMPLE) - 1, 1), (1, 1)):
        assert at_once(task, Wanted(limit=limit), CPU, 4) == most
    assert at_once(task, Wanted(), CPU, 4) > 10**6
