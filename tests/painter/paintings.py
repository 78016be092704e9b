"""Small paintings of two sizes, and the steps that painting them yields."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.painter import small

from stylewatch_painter.paint.memory_plan import UNLIMITED, MemoryPlan
from stylewatch_painter.paint.paint import paint
from stylewatch_painter.scene.task import Task
from stylewatch_painter.stage import Step, Wish

AT_ONCE: Mapping[str, Any] = {"scales": ()}
"""Changes of a recipe that leave the final size as the only one."""

NOISE: Mapping[str, Any] = {"start": "noise", "noise_scale": 30}

_SHORT: Mapping[str, Any] = {
    "objective.network.pool_edge": "ceil",
    "scales": [{"scale": 0.5, "steps": 3}],
    "smallest": 1,
    "steps": 4,
    "save_every": 2,
}


def painting(changes: Mapping[str, Any] | None = None, several: int = 1, **task: Any) -> Task:
    """Return a task of three steps at half size and four at full size, with `several` styles."""
    return replace(small.task("gram", {**_SHORT, **(changes or {})}, several), **task)


def painted(task: Task, *wishes: Wish, memory_plan: MemoryPlan = UNLIMITED) -> list[Step]:
    """Paint `task` and return all steps.

    `wishes` are the wishes after step 1, 2 and so on; all later ones are GO_ON.
    """
    left = iter(wishes)
    return list(
        paint(task, small.network(), lambda: next(left, Wish.GO_ON), memory_plan=memory_plan)
    )
