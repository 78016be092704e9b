"""A painting has come to rest when ten steps no longer lower its objective."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
import torch
from tests.painter import small
from tests.painter.paintings import painted, painting

from stylewatch_painter.algorithm.state import Convergence
from stylewatch_painter.stage import Wish
from stylewatch_plugins.testing.tasks import after, kept, stages

WHOLE, HALF = (small.WIDTH, small.HEIGHT), (10, 9)


def ended(objectives: Iterable[float], rest: Convergence | None = None) -> int | None:
    """The number of the first step that was the last of use, from 1; None: there is none."""
    rest = rest or Convergence(0.01)
    for number, objective in enumerate(objectives, start=1):
        if rest.reached(torch.tensor([objective])):
            return number
    return None


@pytest.mark.parametrize(
    ("share", "wanted"), [(0.9, None), (0.9989, None), (0.9995, 20), (1.0, 20), (1.001, 20)]
)
def test_ten_steps_have_to_take_away_the_share_that_is_asked(
    share: float, wanted: int | None
) -> None:
    """A hundredth in ten steps is about a thousandth in one."""
    assert ended(7e6 * share**number for number in range(40)) == wanted


def test_what_is_no_number_is_not_at_rest() -> None:
    assert ended([float("nan")] * 40) is None


STILL = {
    "optimizer": {"kind": "sgd", "rate": 1e-9},
    "scales": [{"scale": 0.5, "steps": 35}],
    "steps": 50,
    "save_every": 8,
    "until": "converged",
}


def test_a_size_ends_once_nothing_moves() -> None:
    """Two looks, ten steps apart, are enough to see that; the last step is a stage."""
    steps = painted(painting(STILL))
    assert [step.size for step in steps] == [HALF] * 20 + [WHOLE] * 20
    assert [step.steps for step in steps] == [85] * 19 + [70] * 20 + [40]
    assert set(stages(steps)) == {8, 16, 24, 32, 40}


@pytest.mark.parametrize("broken", [5, 20, 33])
def test_what_was_broken_off_comes_to_rest_at_the_same_step(broken: int) -> None:
    task = painting(STILL)
    (*_, stopped) = painted(task, *after(broken, Wish.STOP))
    rest = painted(replace(task, resume=kept(stopped.checkpoint)))
    assert [step.step for step in rest] == list(range(broken + 1, 41))
    assert {rest[-1].step, rest[-1].steps} == {40}
