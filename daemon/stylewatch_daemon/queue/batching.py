"""Jobs that are alike can be painted at once: by what they are told, and how many are."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.worker.contract import Started
from stylewatch_painter.algorithm import scales
from stylewatch_painter.recipes.recipe import Lbfgs, Recipe

Batch = Literal["auto"] | int
"""How many are painted at once, at most; `auto`: MANY on an accelerator, else each alone."""

MANY = 8


def shape_of(settings: JobSettings, recipe: Recipe, sizes: Sequence[tuple[int, int]]) -> str:
    """What is the same of jobs that can be painted at once; empty where one is for itself.

    `sizes` are those of its pictures in pixels, (width, height), the content's first. Weights,
    strength, seed and the pictures themselves may differ. It is a guess: a backend sees for
    itself what goes together.
    """
    optimiser = recipe.schedule.optimiser
    searches = isinstance(optimiser, Lbfgs) and optimiser.line_search != "none"
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


class Company:
    """How many jobs of a shape are best begun together, as far as workers told by now.

    Where nothing is known of who paints it, a job begins alone: by its Started we learn.
    """

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._by_painter: dict[str, int] = {}
        self._by_shape: dict[str, int] = {}
        """Where memory did not suffice for more."""

    def hear(self, shape: str, started: Started) -> None:
        """A job of that shape has begun."""
        best = MANY if started.device != "cpu" else 1
        wanted = best if self._batch == "auto" else self._batch
        self._by_painter[_painter(shape)] = wanted if started.paints_many else 1
        if started.too_many:
            self._by_shape[shape] = max(1, started.too_many // 2)

    def most(self, shape: str) -> int:
        """How many to begin together, at most."""
        known = self._by_painter.get(_painter(shape), 1) if shape else 1
        return min(known, self._by_shape.get(shape, known))


def _painter(shape: str) -> str:
    """Who paints it, and on which device if one was asked for."""
    return shape.rpartition(" ")[0]
