"""The conformance suite on painting many at once: where it is offered it is as painting alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.errors import PainterError
from stylewatch_painter.stage import Step, Wish, go_on
from stylewatch_plugins.contract import Backend, PaintsMany
from stylewatch_plugins.testing.tasks import (
    SMALL_FIRST,
    SMOOTHED,
    Suite,
    after,
    painted,
    picture,
    sample,
    stages,
)

Told = list[list[Step | Exception]]


def three(recipe: Mapping[str, Any] | None = None) -> list[Task]:
    """Paintings of one shape: of two photographs, and of one with another seed's noise."""
    first = sample(recipe)
    return [first, replace(first, content=255 - picture(24, 18)), replace(first, seed=7)]


def together(
    backend: PaintsMany, tasks: Sequence[Task], wishes: Sequence[Callable[[], Wish]] | None = None
) -> Told:
    """All that is told of each task."""
    told: Told = [[] for _ in tasks]
    for number, said in backend.paint_many(tasks, wishes or [go_on] * len(tasks)):
        told[number].append(said)
    return told


def steps_of(said: Sequence[Step | Exception]) -> list[Step]:
    """The steps; there must be nothing else."""
    found = [one for one in said if isinstance(one, Step)]
    assert len(found) == len(said), f"an error was handed out: {said[-1]}"
    return found


class Many(Suite):
    """What a backend promises that can paint several tasks at once; others promise nothing here."""

    @pytest.mark.parametrize("recipe", [{}, {**SMALL_FIRST, **SMOOTHED}])
    def test_each_of_many_is_painted_as_if_alone(
        self, backend: Backend, recipe: Mapping[str, Any]
    ) -> None:
        """The same steps of the same number, and stages that hardly differ: sums go other ways."""
        if not isinstance(backend, PaintsMany):
            return
        tasks = three(recipe)
        for task, said in zip(tasks, together(backend, tasks), strict=True):
            self._check_alike(steps_of(said), painted(backend, task))

    @pytest.mark.parametrize("recipe", [{}, {**SMALL_FIRST, **SMOOTHED}])
    def test_one_of_many_that_is_stopped_stops_alone(
        self, backend: Backend, recipe: Mapping[str, Any]
    ) -> None:
        """A wish is for one task; the others go on to their end."""
        if not isinstance(backend, PaintsMany):
            return
        tasks = three(recipe)
        early = after(2, Wish.STOP)
        stop = iter(early)
        told = together(backend, tasks, [go_on, lambda: next(stop), go_on])
        assert steps_of(told[1])[-1].step == len(early)
        for number in (0, 2):
            self._check_alike(steps_of(told[number]), painted(backend, tasks[number]))

    def test_one_of_many_that_cannot_be_painted_ends_alone(self, backend: Backend) -> None:
        """What `paint` would raise is handed out, as the end of that task."""
        if not isinstance(backend, PaintsMany):
            return
        tasks = three()
        tasks[1] = replace(tasks[1], content=None, styles=())
        with pytest.raises(PainterError):
            painted(backend, tasks[1])
        told = together(backend, tasks)
        assert [isinstance(one, PainterError) for one in told[1]] == [True]
        assert steps_of(told[0]) and steps_of(told[2])

    def _check_alike(self, mine: Sequence[Step], alone: Sequence[Step]) -> None:
        assert [(type(one), one.step) for one in mine] == [(type(one), one.step) for one in alone]
        for shown, wanted in zip(stages(mine).values(), stages(alone).values(), strict=True):
            off = np.frombuffer(shown, np.float32) - np.frombuffer(wanted, np.float32)
            assert np.abs(off).mean() <= self.alike
