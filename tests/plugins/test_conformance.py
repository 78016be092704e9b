"""The conformance suite rejects backends that break the contract, each in one way."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, islice
from typing import Any

import numpy as np
import pytest
from tests.plugins.promises import PROMISES, keeps

from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.images.resize import resize
from stylewatch_painter.recipes.book import change
from stylewatch_painter.scene.task import Task
from stylewatch_painter.stage import Stage, Step, Wish
from stylewatch_plugins.contract import Backend, Capabilities, Device
from stylewatch_plugins.sketch import Sketch
from stylewatch_plugins.testing.tasks import kept, terms
from stylewatch_tones.backend import Tones

Steps = Iterator[Step]
RUNS = count()
NO_RESUME = Capabilities(resume=False)
VARIES = Capabilities(deterministic=False)


def variant(base: type[Backend] = Sketch, **members: Any) -> type[Any]:
    """Make a subclass with some members replaced."""
    return type("Variant", (base,), members)


def of_task(edit: Callable[[Task], Task], base: type[Backend] = Sketch) -> type[Any]:
    """Make a backend that runs another task than it is given."""
    return variant(base, paint=lambda self, task, wish: base.paint(self, edit(task), wish))


def of_measured(edit: Callable[[Task], Task], base: type[Backend] = Sketch) -> type[Any]:
    """Make a backend that measures another task than it is given."""
    return variant(base, measure=lambda self, task: base.measure(self, edit(task)))


def of_steps(edit: Callable[[Steps, Task], Steps], **members: Any) -> type[Any]:
    """Make a backend that changes the steps it yields."""
    return variant(
        paint=lambda self, task, wish: edit(Sketch.paint(self, task, wish), task), **members
    )


def each(edit: Callable[[Step], Step], **members: Any) -> type[Any]:
    """Make a backend that changes each step it yields."""
    return of_steps(lambda steps, _: (edit(step) for step in steps), **members)


def redrawn(draw: Callable[[Stage], Any], **members: Any) -> type[Any]:
    """Make a backend that changes its pictures."""
    return each(lambda s: replace(s, picture=draw(s)) if isinstance(s, Stage) else s, **members)


def with_total(total: Callable[[Step], Any]) -> type[Any]:
    return each(lambda step: replace(step, losses=replace(step.losses, total=total(step))))


def recipe(task: Task, **fields_: Any) -> Task:
    return replace(task, recipe=change(task.recipe, fields_))


def rounded(step: Step) -> Step:
    """Round the picture of the checkpoint."""
    if step.checkpoint is None:
        return step
    picture_ = np.rint(step.checkpoint["picture"])
    return replace(step, checkpoint={**step.checkpoint, "picture": picture_})


def write_to_the_content(steps: Steps, task: Task) -> Steps:
    yield from steps
    if task.resume is not None and task.content is not None:
        task.content.fill(0)


def of_common_size(task: Task) -> Task:
    """Use styles in the size that the recipe has for all."""
    return replace(
        task,
        styles=tuple(
            replace(s, picture=resize(s.picture, task.style_size(replace(s, size=None))))
            for s in task.styles
        ),
    )


SHARED = np.ones((18, 24, 3), np.float32)


def with_masks(task: Task, edit: Callable[[Any], Any]) -> Task:
    styles = tuple(replace(style, mask=edit(style.mask)) for style in task.styles)
    return replace(task, styles=styles, content_mask=edit(task.content_mask))


PLAIN = {"ema_decay": 0.0, "carry_moments": False, "objective.network.padding": "zeros"}

WRONG: dict[str, list[type[Any]]] = {
    "members_and_contract": [variant(contract=2)],
    "unknown_option_is_refused": [variant(__init__=lambda self, _: Sketch.__init__(self, {}))],
    "devices_and_problem": [variant(devices=lambda _: (Device("pencil", "not an option"),))],
    "provenance": [
        variant(
            provenance=lambda self, task: replace(Sketch.provenance(self, task), warnings=()),
            capabilities=NO_RESUME,
        )
    ],
    "steps_and_stages": [
        each(lambda s: replace(s, step=s.step - 1)),
        of_task(lambda task: recipe(task, save_every=1)),
        redrawn(lambda s: s.picture[: s.size[1], : s.size[0]]),
    ],
    "save_start_yields_the_start_first": [
        of_task(lambda task: recipe(task, save_start=False)),
        of_task(lambda task: recipe(task, start="style")),
    ],
    "total_is_the_sum_of_value_times_weight": [
        with_total(lambda s: sum(term.value for term in terms(s.losses)))
    ],
    "total_falls": [with_total(lambda s: float(s.step))],
    "measure_gives_the_losses_before_the_first_step": [
        of_measured(lambda task: recipe(task, start="noise"))
    ],
    "schedule_without_steps": [
        of_task(lambda task: recipe(task, steps=task.recipe.schedule.steps or 1))
    ],
    "seed_determines_the_picture": [of_task(lambda task: replace(task, seed=next(RUNS)))],
    "each_start_is_another_picture": [of_measured(lambda task: recipe(task, start="content"))],
    "odd_size_runs_or_is_refused": [redrawn(lambda s: np.zeros((18, 24, 3), np.float32))],
    "styles_count_by_their_weights": [
        of_task(lambda task: replace(task, styles=task.styles[:1])),
    ],
    "size_of_a_style_overrides_the_recipe": [of_task(of_common_size)],
    "missing_picture_drops_its_losses": [
        of_task(
            lambda t: replace(t, content=t.styles[0].picture if t.content is None else t.content)
        )
    ],
    "divergence_never_shows_numbers_that_are_not_finite": [
        redrawn(lambda s: s.picture * np.float32(np.nan))
    ],
    "masks_act_if_declared": [
        variant(Tones, capabilities=Capabilities()),
        of_measured(lambda t: with_masks(t, lambda m: None if m is None else 1 - m), Tones),
    ],
    "equivalent_masks_give_equal_losses": [
        of_measured(lambda t: with_masks(t, lambda m: None if m is None else m[..., :1]), Tones)
    ],
    "wish_is_called_after_every_step": [
        variant(paint=lambda self, t, wish: Sketch.paint(self, t, lambda: (wish(), wish())[1]))
    ],
    "finish_yields_a_stage": [
        variant(paint=lambda self, t, wish: Sketch.paint(self, t, lambda: (wish(), Wish.GO_ON)[1]))
    ],
    "stop_yields_a_checkpoint": [each(lambda s: replace(s, checkpoint=None))],
    "checkpoints_do_not_change_the_pictures": [of_steps(lambda steps, _: islice(steps, 3))],
    "resumed_job_gives_the_same_bytes": [each(rounded)],
    "resumed_job_with_every_setting_gives_the_same_bytes": [each(rounded)],
    "foreign_checkpoint_is_refused": [
        of_task(lambda task: recipe(task, **PLAIN)),
        of_task(lambda t: with_masks(t, lambda _: None), Tones),
    ],
    "inputs_are_not_changed": [of_steps(write_to_the_content)],
    "yielded_arrays_may_be_written_to": [redrawn(lambda _: SHARED)],
    "run_can_be_closed": [of_steps(lambda s, _: iter(list(s)))],
    "two_runs_share_no_state": [
        redrawn(lambda s: s.picture + np.float32(9 * next(RUNS)), capabilities=VARIES)
    ],
}
"""Backends that break the contract, each in one way, by the test that finds them."""


@pytest.mark.parametrize("promise", PROMISES)
def test_every_test_of_the_suite_rejects_a_broken_backend(promise: str) -> None:
    for backend in WRONG[promise.removeprefix("test_")]:
        assert not keeps(backend, promise)


def cannot_resume(steps: Steps, task: Task) -> Steps:
    if task.resume is not None:
        raise CheckpointError("this backend cannot resume")
    return (replace(step, checkpoint=None) for step in steps)


@pytest.mark.parametrize("promise", PROMISES)
@pytest.mark.parametrize(
    "backend",
    [
        of_steps(cannot_resume, capabilities=NO_RESUME),
        redrawn(lambda s: s.picture + np.float32(1e-5 * next(RUNS)), capabilities=VARIES),
    ],
    ids=["no-resume", "nearly-deterministic"],
)
def test_backend_with_fewer_capabilities_passes(backend: type[Any], promise: str) -> None:
    """Sketch and Tones, with all of theirs, run the suite in their own tests."""
    assert keeps(backend, promise)


def test_checkpoint_must_hold_plain_arrays() -> None:
    with pytest.raises(AssertionError, match="none was yielded"):
        kept(None)
    with pytest.raises(ValueError, match="pickle"):
        kept({"state": np.array([object()])})
