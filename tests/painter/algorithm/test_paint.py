"""The painting loop: when stages come, what decides the bytes, stopping and going on."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from tests.painter import small
from tests.painter.paintings import AT_ONCE, NOISE, painted, painting

from stylewatch_painter.algorithm.paint import measure, paint
from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.errors import (
    CheckpointError,
    DivergedError,
    PainterError,
    PictureError,
    RecipeError,
)
from stylewatch_painter.stage import Stage, Wish
from stylewatch_plugins.testing.tasks import OPTIMIZERS, after, kept, stages

WHOLE, HALF = (small.WIDTH, small.HEIGHT), (10, 9)
KINDS = pytest.mark.parametrize("kind", OPTIMIZERS)


@pytest.mark.parametrize(
    ("every", "due"), [(1, {1, 2, 3, 4, 5, 6, 7}), (2, {2, 4, 6, 7}), (3, {3, 6, 7}), (99, {7})]
)
def test_stages_come_after_every_save_every_steps_over_all_sizes_and_at_the_end(
    every: int, due: set[int]
) -> None:
    steps = painted(painting({"save_every": every}))
    assert [step.step for step in steps] == [1, 2, 3, 4, 5, 6, 7]
    assert set(stages(steps)) == due


def test_a_stage_is_a_float_picture_of_the_final_size_that_nobody_clipped() -> None:
    wild = {"start": "noise", "noise_scale": 300, "keep_range": False}
    for step in painted(painting({**wild, "save_every": 1})):
        assert isinstance(step, Stage)
        assert step.picture.shape == (18, 21, 3)
        assert step.picture.dtype == np.float32
        assert step.picture.min() < 0
        assert step.picture.max() > 255


def test_losses_belong_to_the_picture_before_the_step() -> None:
    """What is measured at the picture of a stage is what the next step reports."""
    forward = {**AT_ONCE, "optimizer.step_back": None}
    steps = painted(painting({**forward, "save_every": 1}))
    for step, following in pairwise(steps):
        assert isinstance(step, Stage)
        there = measure(painting({"start": "picture"}, init=step.picture), small.network())
        assert there.total == pytest.approx(following.losses.total, rel=1e-4)


@pytest.mark.parametrize(
    "start",
    [{"start": "content"}, {"start": "style"}, NOISE, {"start": "mixed", "noise_ratio": 0.5}],
)
def test_measuring_gives_the_losses_of_the_first_step(start: Mapping[str, Any]) -> None:
    measured = measure(painting(start), small.network())
    assert measured == painted(painting({**start, **AT_ONCE}))[0].losses
    assert measured == measure(painting({**start, "steps": 0}), small.network())


def test_a_seed_gives_the_same_bytes_and_another_one_another_picture() -> None:
    first = stages(painted(painting(NOISE, seed=1)))
    assert stages(painted(painting(NOISE, seed=1))) == first
    other = stages(painted(painting(NOISE, seed=2)))
    assert all(other[step] != picture for step, picture in first.items())


def test_told_to_finish_it_ends_with_a_stage_of_the_final_size() -> None:
    (only,) = painted(painting(), Wish.FINISH)
    assert isinstance(only, Stage)
    assert (only.step, only.steps, only.size) == (1, 7, HALF)
    assert only.picture.shape == (18, 21, 3)
    assert only.checkpoint is None


@pytest.mark.parametrize("at", [1, 2, 3, 7])
def test_told_to_stop_it_ends_with_a_checkpoint(at: int) -> None:
    """Also where a stage is due, and where the size changes."""
    steps = painted(painting(), *after(at, Wish.STOP))
    assert [step.step for step in steps] == list(range(1, at + 1))
    assert [step.checkpoint is not None for step in steps] == [False] * (at - 1) + [True]
    assert isinstance(steps[-1], Stage) == (at in (2, 7))


@KINDS
def test_it_goes_on_from_every_step_in_the_same_bytes(kind: str) -> None:
    task = painting({**NOISE, "optimizer": OPTIMIZERS[kind], "save_every": 1}, several=2, seed=3)
    whole = painted(task)
    assert len(set(stages(whole).values())) == len(whole), "every step moves the picture"
    for stopped in painted(task, *[Wish.CHECKPOINT] * len(whole)):
        rest = painted(replace(task, resume=kept(stopped.checkpoint)))
        left = whole[stopped.step :]
        assert stages(rest) == stages(left)
        assert [(s.step, s.size, s.losses) for s in rest] == [
            (s.step, s.size, s.losses) for s in left
        ]
        assert all(step.seconds >= stopped.seconds for step in rest)


@pytest.mark.parametrize(
    "other",
    [
        lambda task: replace(task, recipe=painting({"strength": 0.9}).recipe),
        lambda task: replace(task, recipe=painting({"steps": 9}).recipe),
        lambda task: replace(task, seed=1),
        lambda task: replace(task, content=task.content + 1),
        lambda task: replace(task, content=None, init=task.content),
        lambda task: replace(task, init=task.content),
        lambda task: replace(task, styles=()),
        lambda task: replace(task, styles=task.styles[::-1]),
        lambda task: replace(task, styles=(replace(task.styles[0], weight=2), *task.styles[1:])),
        lambda task: replace(task, styles=(replace(task.styles[0], scale=2), *task.styles[1:])),
        lambda task: replace(task, styles=(replace(task.styles[0], size="8"), *task.styles[1:])),
    ],
)
def test_a_checkpoint_of_another_painting_is_refused(other: Callable[[Task], Task]) -> None:
    task = painting(several=2)
    checkpoint = painted(task, Wish.STOP)[-1].checkpoint
    with pytest.raises(CheckpointError, match="belongs to another painting"):
        painted(replace(other(task), resume=checkpoint))


@pytest.mark.parametrize(("rate", "weight"), [(1e12, 1), (1e38, 1), (1e38, 1e9), (1e300, 1)])
def test_a_painting_that_runs_away_is_told_in_words(rate: float, weight: float) -> None:
    """Before a picture of what is no number is shown, be it the very first."""
    wild = painting(
        {
            "optimizer": {"kind": "sgd", "rate": rate},
            "objective.style.layers.conv1_1": weight,
            "keep_range": False,
            "save_every": 1,
        }
    )
    seen = []
    with pytest.raises(DivergedError, match=r"no longer a number at step \d+: a smaller rate"):
        for step in paint(wild, small.network()):
            seen.append(step)
    assert all(np.isfinite(s.picture).all() for s in seen if isinstance(s, Stage))


@pytest.mark.parametrize("wish", [Wish.GO_ON, Wish.FINISH])
def test_the_contents_detail_outlives_the_small_sizes_where_it_is_to_be_kept(wish: Wish) -> None:
    """With steps so small that nothing is painted, only what the sizes do is left."""
    still = {"optimizer": {"kind": "sgd", "rate": 1e-9}}
    detailed, blurred = (painting({**still, "keep_detail": keep}) for keep in (True, False))
    far = []
    for task in (detailed, blurred):
        last = painted(task, wish)[-1]
        assert isinstance(last, Stage) and task.content is not None
        far.append(float(np.abs(last.picture - task.content).mean()))
    assert far[0] < 1e-3
    assert far[1] > 20


def test_colors_that_are_kept_in_range_are_so_at_every_step() -> None:
    """The last picture is what is written, but for rounding; a wild start is cut at once."""
    wild = {**NOISE, "noise_scale": 300, "save_every": 1, "scales": (), "keep_range": True}
    for step in painted(painting(wild)):
        assert isinstance(step, Stage)
        assert step.picture.min() > -1e-4
        assert step.picture.max() < 255 + 1e-4


@pytest.mark.parametrize(
    ("task", "error", "told"),
    [
        (painting(NOISE, content=None, styles=()), PictureError, "neither a content nor a style"),
        (painting(content=None), RecipeError, "start: content needs a content picture"),
        (painting({"start": "mixed"}, content=None), RecipeError, "start: mixed needs a content"),
        (painting({"start": "style"}, styles=()), RecipeError, "start: style needs a style"),
        (painting({"start": "picture"}), RecipeError, "start: picture needs a picture"),
        (painting({**NOISE, "objective.style": None}, content=None), PictureError, "content only"),
        (painting({**NOISE, "objective.content": None}, styles=()), PictureError, "style only"),
    ],
)
def test_a_picture_that_is_missing_is_named(
    task: Task, error: type[PainterError], told: str
) -> None:
    with pytest.raises(error, match=told):
        painted(task)
    with pytest.raises(error, match=told):
        measure(task, small.network())
