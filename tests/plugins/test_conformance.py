"""The conformance suite rejects backends that break the contract, each in one way."""

import re
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from itertools import count
from typing import Any

import numpy as np
import pytest
from tests.plugins.promises import keeps, promises

from stylewatch_painter.algorithm.task import Style, Task
from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.images.resize import resize
from stylewatch_painter.recipes.book import change, check
from stylewatch_painter.stage import Pixels, Stage, Step, Wish, go_on
from stylewatch_plugins.contract import Backend, Capabilities, Device
from stylewatch_plugins.sketch import Sketch
from stylewatch_plugins.testing.tasks import (
    OPTIMIZERS,
    SMALL_FIRST,
    everything,
    half,
    kept,
    picture,
    pictures,
    sample,
    terms,
    two_halves,
)
from stylewatch_tones.backend import Tones

Steps = Iterator[Step]
RUNS = count()


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


def checkpointed(**arrays: Callable[[Any], Any]) -> type[Any]:
    """Make a backend that changes some arrays of its checkpoints."""

    def edit(step: Step) -> Step:
        if step.checkpoint is None:
            return step
        changed = {name: edit(step.checkpoint[name]) for name, edit in arrays.items()}
        return replace(step, checkpoint={**step.checkpoint, **changed})

    return each(edit)


def of_many(edit: Callable[..., Any]) -> type[Any]:
    """Make a backend that changes what it yields for several tasks."""
    return variant(paint_many=lambda self, tasks, wishes: edit(Sketch(self.o), tasks, wishes), o={})


def recipe(task: Task, **fields_: Any) -> Task:
    return replace(task, recipe=change(task.recipe, fields_))


def provenance(**fields_: Any) -> Callable[[Any, Task], Any]:
    return lambda self, task: replace(Sketch.provenance(self, task), **fields_)


def estimate_of_one_size(self: Sketch, task: Task) -> Any:
    whole = Sketch.estimate(self, task)
    return replace(whole, sizes=whole.sizes[-1:], steps=(sum(whole.steps),))


def without_last_stage(step: Step) -> Step:
    plain = Step(**{field.name: getattr(step, field.name) for field in fields(Step)})
    return plain if step.step == step.steps else step


def with_total(total: Callable[[Step], Any]) -> type[Any]:
    return each(lambda step: replace(step, losses=replace(step.losses, total=total(step))))


def always_start_losses(self: Sketch, task: Task, wish: Callable[[], Wish]) -> Steps:
    start = self.measure(task)
    return (replace(step, losses=start) for step in Sketch.paint(self, task, wish))


def trip_over_narrow_pictures(task: Task) -> Task:
    if task.content is not None and task.content.shape[1] == 1:
        raise IndexError("index 1 is out of bounds")
    return task


def finish_later(self: Sketch, task: Task, wish: Callable[[], Wish]) -> Steps:
    late = [Wish.GO_ON]

    def later() -> Wish:
        late.append(wish())
        return late[-2]

    return Sketch.paint(self, task, later)


def end_at_a_checkpoint(steps: Steps, _: Task) -> Steps:
    for step in steps:
        yield step
        if step.checkpoint is not None:
            return


def write_to_the_content(steps: Steps, task: Task) -> Steps:
    yield from steps
    if task.resume is not None and task.content is not None:
        task.content.fill(0)


def share_the_picture(steps: Steps, _: Task) -> Steps:
    """What the caller does to one stage shows in the next."""
    last: Stage | None = None
    for step in steps:
        if isinstance(step, Stage):
            if last is not None and not last.picture.any():
                step.picture.fill(0)
            last = step
        yield step


def keep_the_task(self: Any, task: Task, wish: Callable[[], Wish]) -> Steps:
    """Store on the backend what belongs to one run."""
    self.task = task
    for step in Sketch.paint(self, task, wish):
        if isinstance(step, Stage) and self.task is not task:
            step.picture.fill(0)
        yield step


