"""The conformance suite finds out backends that are wrong, each in its own way."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from itertools import count
from typing import Any

import numpy as np
import pytest
from tests.plugins.promises import keeps, promises

from stylewatch_painter.algorithm.task import Style, Task
from stylewatch_painter.recipes.book import change
from stylewatch_painter.stage import Losses, Pixels, Stage, Step, Wish
from stylewatch_plugins.contract import Capabilities, Device, Estimate, Provenance
from stylewatch_plugins.sketch import Sketch
from stylewatch_plugins.testing.tasks import picture, terms

Wishes = Callable[[], Wish]
Seen = Iterator[Step]


def changed(task: Task, **recipe: Any) -> Task:
    return replace(task, recipe=change(task.recipe, recipe))


def plain(step: Step) -> Step:
    """A Stage as a mere Step."""
    return Step(**{field.name: getattr(step, field.name) for field in fields(Step)})


def redrawn(steps: Seen, draw: Callable[[Pixels, Step], Any]) -> Seen:
    """The steps, their pictures drawn anew."""
    for step in steps:
        yield replace(step, picture=draw(step.picture, step)) if isinstance(step, Stage) else step


class _TakesAnyOption(Sketch):
    def __init__(self, options: Mapping[str, object]) -> None:
        super().__init__({})


class _ProblemWithoutWords(Sketch):
    def problem(self) -> str | None:
        return "17"


class _PaintsNowhere(Sketch):
    def devices(self) -> tuple[Device, ...]:
        return ()


class _SignsAsAnother(Sketch):
    def provenance(self, task: Task) -> Provenance:
        return replace(super().provenance(task), name="another")


class _IsOfTheFuture(Sketch):
    contract = 2


class _ClaimsInWords(Sketch):
    capabilities = ("masks",)


class _KnowsNoneOfItsDevices(Sketch):
    def devices(self) -> tuple[Device, ...]:
        return (Device("pencil", "a device that no option takes"),)


class _MumblesAWarning(Sketch):
    def provenance(self, task: Task) -> Provenance:
        return replace(super().provenance(task), warnings=("colors",))


class _HidesThatItCannotResume(Sketch):
    capabilities = Capabilities(resume=False)

    def provenance(self, task: Task) -> Provenance:
        return replace(super().provenance(task), warnings=())


class _CountsInNumpy(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Seen:
        for step in super().paint(task, wish):
            yield replace(step, losses=replace(step.losses, total=np.float64(step.losses.total)))


class _CountsFromNought(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Seen:
        for step in super().paint(task, wish):
            yield replace(step, step=step.step - 1)


class _EndsWithoutStage(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Seen:
        for step in super().paint(task, wish):
            yield plain(step) if step.step == step.steps else step


class _ShowsEveryStep(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Seen:
        yield from super().paint(changed(task, save_every=1), wish)


class _EstimatesOneSize(Sketch):
    def estimate(self, task: Task) -> Estimate:
        found = super().estimate(task)
        return replace(found, sizes=found.sizes[-1:], steps=(sum(found.steps),))


class _ShowsDoubles(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Seen:
        yield from redrawn(super().paint(task, wish), lambda x, _: x.astype(np.float64))


class _ShowsSmallPictures(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Seen:
        yield from redrawn(super().paint(task, wish), lambda x, at: x[: at.size[1], : at.size[0]])


class _ForgetsWeights(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Seen:
        for step in super().paint(task, wish):
            total = sum(term.value for term in terms(step.losses))
            yield replace(step, losses=replace(step.losses, total=total))


class _PaintsNothing(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Seen:
        start = super().measure(task)
        for step in super().paint(task, wish):
            yield replace(step, losses=start)


class _MeasuresElsewhere(Sketch):
    def measure(self, task: Task) -> Losses:
        return super().measure(changed(task, start="noise"))


class _NeverRests(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Seen:
        yield from super().paint(changed(task, steps=task.recipe.schedule.steps or 1), wish)


class _DrawsAtWill(Sketch):
    _seeds = count()

    def paint(self, task: Task, wish: Wishes) -> Seen:
        yield from super().paint(replace(task, seed=next(self._seeds)), wish)


class _OverlooksTheSeed(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Seen:
        yield from super().paint(replace(task, seed=0), wish)


class _AlwaysStartsFromContent(Sketch):
    def measure(self, task: Task) -> Losses:
        return super().measure(changed(task, start="content"))


class _TripsOverNarrowPictures(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Seen:
        if task.content is not None and task.content.shape[1] == 1:
            raise IndexError("index 1 is out of bounds")
        yield from super().paint(task, wish)


class _LooksAtOneStyle(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Seen:
        yield from super().paint(replace(task, styles=task.styles[:1]), wish)


class _TakesStyleForContent(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Seen:
        content = task.styles[0].picture if task.content is None else task.content
        yield from super().paint(replace(task, content=content), wish)


class _PaintsFromNothing(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Seen:
        styles = task.styles or (Style(picture(24, 18)),)
        yield from super().paint(replace(task, styles=styles), wish)


class _ShowsWhatIsNoNumber(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Seen:
        yield from redrawn(super().paint(task, wish), lambda x, _: x * np.float32(np.nan))


WRONG = {
    _IsOfTheFuture: "it_fits_the_contract",
    _ClaimsInWords: "it_fits_the_contract",
    _KnowsNoneOfItsDevices: "each_of_its_devices_can_be_asked_for",
    _MumblesAWarning: "what_it_cannot_do_is_told_with_the_painting",
    _HidesThatItCannotResume: "what_it_cannot_do_is_told_with_the_painting",
    _CountsInNumpy: "what_it_tells_are_plain_values",
    _TakesAnyOption: "an_option_it_does_not_have_is_refused",
    _ProblemWithoutWords: "its_problem_is_none_or_a_sentence",
    _PaintsNowhere: "it_names_its_devices",
    _SignsAsAnother: "it_says_who_paints",
    _CountsFromNought: "steps_count_up_and_stages_come_when_due",
    _EndsWithoutStage: "steps_count_up_and_stages_come_when_due",
    _ShowsEveryStep: "steps_count_up_and_stages_come_when_due",
    _EstimatesOneSize: "the_estimate_tells_sizes_and_steps",
    _ShowsDoubles: "stages_are_float_pictures_of_the_final_size",
    _ShowsSmallPictures: "stages_are_float_pictures_of_the_final_size",
    _ForgetsWeights: "the_total_is_the_sum_of_value_times_weight",
    _PaintsNothing: "painting_brings_the_picture_nearer_to_what_is_wanted",
    _MeasuresElsewhere: "measuring_gives_the_losses_before_the_first_step",
    _NeverRests: "without_steps_nothing_is_painted",
    _DrawsAtWill: "a_seed_is_repeatable_and_another_one_paints_another_picture",
    _OverlooksTheSeed: "a_seed_is_repeatable_and_another_one_paints_another_picture",
    _AlwaysStartsFromContent: "each_start_is_another_picture",
    _TripsOverNarrowPictures: "odd_sizes_are_painted_or_refused_in_words",
    _LooksAtOneStyle: "several_styles_count_by_their_weights",
    _TakesStyleForContent: "a_side_without_a_picture_is_left_out",
    _PaintsFromNothing: "without_any_picture_it_refuses_in_words",
    _ShowsWhatIsNoNumber: "a_painting_that_runs_away_never_shows_what_is_no_number",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_backend_that_breaks_a_promise_is_found_out(wrong: type[Sketch]) -> None:
    assert not keeps(wrong, f"test_{WRONG[wrong]}")


@pytest.mark.parametrize("promise", promises())
def test_a_backend_that_keeps_its_promises_is_not(promise: str) -> None:
    assert keeps(Sketch, promise)
