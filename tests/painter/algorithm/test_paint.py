"""The painting loop: when stages come, what decides the bytes, stopping and going on."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import count, pairwise
from typing import Any

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.paintings import AT_ONCE, NOISE, painted, painting
from torch import Tensor

from stylewatch_painter.algorithm.canvas import Canvas
from stylewatch_painter.algorithm.objective import Objective
from stylewatch_painter.algorithm.paint import (
    Result,
    _Reporter,
    groups,
    measure,
    paint,
    paint_many,
    report_group,
)
from stylewatch_painter.algorithm.state import Convergence, MovingAverage, PaintState
from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.errors import (
    CheckpointError,
    DivergedError,
    PainterError,
    PictureError,
    RecipeError,
)
from stylewatch_painter.stage import Stage, Step, Wish, go_on
from stylewatch_plugins.testing.tasks import OPTIMIZERS, after, kept, stages

WHOLE, HALF = (small.WIDTH, small.HEIGHT), (10, 9)
KINDS = pytest.mark.parametrize("kind", OPTIMIZERS)


@pytest.mark.parametrize(
    ("every", "due"), [(1, {1, 2, 3, 4, 5, 6, 7}), (2, {2, 4, 6, 7}), (3, {3, 6, 7}), (99, {7})]
)
def test_stages_follow_save_every_and_the_end(every: int, due: set[int]) -> None:
    steps = painted(painting({"save_every": every}))
    assert [step.step for step in steps] == [1, 2, 3, 4, 5, 6, 7]
    assert set(stages(steps)) == due


def test_stage_is_a_float_picture_of_the_final_size() -> None:
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
def test_measure_equals_the_first_step(start: Mapping[str, Any]) -> None:
    measured = measure(painting(start), small.network())
    assert measured == painted(painting({**start, **AT_ONCE}))[0].losses
    assert measured == measure(painting({**start, "steps": 0}), small.network())


def test_seed_determines_the_bytes() -> None:
    first = stages(painted(painting(NOISE, seed=1)))
    assert stages(painted(painting(NOISE, seed=1))) == first
    other = stages(painted(painting(NOISE, seed=2)))
    assert all(other[step] != picture for step, picture in first.items())


def test_finish_ends_with_a_stage() -> None:
    (only,) = painted(painting(), Wish.FINISH)
    assert isinstance(only, Stage)
    assert (only.step, only.steps, only.size) == (1, 7, HALF)
    assert only.picture.shape == (18, 21, 3)
    assert only.checkpoint is None


@pytest.mark.parametrize("at", [1, 2, 3, 7])
def test_stop_ends_with_a_checkpoint(at: int) -> None:
    """Also where a stage is due, and where the size changes."""
    steps = painted(painting(), *after(at, Wish.STOP))
    assert [step.step for step in steps] == list(range(1, at + 1))
    assert [step.checkpoint is not None for step in steps] == [False] * (at - 1) + [True]
    assert isinstance(steps[-1], Stage) == (at in (2, 7))


@KINDS
def test_resumed_painting_is_byte_identical(kind: str) -> None:
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
def test_foreign_checkpoint_is_refused(other: Callable[[Task], Task]) -> None:
    task = painting(several=2)
    checkpoint = painted(task, Wish.STOP)[-1].checkpoint
    with pytest.raises(CheckpointError, match="belongs to another painting"):
        painted(replace(other(task), resume=checkpoint))


@pytest.mark.parametrize(("rate", "weight"), [(1e12, 1), (1e38, 1), (1e38, 1e9), (1e300, 1)])
def test_divergence_is_reported(rate: float, weight: float) -> None:
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
def test_content_detail_survives_small_scales(wish: Wish) -> None:
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


def test_keep_range_clamps_every_step() -> None:
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
def test_missing_picture_is_named(task: Task, error: type[PainterError], told: str) -> None:
    with pytest.raises(error, match=told):
        painted(task)
    with pytest.raises(error, match=told):
        measure(task, small.network())


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
def test_batched_painting_equals_painting_alone(kind: str) -> None:
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
def test_batch_size_is_limited(most: int, parts: list[list[int]]) -> None:
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
def test_other_shapes_run_in_other_batches(other: Mapping[str, Any]) -> None:
    tasks = [painting(), painting(other), painting({"strength": 0.1})]
    assert groups(tasks) == [[0, 2], [1]]
    told = together(tasks)
    for number, task in enumerate(tasks):
        alike(told[number], painted(task))


def test_resumed_or_searching_task_runs_alone() -> None:
    (*_, last) = painted(painting(), *after(3, Wish.STOP))
    going_on = painting(resume=last.checkpoint)
    searching = {"optimizer": {"kind": "lbfgs", "line_search": "strong_wolfe"}}
    tasks = [painting(), going_on, painting(searching), painting(searching), painting()]
    assert groups(tasks) == [[0, 4], [1], [2], [3]]
    assert [step.step for step in together(tasks)[1] if isinstance(step, Step)] == [4, 5, 6, 7]


@pytest.mark.parametrize("wish", [Wish.STOP, Wish.FINISH])
def test_stopping_one_leaves_the_batch_unchanged(wish: Wish) -> None:
    tasks = [painting(seed=seed, content=small.picture(30 + seed)) for seed in range(3)]
    told = together(tasks, {1: after(4, wish)})
    alike(told[1], painted(tasks[1], *after(4, wish)))
    for number in (0, 2):
        alike(told[number], painted(tasks[number]))
    last = told[1][-1]
    assert isinstance(last, Step)
    if wish is Wish.STOP:
        alike([*told[1], *painted(replace(tasks[1], resume=last.checkpoint))], painted(tasks[1]))


def test_divergence_of_one_leaves_the_batch_unchanged() -> None:
    """Weights may differ within a group: one so large that nothing is a number any more."""
    wild = painting({"objective.style.layers.conv1_1": 1e300, **AT_ONCE})
    tasks = [painting(AT_ONCE), wild, painting(AT_ONCE, seed=1)]
    assert groups(tasks) == [[0, 1, 2]]
    told = together(tasks)
    assert isinstance(told[1][-1], DivergedError)
    assert all(isinstance(step, Step) for step in told[1][:-1])
    for number in (0, 2):
        alike(told[number], painted(tasks[number]))


def test_invalid_task_leaves_the_batch_unchanged() -> None:
    floor = {"objective.network.pool_edge": "floor"}
    tasks = [painting(), painting(floor, content=small.picture(5, 1, 1)), painting(seed=1)]
    told = together(tasks)
    (error,) = told[1]
    assert isinstance(error, PictureError)
    for number in (0, 2):
        alike(told[number], painted(tasks[number]))


STEPS = 6


class Painting:
    """A painting of six steps, which ends in a stage, and what is told of it."""

    def __init__(self) -> None:
        network = small.network()
        forward = {**AT_ONCE, "optimizer.step_back": None}
        task = painting({**forward, "steps": STEPS, "save_every": 99})
        canvas = Canvas(task, network.mean, network.device)
        levels = canvas.task.levels()
        self.place = PaintState.start([canvas], levels)
        self.target = Objective([canvas], network, levels[0])
        ticks = count(50.0, 3.0)
        self.reporter = _Reporter(self.place, levels, lambda: next(ticks))

    def step(self, wish: Wish = Wish.GO_ON) -> list[Result] | None:
        """Make a step; what is told after it, if anything is."""
        before = self.place.u.clone()
        seen = self.place.optimizer.step(self.place.u, self.target)
        self.place.step += 1
        self.reporter.add(seen.terms)
        if not self.reporter.is_due([wish]):
            return None
        results, _ = self.reporter.report(self.target, before, [wish])
        return [result for _, result in results]


@pytest.mark.parametrize(
    ("device", "seconds", "steps"),
    [("cpu", 1e-6, 1), ("cpu", 9, 1), ("meta", 1e-3, 10), ("meta", 0.1, 5), ("meta", 2.0, 1),
     ("meta", 0.0, 10)],
)  # fmt: skip
def test_report_interval_on_a_gpu(device: str, seconds: float, steps: int) -> None:
    assert report_group(torch.device(device), seconds) == steps


def test_steps_are_reported_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second told says when it was made as well as can be known."""
    monkeypatch.setattr("stylewatch_painter.algorithm.paint.report_group", lambda *_: 3)
    made = Painting()
    first = made.step()
    assert first is not None and len(first) == 1  # how long a step takes is not known before
    assert [made.step(), made.step()] == [None, None]
    told = made.step()
    assert told is not None
    steps = [step for step in told if isinstance(step, Step)]
    assert [step.step for step in steps] == [2, 3, 4]
    assert [step.seconds for step in steps] == [4, 5, 6]
    assert len({step.losses.total for step in steps}) == 3


