"""Paintings of plans, by a backend, and how far their pictures are apart."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from hypothesis import reject

from stylewatch_painter.errors import PainterError
from stylewatch_painter.scene.task import Task
from stylewatch_painter.stage import Pixels, Stage, Step, Wish
from stylewatch_plugins import registry
from stylewatch_plugins.contract import Backend

EXACT: Mapping[str, Any] = {"device": "cpu", "precision": "fp32", "threads": 1}


class BrokenLawError(AssertionError):
    """Two ways to the same result have different ones."""


@lru_cache(maxsize=8)
def _loaded(name: str, options: tuple[tuple[str, Any], ...]) -> Backend:
    return registry.load(name, dict(options))


def backend(name: str = "torch", **options: Any) -> Backend:
    """Return a backend that is exact, by default that of torch."""
    whole = {**EXACT, **options} if name == "torch" else {"threads": 1, **options}
    return _loaded(name, tuple(whole.items()))


def steps(task: Task, by: Backend | None = None, wishes: Sequence[Wish] = ()) -> list[Step]:
    """Paint a task; return all steps. `wishes` are those after step 1, 2 ..., then GO_ON."""
    left = iter(wishes)
    return list((by or backend()).paint(task, lambda: next(left, Wish.GO_ON)))


def picture(task: Task, by: Backend | None = None) -> Pixels:
    """Paint a task; return its last picture."""
    last = steps(task, by)[-1]
    assert isinstance(last, Stage)
    return last.picture


def possible(task: Task, by: Backend | None = None) -> list[Step]:
    """Paint a task; leave it out if its pictures and settings do not go together."""
    try:
        return steps(task, by)
    except PainterError:
        reject()


def same(one: Pixels, other: Pixels, what: str) -> None:
    """Raise BrokenLawError unless two pictures have the same bytes."""
    if one.shape != other.shape:
        raise BrokenLawError(f"{what}: {one.shape} is not {other.shape}")
    if one.tobytes() != other.tobytes():
        away = np.abs(one.astype(np.float64) - other)
        raise BrokenLawError(
            f"{what}: {np.count_nonzero(away)} values differ, by up to {away.max():.3g} levels"
        )


def near(one: Pixels, other: Pixels, within: float, what: str) -> None:
    """Raise BrokenLawError if pictures are more than `within` levels apart in the mean."""
    if one.shape != other.shape:
        raise BrokenLawError(f"{what}: {one.shape} is not {other.shape}")
    away = float(np.abs(np.clip(one, 0, 255).astype(np.float64) - np.clip(other, 0, 255)).mean())
    if away > within:
        raise BrokenLawError(f"{what}: {away:.3g} levels apart in the mean, at most {within:g}")
