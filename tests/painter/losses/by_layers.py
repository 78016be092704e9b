"""Paintings by recipe `nnst`, whose last pass matches each layer by itself."""

from collections.abc import Mapping
from typing import Any

from tests.painter import small
from tests.painter.small import WIDE

from stylewatch_painter.paint.objective import Objective
from stylewatch_painter.recipes.book import find
from stylewatch_painter.scene.task import Task
from stylewatch_painter.vgg import LayerName

LAST: Mapping[str, Any] = {
    "scales": [{"scale": 0.5, "steps": 2}, {"scale": 1, "steps": 2}],
    "steps": 3,
    "save_every": 2,
}
LAYERS: Mapping[LayerName, float] = {"conv1_1": 1.0, "conv2_1": 0.5}
ONLY = {f"objective.neighbors.layers.{n}": LAYERS.get(n) for n in find("nnst").objective.layers}


def by_layers(changes: Mapping[str, Any] | None = None, styles: int = 1, **fields: Any) -> Task:
    """A painting of recipe `nnst`, whose last pass matches each layer by itself."""
    return small.wide_task("nnst", {**LAST, **(changes or {})}, styles, **fields)


def last_pass(made: Task, evaluations: int = 0) -> Objective:
    objective = small.objective(made)
    assert objective.scene.level.size == WIDE and not objective.scene.level.is_coarse
    objective.step = evaluations
    return objective
