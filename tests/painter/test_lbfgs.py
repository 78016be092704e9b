"""L-BFGS, held against torch's own and against plain NumPy, step by step."""

from typing import Any

import numpy as np
import pytest
import torch
from tests.painter import plain_optimisers, small, valley
from tests.painter.plain_vgg19 import Array
from tests.painter.walks import broken_off, same_way, walk

from stylewatch_painter import recipe
from stylewatch_painter.evaluation import Evaluation
from stylewatch_painter.lbfgs import Lbfgs

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
def test_it_goes_the_way_worked_out_in_numpy(history: int) -> None:
    wanted = plain_optimisers.lbfgs(valley.start(), valley.slope, STEPS, history)
    same_way(walk(Lbfgs(settings(history=history)), STEPS), wanted)


def test_a_step_is_one_evaluation() -> None:
    """Without a line search, as neural-style counts them."""
    seen = 0

    def counted(x: torch.Tensor) -> Evaluation:
        nonlocal seen
        seen += 1
        return valley.evaluate(x)

    walk(Lbfgs(settings()), 3, counted)
    assert seen == 3


def levels(move: Array) -> float:
    """The size of a move: its root mean square."""
    return float(np.sqrt(np.square(move).mean()))


@pytest.mark.parametrize("coordinates", [0.0, 0.5])
def test_the_first_step_is_as_long_as_asked(coordinates: float) -> None:
    made = Lbfgs(settings(first_step=3, coordinates=coordinates))
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

    path = plain_optimisers.lbfgs(
        scaled(valley.start(), -power),
        lambda z: scaled(valley.slope(scaled(z, power)), power),
        STEPS,
        first=as_long_as_asked,
    )
    found = walk(Lbfgs(settings(first_step=2, coordinates=power)), STEPS)
    same_way(found, [scaled(z, power) for z in path])


@pytest.mark.parametrize(
    "changed",
    [{}, {"history": 2}, {"first_step": 3, "coordinates": 0.5}, {"line_search": "strong_wolfe"}],
    ids=["plain", "short", "rounder", "wolfe"],
)
@pytest.mark.parametrize("after", [0, 1, 2, 6])
def test_a_walk_can_be_broken_off_and_goes_on_in_the_same_bytes(
    changed: dict[str, object], after: int
) -> None:
    whole = walk(Lbfgs(settings(**changed)), 9)
    rest = broken_off(settings(**changed), after, 9)
    assert all(np.array_equal(a, b) for a, b in zip(rest, whole[after:], strict=True))


def test_with_a_line_search_it_never_climbs() -> None:
    path = walk(Lbfgs(settings(line_search="strong_wolfe")), 12)
    heights = [valley.height(x) for x in (valley.start(), *path)]
    assert sorted(heights, reverse=True) == heights
    assert heights[-1] < heights[0] / 1000


def test_at_the_bottom_it_stands_still() -> None:
    """Where there is no slope, nothing moves, and nothing becomes what is no number."""
    for line_search in ("none", "strong_wolfe"):
        made, x = Lbfgs(settings(line_search=line_search)), torch.zeros(1, *valley.SHAPE)
        for _ in range(3):
            made.step(x, valley.evaluate)
        assert torch.count_nonzero(x) == 0


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


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_with_a_first_step_the_objective_may_be_large_or_small(factor: float) -> None:
    """The way is the same however the objective is weighed."""

    def weighed(x: torch.Tensor) -> Evaluation:
        seen = valley.evaluate(x)
        return Evaluation(seen.terms, factor * seen.objective, factor * seen.gradient)

    plainly = walk(Lbfgs(settings(first_step=2)), STEPS)
    same_way(walk(Lbfgs(settings(first_step=2)), STEPS, weighed), plainly)
