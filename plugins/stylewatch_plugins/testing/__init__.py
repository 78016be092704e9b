"""The conformance suite: the contract of a backend, as tests that a backend package can run.

In a test module of that package:

    class TestMine(BackendConformance):
        def make(self, options):
            return Mine({"device": "cpu", **options})

With `pytest.register_assert_rewrite("stylewatch_plugins")` in its conftest, a failure shows the
compared values. A backend is tested only for the `capabilities` that it declares.
"""

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import pytest

from stylewatch_painter.errors import CheckpointError, DivergedError, PictureError
from stylewatch_painter.scene import scales
from stylewatch_painter.scene.task import Style, Task
from stylewatch_painter.size import Size
from stylewatch_painter.stage import Checkpoint, Stage, Step, Wish, go_on
from stylewatch_plugins.contract import (
    Backend,
    BackendOptionError,
    Device,
    capabilities,
    misfit,
)
from stylewatch_plugins.testing.tasks import (
    OPTIMIZERS,
    PRINT,
    SMALL_FIRST,
    SMOOTHED,
    after,
    everything,
    masked_painting,
    masked_style,
    painted,
    picture,
    pictures,
    sample,
    saved_and_loaded,
    stages,
    terms,
    two_regions,
    weighted_sum,
)

NOISE = {"start": "noise", "noise_scale": 30}


def left(backend: Backend, task: Task, step: int) -> Checkpoint:
    """Stop `task` after `step` and return the checkpoint.

    If the backend cannot resume, return arrays that are no checkpoint of any backend.
    """
    stopped = painted(backend, task, *after(step, Wish.STOP))[-1]
    if capabilities(backend).resume:
        return saved_and_loaded(stopped.checkpoint)
    return {"step": np.array(step), "picture": picture(24, 18)}


