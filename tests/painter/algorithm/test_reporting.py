"""When steps are told of, and what is said; of a painting as a whole, test_paint has more."""

from itertools import count

import pytest
import torch
from tests.painter import small
from tests.painter.paintings import AT_ONCE, painting

from stylewatch_painter.algorithm.canvas import Canvas
from stylewatch_painter.algorithm.objective import Objective
from stylewatch_painter.algorithm.paint import Result, _Reporter, report_group
from stylewatch_painter.algorithm.state import PaintState
from stylewatch_painter.errors import DivergedError
from stylewatch_painter.stage import Stage, Step, Wish

STEPS = 6


class Painting:
    """A painting of six steps, which ends in a stage, and what is told of it."""

    def __init__(self) -> None:
        network = small.network()
        forward = {**AT_ONCE, "optimizer.step_back": None}
        task = painting({**forward, "steps": STEPS, "save_every": 99})
        canvas = Canvas(task, network.mean, network.device)
        levels = canvas.levels()
        self.place = PaintState.start([canvas], levels)
        self.target = Objective([canvas], network, levels[0])
        ticks = count(50.0, 3.0)
        self.reporter = _Reporter(self.place, levels, lambda: next(ticks))

    def step(self, wish: Wish = Wish.GO_ON) -> list[Result] | None:
        """Make a step; what is told after it, if anything is."""
        before = self.place.u.clone()
        seen = self.place.optimizer.step(self.place.u, self.target)
        self.place.step += 1
        self.reporter.add(seen.terms)
        if not self.reporter.is_due([wish]):
            return None
        results, _ = self.reporter.report(self.target, before, [wish])
        return [result for _, result in results]


@pytest.mark.parametrize(
    ("device", "seconds", "steps"),
    [("cpu", 1e-6, 1), ("cpu", 9, 1), ("meta", 1e-3, 10), ("meta", 0.1, 5), ("meta", 2.0, 1),
     ("meta", 0.0, 10)],
)  # fmt: skip
def test_a_device_is_left_alone_for_ten_steps_or_half_a_second(
    device: str, seconds: float, steps: int
) -> None:
    assert report_group(torch.device(device), seconds) == steps


def test_several_steps_are_told_of_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second told says when it was made as well as can be known."""
    monkeypatch.setattr("stylewatch_painter.algorithm.paint.report_group", lambda *_: 3)
    made = Painting()
    first = made.step()
    assert first is not None and len(first) == 1  # how long a step takes is not known before
    assert [made.step(), made.step()] == [None, None]
    told = made.step()
    assert told is not None
    steps = [step for step in told if isinstance(step, Step)]
    assert [step.step for step in steps] == [2, 3, 4]
    assert [step.seconds for step in steps] == [4, 5, 6]
    assert len({step.losses.total for step in steps}) == 3


@pytest.mark.parametrize("wish", [Wish.CHECKPOINT, Wish.STOP, Wish.FINISH])
def test_a_wish_is_not_left_waiting(monkeypatch: pytest.MonkeyPatch, wish: Wish) -> None:
    monkeypatch.setattr("stylewatch_painter.algorithm.paint.report_group", lambda *_: 99)
    made = Painting()
    made.step()
    assert made.step() is None
    told = made.step(wish)
    assert told is not None
    *_, last = told
    assert isinstance(last, Step) and last.step == 3
    assert isinstance(last, Stage) == (wish is Wish.FINISH)
    assert (last.checkpoint is None) == (wish is Wish.FINISH)


def test_of_a_painting_that_runs_away_the_steps_before_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is noticed late, and dated to where it happened."""
    monkeypatch.setattr("stylewatch_painter.algorithm.paint.report_group", lambda *_: 4)
    made = Painting()
    made.step()
    made.step()
    made.place.u.fill_(float("nan"))
    made.step()
    made.step()
    told = made.step()
    assert told is not None
    *steps, error = told
    assert [step.step for step in steps if isinstance(step, Step)] == [2]
    assert isinstance(error, DivergedError)
    assert "no longer a number at step 3" in str(error)
