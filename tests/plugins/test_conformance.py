"""The conformance suite rejects backends that break the contract, each in one way."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest
from tests.plugins.promises import PROMISES, keeps

from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.recipes.book import change
from stylewatch_painter.scene.task import Task
from stylewatch_painter.stage import Losses, Stage, Step, Wish
from stylewatch_plugins.contract import Backend, Capabilities, Device
from stylewatch_plugins.sketch import Sketch
from stylewatch_plugins.testing.tasks import kept, terms
from stylewatch_tones.backend import Tones

Steps = Iterator[Step]
RUNS = count()
NO_RESUME = Capabilities(resume=False)
VARIES = Capabilities(deterministic=False)
SHARED = np.ones((18, 24, 3), np.float32)


def unchanged(each: Any) -> Any:
    return each


def broken(
    base: type[Backend] = Sketch,
    *,
    task: Callable[[Task], Task] = unchanged,
    measured: Callable[[Task], Task] = unchanged,
    step: Callable[[Step], Step] = unchanged,
    steps: Callable[[Steps, Task], Steps] | None = None,
    **members: Any,
) -> type[Any]:
    """Make a backend that runs or measures another task, yields other steps, has other members."""

    def paint(self: Backend, given: Task, wish: Callable[[], Wish]) -> Steps:
        made = (step(each) for each in base.paint(self, task(given), wish))
        return made if steps is None else steps(made, given)

    def measure(self: Backend, given: Task) -> Losses:
        return base.measure(self, measured(given))

    return type("Broken", (base,), {"paint": paint, "measure": measure, **members})


def redrawn(draw: Callable[[Stage], Any], **members: Any) -> type[Any]:
    """Make a backend that changes its pictures."""

    def step(made: Step) -> Step:
        return replace(made, picture=draw(made)) if isinstance(made, Stage) else made

    return broken(step=step, **members)


def with_total(total: Callable[[Step], Any]) -> type[Any]:
    return broken(step=lambda s: replace(s, losses=replace(s.losses, total=total(s))))


def recipe(**fields_: Any) -> Callable[[Task], Task]:
    """Return a function that changes fields of a task's recipe."""
    return lambda task: replace(task, recipe=change(task.recipe, fields_))


def write_to_the_content(steps: Steps, task: Task) -> Steps:
    yield from steps
    if task.resume is not None and task.content is not None:
        task.content.fill(0)


def styled_without_content(task: Task) -> Task:
    return task if task.content is not None else replace(task, content=task.styles[0].picture)


def masks(edit: Callable[[Any], Any]) -> Callable[[Task], Task]:
    """Return a function that changes all masks of a task."""

    def edited(task: Task) -> Task:
        of_styles = (None if style.mask is None else edit(style.mask) for style in task.styles)
        styles = tuple(replace(s, mask=m) for s, m in zip(task.styles, of_styles, strict=True))
        mask = None if task.content_mask is None else edit(task.content_mask)
        return replace(task, styles=styles, content_mask=mask)

    return edited


def asking(*wishes: Callable[[Wish], Wish]) -> type[Any]:
    """Make a backend that asks once for each of these functions, and follows the last answer."""
    return broken(
        paint=lambda self, task, wish: Sketch.paint(
            self, task, lambda: [answer(wish()) for answer in wishes][-1]
        )
    )


PLAIN = {"ema_decay": 0.0, "carry_moments": False, "objective.network.padding": "zeros"}

WRONG: dict[str, list[type[Any]]] = {
    "members_and_contract": [broken(contract=2)],
    "unknown_option_is_refused": [broken(__init__=lambda self, _: Sketch.__init__(self, {}))],
    "devices_and_problem": [broken(devices=lambda _: (Device("pencil", "not an option"),))],
    "provenance": [
        broken(
            provenance=lambda self, task: replace(Sketch.provenance(self, task), warnings=()),
            capabilities=NO_RESUME,
        )
    ],
    "steps_and_stages": [
        broken(step=lambda s: replace(s, step=s.step - 1)),
        broken(task=recipe(save_every=1)),
        redrawn(lambda s: s.picture[: s.size[1], : s.size[0]]),
    ],
    "save_start_yields_the_start_first": [
        broken(task=recipe(save_start=False)),
        broken(task=recipe(start="style")),
    ],
    "total_is_the_sum_of_value_times_weight": [
        with_total(lambda s: sum(term.value for term in terms(s.losses)))
    ],
    "total_falls": [with_total(lambda s: float(s.step))],
    "measure_gives_the_losses_before_the_first_step": [broken(measured=recipe(start="noise"))],
    "schedule_without_steps": [
        broken(task=lambda task: recipe(steps=task.recipe.schedule.steps or 1)(task))
    ],
    "each_start_is_another_picture": [broken(measured=recipe(start="content"))],
    "odd_size_runs_or_is_refused": [redrawn(lambda _: SHARED)],
    "styles_count_by_their_weights": [
        broken(task=lambda task: replace(task, styles=task.styles[:1]))
    ],
    "missing_picture_drops_its_losses": [broken(task=styled_without_content)],
    "divergence_never_shows_numbers_that_are_not_finite": [
        redrawn(lambda s: s.picture * np.float32(np.nan))
    ],
    "masks_act_if_declared": [
        broken(Tones, capabilities=Capabilities()),
        broken(Tones, measured=masks(lambda mask: 1 - mask)),
    ],
    "equivalent_masks_give_equal_losses": [broken(Tones, measured=masks(lambda m: m[..., :1]))],
    "wish_is_called_after_every_step": [asking(unchanged, unchanged)],
    "finish_yields_a_stage": [asking(lambda _: Wish.GO_ON)],
    "stop_yields_a_checkpoint": [broken(step=lambda s: replace(s, checkpoint=None))],
    "foreign_checkpoint_is_refused": [
        broken(task=recipe(**PLAIN)),
        broken(Tones, task=masks(lambda _: None)),
    ],
    "inputs_are_not_changed": [broken(steps=write_to_the_content)],
    "yielded_arrays_may_be_written_to": [redrawn(lambda _: SHARED)],
}
"""Backends that break the contract, each in one way, by the test that finds them."""

VARYING = redrawn(lambda s: s.picture + np.float32(next(RUNS)))
"""Breaks the other promises, which are about equal bytes."""


def cannot_resume(steps: Steps, task: Task) -> Steps:
    if task.resume is not None:
        raise CheckpointError("this backend cannot resume")
    return (replace(step, checkpoint=None) for step in steps)


FEWER = [
    broken(steps=cannot_resume, capabilities=NO_RESUME),
    redrawn(lambda s: s.picture + np.float32(1e-5 * next(RUNS)), capabilities=VARIES),
]
"""Backends with fewer capabilities, which pass; Sketch and Tones, with all, run the suite, too."""


@pytest.mark.parametrize("promise", PROMISES)
def test_every_test_of_the_suite_rejects_broken_backends_alone(promise: str) -> None:
    wrong = WRONG.get(promise.removeprefix("test_"), [VARYING])
    assert [keeps(backend, promise) for backend in (*wrong, *FEWER)] == (
        [False] * len(wrong) + [True] * len(FEWER)
    )


def test_checkpoint_must_hold_plain_arrays() -> None:
    with pytest.raises(AssertionError, match="none was yielded"):
        kept(None)
    with pytest.raises(ValueError, match="pickle"):
        kept({"state": np.array([object()])})