def average_anew(steps: Steps, task: Task) -> Steps:
    """Average the stages since the start of this run only."""
    seen: list[Pixels] = []
    for step in steps:
        if isinstance(step, Stage) and task.recipe.schedule.ema_decay:
            seen.append(step.picture)
            yield replace(step, picture=np.mean(seen, axis=0))
        else:
            yield step


def with_masks(task: Task, edit: Callable[[Any], Any]) -> Task:
    styles = tuple(replace(style, mask=edit(style.mask)) for style in task.styles)
    return replace(task, styles=styles, content_mask=edit(task.content_mask))


def resume_without_masks(task: Task) -> Task:
    if task.resume is None:
        return task
    bare = replace(with_masks(task, lambda _: None), resume=None)
    left = next(Tones({}).paint(bare, lambda: Wish.STOP)).checkpoint
    assert left is not None
    return replace(bare, resume={**task.resume, "task": left["task"]})


def of_first_region(style: Style) -> Style:
    mask = np.zeros((*style.picture.shape[:2], 2), np.float32)
    mask[..., 0] = 1
    return replace(style, mask=mask) if style.mask is None else style


def of_common_size(task: Task) -> Task:
    """Use styles in the size that the recipe has for all."""
    return replace(
        task,
        styles=tuple(
            replace(s, picture=resize(s.picture, task.style_size(replace(s, size=None))))
            for s in task.styles
        ),
    )


def hidden_smoothness(steps: Steps, task: Task) -> Steps:
    """Count a term in the total that is not listed."""
    tv = task.recipe.objective.tv
    more = tv.weight if tv is not None and tv.loss == "isotropic" else 0.0
    for step in steps:
        yield replace(step, losses=replace(step.losses, total=step.losses.total + more))


def dim_everything(self: Sketch, task: Task) -> Any:
    losses = Sketch.measure(self, task)
    return losses if task.content_mask is None else replace(losses, total=losses.total / 2)


def edited(edit: Callable[[int, Any, int], tuple[int, Any]]) -> type[Any]:
    return of_many(
        lambda sketch, tasks, wishes: (
            edit(number, item, len(tasks)) for number, item in sketch.paint_many(tasks, wishes)
        )
    )


def sharper(item: Any) -> Any:
    return replace(item, picture=item.picture * 1.2) if isinstance(item, Stage) else item


def raise_errors(sketch: Sketch, tasks: Any, wishes: Any) -> Any:
    for number, item in sketch.paint_many(tasks, wishes):
        if isinstance(item, Exception):
            raise AssertionError from item
        yield number, item


def sharpen_after_a_stop(sketch: Sketch, tasks: Any, wishes: Any) -> Any:
    answers: list[Wish] = []

    def asked(wish: Callable[[], Wish]) -> Callable[[], Wish]:
        def answer() -> Wish:
            answers.append(wish())
            return answers[-1]

        return answer

    for number, item in sketch.paint_many(tasks, list(map(asked, wishes))):
        yield number, sharper(item) if Wish.STOP in answers else item


def average_together(sketch: Sketch, tasks: Any, wishes: Any) -> Any:
    if tasks[0].recipe.schedule.ema_decay:
        tasks = [replace(task, content=tasks[0].content) for task in tasks]
    return sketch.paint_many(tasks, wishes)


NO_RESUME = Capabilities(resume=False)
VARIES = Capabilities(deterministic=False)
NOISE = {"start": "noise"}
PLAIN = {
    "ema_decay": 0.0,
    "carry_moments": False,
    "objective.network.padding": "zeros",
    "objective.tv": None,
}
MANY = "each_of_many_is_painted_as_if_alone"
IN_MASK = "a_style_is_looked_at_where_its_mask_says"
ON_MASK = "a_style_acts_where_the_contents_mask_says"
REGIONS = "each_region_is_held_to_the_same_region_of_the_style"
DUE = "steps_count_up_and_stages_come_when_due"
RESUMES = "it_goes_on_from_any_step_in_the_same_bytes"
SEED = "a_seed_is_repeatable_and_another_one_paints_another_picture"
STOPS = "told_to_stop_it_hands_out_a_checkpoint_and_ends"
ALL_CONTROLS = "with_every_control_it_goes_on_in_the_same_bytes"

