"""The part of the conformance suite about wishes, checkpoints and resuming."""

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.stage import Checkpoint, Stage, Step, Wish, go_on
from stylewatch_plugins.contract import Backend, capabilities
from stylewatch_plugins.testing.tasks import (
    OPTIMIZERS,
    PRINT,
    SMALL_FIRST,
    SMOOTHED,
    Suite,
    after,
    everything,
    kept,
    painted,
    picture,
    pictures,
    sample,
    stages,
)


def left(backend: Backend, task: Task, step: int) -> Checkpoint:
    """Stop `task` after `step` and return the checkpoint; any arrays if it yields none."""
    stopped = painted(backend, task, *after(step, Wish.STOP))[-1]
    if capabilities(backend).resume:
        return kept(stopped.checkpoint)
    return {"step": np.array(step), "picture": picture(24, 18)}


class Interruptions(Suite):
    """Tests of wishes, checkpoints and resuming."""

    @pytest.mark.parametrize("wished", [Wish.GO_ON, Wish.CHECKPOINT])
    def test_it_asks_for_a_wish_after_every_step(self, backend: Backend, wished: Wish) -> None:
        """Exactly once for each step, after it is made and before it is yielded."""
        asked = 0

        def wish() -> Wish:
            nonlocal asked
            asked += 1
            return wished

        assert all(asked == step.step for step in backend.paint(sample(), wish))

    @pytest.mark.parametrize("recipe", [{}, SMALL_FIRST, PRINT])
    def test_told_to_finish_it_hands_out_a_stage_at_once(
        self, backend: Backend, recipe: Mapping[str, Any]
    ) -> None:
        """The step just made is the last stage, at the final size."""
        steps = painted(backend, sample(recipe), *after(1, Wish.FINISH))
        assert [type(step) for step in steps] == [Stage]
        assert {len(shown) for shown in stages(steps).values()} == {18 * 24 * 3 * 4}

    def test_told_to_stop_it_hands_out_a_checkpoint_and_ends(self, backend: Backend) -> None:
        """The step just made is the last, with a checkpoint if the backend can resume."""
        steps = painted(backend, sample(), *after(3, Wish.STOP))
        assert [step.step for step in steps] == [1, 2, 3]
        last = capabilities(backend).resume
        assert [step.checkpoint is not None for step in steps] == [False, False, last]

    def test_a_checkpoint_on_the_way_changes_nothing(self, backend: Backend) -> None:
        """The requested step has a checkpoint, and the pictures are the same as without."""
        wished = {2, 4} if capabilities(backend).resume else set()
        steps = painted(backend, sample(), *after(2, Wish.CHECKPOINT), *after(2, Wish.CHECKPOINT))
        assert [step.checkpoint is not None for step in steps] == [
            step.step in wished for step in steps
        ]
        assert self.same(backend, steps, painted(backend, sample()))

    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    @pytest.mark.parametrize("recipe", [{}, SMALL_FIRST, PRINT])
    def test_it_goes_on_from_any_step_in_the_same_bytes(
        self, backend: Backend, recipe: Mapping[str, Any], optimizer: str
    ) -> None:
        """A job stopped at any step ends in the same picture, also in another process."""
        changes = {**recipe, "optimizer": OPTIMIZERS[optimizer], "save_every": 1}
        self.check_going_on(backend, sample(changes))

    def test_a_checkpoint_of_another_painting_is_refused(self, backend: Backend) -> None:
        """A checkpoint of other pictures, seed or settings raises CheckpointError."""
        checkpoint = left(backend, sample(), 2)
        (style,) = sample().styles
        with pytest.raises(CheckpointError):
            painted(backend, sample(seed=5, resume=checkpoint))
        for other in (replace(style, scale=0.5), replace(style, size="12")):
            with pytest.raises(CheckpointError):
                painted(backend, sample(styles=(other,), resume=checkpoint))

    def test_what_it_is_given_stays_as_it_was(self, backend: Backend) -> None:
        """Pictures and checkpoints of a task are never written to."""
        task = sample({"start": "picture"}, init=picture(24, 18, seed=3))
        if capabilities(backend).resume:
            task = replace(task, resume=left(backend, task, 1))
        given = [*pictures(task), *(task.resume or {}).values()]
        before = [array.tobytes() for array in given]
        painted(backend, task)
        assert [array.tobytes() for array in given] == before

    def test_what_it_hands_out_may_be_written_to(self, backend: Backend) -> None:
        """Writing to a stage or a checkpoint does not change the following steps."""
        spoilt: list[Step] = []
        for step in backend.paint(sample({"save_every": 1}), lambda: Wish.CHECKPOINT):
            assert isinstance(step, Stage)
            spoilt.append(replace(step, picture=step.picture.copy()))
            for array in (step.picture, *(step.checkpoint or {}).values()):
                if array.flags.writeable:
                    array.fill(0)
        assert self.same(backend, spoilt, painted(backend, sample({"save_every": 1})))

    def test_a_painting_can_be_left_at_any_step(self, backend: Backend) -> None:
        """`paint` is a generator that can be closed; the backend works as before afterwards."""
        whole = painted(backend, sample())
        begun = backend.paint(sample(), go_on)
        assert isinstance(begun, Generator)
        next(begun)
        begun.close()
        assert next(begun, None) is None
        assert self.same(backend, painted(backend, sample()), whole)

    def test_two_paintings_of_one_backend_do_not_mix(self, backend: Backend) -> None:
        """Two runs share no state."""
        one, two = sample(), sample(content=picture(20, 24, seed=4))
        mixed = list(zip(backend.paint(one, go_on), backend.paint(two, go_on), strict=True))
        assert self.same(backend, [step for step, _ in mixed], painted(backend, one))
        assert self.same(backend, [step for _, step in mixed], painted(backend, two))

    def test_with_every_control_it_goes_on_in_the_same_bytes(self, backend: Backend) -> None:
        """The checkpoint holds the state of every setting."""
        self.check_going_on(backend, everything())

    def test_a_checkpoint_under_another_control_is_refused(self, backend: Backend) -> None:
        """Settings belong to the job, also for a backend that ignores them."""
        checkpoint = left(backend, sample(), 2)
        for control, value in SMOOTHED.items():
            with pytest.raises(CheckpointError):
                painted(backend, sample({control: value}, resume=checkpoint))

    @pytest.mark.parametrize("size", ["side", "stretch", "16"])
    def test_a_size_said_of_a_style_is_as_if_said_of_all(self, backend: Backend, size: str) -> None:
        """The size of a style overrides that of the recipe, and means the same."""
        (style,) = sample().styles
        of_its_own = sample({"style_size": "12"}, styles=(replace(style, size=size),))
        of_all = sample({"style_size": size})
        assert self.same(backend, painted(backend, of_its_own), painted(backend, of_all))
