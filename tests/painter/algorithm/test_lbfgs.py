"""L-BFGS, held against torch's own and against plain NumPy, step by step."""

from typing import Any

import numpy as np
import pytest
import torch
from tests.painter import plain_optimizers, small, valley
from tests.painter.plain_vgg19 import Array
from tests.painter.walks import broken_off, same_way, walk

from stylewatch_painter.algorithm.lbfgs import Lbfgs
from stylewatch_painter.algorithm.optimizers import Evaluate, Evaluation
from stylewatch_painter.recipes import recipe

STEPS = 8


def settings(**changed: object) -> recipe.Lbfgs:
    return recipe.Lbfgs.model_validate({"kind": "lbfgs", **changed})


def by_torch(steps: int, history: int) -> list[Array]:
    """The path of torch.optim.LBFGS, one iteration a step, as the program pastiche drives it."""
    x = torch.from_numpy(valley.start()).requires_grad_()
    made: Any = torch.optim.LBFGS([x], lr=1.0, max_iter=1, history_size=history)
    path = []

    def closure() -> float:
        here = x.detach().numpy()
        x.grad = torch.from_numpy(valley.slope(here))
        return valley.height(here)

    for _ in range(steps):
        made.step(closure)
        path.append(x.detach().numpy().copy())
    return path


@pytest.mark.parametrize("history", [2, 100])
def test_it_goes_the_way_of_torch(history: int) -> None:
    same_way(walk(Lbfgs(settings(history=history)), STEPS), by_torch(STEPS, history))


@pytest.mark.parametrize("history", [2, 100])
def test_it_goes_the_way_computed_in_numpy(history: int) -> None:
    wanted = plain_optimizers.lbfgs(valley.start(), valley.slope, STEPS, history)
    same_way(walk(Lbfgs(settings(history=history)), STEPS), wanted)


BOUNDS = torch.full((1, 3, 1, 1), -9.0), torch.full((1, 3, 1, 1), 6.0)


@pytest.mark.parametrize("line_search", ["none", "strong_wolfe"])
def test_no_step_leads_out_of_bounds(line_search: str) -> None:
    free, held = (
        np.abs(walk(Lbfgs(settings(first_step=9, line_search=line_search), bounds), 1)[0] + 1.5)
        for bounds in (None, BOUNDS)
    )
    assert free.max() > 7.5
    assert held.max() == 7.5


def levels(move: Array) -> float:
    """The size of a move: its root mean square."""
    return float(np.sqrt(np.square(move).mean()))


@pytest.mark.parametrize("power", [0.0, 0.5])
def test_the_first_step_is_as_long_as_asked(power: float) -> None:
    made = Lbfgs(settings(first_step=3, fourier_power=power))
    assert levels(walk(made, 1)[0] - valley.start()) == pytest.approx(3, rel=1e-5)


def scaled(x: Array, power: float) -> Array:
    """Every wave of a picture times 1 / f^power, f in cycles per pixel; the mean as the slowest."""
    height, width = x.shape[-2:]
    down, right = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :]
    f = np.maximum(np.hypot(down, right), 1 / max(height, width))
    return np.fft.ifft2(np.fft.fft2(x) / f**power).real


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_rounder_coordinates_are_those_of_scaled_waves(power: float) -> None:
    """The same as plain L-BFGS on z where x = scaled(z), whose slope is the slope scaled."""

    def as_long_as_asked(_: Array, direction: Array) -> float:
        return 2 / levels(scaled(direction, power))

    path = plain_optimizers.lbfgs(
        scaled(valley.start(), -power),
        lambda z: scaled(valley.slope(scaled(z, power)), power),
        STEPS,
        first=as_long_as_asked,
    )
    found = walk(Lbfgs(settings(first_step=2, fourier_power=power)), STEPS)
    same_way(found, [scaled(z, power) for z in path])


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"history": 2},
        {"first_step": 3, "fourier_power": 0.5},
        {"line_search": "strong_wolfe"},
        {"first_step": 60, "step_back": 1.01},
    ],
    ids=["plain", "short", "rounder", "wolfe", "back"],
)
@pytest.mark.parametrize("after", [0, 1, 2, 6])
def test_a_walk_can_be_broken_off_and_goes_on_in_the_same_bytes(
    changed: dict[str, object], after: int
) -> None:
    whole = walk(Lbfgs(settings(**changed)), 9)
    rest = broken_off(settings(**changed), after, 9)
    assert all(np.array_equal(a, b) for a, b in zip(rest, whole[after:], strict=True))


def test_a_valley_that_bends_the_wrong_way_is_left_by_its_slope() -> None:
    """On a dome no pair is taken in, and the way is that of the steepest descent."""

    def dome(x: torch.Tensor) -> Evaluation:
        value = -x.square().sum() / 2
        return Evaluation(value.view(1), value, -x.clone())

    made, x = Lbfgs(settings()), small.tensor(valley.start())
    made.step(x, dome)
    there = x.clone()
    made.step(x, dome)
    torch.testing.assert_close(x, 2 * there)
    assert made.state()["0.inverse"] == 0


def with_a_cliff(beyond: float, what: float, seen: list[float]) -> Evaluate:
    """The valley, but for a place where the picture's first value is under `beyond`."""

    def evaluate(x: torch.Tensor) -> Evaluation:
        found = valley.evaluate(x)
        seen.append(float(x[0, 0, 0, 0]))
        if seen[-1] >= beyond:
            return found
        return Evaluation(found.terms * what, found.objective * what, found.gradient * what)

    return evaluate


@pytest.mark.parametrize("what", [1e6, float("nan"), float("inf")])
def test_a_step_over_a_cliff_is_taken_back_and_a_shorter_one_made(what: float) -> None:
    """From where the step began, and by a quarter of it; what is told belongs to that place."""
    made, seen = Lbfgs(settings(first_step=30, step_back=2)), list[float]()
    x = torch.from_numpy(valley.start()).unsqueeze(0)
    first = made.step(x, valley.evaluate)
    begun, there = valley.start(), small.array(x)
    edge = float(there[0, 0, 0]) + 1e-6
    told = made.step(x, with_a_cliff(edge, what, seen))
    same_way([small.array(x)], [begun + 0.25 * (there - begun)])
    assert torch.equal(told.terms, first.terms)
    assert made.state()["taken_back"].tolist() == [1]
    for _ in range(8):
        told = made.step(x, with_a_cliff(edge, what, seen))
    assert told.objective < first.objective / 10