WRONG: dict[str, tuple[type[Any], str]] = {
    "other contract": (variant(contract=2), "it_fits_the_contract"),
    "no capabilities": (variant(capabilities=("masks",)), "it_fits_the_contract"),
    "any option": (
        variant(__init__=lambda self, _: Sketch.__init__(self, {})),
        "an_option_it_does_not_have_is_refused",
    ),
    "no sentence": (variant(problem=lambda _: "17"), "its_problem_is_none_or_a_sentence"),
    "no device": (variant(devices=lambda _: ()), "it_names_its_devices"),
    "unknown device": (
        variant(devices=lambda _: (Device("pencil", "a device that no option takes"),)),
        "each_of_its_devices_can_be_asked_for",
    ),
    "other name": (variant(provenance=provenance(name="another")), "it_says_who_paints"),
    "warning of one word": (
        variant(provenance=provenance(warnings=("colors",))),
        "what_it_cannot_do_is_told_with_the_painting",
    ),
    "no warning": (
        variant(capabilities=NO_RESUME, provenance=provenance(warnings=())),
        "what_it_cannot_do_is_told_with_the_painting",
    ),
    "NumPy values": (
        with_total(lambda s: np.float64(s.losses.total)),
        "what_it_tells_are_plain_values",
    ),
    "counts from 0": (each(lambda s: replace(s, step=s.step - 1)), DUE),
    "no last stage": (each(without_last_stage), DUE),
    "too many stages": (of_task(lambda task: recipe(task, save_every=1)), DUE),
    "one size": (variant(estimate=estimate_of_one_size), "the_estimate_tells_sizes_and_steps"),
    "float64": (
        redrawn(lambda s: s.picture.astype(np.float64)),
        "stages_are_float_pictures_of_the_final_size",
    ),
    "small pictures": (
        redrawn(lambda s: s.picture[: s.size[1], : s.size[0]]),
        "stages_are_float_pictures_of_the_final_size",
    ),
    "no weights": (
        with_total(lambda s: sum(term.value for term in terms(s.losses))),
        "the_total_is_the_sum_of_value_times_weight",
    ),
    "hidden term": (of_steps(hidden_smoothness), "the_total_is_the_sum_of_value_times_weight"),
    "no progress": (
        variant(paint=always_start_losses),
        "painting_brings_the_picture_nearer_to_what_is_wanted",
    ),
    "measures another start": (
        of_measured(lambda task: recipe(task, start="noise")),
        "measuring_gives_the_losses_before_the_first_step",
    ),
    "measures without padding": (
        of_measured(
            lambda t: recipe(t, **{} if t.recipe.objective.network.padding == "zeros" else NOISE)
        ),
        "measuring_gives_the_losses_before_the_first_step",
    ),
    "always a step": (
        of_task(lambda task: recipe(task, steps=task.recipe.schedule.steps or 1)),
        "without_steps_nothing_is_painted",
    ),
    "random seed": (of_task(lambda task: replace(task, seed=next(RUNS))), SEED),
    "no seed": (of_task(lambda task: replace(task, seed=0)), SEED),
    "one start": (
        of_measured(lambda task: recipe(task, start="content")),
        "each_start_is_another_picture",
    ),
    "narrow pictures": (
        of_task(trip_over_narrow_pictures),
        "odd_sizes_are_painted_or_refused_in_words",
    ),
    "one style": (
        of_task(lambda task: replace(task, styles=task.styles[:1])),
        "several_styles_count_by_their_weights",
    ),
    "style as content": (
        of_task(
            lambda t: replace(t, content=t.styles[0].picture if t.content is None else t.content)
        ),
        "a_side_without_a_picture_is_left_out",
    ),
    "no picture needed": (
        of_task(lambda task: replace(task, styles=task.styles or (Style(picture(24, 18)),))),
        "without_any_picture_it_refuses_in_words",
    ),
    "NaN": (
        redrawn(lambda s: s.picture * np.float32(np.nan)),
        "a_painting_that_runs_away_never_shows_what_is_no_number",
    ),
    "undeclared checkpoints": (variant(capabilities=NO_RESUME), STOPS),
    "too random": (
        redrawn(lambda s: s.picture + np.float32(9 * next(RUNS)), capabilities=VARIES),
        "two_paintings_of_one_backend_do_not_mix",
    ),
    "no wish": (
        variant(paint=lambda self, task, _: Sketch.paint(self, task, go_on)),
        "it_asks_for_a_wish_after_every_step",
    ),
    "two wishes": (
        variant(paint=lambda self, t, wish: Sketch.paint(self, t, lambda: (wish(), wish())[1])),
        "it_asks_for_a_wish_after_every_step",
    ),
    "finishes late": (
        variant(paint=finish_later),
        "told_to_finish_it_hands_out_a_stage_at_once",
    ),
    "no checkpoint": (each(lambda s: replace(s, checkpoint=None)), STOPS),
    "ends early": (of_steps(end_at_a_checkpoint), "a_checkpoint_on_the_way_changes_nothing"),
    "rounded checkpoint": (checkpointed(picture=np.rint), RESUMES),
    "forgotten time": (checkpointed(seconds=lambda _: np.array(-9.0)), RESUMES),
    "ignored checkpoint": (
        of_task(lambda task: replace(task, resume=None)),
        "a_checkpoint_of_another_painting_is_refused",
    ),
    "changed input": (of_steps(write_to_the_content), "what_it_is_given_stays_as_it_was"),
    "shared picture": (of_steps(share_the_picture), "what_it_hands_out_may_be_written_to"),
    "list": (of_steps(lambda s, _: iter(list(s))), "a_painting_can_be_left_at_any_step"),
    "shared state": (variant(paint=keep_the_task), "two_paintings_of_one_backend_do_not_mix"),
    "average not saved": (of_steps(average_anew), ALL_CONTROLS),
    "masks not saved": (of_task(resume_without_masks, Tones), ALL_CONTROLS),
    "settings not checked": (
        of_task(lambda task: recipe(task, **PLAIN)),
        "a_checkpoint_under_another_control_is_refused",
    ),
    "one size of styles": (
        of_task(of_common_size),
        "a_size_said_of_a_style_is_as_if_said_of_all",
    ),
    **{
        f"masks declared only, {number}": (variant(capabilities=Capabilities(masks=True)), name)
        for number, name in enumerate((IN_MASK, ON_MASK, REGIONS))
    },
    **{
        f"masks undeclared, {number}": (variant(Tones, capabilities=Capabilities()), name)
        for number, name in enumerate((IN_MASK, ON_MASK, REGIONS))
    },
    **{
        f"inverted masks, {number}": (
            of_measured(lambda t: with_masks(t, lambda m: None if m is None else 1 - m), Tones),
            name,
        )
        for number, name in enumerate((IN_MASK, ON_MASK))
    },
    "swapped regions": (
        of_measured(
            lambda t: replace(
                t, content_mask=None if t.content_mask is None else t.content_mask[..., ::-1]
            ),
            Tones,
        ),
        REGIONS,
    ),
    "first region only": (
        of_measured(lambda t: with_masks(t, lambda m: None if m is None else m[..., :1]), Tones),
        "regions_may_come_in_any_order",
    ),
    "no mask as the first region": (
        of_measured(lambda t: replace(t, styles=tuple(map(of_first_region, t.styles))), Tones),
        "a_style_without_a_mask_serves_every_region",
    ),
    "white mask counts": (
        variant(measure=dim_everything),
        "masks_that_show_everything_change_nothing",
    ),
    "masks not checked": (
        of_task(lambda task: with_masks(task, lambda _: None), Tones),
        "a_checkpoint_under_another_mask_is_refused",
    ),
    "wrong number": (edited(lambda n, item, tasks: ((n + 1) % tasks, item)), MANY),
    "first for all": (of_many(lambda s, t, w: s.paint_many([t[0]] * len(t), w)), MANY),
    "no stages of many": (
        of_many(
            lambda s, t, w: (
                (n, item) for n, item in s.paint_many(t, w) if not isinstance(item, Stage)
            )
        ),
        MANY,
    ),
    "sharper": (edited(lambda n, item, _: (n, sharper(item))), MANY),
    "common average": (of_many(average_together), MANY),
    "sharper after a stop": (
        of_many(sharpen_after_a_stop),
        "one_of_many_that_is_stopped_stops_alone",
    ),
    "stops all": (
        of_many(lambda s, t, w: s.paint_many(t, [w[1]] * len(t))),
        "one_of_many_that_is_stopped_stops_alone",
    ),
    "raises for all": (of_many(raise_errors), "one_of_many_that_cannot_be_painted_ends_alone"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_backend_that_breaks_the_contract_fails(fault: str) -> None:
    backend, name = WRONG[fault]
    assert f"test_{name}" in promises()
    assert not keeps(backend, f"test_{name}")


def cannot_resume(steps: Steps, task: Task) -> Steps:
    if task.resume is not None:
        raise CheckpointError("this backend cannot resume")
    return (replace(step, checkpoint=None) for step in steps)


RIGHT: dict[str, tuple[type[Any], str]] = {
    "sketch": (Sketch, ""),
    "no resume": (of_steps(cannot_resume, capabilities=NO_RESUME), ""),
    "nearly deterministic": (
        redrawn(lambda s: s.picture + np.float32(1e-5 * next(RUNS)), capabilities=VARIES),
        "",
    ),
    "tones": (Tones, "mask|region|control|size_said"),
}


@pytest.mark.parametrize("test", promises())
def test_a_backend_that_keeps_the_contract_passes(test: str) -> None:
    """All tests for Sketch and for backends with fewer capabilities; those on masks for Tones."""
    for name, (backend, pattern) in RIGHT.items():
        assert not re.search(pattern, test) or keeps(backend, test), name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_makes_a_valid_recipe(optimizer: str) -> None:
    made = sample({"optimizer": OPTIMIZERS[optimizer], **SMALL_FIRST}).recipe
    assert check(made.model_dump()) == made


def test_a_task_can_be_changed_in_its_recipe_and_in_itself() -> None:
    task = sample({"steps": 9}, seed=4, content=None)
    assert (task.recipe.schedule.steps, task.seed, task.content) == (9, 4, None)
    assert (len(pictures(task)), len(pictures(sample())), len(pictures(everything()))) == (1, 2, 4)
    assert np.array_equal(picture(7, 5, seed=3), picture(7, 5, seed=3))
    left, right = (half(picture(5, 3), side) for side in ("left", "right"))
    assert np.array_equal(left + right, np.ones((3, 5)))
    shown = two_halves(picture(6, 4), picture(6, 4))
    assert (shown[:, :3].max() <= 51, shown[:, 3:].min() >= 200) == (True, True)


def test_a_checkpoint_is_written_to_a_file_of_plain_arrays() -> None:
    arrays = {"step": np.array(3), "u": picture(2, 2)}
    read = kept(arrays)
    assert all(np.array_equal(read[name], arrays[name]) for name in arrays)
    assert read["u"] is not arrays["u"]
    with pytest.raises(AssertionError, match="none was yielded"):
        kept(None)
    with pytest.raises(ValueError, match="pickle"):
        kept({"state": np.array([object()])})
