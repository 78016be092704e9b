"""How many jobs a worker runs at once, and which jobs are alike enough for that."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from stylewatch_daemon.settings.job import JobSettings
from stylewatch_painter.algorithm import scales
from stylewatch_painter.recipes.recipe import Lbfgs, Recipe

Batch = Literal["auto"] | int
"""How many are painted at once, at most; `auto`: MANY on an accelerator, else each alone."""


def shape_of(settings: JobSettings, recipe: Recipe, sizes: Sequence[tuple[int, int]]) -> str:
    """What is the same of jobs that can be painted at once; empty where one is for itself.

    `sizes` are those of its pictures in pixels, (width, height), the content's first. Weights,
    strength, seed and the pictures themselves may differ. It is a guess: a backend sees for
    itself what goes together.
    """
    optimizer = recipe.schedule.optimizer
    searches = isinstance(optimizer, Lbfgs) and optimizer.line_search != "none"
    if not sizes or settings.from_step or searches:  # each would search as long as the slowest
        return ""
    if settings.only is not None:  # of the pictures that are known one side may not count
        return ""
    told = [
        scales.final_size(recipe.schedule, sizes[0]),
        len(sizes),
        settings.init,
        settings.style_size,
        recipe.schedule.model_dump(mode="json"),
        _without_weights(recipe.objective.model_dump(mode="json", exclude={"strength"})),
    ]
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    return f"{settings.backend} {settings.device or ''} {digest[:32]}"


def _without_weights(objective: Mapping[str, Any]) -> dict[str, Any]:
    """Of an objective which terms there are, and by which formulas."""
    plain = dict(objective)
    for side in ("content", "style"):
        if plain[side] is not None:
            plain[side] = {**plain[side], "layers": sorted(plain[side]["layers"])}
    if plain["tv"] is not None:
        plain["tv"] = plain["tv"]["loss"]
    return plain
