"""Painting many tasks: who is painted with whom, and that nobody notices."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.painter import small
from tests.painter.paintings import AT_ONCE, painted, painting

from stylewatch_painter.algorithm.paint import groups, paint_many
from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.errors import DivergedError, PictureError
from stylewatch_painter.stage import Stage, Step, Wish, go_on
from stylewatch_plugins.testing.tasks import OPTIMIZERS, after

Stories = dict[int, list[Step | Exception]]


def in_turn(*wishes: Wish) -> Callable[[], Wish]:
    """These wishes, and to go on after that."""
    left = iter(wishes)
    return lambda: next(left, Wish.GO_ON)


def together(tasks: list[Task], wishes: Mapping[int, tuple[Wish, ...]] | None = None) -> Stories:
    """What is told of each task."""
    asked = (wishes or {}).get
    told: Stories = {number: [] for number in range(len(tasks))}
    each = [in_turn(*asked(number, ())) for number in range(len(tasks))]
    for number, made in paint_many(tasks, small.network(), each):
        told[number].append(made)
    return told


def alike(told: list[Step | Exception], alone: list[Step]) -> None:
    """Both stories tell the same, within what adding up in another order does."""
    assert len(told) == len(alone)
    for one, other in zip(told, alone, strict=True):
        assert isinstance(one, Step)
        assert (one.step, one.steps, one.size) == (other.step, other.steps, other.size)
        assert one.losses.total == pytest.approx(other.losses.total, rel=1e-3)
        assert isinstance(one, Stage) == isinstance(other, Stage)
        if isinstance(one, Stage) and isinstance(other, Stage):
            np.testing.assert_allclose(one.picture, other.picture, atol=0.05)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_each_is_painted_as_if_it_were_alone(kind: str) -> None:
    changes = [
        {"optimizer": OPTIMIZERS[kind], **other}
        for other in ({}, {"strength": 0.9}, {"objective.style.layers.conv2_1": 7})
    ]
    tasks = [
        painting(one, content=small.picture(20 + seed), seed=seed)
        for seed, one in enumerate(changes)
    ]
    told = together(tasks)
    for number, task in enumerate(tasks):
        alike(told[number], painted(task))


@pytest.mark.parametrize(
    ("most", "parts"),
    [(1, [[0], [1], [2]]), (2, [[0], [1, 2]]), (3, [[0, 1, 2]]), (4, [[0, 1, 2]])],
)
def test_no_more_are_painted_together_than_there_may_be_at_once(
    most: int, parts: list[list[int]]
) -> None:
    tasks = [painting({**AT_ONCE, "steps": 2}, seed=seed) for seed in range(3)]
    wishes = [go_on] * len(tasks)
    several = paint_many(tasks, small.network(), wishes, max_batch=lambda _: most)
    assert [number for number, _ in several] == [one for part in parts for one in 2 * part]


@pytest.mark.parametrize(
    "other",
    [
        {"size": "17"},
        {"steps": 5},
        {"objective.network.pool": "average"},
        {"objective.network.padding": "reflect"},
        {"ema_decay": 0.5},
        {"objective.content.loss": "mean"},
        {"objective.style.layers.conv2_1": None},
        {"objective.tv": {"loss": "squared", "weight": 1}},
        {"optimizer.history": 3},
    ],
)
def test_what_is_of_another_shape_is_painted_by_itself(other: Mapping[str, Any]) -> None:
    tasks = [painting(), painting(other), painting({"strength": 0.1})]
    assert groups(tasks) == [[0, 2], [1]]
    told = together(tasks)
    for number, task in enumerate(tasks):
        alike(told[number], painted(task))


def test_one_that_goes_on_or_searches_along_a_line_is_painted_by_itself() -> None:
    (*_, last) = painted(painting(), *after(3, Wish.STOP))
    going_on = painting(resume=last.checkpoint)
    searching = {"optimizer": {"kind": "lbfgs", "line_search": "strong_wolfe"}}
    tasks = [painting(), going_on, painting(searching), painting(searching), painting()]
    assert groups(tasks) == [[0, 4], [1], [2], [3]]
    assert [step.step for step in together(tasks)[1] if isinstance(step, Step)] == [4, 5, 6, 7]


@pytest.mark.parametrize("wish", [Wish.STOP, Wish.FINISH])
def test_one_that_ends_early_leaves_the_others_as_they_were(wish: Wish) -> None:
    tasks = [painting(seed=seed, content=small.picture(30 + seed)) for seed in range(3)]
    told = together(tasks, {1: after(4, wish)})
    alike(told[1], painted(tasks[1], *after(4, wish)))
    for number in (0, 2):
        alike(told[number], painted(tasks[number]))
    last = told[1][-1]
    assert isinstance(last, Step)
    if wish is Wish.STOP:
        alike([*told[1], *painted(replace(tasks[1], resume=last.checkpoint))], painted(tasks[1]))


def test_one_that_runs_away_leaves_the_others_as_they_were() -> None:
    """Weights may differ within a group: one so large that nothing is a number any more."""
    wild = painting({"objective.style.layers.conv1_1": 1e300, **AT_ONCE})
    tasks = [painting(AT_ONCE), wild, painting(AT_ONCE, seed=1)]
    assert groups(tasks) == [[0, 1, 2]]
    told = together(tasks)
    assert isinstance(told[1][-1], DivergedError)
    assert all(isinstance(step, Step) for step in told[1][:-1])
    for number in (0, 2):
        alike(told[number], painted(tasks[number]))


def test_one_that_cannot_be_painted_leaves_the_others_as_they_were() -> None:
    floor = {"objective.network.pool_edge": "floor"}
    tasks = [painting(), painting(floor, content=small.picture(5, 1, 1)), painting(seed=1)]
    told = together(tasks)
    (error,) = told[1]
    assert isinstance(error, PictureError)
    for number in (0, 2):
        alike(told[number], painted(tasks[number]))
