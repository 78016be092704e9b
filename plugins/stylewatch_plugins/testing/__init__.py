"""The conformance suite: what every backend promises, as tests that its own package runs.

In a test module of that package:

    class TestMine(BackendConformance):
        def make(self, options):
            return Mine({"device": "cpu", **options})

With `pytest.register_assert_rewrite("stylewatch_plugins")` in its conftest, a failure shows the
values compared. What a backend does not claim by its `capabilities`, it need not keep.
"""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import numpy as np
import pytest

from stylewatch_painter.algorithm import scales
from stylewatch_painter.algorithm.task import Style
from stylewatch_painter.errors import DivergedError, PictureError
from stylewatch_painter.stage import Stage
from stylewatch_plugins.capabilities import capabilities, misfit
from stylewatch_plugins.contract import Backend, BackendOptionError, Device, Provenance
from stylewatch_plugins.testing.batches import Many
from stylewatch_plugins.testing.controls import Controls
from stylewatch_plugins.testing.masks import Masks
from stylewatch_plugins.testing.stops import Interruptions
from stylewatch_plugins.testing.tasks import (
    PRINT,
    SMALL_FIRST,
    SMOOTHED,
    painted,
    picture,
    sample,
    stages,
    terms,
)


class BackendConformance(Controls, Interruptions, Many, Masks):
    """What every backend promises; see also what it inherits."""

    def test_it_has_the_shape_of_a_backend(self, backend: Backend) -> None:
        """A backend has every member of the contract, and says who it is."""
        assert isinstance(backend, Backend)
        assert type(backend.name) is type(backend.version) is str, "the receipt takes plain text"
        assert backend.name and backend.version

    def test_it_fits_the_contract(self, backend: Backend) -> None:
        """It is written for this version, if it says for which; its capabilities are such."""
        assert misfit(type(backend)) is None
        assert misfit(backend) is None

    def test_an_option_it_does_not_have_is_refused(self) -> None:
        """A misspelt option is told by its name, never passed over."""
        with pytest.raises(BackendOptionError, match="no_such_option"):
            self.make({"no_such_option": 1})

    def test_its_problem_is_none_or_a_sentence(self, backend: Backend) -> None:
        """What keeps it from running is told in one line of words."""
        problem = backend.problem()
        assert problem is None or (len(problem.split()) > 1 and "\n" not in problem)

    def test_it_names_its_devices(self, backend: Backend) -> None:
        """A backend without a problem has somewhere to paint."""
        devices = backend.devices()
        assert all(isinstance(device, Device) for device in devices)
        assert devices or backend.problem()

    def test_each_of_its_devices_can_be_asked_for(self, backend: Backend) -> None:
        """By its name, as the option `device`; who runs several workers does so."""
        for device in backend.devices():
            self.make({"device": device.name})

    def test_it_says_who_paints(self, backend: Backend) -> None:
        """The receipt gets name, version, device and precision."""
        found = backend.provenance(sample())
        assert isinstance(found, Provenance)
        assert (found.name, found.version) == (backend.name, backend.version)
        assert found.device and found.precision

    def test_what_it_cannot_do_is_told_with_the_painting(self, backend: Backend) -> None:
        """Warnings are sentences; who cannot resume, or repeat itself, has one."""
        can, told = capabilities(backend), backend.provenance(sample()).warnings
        assert all(" " in words and "\n" not in words for words in told)
        assert told or (can.resume and can.deterministic)

    def test_what_it_tells_are_plain_values(self, backend: Backend) -> None:
        """No numbers or texts of another make: they are told to a process that knows no such."""
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
        """What was estimated, size by size, is what is then painted; the last is the recipe's."""
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
        """Also on the way, at a smaller size, a Stage shows the picture at its final size."""
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
        """From noise, the total falls."""
        steps = painted(backend, sample({"start": "noise", "noise_scale": 30}))
        assert steps[-1].losses.total < steps[0].losses.total

    @pytest.mark.parametrize("recipe", [{}, {**SMOOTHED, "save_every": 1}])
    def test_measuring_gives_the_losses_before_the_first_step(
        self, backend: Backend, recipe: Mapping[str, Any]
    ) -> None:
        """Losses belong to the picture before the step; measuring paints nothing."""
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
        """All chance in a painting comes from the seed."""
        noise = {"start": "noise", "noise_scale": 30}
        first = painted(backend, sample(noise, seed=1))
        assert self.same(backend, painted(self.make({}), sample(noise, seed=1)), first)
        assert not self.same(backend, painted(backend, sample(noise, seed=2)), first)

    @pytest.mark.parametrize("start", ["style", "noise", "mixed", "picture"])
    def test_each_start_is_another_picture(self, backend: Backend, start: str) -> None:
        """A painting begins where the recipe says."""
        told = {"start": start, "noise_ratio": 0.5, "noise_scale": 30}
        from_there = backend.measure(sample(told, init=picture(24, 18, seed=7)))
        assert from_there.total != backend.measure(sample()).total

    @pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (17, 23), (5, 31)])
    def test_odd_sizes_are_painted_or_refused_in_words(
        self, backend: Backend, size: tuple[int, int]
    ) -> None:
        """No size brings it down: it paints, or says what is wrong with the picture."""
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
        """Each has its own terms under its own name; another balance gives another picture."""
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
        """There is nothing to paint."""
        with pytest.raises(PictureError, match=" "):
            painted(backend, sample({"start": "noise"}, content=None, styles=()))

    def test_a_painting_that_runs_away_never_shows_what_is_no_number(
        self, backend: Backend
    ) -> None:
        """It raises DivergedError; a backend that cannot run away goes on."""
        wild = {"optimizer": {"kind": "sgd", "rate": 1e30}, "save_every": 1}
        try:
            steps = painted(backend, sample(wild))
        except DivergedError:
            return
        assert all(np.isfinite(s.picture).all() for s in steps if isinstance(s, Stage))
