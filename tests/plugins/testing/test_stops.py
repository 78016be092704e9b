"""The suite on interruptions finds out backends that do not bear them, each in its own way."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from tests.plugins.promises import keeps, promises

from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.stage import Checkpoint, Stage, Step, Wish, go_on
from stylewatch_plugins.contract import Capabilities
from stylewatch_plugins.sketch import Sketch

Wishes = Callable[[], Wish]
Seen = Iterator[Step]


class _AsksNobody(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Seen:
        return super().paint(task, go_on)


class _AsksTwice(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Seen:
        return super().paint(task, lambda: (wish(), wish())[1])


class _FinishesLater(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Seen:
        late = [Wish.GO_ON]

        def later() -> Wish:
            late.append(wish())
            return late[-2]

        return super().paint(task, later)


class _StopsWithoutCheckpoint(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Seen:
        for step in super().paint(task, wish):
            yield replace(step, checkpoint=None)


class _EndsAtACheckpoint(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Seen:
        for step in super().paint(task, wish):
            yield step
            if step.checkpoint is not None:
                return


def lighter(step: Step, more: np.float32) -> Step:
    """The step; if it has a picture, that is lighter."""
    return replace(step, picture=step.picture + more) if isinstance(step, Stage) else step


def with_checkpoints(steps: Seen, change: Callable[[Checkpoint], Checkpoint]) -> Seen:
    """The steps, their checkpoints changed."""
    for step in steps:
        kept = None if step.checkpoint is None else change(step.checkpoint)
        yield replace(step, checkpoint=kept)


class _KeepsRoundedPictures(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Seen:
        steps = super().paint(task, wish)
        return with_checkpoints(steps, lambda kept: {**kept, "picture": np.rint(kept["picture"])})


class _ForgetsTheTime(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Seen:
        steps = super().paint(task, wish)
        return with_checkpoints(steps, lambda kept: {**kept, "seconds": np.array(-9.0)})


class _StartsAnew(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Seen:
        return super().paint(replace(task, resume=None), wish)


class _WritesOnWhatItGets(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Seen:
        yield from super().paint(task, wish)
        if task.resume is not None and task.content is not None:
            task.content.fill(0)


class _HandsOutItsOwn(Sketch):
    """The picture of a stage is the one that is worked on."""

    def paint(self, task: Task, wish: Wishes) -> Seen:
        last: Stage | None = None
        for step in super().paint(task, wish):
            if isinstance(step, Stage) and last is not None and not last.picture.any():
                step.picture.fill(0)
            last = step if isinstance(step, Stage) else last
            yield step


class _HandsOutAList(Sketch):
    def paint(self, task: Task, wish: Wishes) -> Seen:
        return iter(list(super().paint(task, wish)))


class _KnowsOneTaskOnly(Sketch):
    """Keeps on itself what belongs to a painting."""

    def paint(self, task: Task, wish: Wishes) -> Seen:
        self._task = task
        for step in super().paint(task, wish):
            if isinstance(step, Stage) and self._task is not task:
                step.picture.fill(0)
            yield step


class _ResumesUnasked(Sketch):
    """Hands out checkpoints that it says it has not."""

    capabilities = Capabilities(resume=False)


class _NeverTwiceTheSame(Sketch):
    """Says that it is not deterministic, and is far from it."""

    capabilities = Capabilities(deterministic=False)
    _runs = count()

    def paint(self, task: Task, wish: Wishes) -> Seen:
        more = np.float32(9 * next(self._runs))
        for step in super().paint(task, wish):
            yield lighter(step, more)


class _CannotResume(Sketch):
    """Says so, and keeps all else."""

    capabilities = Capabilities(resume=False)

    def paint(self, task: Task, wish: Wishes) -> Seen:
        if task.resume is not None:
            raise CheckpointError("a painting of this backend cannot be gone on with")
        for step in super().paint(task, wish):
            yield replace(step, checkpoint=None)


class _NearlyTheSame(Sketch):
    """Says that it is not deterministic, and differs in the last bits."""

    capabilities = Capabilities(deterministic=False)
    _runs = count()

    def paint(self, task: Task, wish: Wishes) -> Seen:
        more = np.float32(1e-3 * next(self._runs))
        for step in super().paint(task, wish):
            yield lighter(step, more)


@pytest.mark.parametrize("promise", promises())
@pytest.mark.parametrize("honest", [_CannotResume, _NearlyTheSame])
def test_who_claims_less_need_not_keep_more(honest: type[Sketch], promise: str) -> None:
    assert keeps(honest, promise)


WRONG = {
    _ResumesUnasked: "told_to_stop_it_hands_out_a_checkpoint_and_ends",
    _NeverTwiceTheSame: "two_paintings_of_one_backend_do_not_mix",
    _AsksNobody: "it_asks_for_a_wish_after_every_step",
    _AsksTwice: "it_asks_for_a_wish_after_every_step",
    _FinishesLater: "told_to_finish_it_hands_out_a_stage_at_once",
    _StopsWithoutCheckpoint: "told_to_stop_it_hands_out_a_checkpoint_and_ends",
    _EndsAtACheckpoint: "a_checkpoint_on_the_way_changes_nothing",
    _KeepsRoundedPictures: "it_goes_on_from_any_step_in_the_same_bytes",
    _ForgetsTheTime: "it_goes_on_from_any_step_in_the_same_bytes",
    _StartsAnew: "a_checkpoint_of_another_painting_is_refused",
    _WritesOnWhatItGets: "what_it_is_given_stays_as_it_was",
    _HandsOutItsOwn: "what_it_hands_out_may_be_written_to",
    _HandsOutAList: "a_painting_can_be_left_at_any_step",
    _KnowsOneTaskOnly: "two_paintings_of_one_backend_do_not_mix",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_backend_that_breaks_a_promise_is_found_out(wrong: type[Sketch]) -> None:
    assert not keeps(wrong, f"test_{WRONG[wrong]}")
