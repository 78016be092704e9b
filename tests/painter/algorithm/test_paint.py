"""The painting loop: when stages come, what decides the bytes, stopping and going on."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count, pairwise
from typing import Any

import numpy as np
import pytest
from tests.painter import small
from tests.painter.paintings import AT_ONCE, NOISE, final, painted, painting

from stylewatch_painter.algorithm.caches import Looks
from stylewatch_painter.algorithm.paint import measure, paint
from stylewatch_painter.algorithm.task import Style, Task
from stylewatch_painter.errors import (
    CheckpointError,
    DivergedError,
    PainterError,
    PictureError,
    RecipeError,
)
from stylewatch_painter.stage import Stage, Step, Wish
from stylewatch_plugins.testing.tasks import OPTIMIZERS, after, kept, stages, terms

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


def test_a_step_says_where_the_painting_stands_and_since_when() -> None:
    """The clock is read once before the first step and once after each."""
    ticks = count(100.0)
    steps = list(paint(painting(), small.network(), clock=lambda: next(ticks)))
    assert [step.size for step in steps] == [HALF] * 3 + [WHOLE] * 4
    assert {step.steps for step in steps} == {7}
    assert [step.seconds for step in steps] == [1, 2, 3, 4, 5, 6, 7]
    assert all(step.checkpoint is None for step in steps)
    for step in steps:
        total = sum(term.value * term.weight for term in terms(step.losses))
        assert step.losses.total == pytest.approx(total)


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


def test_the_painting_takes_on_what_is_wanted() -> None:
    steps = painted(painting({**NOISE, **AT_ONCE, "steps": 20}))
    assert steps[-1].losses.total < 0.2 * steps[0].losses.total


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


@KINDS
def test_whoever_writes_into_a_checkpoint_does_not_change_the_painting(kind: str) -> None:
    task = painting({"optimizer": OPTIMIZERS[kind], "save_every": 1})
    seen: list[Step] = []
    for step in paint(task, small.network(), lambda: Wish.CHECKPOINT):
        assert step.checkpoint is not None
        for array in step.checkpoint.values():
            if array.flags.writeable:
                array.fill(0)
        seen.append(step)
    assert stages(seen) == stages(painted(task))


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


def test_a_side_without_a_picture_is_left_out() -> None:
    losses = final(painting(NOISE, content=None)).losses
    assert losses.style and not losses.content
    losses = final(painting(NOISE, styles=())).losses
    assert losses.content and not losses.style


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


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (3, 2), (17, 33)])
@pytest.mark.parametrize("pool", ["max", "average"])
@pytest.mark.parametrize("edge", ["ceil", "floor"])
def test_odd_sizes_are_painted_or_refused_in_words(
    size: tuple[int, int], pool: str, edge: str
) -> None:
    """Pools that drop what is left over at an edge leave nothing of a side under 16."""
    told = {"objective.network": {"pool": pool, "pool_edge": edge}, "size": "5000", "steps": 2}
    picture, style = small.picture(0, *size), Style(small.picture(1, *size))
    task = painting(told, content=picture, styles=(style,))
    if edge == "floor" and min(size) < 16:
        with pytest.raises(PictureError, match=r"would be \d+x\d+ pixels, .* ask for a larger"):
            painted(task)
    else:
        last = final(task)
        assert last.picture.shape == picture.shape
        assert np.isfinite(last.picture).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (21, 18)])
@pytest.mark.parametrize("start", ["content", "style", "picture"])
def test_pictures_are_left_as_they_were_and_may_be_read_only(
    size: tuple[int, int], start: str
) -> None:
    content, style, init = (small.picture(seed, *size) for seed in range(3))
    before = [array.tobytes() for array in (content, style, init)]
    for array in (content, style, init):
        array.flags.writeable = False
    told = {"start": start, "size": "21"}
    final(painting(told, content=content, styles=(Style(style),), init=init))
    assert [array.tobytes() for array in (content, style, init)] == before


@pytest.mark.parametrize("several", [1, 2])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"objective.style.gram": "sum", "style_scale": 0.9},
        {"objective.style.several": "grams"},
    ],
)
def test_with_styles_that_were_seen_before_it_paints_the_same_bytes(
    changes: Mapping[str, Any], several: int
) -> None:
    """They are looked at once for each size; also when a painting goes on from a checkpoint."""
    task = painting({"save_every": 1, **changes}, several)
    styles = tuple(replace(style, digest=style.name) for style in task.styles)
    network, looks = small.network(), Looks()
    plain = stages(list(paint(task, network)))
    known = replace(task, styles=styles)
    assert stages(list(paint(known, network, looks=looks))) == plain
    worked_out = looks.worked_out
    assert worked_out == len(styles) * len(task.levels())
    assert stages(list(paint(known, network, looks=looks))) == plain
    wishes = iter(after(2, Wish.STOP))
    *_, stopped = paint(known, network, lambda: next(wishes), looks=looks)
    going_on = replace(known, resume=stopped.checkpoint)
    rest = stages(list(paint(going_on, network, looks=looks)))
    assert rest == {step: picture for step, picture in plain.items() if step > 2}
    assert looks.worked_out == worked_out
