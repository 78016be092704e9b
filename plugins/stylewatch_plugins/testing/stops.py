"""The conformance suite on wishes, checkpoints and going on; see `testing`."""

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.stage import Checkpoint, Stage, Step, Wish, go_on
from stylewatch_plugins.capabilities import capabilities
from stylewatch_plugins.contract import Backend
from stylewatch_plugins.testing.tasks import (
    OPTIMIZERS,
    PRINT,
    SMALL_FIRST,
    Suite,
    after,
    kept,
    painted,
    picture,
    pictures,
    sample,
    stages,
)


def left(backend: Backend, task: Task, step: int) -> Checkpoint:
    """What is left of `task`, stopped after `step`; some arrays if it hands out no checkpoints."""
    stopped = painted(backend, task, *after(step, Wish.STOP))[-1]
    if capabilities(backend).resume:
        return kept(stopped.checkpoint)
    return {"step": np.array(step), "picture": picture(24, 18)}


class Interruptions(Suite):
    """What every backend promises to who interrupts it, or goes on without it."""

    @pytest.mark.parametrize("wished", [Wish.GO_ON, Wish.CHECKPOINT])
    def test_it_asks_for_a_wish_after_every_step(self, backend: Backend, wished: Wish) -> None:
        """Once for each step, after it is made and before it is handed out."""
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
        """The step just made becomes the last stage, at the final size."""
        steps = painted(backend, sample(recipe), *after(1, Wish.FINISH))
        assert [type(step) for step in steps] == [Stage]
        assert {len(shown) for shown in stages(steps).values()} == {18 * 24 * 3 * 4}

    def test_told_to_stop_it_hands_out_a_checkpoint_and_ends(self, backend: Backend) -> None:
        """The step just made is the last, and carries what is needed to go on, if one can."""
        steps = painted(backend, sample(), *after(3, Wish.STOP))
        assert [step.step for step in steps] == [1, 2, 3]
        last = capabilities(backend).resume
        assert [step.checkpoint is not None for step in steps] == [False, False, last]

    def test_a_checkpoint_on_the_way_changes_nothing(self, backend: Backend) -> None:
        """Who asks for a checkpoint gets it with that step, and the painting goes on as ever."""
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
        """A painting that was stopped, by another process too, ends in the same picture."""
        changes = {**recipe, "optimizer": OPTIMIZERS[optimizer], "save_every": 1}
        self.check_going_on(backend, sample(changes))

    def test_a_checkpoint_of_another_painting_is_refused(self, backend: Backend) -> None:
        """Going on in another picture would be worse than starting anew; who cannot, never does."""
        checkpoint = left(backend, sample(), 2)
        (style,) = sample().styles
        with pytest.raises(CheckpointError):
            painted(backend, sample(seed=5, resume=checkpoint))
        for other in (replace(style, scale=0.5), replace(style, size="12")):
            with pytest.raises(CheckpointError):
                painted(backend, sample(styles=(other,), resume=checkpoint))

    def test_what_it_is_given_stays_as_it_was(self, backend: Backend) -> None:
        """Pictures and checkpoints of a task are not written to."""
        task = sample({"start": "picture"}, init=picture(24, 18, seed=3))
        if capabilities(backend).resume:
            task = replace(task, resume=left(backend, task, 1))
        given = [*pictures(task), *(task.resume or {}).values()]
        before = [array.tobytes() for array in given]
        painted(backend, task)
        assert [array.tobytes() for array in given] == before

    def test_what_it_hands_out_may_be_written_to(self, backend: Backend) -> None:
        """Who gets a stage or a checkpoint may work on it; the painting does not see that."""
        spoilt: list[Step] = []
        for step in backend.paint(sample({"save_every": 1}), lambda: Wish.CHECKPOINT):
            assert isinstance(step, Stage)
            spoilt.append(replace(step, picture=step.picture.copy()))
            for array in (step.picture, *(step.checkpoint or {}).values()):
                if array.flags.writeable:
                    array.fill(0)
        assert self.same(backend, spoilt, painted(backend, sample({"save_every": 1})))

    def test_a_painting_can_be_left_at_any_step(self, backend: Backend) -> None:
        """Who has seen enough closes the generator; the backend paints on as ever."""
        whole = painted(backend, sample())
        begun = backend.paint(sample(), go_on)
        assert isinstance(begun, Generator)
        next(begun)
        begun.close()
        assert next(begun, None) is None
        assert self.same(backend, painted(backend, sample()), whole)

    def test_two_paintings_of_one_backend_do_not_mix(self, backend: Backend) -> None:
        """Whatever a painting changes is its own."""
        one, two = sample(), sample(content=picture(20, 24, seed=4))
        mixed = list(zip(backend.paint(one, go_on), backend.paint(two, go_on), strict=True))
        assert self.same(backend, [step for step, _ in mixed], painted(backend, one))
        assert self.same(backend, [step for _, step in mixed], painted(backend, two))
