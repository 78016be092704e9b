"""The conformance suite rejects backends that break the contract, each in one way."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest
from tests.plugins.promises import keeps

from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.scene.task import Task
from stylewatch_painter.stage import Stage, Step, Wish
from stylewatch_plugins.contract import Backend, Capabilities
from stylewatch_plugins.sketch import Sketch
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
    step: Callable[[Step], Step] = unchanged,
    steps: Callable[[Steps, Task], Steps] = lambda made, _: made,
    wish: Callable[[Callable[[], Wish]], Wish] = lambda asked: asked(),
    **members: Any,
) -> type[Any]:
    """Make a backend that runs another task, yields other steps, has other members."""

    def paint(self: Backend, given: Task, asked: Callable[[], Wish]) -> Steps:
        made = base.paint(self, task(given), lambda: wish(asked))
        return steps((step(each) for each in made), given)

    return type("Broken", (base,), {"paint": paint, **members})


def redrawn(draw: Callable[[Stage], Any], **members: Any) -> type[Any]:
    """Make a backend that changes its pictures."""

    def step(made: Step) -> Step:
        return replace(made, picture=draw(made)) if isinstance(made, Stage) else made

    return broken(step=step, **members)


VARYING = redrawn(lambda s: s.picture + np.float32(next(RUNS)))

WRONG: dict[str, type[Any]] = {
    "unknown_option_is_refused": broken(__init__=lambda self, _: Sketch.__init__(self, {})),
    "steps_and_stages": broken(step=lambda s: replace(s, step=s.step - 1)),
    "total_falls": broken(step=lambda s: replace(s, losses=replace(s.losses, total=float(s.step)))),
    "odd_size_runs_or_is_refused": redrawn(lambda _: SHARED),
    "styles_count_by_their_weights": broken(
        task=lambda task: replace(task, styles=task.styles[:1])
    ),
    "divergence_never_shows_numbers_that_are_not_finite": redrawn(
        lambda s: s.picture * np.float32(np.nan)
    ),
    "masks_act_if_declared": broken(Tones, capabilities=Capabilities()),
    "wish_is_called_after_every_step": broken(wish=lambda asked: (asked(), asked())[1]),
    "finish_yields_a_stage": broken(wish=lambda _: Wish.GO_ON),
    "stop_yields_a_checkpoint": broken(step=lambda s: replace(s, checkpoint=None)),
    "yielded_arrays_may_be_written_to": redrawn(lambda _: SHARED),
    "seed_determines_the_picture": VARYING,
    "resumed_job_gives_the_same_bytes": VARYING,
}
"""Backends that break the contract, each in one way, by the test that finds them."""


def cannot_resume(steps: Steps, task: Task) -> Steps:
    if task.resume is not None:
        raise CheckpointError("this backend cannot resume")
    return (replace(step, checkpoint=None) for step in steps)


FEWER = [
    broken(steps=cannot_resume, capabilities=NO_RESUME),
    redrawn(lambda s: s.picture + np.float32(1e-5 * next(RUNS)), capabilities=VARIES),
]
"""Backends with fewer capabilities, which pass; Sketch and Tones, with all, run the suite, too."""


@pytest.mark.parametrize("promise", WRONG)
def test_a_backend_that_breaks_a_promise_is_rejected_and_one_that_promises_less_is_not(
    promise: str,
) -> None:
    backends = (WRONG[promise], *FEWER)
    assert [keeps(backend, f"test_{promise}") for backend in backends] == [False, True, True]
