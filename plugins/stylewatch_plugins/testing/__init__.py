"""The conformance suite: the contract of a backend, as tests that a backend package runs itself.

In a test module of that package:

    class TestMine(BackendConformance):
        def make(self, options):
            return Mine({"device": "cpu", **options})

With `pytest.register_assert_rewrite("stylewatch_plugins")` in its conftest, a failure shows the
values compared. A backend is tested for the `capabilities` that it declares, and for no others.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import pytest

from stylewatch_painter.algorithm import scales
from stylewatch_painter.algorithm.task import Style, Task
from stylewatch_painter.errors import CheckpointError, DivergedError, PainterError, PictureError
from stylewatch_painter.stage import Stage, Step, Wish, go_on
from stylewatch_plugins.contract import (
    Backend,
    BackendOptionError,
    Device,
    PaintsMany,
    Provenance,
    capabilities,
    misfit,
)
from stylewatch_plugins.testing.stops import Interruptions
from stylewatch_plugins.testing.tasks import (
    PRINT,
    SMALL_FIRST,
    SMOOTHED,
    after,
    kept,
    masked_painting,
    masked_style,
    painted,
    picture,
    sample,
    stages,
    terms,
    two_regions,
    weighed,
)


def three(recipe: Mapping[str, Any] | None = None) -> list[Task]:
    """Make tasks of one shape: the second has another content, the third another seed."""
    first = sample(recipe)
    return [first, replace(first, content=255 - picture(24, 18)), replace(first, seed=7)]


def together(
    backend: PaintsMany, tasks: Sequence[Task], wishes: Sequence[Callable[[], Wish]] | None = None
) -> list[list[Step | Exception]]:
    """Run `tasks` at once; return all that is yielded for each."""
    items: list[list[Step | Exception]] = [[] for _ in tasks]
    for number, item in backend.paint_many(tasks, wishes or [go_on] * len(tasks)):
        items[number].append(item)
    return items


def steps_of(items: Sequence[Step | Exception]) -> list[Step]:
    """Return the steps; fails if there is an error among them."""
    steps = [item for item in items if isinstance(item, Step)]
    assert len(steps) == len(items), f"an error was yielded: {items[-1]}"
    return steps


class BackendConformance(Interruptions):
    """Tests of the whole contract, those that it inherits included."""

    def test_it_has_the_shape_of_a_backend(self, backend: Backend) -> None:
        """A backend has every member of the contract, a name and a version."""
        assert isinstance(backend, Backend)
        assert type(backend.name) is type(backend.version) is str, "the receipt takes plain text"
        assert backend.name and backend.version

    def test_it_fits_the_contract(self, backend: Backend) -> None:
        """Its `contract`, if any, is this version, and its capabilities are a Capabilities."""
        assert misfit(type(backend)) is None
        assert misfit(backend) is None

    def test_an_option_it_does_not_have_is_refused(self) -> None:
        """An unknown option is refused by name, never ignored."""
        with pytest.raises(BackendOptionError, match="no_such_option"):
            self.make({"no_such_option": 1})

    def test_its_problem_is_none_or_a_sentence(self, backend: Backend) -> None:
        """The reason why it cannot run is one line of words."""
        problem = backend.problem()
        assert problem is None or (len(problem.split()) > 1 and "\n" not in problem)

    def test_it_names_its_devices(self, backend: Backend) -> None:
        """A backend without a problem has a device."""
        devices = backend.devices()
        assert all(isinstance(device, Device) for device in devices)
        assert devices or backend.problem()

    def test_each_of_its_devices_can_be_asked_for(self, backend: Backend) -> None:
        """The name of a device is a value of the option `device`, as for several workers."""
        for device in backend.devices():
            self.make({"device": device.name})

    def test_it_says_who_paints(self, backend: Backend) -> None:
        """The receipt gets name, version, device and precision."""
        found = backend.provenance(sample())
        assert isinstance(found, Provenance)
        assert (found.name, found.version) == (backend.name, backend.version)
        assert found.device and found.precision

    def test_what_it_cannot_do_is_told_with_the_painting(self, backend: Backend) -> None:
        """Warnings are sentences; a backend that cannot resume or is not deterministic has one."""
        can, told = capabilities(backend), backend.provenance(sample()).warnings
        assert all(" " in words and "\n" not in words for words in told)
        assert told or (can.resume and can.deterministic)

    def test_what_it_tells_are_plain_values(self, backend: Backend) -> None:
        """Values are plain int, float and str, since another process without NumPy reads them."""
        found = backend.provenance(sample())
        told = (found.name, found.version, found.device, found.precision, *found.warnings)
        assert {type(words) for words in (*told, *(one.name for one in backend.devices()))} == {str}
        for step in painted(backend, sample()):
            assert {type(number) for number in (step.step, step.steps, *step.size)} == {int}
            values = (term.value for term in terms(step.losses))
            assert {type(x) for x in (step.seconds, step.losses.total, *values)} == {float}

    @pytest.mark.parametrize(
        "recipe", [{}, SMALL_FIRST, PRINT, {"save_every": 1}, {"save_every": 9}]
    )
    def test_steps_count_up_and_stages_come_when_due(
        self, backend: Backend, recipe: Mapping[str, Any]
    ) -> None:
        """Steps count from 1 over all sizes; every `save_every`th and the last are Stages."""
        task = sample(recipe)
        steps = painted(backend, task)
        count = sum(backend.estimate(task).steps)
        assert [step.step for step in steps] == list(range(1, count + 1))
        assert {step.steps for step in steps} == {count}
        due = {n for n in range(1, count + 1) if n % task.recipe.schedule.save_every == 0}
        assert set(stages(steps)) == due | {count}
        assert sorted(step.seconds for step in steps) == [step.seconds for step in steps]

    @pytest.mark.parametrize("recipe", [{}, SMALL_FIRST, PRINT])
    def test_the_estimate_tells_sizes_and_steps(
        self, backend: Backend, recipe: Mapping[str, Any]
    ) -> None:
        """The estimated sizes and steps are those that run; the last size is the recipe's."""
        task = sample(recipe)
        found = backend.estimate(task)
        steps = [
            (size, len(list(at)))
            for size, at in groupby(step.size for step in painted(backend, task))
        ]
        assert steps == list(zip(found.sizes, found.steps, strict=True))
        assert found.sizes[-1] == scales.final_size(task.recipe.schedule, (24, 18))

    @pytest.mark.parametrize("recipe", [{}, SMALL_FIRST, PRINT])
    def test_stages_are_float_pictures_of_the_final_size(
        self, backend: Backend, recipe: Mapping[str, Any]
    ) -> None:
        """Also while it works at a smaller size, a Stage has the final size."""
        for step in painted(backend, sample({"save_every": 1, **recipe})):
            assert isinstance(step, Stage)
            assert step.picture.shape == (18, 24, 3)
            assert step.picture.dtype == np.float32
            assert np.isfinite(step.picture).all()

    @pytest.mark.parametrize(
        "recipe", [{"objective.tv": {"loss": "squared", "weight": 1e-6}}, SMOOTHED]
    )
    def test_the_total_is_the_sum_of_value_times_weight(
        self, backend: Backend, recipe: Mapping[str, Any]
    ) -> None:
        """With every side of the objective in use."""
        for step in painted(backend, sample({**SMALL_FIRST, **recipe})):
            total = sum(term.value * term.weight for term in terms(step.losses))
            assert step.losses.total == pytest.approx(total, rel=self.closeness)
            assert step.losses.content and step.losses.style

    def test_painting_brings_the_picture_nearer_to_what_is_wanted(self, backend: Backend) -> None:
        """The total falls from a start in noise."""
        steps = painted(backend, sample({"start": "noise", "noise_scale": 30}))
        assert steps[-1].losses.total < steps[0].losses.total

    @pytest.mark.parametrize("recipe", [{}, {**SMOOTHED, "save_every": 1}])
    def test_measuring_gives_the_losses_before_the_first_step(
        self, backend: Backend, recipe: Mapping[str, Any]
    ) -> None:
        """Losses belong to the picture before the step; measuring makes no step."""
        task = sample(recipe)
        measured, first = backend.measure(task), painted(backend, task)[0].losses
        assert measured.total == pytest.approx(first.total, rel=self.closeness)
        pairs = zip(terms(measured), terms(first), strict=True)
        least = self.closeness * measured.total  # a term may be next to nothing
        assert all(
            a.value == pytest.approx(b.value, rel=self.closeness, abs=least) for a, b in pairs
        )

    def test_without_steps_nothing_is_painted(self, backend: Backend) -> None:
        """A schedule of no steps is for measuring."""
        assert painted(backend, sample({"steps": 0})) == []
        assert backend.measure(sample({"steps": 0})).total > 0

    def test_a_seed_is_repeatable_and_another_one_paints_another_picture(
        self, backend: Backend
    ) -> None:
        """All randomness comes from the seed."""
        noise = {"start": "noise", "noise_scale": 30}
        first = painted(backend, sample(noise, seed=1))
        assert self.same(backend, painted(self.make({}), sample(noise, seed=1)), first)
        assert not self.same(backend, painted(backend, sample(noise, seed=2)), first)

    @pytest.mark.parametrize("start", ["style", "noise", "mixed", "picture"])
    def test_each_start_is_another_picture(self, backend: Backend, start: str) -> None:
        """The first picture is the one that the recipe names."""
        told = {"start": start, "noise_ratio": 0.5, "noise_scale": 30}
        from_there = backend.measure(sample(told, init=picture(24, 18, seed=7)))
        assert from_there.total != backend.measure(sample()).total

    @pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (17, 23), (5, 31)])
    def test_odd_sizes_are_painted_or_refused_in_words(
        self, backend: Backend, size: tuple[int, int]
    ) -> None:
        """Every size works, or raises PictureError with the reason."""
        task = sample(content=picture(*size))
        try:
            last = painted(backend, task)[-1]
        except PictureError as error:
            assert " " in str(error)
        else:
            width, height = backend.estimate(task).sizes[-1]
            assert isinstance(last, Stage)
            assert last.picture.shape == (height, width, 3)
            assert np.isfinite(last.picture).all()

    def test_several_styles_count_by_their_weights(self, backend: Backend) -> None:
        """Each style has its own terms under its name; other weights give another picture."""
        one, two = picture(20, 22, seed=1), picture(22, 16, seed=2)
        balance = sample(styles=(Style(one, "one", weight=3), Style(two, "two", weight=1)))
        turned = sample(styles=(Style(one, "one", weight=1), Style(two, "two", weight=3)))
        steps = painted(backend, balance)
        assert set(steps[0].losses.style) == {"one", "two"}
        assert stages(steps) != stages(painted(backend, turned))

    def test_a_side_without_a_picture_is_left_out(self, backend: Backend) -> None:
        """No content: the style alone, on noise. No style: the content alone."""
        noise = {"start": "noise", "noise_scale": 30}
        style_only = painted(backend, sample(noise, content=None))[-1]
        content_only = painted(backend, sample(noise, styles=()))[-1]
        assert isinstance(style_only, Stage) and isinstance(content_only, Stage)
        assert style_only.losses.style and not style_only.losses.content
        assert content_only.losses.content and not content_only.losses.style

    def test_without_any_picture_it_refuses_in_words(self, backend: Backend) -> None:
        """Without content and style it raises PictureError."""
        with pytest.raises(PictureError, match=" "):
            painted(backend, sample({"start": "noise"}, content=None, styles=()))

    def test_a_painting_that_runs_away_never_shows_what_is_no_number(
        self, backend: Backend
    ) -> None:
        """A diverging run raises DivergedError, or stays finite."""
        wild = {"optimizer": {"kind": "sgd", "rate": 1e30}, "save_every": 1}
        try:
            steps = painted(backend, sample(wild))
        except DivergedError:
            return
        assert all(np.isfinite(s.picture).all() for s in steps if isinstance(s, Stage))

    def test_masks_that_show_everything_change_nothing(self, backend: Backend) -> None:
        """A mask of ones equals no mask."""
        content, style = picture(24, 18), picture(20, 22, seed=1)
        everything = sample(
            content_mask=np.ones_like(content[..., 0]),
            styles=(Style(style, mask=np.ones_like(style[..., 0])),),
        )
        found, plain = backend.measure(everything).total, backend.measure(sample()).total
        assert found == pytest.approx(plain, rel=self.closeness)

    def test_a_style_is_looked_at_where_its_mask_says(self, backend: Backend) -> None:
        """The loss is smaller for the half that matches; without the capability both are equal."""
        left, right = (
            weighed(backend.measure(masked_style(side)), "style") for side in ("left", "right")
        )
        assert left < right if capabilities(backend).masks else left == right

    def test_a_style_acts_where_the_contents_mask_says(self, backend: Backend) -> None:
        """Outside of the mask only the content counts; otherwise the style counts too."""
        both = [backend.measure(masked_painting(side)) for side in ("left", "right")]
        left, right = (weighed(losses, "style") for losses in both)
        assert left < right if capabilities(backend).masks else left == right
        here, there = (weighed(losses, "content") for losses in both)
        assert here == pytest.approx(there, rel=self.closeness)

    def test_each_region_is_held_to_the_same_region_of_the_style(self, backend: Backend) -> None:
        """Regions match by their order in the masks; without the capability there is one region."""
        right, swapped = (
            weighed(backend.measure(two_regions(first)), "style") for first in ("left", "right")
        )
        assert right < swapped if capabilities(backend).masks else right == swapped

    def test_regions_may_come_in_any_order(self, backend: Backend) -> None:
        """All regions count alike."""
        task = two_regions("right")
        (style,) = task.styles
        assert task.content_mask is not None and style.mask is not None
        turned = replace(
            task,
            content_mask=task.content_mask[..., ::-1],
            styles=(replace(style, mask=style.mask[..., ::-1]),),
        )
        found, plain = backend.measure(turned).total, backend.measure(task).total
        assert found == pytest.approx(plain, rel=self.closeness)

    def test_a_style_without_a_mask_serves_every_region(self, backend: Backend) -> None:
        """A missing mask equals a white one."""
        task = two_regions("left")
        (style,) = task.styles
        unmasked, white = (
            backend.measure(replace(task, styles=(replace(style, mask=mask),))).total
            for mask in (None, np.ones_like(style.mask))
        )
        assert unmasked == pytest.approx(white, rel=self.closeness)

    def test_a_checkpoint_under_another_mask_is_refused(self, backend: Backend) -> None:
        """With the capability, masks belong to the job."""
        can = capabilities(backend)
        if can.masks and can.resume:
            for masked in (masked_style, masked_painting, two_regions):
                stopped = painted(backend, masked("left"), *after(2, Wish.STOP))[-1]
                again = replace(masked("right"), resume=kept(stopped.checkpoint))
                with pytest.raises(CheckpointError):
                    painted(backend, again)

    @pytest.mark.parametrize("recipe", [{}, {**SMALL_FIRST, **SMOOTHED}])
    def test_each_of_many_is_painted_as_if_alone(
        self, backend: Backend, recipe: Mapping[str, Any]
    ) -> None:
        """The steps are the same, and stages nearly: sums are in another order."""
        if not isinstance(backend, PaintsMany):
            return
        tasks = three(recipe)
        for task, said in zip(tasks, together(backend, tasks), strict=True):
            self._check_alike(steps_of(said), painted(backend, task))

    @pytest.mark.parametrize("recipe", [{}, {**SMALL_FIRST, **SMOOTHED}])
    def test_one_of_many_that_is_stopped_stops_alone(
        self, backend: Backend, recipe: Mapping[str, Any]
    ) -> None:
        """A wish is for one task; the others continue to their end."""
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
        """An error that `paint` would raise is yielded, as the end of that task."""
        if not isinstance(backend, PaintsMany):
            return
        tasks = three()
        tasks[1] = replace(tasks[1], content=None, styles=())
        with pytest.raises(PainterError):
            painted(backend, tasks[1])
        told = together(backend, tasks)
        assert [isinstance(one, PainterError) for one in told[1]] == [True]
        assert steps_of(told[0]) and steps_of(told[2])

    def _check_alike(self, together: Sequence[Step], alone: Sequence[Step]) -> None:
        kinds = [[(type(step), step.step) for step in run] for run in (together, alone)]
        assert kinds[0] == kinds[1]
        assert self.close(together, alone)