@pytest.mark.parametrize("wish", [Wish.CHECKPOINT, Wish.STOP, Wish.FINISH])
def test_wish_is_reported_at_once(monkeypatch: pytest.MonkeyPatch, wish: Wish) -> None:
    monkeypatch.setattr("stylewatch_painter.algorithm.paint.report_group", lambda *_: 99)
    made = Painting()
    made.step()
    assert made.step() is None
    told = made.step(wish)
    assert told is not None
    *_, last = told
    assert isinstance(last, Step) and last.step == 3
    assert isinstance(last, Stage) == (wish is Wish.FINISH)
    assert (last.checkpoint is None) == (wish is Wish.FINISH)


def test_steps_before_divergence_are_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is noticed late, and dated to where it happened."""
    monkeypatch.setattr("stylewatch_painter.algorithm.paint.report_group", lambda *_: 4)
    made = Painting()
    made.step()
    made.step()
    made.place.u.fill_(float("nan"))
    made.step()
    made.step()
    told = made.step()
    assert told is not None
    *steps, error = told
    assert [step.step for step in steps if isinstance(step, Step)] == [2]
    assert isinstance(error, DivergedError)
    assert "no longer a number at step 3" in str(error)


WHOLE_CONVERGENCE, HALF_CONVERGENCE = (small.WIDTH, small.HEIGHT), (10, 9)


def ended(objectives: Iterable[float], rest: Convergence | None = None) -> int | None:
    """The number of the first step that was the last of use, from 1; None: there is none."""
    rest = rest or Convergence(0.01)
    for number, objective in enumerate(objectives, start=1):
        if rest.reached(torch.tensor([objective])):
            return number
    return None


@pytest.mark.parametrize(
    ("share", "wanted"), [(0.9, None), (0.9989, None), (0.9995, 20), (1.0, 20), (1.001, 20)]
)
def test_convergence_needs_the_relative_decrease(share: float, wanted: int | None) -> None:
    """A hundredth in ten steps is about a thousandth in one."""
    assert ended(7e6 * share**number for number in range(40)) == wanted


def test_nan_is_not_converged() -> None:
    assert ended([float("nan")] * 40) is None


STILL = {
    "optimizer": {"kind": "sgd", "rate": 1e-9},
    "scales": [{"scale": 0.5, "steps": 35}],
    "steps": 50,
    "save_every": 8,
    "until": "converged",
}


def test_converged_size_ends_early() -> None:
    """Two looks, ten steps apart, are enough to see that; the last step is a stage."""
    steps = painted(painting(STILL))
    assert [step.size for step in steps] == [HALF_CONVERGENCE] * 20 + [WHOLE_CONVERGENCE] * 20
    assert [step.steps for step in steps] == [85] * 19 + [70] * 20 + [40]
    assert set(stages(steps)) == {8, 16, 24, 32, 40}


@pytest.mark.parametrize("broken", [5, 20, 33])
def test_resumed_painting_converges_at_the_same_step(broken: int) -> None:
    task = painting(STILL)
    (*_, stopped) = painted(task, *after(broken, Wish.STOP))
    rest = painted(replace(task, resume=kept(stopped.checkpoint)))
    assert [step.step for step in rest] == list(range(broken + 1, 41))
    assert {rest[-1].step, rest[-1].steps} == {40}


def pictures(count: int, rows: int = 2) -> list[Tensor]:
    draw = torch.Generator().manual_seed(5)
    return [torch.rand(rows, 3, 4, 5, generator=draw) for _ in range(count)]


def averaged(seen: list[Tensor], decay: float = 0.9) -> MovingAverage:
    made = MovingAverage.of(seen[0], decay)
    for one in seen[1:]:
        made.add(one)
    return made


def test_moving_average_weights_decay() -> None:
    """Over the sum of all weights: the first counts no more than it should."""
    seen = pictures(4)
    weights = [0.9**3, 0.9**2, 0.9, 1.0]
    wanted = sum((w * one for w, one in zip(weights, seen, strict=True)), torch.zeros(1))
    torch.testing.assert_close(averaged(seen).picture(), wanted / sum(weights))


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_moving_average_skips_nan(wrong: float) -> None:
    """Such a step is taken back; the picture beside it counts as ever."""
    one, two, three = pictures(3)
    broken = two.clone()
    broken[1, 0, 0, 0] = wrong
    found = averaged([one, broken, three]).picture()
    torch.testing.assert_close(found[0], averaged([one, two, three]).picture()[0])
    torch.testing.assert_close(found[1], averaged([one, three]).picture()[1])


def begun(count: int) -> tuple[PaintState, Objective]:
    """Some paintings that differ in their seeds, before their first step."""
    network = small.network()
    tasks = [painting({"start": "noise"}, seed=seed) for seed in range(count)]
    canvases = [Canvas(task, network.mean, network.device) for task in tasks]
    levels = tasks[0].levels()
    return PaintState.start(canvases, levels), Objective(canvases, network, levels[0])


def test_checkpoint_of_one_of_a_batch_equals_that_of_one_alone() -> None:
    (many, together), (single, alone) = begun(3), begun(1)
    for _ in range(3):
        many.optimizer.step(many.u, together)
        single.optimizer.step(single.u, alone)
    ours, theirs = many.save(0), single.save(0)
    assert ours.keys() == theirs.keys()
    assert all(ours[name].shape == theirs[name].shape for name in ours)
    assert np.abs(ours["u"].astype(np.float64) - theirs["u"].astype(np.float64)).max() < 1e-2


def test_taken_back_steps_are_counted_over_sizes_and_resumes() -> None:
    """With first steps so long that they lead uphill."""
    wild = {"optimizer": {"kind": "lbfgs", "first_step": 90, "step_back": 1.01}}
    steps = painted(painting(wild))
    counts = [step.taken_back for step in steps]
    assert sorted(counts) == counts
    assert counts[2] > 0  # at the small size
    assert counts[6] > counts[2]
    *_, stopped = painted(painting(wild), *after(5, Wish.STOP))
    rest = painted(painting(wild, resume=kept(stopped.checkpoint)))
    assert [step.taken_back for step in rest] == counts[5:]


AVERAGED = {"ema_decay": 0.8, "save_every": 1}


def test_shown_picture_is_the_moving_average() -> None:
    """By hand from the pictures themselves, the start of each size included."""
    made, (place, _) = painting(AVERAGED), begun(1)
    canvas = Canvas(made, (0.0, 0.0, 0.0), place.u.device)
    averaged = PaintState.start([canvas], canvas.task.levels())
    seen = [averaged.u.clone()]
    for step in range(3):
        averaged.u.add_(step + 1.0)
        averaged.count_step()
        seen.append(averaged.u.clone())
    weights = [0.8 ** (3 - at) for at in range(4)]
    wanted = sum((w * u for w, u in zip(weights, seen, strict=True)), torch.zeros(1)) / sum(weights)
    torch.testing.assert_close(averaged.shown(), wanted)
    averaged.next_level(canvas.task.levels())
    torch.testing.assert_close(averaged.u, canvas.enlarged(wanted, (21, 18)))
    torch.testing.assert_close(averaged.shown(), averaged.u)
    place.count_step()
    assert place.shown() is place.u


@pytest.mark.parametrize("at", [2, 5])
def test_averages_and_moments_resume_byte_identically(at: int) -> None:
    """Broken off at the small size, and at the large one."""
    changes = {**AVERAGED, "carry_moments": True, "optimizer": {"kind": "adam", "rate": 2.0}}
    whole = painted(painting(changes))
    *_, stopped = painted(painting(changes), *after(at, Wish.STOP))
    rest = painted(painting(changes, resume=kept(stopped.checkpoint)))
    for one, other in zip(rest, whole[at:], strict=True):
        assert isinstance(one, Stage) and isinstance(other, Stage)
        assert one.picture.tobytes() == other.picture.tobytes()
        assert one.losses == other.losses


def test_moments_are_carried_to_the_next_size() -> None:
    """The steps there differ from those of an optimizer that knows nothing."""
    adam = {"optimizer": {"kind": "adam", "rate": 2.0}, "save_every": 1}
    carried, fresh = (
        painted(painting({**adam, "carry_moments": carry})) for carry in (True, False)
    )
    for one, other in zip(carried, fresh, strict=True):
        assert isinstance(one, Stage) and isinstance(other, Stage)
        small_yet = one.size == carried[0].size
        assert small_yet == (one.picture.tobytes() == other.picture.tobytes())


def test_incomplete_checkpoint_is_refused() -> None:
    checkpoint = painted(painting(), *after(2, Wish.STOP))[-1].checkpoint
    assert checkpoint is not None
    with pytest.raises(CheckpointError, match="belongs to another painting"):
        painted(painting(resume={}))
    for name in ("u", "level", "step", "seconds", "optimizer.begun"):
        rest = {key: array for key, array in checkpoint.items() if key != name}
        with pytest.raises(CheckpointError, match=f"lacks '{name.rpartition('.')[2]}'"):
            painted(painting(resume=rest))
