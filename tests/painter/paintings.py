"""Small paintings of two sizes, and what painting them yields."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.painter import small

from stylewatch_painter.paint.memory_plan import UNLIMITED, MemoryPlan
from stylewatch_painter.paint.paint import paint
from stylewatch_painter.scene.task import Task
from stylewatch_painter.stage import Step, Wish

AT_ONCE: Mapping[str, Any] = {"scales": ()}
"""Without a smaller size first."""

NOISE: Mapping[str, Any] = {"start": "noise", "noise_scale": 30}

_SHORT: Mapping[str, Any] = {
    "objective.network.pool_edge": "ceil",
    "scales": [{"scale": 0.5, "steps": 3}],
    "smallest": 1,
    "steps": 4,
    "save_every": 2,
}


def painting(changes: Mapping[str, Any] | None = None, several: int = 1, **task: Any) -> Task:
    """Three steps at half size and four at the full size, with so many styles."""
    return replace(small.task("gram", {**_SHORT, **(changes or {})}, several), **task)


def painted(task: Task, *wishes: Wish, memory_plan: MemoryPlan = UNLIMITED) -> list[Step]:
    """Every step; `wishes` are those after step 1, 2 ..., then GO_ON."""
    left = iter(wishes)
    return list(
        paint(task, small.network(), lambda: next(left, Wish.GO_ON), memory_plan=memory_plan)
    )
