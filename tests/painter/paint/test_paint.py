"""The painting loop: stages, what decides the bytes, stopping, resuming."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.paintings import AT_ONCE, NOISE, painted, painting

from stylewatch_painter.errors import (
    CheckpointError,
    DivergedError,
    PainterError,
    PictureError,
    RecipeError,
)
from stylewatch_painter.paint.paint import paint
from stylewatch_painter.paint.state import PaintState
from stylewatch_painter.scene.canvas import Canvas
from stylewatch_painter.scene.task import Prior, Task
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Stage, Wish
from stylewatch_plugins.testing.tasks import OPTIMIZERS, after, saved_and_loaded, stages

WHOLE, HALF = Size(small.WIDTH, small.HEIGHT), Size(10, 9)


def test_stage_has_colors_in_range_if_they_are_kept_there() -> None:
    """Of the picture itself, of the coefficients of a pyramid, or of an average of pictures."""
    wild = {"start": "noise", "noise_scale": 300, "save_every": 1}
    pyramid = {"keep_range": True, "optimizer": {"kind": "adam", "pyramid": 2}}
    average = {"keep_range": True, "ema_decay": 0.99}
    for is_clamped, changes in ((False, {"keep_range": False}), (True, pyramid), (True, average)):
        for step in painted(painting({**wild, **AT_ONCE, **changes})):
            assert isinstance(step, Stage)
            low, high = step.picture.min(), step.picture.max()
            assert (low > -1e-4 and high < 255 + 1e-4) == is_clamped


WILD = {"optimizer": {"kind": "lbfgs", "first_step": 90, "step_back": 1.01}}
"""First steps so long that they lead uphill."""


def test_steps_that_are_taken_back_are_counted_over_sizes_and_checkpoints() -> None:
    task = painting({**NOISE, "save_every": 1, **WILD}, several=2, seed=3)
    whole = painted(task, *[Wish.CHECKPOINT] * 99)
    counts = [step.taken_back for step in whole]
    assert sorted(counts) == counts and 0 < counts[2] < counts[6]
    rest = painted(replace(task, resume=saved_and_loaded(whole[3].checkpoint)))
    assert stages(rest) == stages(whole[4:])
    assert [step.taken_back for step in rest] == counts[4:]
    assert [(step.steps, step.size) for step in rest] == [(s.steps, s.size) for s in whole[4:]]


def test_foreign_or_incomplete_checkpoint_is_refused() -> None:
    task = painting(several=2)
    first, second = task.styles
    checkpoint = saved_and_loaded(painted(task, *after(2, Wish.STOP))[-1].checkpoint)
    for other in (
        replace(task, recipe=painting({"strength": 0.9}).recipe),
        replace(task, seed=1),
        replace(task, content=small.picture(9)),
        replace(task, content=None, init=task.content),
        replace(task, styles=(second, first)),
        replace(task, content_mask=np.ones((2, 2), np.float32)),
        replace(task, prior=Prior(small.picture(3), np.ones((2, 2), np.float32), 1.0)),
    ):
        with pytest.raises(CheckpointError, match="belongs to another painting"):
            painted(replace(other, resume=checkpoint))


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_damaged_checkpoint_is_refused(kind: str) -> None:
    """Whatever it lacks, and whatever has another form or belongs to another step."""
    task = painting({"optimizer": OPTIMIZERS[kind], "carry_moments": False})
    saved = dict(saved_and_loaded(painted(task, *after(2, Wish.STOP))[-1].checkpoint))
    changes: list[dict[str, Any]] = [{"level": np.array(n)} for n in (-1, 99)]
    changes += [{"step": np.array(n)} for n in (-5, 99)]
    for name in saved.keys() - {"task", "parts"}:
        changes += [{name: None}, {name: saved[name][..., None]}]
    for change in changes:
        damaged = {key: array for key, array in {**saved, **change}.items() if array is not None}
        with pytest.raises(CheckpointError, match="is damaged, "):
            painted(replace(task, resume=damaged))


def test_checkpoint_of_an_earlier_version_has_no_list_of_its_parts() -> None:
    task = painting()
    saved = dict(saved_and_loaded(painted(task, *after(2, Wish.STOP))[-1].checkpoint))
    del saved["parts"]
    assert painted(replace(task, resume=saved))[-1].step == painted(task)[-1].step
    for change in ({"u": saved["u"][..., 1:]}, {"level": np.array(1), "step": np.array(1)}):
        with pytest.raises(CheckpointError, match="is damaged, "):
            painted(replace(task, resume={**saved, **change}))
    del saved["u"]
    with pytest.raises(CheckpointError, match="is damaged, it lacks 'u'"):
        painted(replace(task, resume=saved))


def test_divergence_is_reported() -> None:
    """The error comes before a picture that is not finite is shown."""
    wild = painting(
        {"optimizer": {"kind": "sgd", "rate": 1e30}, "objective.style.layers.conv1_1": 1e30,
         "save_every": 1, "keep_range": False}
    )  # fmt: skip
    steps = []
    with pytest.raises(DivergedError, match=r"no longer a number at step \d+: lower schedule"):
        for step in paint(wild, small.network()):
            steps.append(step)
    assert all(np.isfinite(step.picture).all() for step in steps if isinstance(step, Stage))


def test_missing_picture_and_styles_of_one_name_are_refused() -> None:
    twice = painting(AT_ONCE)
    no_style, no_content = ({**NOISE, f"objective.{side}": None} for side in ("style", "content"))
    wrong: list[tuple[Task, type[PainterError], str]] = [
        (painting(NOISE, content=None, styles=()), PictureError, "neither a content nor a style"),
        (painting(content=None), RecipeError, "start: content needs a content picture"),
        (painting({"start": "picture"}), RecipeError, "start: picture needs a picture"),
        (painting(no_style, content=None), PictureError, "no loss without a content"),
        (painting(no_content, styles=()), PictureError, "no loss without a style"),
        (replace(twice, styles=twice.styles * 2), PictureError, "2 styles have the name style-1"),
    ]
    for task, error, message in wrong:
        with pytest.raises(error, match=message):
            painted(task)


def test_moving_average_is_shown_and_enlarged() -> None:
    """From the pictures themselves, the start of each size included; moments are carried too."""
    task, vgg = painting({"ema_decay": 0.8}), small.network()
    canvas = Canvas(task, vgg.mean, vgg.device)
    state = PaintState.start(canvas)
    first = state.u.clone()
    state.u.add_(9.0)
    state.count_step()
    average = first + 9 / 1.8
    torch.testing.assert_close(state.shown(), average)
    state.next_level()
    torch.testing.assert_close(state.u, canvas.enlarged(average, WHOLE))
    torch.testing.assert_close(state.shown(), state.u)
    adam = {"optimizer": OPTIMIZERS["adam"], "save_every": 1}
    carried, fresh = (
        stages(painted(painting({**adam, "carry_moments": carry}))) for carry in (True, False)
    )
    assert [carried[step] == fresh[step] for step in carried] == [True] * 3 + [False] * 4