class BackendConformance(ABC):
    """Tests of the whole contract, for the backend that `make` returns."""

    closeness = 1e-5
    """Maximum relative difference between losses that should be equal."""

    alike = 2.0
    """Maximum mean difference, in levels of 0..255, between pictures that should be equal, for a
    backend that is not deterministic."""

    @abstractmethod
    def make(self, options: Mapping[str, object]) -> Backend:
        """Create the backend with `options`, and with those that the tests of its package need."""

    @pytest.fixture
    def backend(self) -> Backend:
        """Create the backend without further options."""
        return self.make({})

    def test_members_and_contract(self, backend: Backend) -> None:
        """A backend has every member of this version of the contract."""
        assert isinstance(backend, Backend)
        assert backend.name and backend.version
        assert misfit(type(backend)) is None
        assert misfit(backend) is None

    def test_unknown_option_is_refused(self) -> None:
        """An unknown option is refused by name, never ignored."""
        with pytest.raises(BackendOptionError, match="no_such_option"):
            self.make({"no_such_option": 1})

    def test_devices_and_problem(self, backend: Backend) -> None:
        """A backend lists devices, each a value of its option `device`, or reports a problem."""
        problem = backend.problem()
        devices = backend.devices()
        assert problem is None or (len(problem.split()) > 1 and "\n" not in problem)
        assert devices or problem
        for device in devices:
            assert isinstance(device, Device)
            assert type(device.name) is str
            self.make({"device": device.name})

    def test_provenance(self, backend: Backend) -> None:
        """The receipt gets plain text; a backend without resuming or determinism warns."""
        can = capabilities(backend)
        about = backend.provenance(sample())
        assert (about.name, about.version) == (backend.name, backend.version)
        assert about.device and about.precision
        sentences = (*about.warnings, *about.advice)
        texts = (about.name, about.version, about.device, about.precision, *sentences)
        assert {type(text) for text in texts} == {str}
        assert all(" " in sentence and "\n" not in sentence for sentence in sentences)
        assert about.warnings or (can.resume and can.deterministic)

    @pytest.mark.parametrize(
        "recipe", [{}, SMALL_FIRST, PRINT, {"save_every": 1}, {"save_every": 9}]
    )
    def test_steps_and_stages(self, backend: Backend, recipe: Mapping[str, Any]) -> None:
        """Steps count from 1 over all sizes, as estimated; stages come when due.

        Every `save_every`th step and the last are Stages, with float pictures of the final size.
        Values are plain int and float, since another process without NumPy reads them.
        """
        task = sample(recipe)
        steps = painted(backend, task)
        estimate = backend.estimate(task)
        count = sum(estimate.steps)
        assert [step.step for step in steps] == list(range(1, count + 1))
        assert {step.steps for step in steps} == {count}
        runs = [(size, len(list(run))) for size, run in groupby(step.size for step in steps)]
        assert runs == list(zip(estimate.sizes, estimate.steps, strict=True))
        assert runs[-1][0] == scales.final_size(task.recipe.schedule, Size(24, 18))
        due = {n for n in range(1, count + 1) if n % task.recipe.schedule.save_every == 0}
        assert set(stages(steps)) == due | {count}
        assert sorted(step.seconds for step in steps) == [step.seconds for step in steps]
        for step in steps:
            assert {type(number) for number in (step.step, step.steps, *step.size)} == {int}
            values = (term.value for term in terms(step.losses))
            assert {type(x) for x in (step.seconds, step.losses.total, *values)} == {float}
            if isinstance(step, Stage):
                assert step.picture.shape == (18, 24, 3)
                assert step.picture.dtype == np.float32
                assert np.isfinite(step.picture).all()

    @pytest.mark.parametrize("recipe", [{}, SMALL_FIRST, {**SMALL_FIRST, **SMOOTHED}])
    def test_save_start_yields_the_start_first(
        self, backend: Backend, recipe: Mapping[str, Any]
    ) -> None:
        """The start is a Stage of step 0 with the losses of the first step; nothing else changes.

        A resumed job does not yield it again.
        """
        recipe = {**recipe, "save_every": 1}
        plain = painted(backend, sample(recipe))
        task = sample({**recipe, "save_start": True})
        start, *steps = painted(backend, task)
        assert isinstance(start, Stage)
        assert (start.step, start.steps, start.size) == (0, plain[0].steps, plain[0].size)
        assert start.losses.total == pytest.approx(plain[0].losses.total, rel=self.closeness)
        assert start.picture.shape == (18, 24, 3)
        if start.size == (24, 18):
            assert np.allclose(start.picture, picture(24, 18), atol=0.5)
        assert [step.step for step in steps] == [step.step for step in plain]
        assert self.same(backend, steps, plain)
        if capabilities(backend).resume:
            _, stopped = painted(backend, task, Wish.STOP)
            resumed = painted(backend, replace(task, resume=saved_and_loaded(stopped.checkpoint)))
            assert [step.step for step in resumed] == [step.step for step in plain[1:]]

    @pytest.mark.parametrize(
        "recipe", [{"objective.tv": {"loss": "squared", "weight": 1e-6}}, SMOOTHED]
    )
    def test_total_is_the_sum_of_value_times_weight(
        self, backend: Backend, recipe: Mapping[str, Any]
    ) -> None:
        """The total is the sum of the weighted terms, with losses of content, style and tv."""
        for step in painted(backend, sample({**SMALL_FIRST, **recipe})):
            total = sum(term.weighted for term in terms(step.losses))
            assert step.losses.total == pytest.approx(total, rel=self.closeness)
            assert step.losses.content and step.losses.style

    def test_total_falls(self, backend: Backend) -> None:
        """The total falls from a start in noise."""
        steps = painted(backend, sample(NOISE))
        assert steps[-1].losses.total < steps[0].losses.total

    @pytest.mark.parametrize("recipe", [{}, {**SMOOTHED, "save_every": 1}])
    def test_measure_gives_the_losses_before_the_first_step(
        self, backend: Backend, recipe: Mapping[str, Any]
    ) -> None:
        """Losses belong to the picture before the step; measuring makes no step."""
        task = sample(recipe)
        measured = backend.measure(task)
        first = painted(backend, task)[0].losses
        assert measured.total == pytest.approx(first.total, rel=self.closeness)
        least = self.closeness * measured.total  # a term may be almost 0
        for a, b in zip(terms(measured), terms(first), strict=True):
            assert a.value == pytest.approx(b.value, rel=self.closeness, abs=least)

    def test_schedule_without_steps(self, backend: Backend) -> None:
        """A schedule without steps yields nothing, and can be measured."""
        assert painted(backend, sample({"steps": 0})) == []
        assert backend.measure(sample({"steps": 0})).total > 0

    def test_seed_determines_the_picture(self, backend: Backend) -> None:
        """All randomness comes from the seed."""
        first = painted(backend, sample(NOISE, seed=1))
        assert self.same(backend, painted(self.make({}), sample(NOISE, seed=1)), first)
        assert not self.same(backend, painted(backend, sample(NOISE, seed=2)), first)

    @pytest.mark.parametrize("start", ["style", "style_color", "noise", "mixed", "picture"])
    def test_each_start_is_another_picture(self, backend: Backend, start: str) -> None:
        """Each start has other losses than the start from the content."""
        recipe = {"start": start, "noise_scale": 30}
        if start == "mixed":
            recipe["noise_ratio"] = 0.5
        measured = backend.measure(sample(recipe, init=picture(24, 18, seed=7)))
        assert measured.total != backend.measure(sample()).total

    @pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (17, 23), (5, 31)])
    def test_odd_size_runs_or_is_refused(self, backend: Backend, size: tuple[int, int]) -> None:
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

    def test_styles_count_by_their_weights(self, backend: Backend) -> None:
        """Each style has its own terms under its name; weights change the picture."""
        one = picture(20, 22, seed=1)
        two = picture(22, 16, seed=2)
        balance = sample(styles=(Style(one, "one", weight=3), Style(two, "two", weight=1)))
        turned = sample(styles=(Style(one, "one", weight=1), Style(two, "two", weight=3)))
        steps = painted(backend, balance)
        assert set(steps[0].losses.style) == {"one", "two"}
        assert stages(steps) != stages(painted(backend, turned))

    @pytest.mark.parametrize("size", ["side", "stretch", "16"])
    def test_size_of_a_style_overrides_the_recipe(self, backend: Backend, size: str) -> None:
        """A style's own size has the same meaning as the recipe's."""
        (style,) = sample().styles
        of_its_own = sample({"style_size": "12"}, styles=(replace(style, size=size),))
        of_all = sample({"style_size": size})
        assert self.same(backend, painted(backend, of_its_own), painted(backend, of_all))

    def test_missing_picture_drops_its_losses(self, backend: Backend) -> None:
        """A missing content or style drops its losses; without both, PictureError is raised."""
        style_only = painted(backend, sample(NOISE, content=None))[-1].losses
        content_only = painted(backend, sample(NOISE, styles=()))[-1].losses
        assert style_only.style and not style_only.content
        assert content_only.content and not content_only.style
        with pytest.raises(PictureError, match=" "):
            painted(backend, sample(NOISE, content=None, styles=()))

    def test_divergence_never_shows_numbers_that_are_not_finite(self, backend: Backend) -> None:
        """A diverging run raises DivergedError, or stays finite."""
        wild = {"optimizer": {"kind": "sgd", "rate": 1e30}, "save_every": 1}
        try:
            steps = painted(backend, sample(wild))
        except DivergedError:
            return
        assert all(np.isfinite(s.picture).all() for s in steps if isinstance(s, Stage))

    def test_masks_act_if_declared(self, backend: Backend) -> None:
        """Masks select parts of style and content; without the capability they change nothing."""
        able = capabilities(backend)
        for masked in (masked_style, masked_painting, two_regions):
            better, worse = (backend.measure(masked(side)) for side in ("left", "right"))
            difference = weighted_sum(worse, "style") - weighted_sum(better, "style")
            is_seen = able.masks and (masked is masked_painting or not able.whole_styles)
            assert difference > 0 if is_seen else difference == 0
            if masked is masked_painting:  # the content loss does not depend on the mask
                expected = pytest.approx(weighted_sum(worse, "content"), rel=self.closeness)
                assert weighted_sum(better, "content") == expected
        if capabilities(backend).masks:  # frames of a clip may have no region at all
            black = replace(masked_painting("left"), content_mask=np.zeros((18, 24), np.float32))
            assert weighted_sum(backend.measure(black), "style") == pytest.approx(0)

    def test_equivalent_masks_give_equal_losses(self, backend: Backend) -> None:
        """A mask of ones, in one or more regions, equals no mask; regions may come in any order."""
        content = picture(24, 18)
        style = picture(20, 22, seed=1)
        ones = sample(
            content_mask=np.ones_like(content[..., 0]),
            styles=(Style(style, mask=np.ones_like(style[..., 0])),),
        )
        regions = two_regions("right")
        (style_,) = regions.styles
        assert regions.content_mask is not None and style_.mask is not None
        swapped = replace(
            regions,
            content_mask=regions.content_mask[..., ::-1],
            styles=(replace(style_, mask=style_.mask[..., ::-1]),),
        )
        white = replace(regions, styles=(replace(style_, mask=np.ones_like(style_.mask)),))
        unmasked = replace(regions, styles=(replace(style_, mask=None),))
        for task, other in ((ones, sample()), (swapped, regions), (unmasked, white)):
            totals = backend.measure(task).total, backend.measure(other).total
            assert totals[0] == pytest.approx(totals[1], rel=self.closeness)

    @pytest.mark.parametrize("wished", [Wish.GO_ON, Wish.CHECKPOINT])
    def test_wish_is_called_after_every_step(self, backend: Backend, wished: Wish) -> None:
        """`wish` is called once for each step, after it is made and before it is yielded."""
        calls = 0

        def wish() -> Wish:
            nonlocal calls
            calls += 1
            return wished

        assert all(calls == step.step for step in backend.paint(sample(), wish))

    @pytest.mark.parametrize("recipe", [{}, SMALL_FIRST, PRINT])
    def test_finish_yields_a_stage(self, backend: Backend, recipe: Mapping[str, Any]) -> None:
        """FINISH makes the step just made the last one, a stage at the final size."""
        steps = painted(backend, sample(recipe), *after(1, Wish.FINISH))
        assert [type(step) for step in steps] == [Stage]
        assert {len(shown) for shown in stages(steps).values()} == {18 * 24 * 3 * 4}

    def test_stop_yields_a_checkpoint(self, backend: Backend) -> None:
        """STOP makes the step just made the last; it has a checkpoint if the backend can resume."""
        steps = painted(backend, sample(), *after(3, Wish.STOP))
        assert [step.step for step in steps] == [1, 2, 3]
        last = capabilities(backend).resume
        assert [step.checkpoint is not None for step in steps] == [False, False, last]

    def test_checkpoints_do_not_change_the_pictures(self, backend: Backend) -> None:
        """The requested steps have checkpoints, and the pictures are the same as without."""
        wished = {2, 4} if capabilities(backend).resume else set()
        steps = painted(backend, sample(), *after(2, Wish.CHECKPOINT), *after(2, Wish.CHECKPOINT))
        assert {step.step for step in steps if step.checkpoint is not None} == wished
        assert len(steps) == sample().recipe.schedule.steps
        assert self.same(backend, steps, painted(backend, sample()))

    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    @pytest.mark.parametrize("recipe", [{}, SMALL_FIRST, PRINT])
    def test_resumed_job_gives_the_same_bytes(
        self, backend: Backend, recipe: Mapping[str, Any], optimizer: str
    ) -> None:
        """A job stopped at any step gives the same further stages in another backend object."""
        changes = {**recipe, "optimizer": OPTIMIZERS[optimizer], "save_every": 1}
        self._check_resuming(backend, sample(changes))

    def test_resumed_job_with_every_setting_gives_the_same_bytes(self, backend: Backend) -> None:
        """The checkpoint holds the state of every setting."""
        self._check_resuming(backend, everything())

    def test_foreign_checkpoint_is_refused(self, backend: Backend) -> None:
        """A checkpoint of another seed, style size, setting or mask raises CheckpointError.

        Settings count even for a backend that ignores them, masks only with the capability.
        """
        checkpoint = left(backend, sample(), 2)
        (style,) = sample().styles
        tasks = [
            sample(seed=5),
            sample(styles=(replace(style, scale=0.5),)),
            sample(styles=(replace(style, size="12"),)),
            *(sample({setting: value}) for setting, value in SMOOTHED.items()),
        ]
        foreign = [(task, checkpoint) for task in tasks]
        if capabilities(backend).masks and capabilities(backend).resume:
            foreign += [
                (masked("right"), left(backend, masked("left"), 2))
                for masked in (masked_style, masked_painting, two_regions)
            ]
        for task, saved in foreign:
            with pytest.raises(CheckpointError):
                painted(backend, replace(task, resume=saved))

    def test_inputs_are_not_changed(self, backend: Backend) -> None:
        """Pictures and checkpoints of a task are never modified."""
        task = sample({"start": "picture"}, init=picture(24, 18, seed=3))
        if capabilities(backend).resume:
            task = replace(task, resume=left(backend, task, 1))
        arrays = [*pictures(task), *(task.resume or {}).values()]
        contents = [array.tobytes() for array in arrays]
        painted(backend, task)
        assert [array.tobytes() for array in arrays] == contents

    def test_yielded_arrays_may_be_written_to(self, backend: Backend) -> None:
        """Modifying a stage or a checkpoint does not change the following steps.

        Read-only arrays are not modified here, and the following steps must not change them.
        """
        copies: list[Step] = []
        kept: list[tuple[np.ndarray[Any, Any], bytes]] = []
        for step in backend.paint(sample({"save_every": 1}), lambda: Wish.CHECKPOINT):
            assert isinstance(step, Stage)
            copies.append(replace(step, picture=step.picture.copy()))
            for array in (step.picture, *(step.checkpoint or {}).values()):
                if array.flags.writeable:
                    array.fill(0)
                else:
                    kept.append((array, array.tobytes()))
        assert all(array.tobytes() == before for array, before in kept)
        assert self.same(backend, copies, painted(backend, sample({"save_every": 1})))

    def test_run_can_be_closed(self, backend: Backend) -> None:
        """`paint` is a generator that can be closed; afterwards the backend works as before."""
        steps = painted(backend, sample())
        run = backend.paint(sample(), go_on)
        assert isinstance(run, Generator)
        next(run)
        run.close()
        assert next(run, None) is None
        assert self.same(backend, painted(backend, sample()), steps)

    def test_two_runs_share_no_state(self, backend: Backend) -> None:
        """Two tasks of one backend may run alternately."""
        one = sample()
        two = sample(content=picture(20, 24, seed=4))
        mixed = list(zip(backend.paint(one, go_on), backend.paint(two, go_on), strict=True))
        assert self.same(backend, [step for step, _ in mixed], painted(backend, one))
        assert self.same(backend, [step for _, step in mixed], painted(backend, two))

    def same(self, backend: Backend, first: Sequence[Step], second: Sequence[Step]) -> bool:
        """Return whether two runs have equal stages: byte for byte if the backend is deterministic.

        The pictures of other backends may differ by `alike`.
        """
        if capabilities(backend).deterministic:
            return stages(first) == stages(second)
        return self._close(first, second)

    def _close(self, first: Sequence[Step], second: Sequence[Step]) -> bool:
        """Return whether the stages of two runs differ by at most `alike` on average."""
        one, two = (
            {number: np.frombuffer(pixels, np.float32) for number, pixels in stages(run).items()}
            for run in (first, second)
        )
        return one.keys() == two.keys() and all(
            np.abs(one[number] - two[number]).mean() <= self.alike for number in one
        )

    def _check_resuming(self, backend: Backend, task: Task) -> None:
        """Check that `task`, stopped after each step and resumed, gives the same further stages.

        Every step must be a Stage. A backend that cannot resume must yield no checkpoint.
        """
        if not capabilities(backend).resume:
            assert painted(backend, task, Wish.STOP)[-1].checkpoint is None
            return
        steps = painted(backend, task)
        for step in steps[:-1]:
            stopped = painted(backend, task, *after(step.step, Wish.STOP))[-1]
            rest = painted(
                self.make({}), replace(task, resume=saved_and_loaded(stopped.checkpoint))
            )
            assert self.same(backend, rest, steps[step.step :])
            if capabilities(backend).deterministic:
                assert [s.losses for s in rest] == [s.losses for s in steps[step.step :]]
            assert rest[0].seconds >= stopped.seconds
