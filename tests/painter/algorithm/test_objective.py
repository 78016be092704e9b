"""Each recipe's objective, held against the formulas of its source in plain NumPy."""

import gc
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.plain_recipes import POOLS, Result, in_network_units
from tests.painter.plain_vgg19 import Array

from stylewatch_painter.algorithm.caches import StyleCache
from stylewatch_painter.algorithm.canvas import Canvas
from stylewatch_painter.algorithm.objective import Objective
from stylewatch_painter.algorithm.scales import Level
from stylewatch_painter.algorithm.task import Task
from stylewatch_painter.stage import Losses, Term

RECIPES = sorted(POOLS)
CROWSON = 0.102
"""By the weight of its smoothness is that recipe told."""


def target(task: Task) -> Objective:
    """The target of a task at its final size."""
    network = small.network()
    canvas = Canvas(task, network.mean, network.device)
    return Objective([canvas], network, canvas.levels()[-1])


def place(name: str) -> Array:
    """Somewhere to look at the objective, in network units."""
    return in_network_units(small.plain(small.picture(7)), name)


def measured(task: Task) -> tuple[Losses, Array, Result]:
    """Losses and slope by the painter, and all of it by the plain modules."""
    x, held = place(task.recipe.name), target(task)
    seen = held(small.tensor(x))
    return held.losses(seen.terms)[0], small.array(seen.gradient), small.plain_objective(task)(x)


def terms(result: Result) -> Iterator[tuple[float, float]]:
    """Value and weight of every term, content first, then style by style."""
    if result.content is not None:
        yield result.content
    for layers in result.style:
        yield from layers.values()


def told(losses: Losses) -> Iterator[Term]:
    yield from losses.content.values()
    for layers in losses.style.values():
        yield from layers.values()


def agree(losses: Losses, slope: Array, wanted: Result) -> None:
    """Every term, the total and the slope, within what float32 can hold.

    The slope of a square root takes the last bits of small covariances for more than they are.
    """
    apart = 1e-3 if wanted.tv is not None and wanted.tv[1] == CROWSON else 2e-5
    for term, (value, weight) in zip(told(losses), terms(wanted), strict=True):
        assert term.value == pytest.approx(value, rel=1e-4)
        assert term.weight == pytest.approx(weight, rel=1e-9)
    assert losses.total == pytest.approx(wanted.total, rel=1e-4)
    size = np.abs(wanted.slope).max()
    np.testing.assert_allclose(slope / size, wanted.slope / size, atol=apart)


@pytest.mark.parametrize("name", RECIPES)
def test_the_plain_slope_is_that_of_the_plain_total(name: str) -> None:
    """What the painter is held against is itself right: by central differences."""
    objective, x = small.plain_objective(small.task(name, styles=2)), place(name)
    slope = objective(x).slope
    draw = np.random.Generator(np.random.PCG64(3))

    def pulling(there: Array) -> float:
        result = objective(there)
        aside = 1e-3 * result.tv[0] if name == "neural-style" and result.tv else 0.0
        return result.total + aside

    for _ in range(4):
        way = draw.standard_normal(x.shape) * 1e-5
        difference = (pulling(x + way) - pulling(x - way)) / 2
        assert difference == pytest.approx(float((slope * way).sum()), rel=1e-4)


@pytest.mark.parametrize("name", RECIPES)
def test_losses_and_slope_are_those_of_the_source(name: str) -> None:
    agree(*measured(small.task(name)))


@pytest.mark.parametrize("name", RECIPES)
def test_either_side_can_be_left_out(name: str) -> None:
    whole = small.task(name)
    style_only = Task(whole.recipe, None, whole.styles, init=whole.content)
    content_only = Task(whole.recipe, whole.content, ())
    agree(*measured(style_only))
    agree(*measured(content_only))


def test_eigenvalues_are_no_work_for_a_gpu_by_itself() -> None:
    """Steps that need them are not recorded: they wait for the processor."""
    assert target(small.task("best")).is_capturable
    assert not target(small.task("crowson")).is_capturable


@pytest.mark.parametrize(("strength", "factor"), [(0.0, 4.0), (0.5, 1.0), (1.0, 0.25)])
def test_strength_multiplies_the_content_weight(strength: float, factor: float) -> None:
    """From 1.6 to 0.1 in `best`: 0.4 x 16^(0.5 - strength)."""
    losses, _, _ = measured(small.task("best", {"strength": strength}))
    assert losses.content["conv4_2"].weight == pytest.approx(0.4 * factor)
    assert losses.style["style-1"]["conv1_1"].weight == 1


def smaller(task: Task, size: tuple[int, int]) -> dict[str, float]:
    """The values of the terms of `task` at a smaller size, at a picture of gray."""
    network = small.network()
    canvas = Canvas(task, network.mean, network.device)
    held = Objective([canvas], network, Level(size, size[0] / small.WIDTH, 1))
    losses = held.losses(held(torch.zeros(1, 3, size[1], size[0])).terms)[0]
    tv = {} if losses.tv is None else {"tv": losses.tv.value}
    return {layer: term.value for layer, term in losses.content.items()} | tv


@pytest.mark.parametrize(
    ("name", "grows"), [("devos", True), ("keras", True), ("pastiche", False), ("best", False)]
)
def test_what_is_summed_over_a_picture_counts_at_smaller_sizes_as_at_the_end(
    name: str, grows: bool
) -> None:
    """A quarter of the positions make a quarter of the sum; so it is taken four times."""
    final, half = (small.WIDTH, small.HEIGHT), (10, 9)
    task = small.task(name, {"objective.network.pool_edge": "ceil"})
    alone = small.task(name, {"objective.network.pool_edge": "ceil", "size": "10x9"})
    factor = final[0] * final[1] / (half[0] * half[1]) if grows else 1.0
    on_the_way, by_itself = smaller(task, half), smaller(alone, half)
    for term, value in by_itself.items():
        assert on_the_way[term] == pytest.approx(value * factor, rel=1e-5)


@pytest.mark.parametrize(("name", "left"), [("devos", 9 / 16), ("best", 0.0)])
def test_an_unnormalized_gram_is_divided_by_the_square_of_the_scale_asked_for(
    name: str, left: float
) -> None:
    """At the style picture itself, which is never enlarged here, only the division is seen.

    (A - A / 2^2)^2 is 9/16 of A^2; a mean over positions stays as it is.
    """
    task = small.task(name, {"style_size": "area", "enlarge": False})

    def value(scale: float) -> float:
        made = replace(task, styles=(replace(task.styles[0], scale=scale),))
        held = target(made)
        seen = held(held.canvases[0].style(made.styles[0], held.level))
        return held.losses(seen.terms)[0].style["style-1"]["conv1_1"].value

    alone = value(1e3)  # as good as nothing to be held against
    assert value(2.0) == pytest.approx(alone * left, rel=1e-4, abs=1e-12)


def look(looks: StyleCache, task: Task, digest: str | None) -> StyleCache:
    """`looks`, after the target of a task was set up whose styles have that digest."""
    styles = tuple(replace(style, digest=digest) for style in task.styles)
    network = small.network()
    canvas = Canvas(replace(task, styles=styles), network.mean, network.device)
    Objective([canvas], network, canvas.levels()[-1], looks)
    return looks


def test_a_style_is_looked_at_once_where_it_has_a_digest() -> None:
    task, looks = small.task("best"), StyleCache()
    assert look(looks, task, "a").computed == 1
    assert look(looks, replace(task, content=small.picture(9), seed=5), "a").computed == 1
    assert look(looks, task, "b").computed == 2
    assert looks.reused == 1
    assert look(StyleCache(), task, None).computed == 0  # nothing is kept of it


@pytest.mark.parametrize(
    "changes",
    [
        {"size": "19x17"},
        {"style_size": "area", "style_scale": 0.9, "enlarge": True},
        {"resample": "bilinear", "style_size": "20x20", "fit": "stretch"},
        {"eight_bit": True},
        {"objective.network.pool": "average"},
        {"objective.network.padding": "reflect"},
        {"objective.network.pixel_range": 200},
        {"objective.style.gram": "sum"},
        {"objective.style.layers.conv3_1": None},
    ],
)
def test_what_changes_the_look_of_a_style_is_looked_at_anew(changes: Mapping[str, Any]) -> None:
    before = {**changes, "resample": "lanczos"} if "resample" in changes else {}
    looks = look(StyleCache(), small.task("best", before), "a")
    assert look(looks, small.task("best", changes), "a").computed == 2


def test_an_evaluation_that_fails_on_its_way_back_leaves_no_maps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Memory that did not suffice is free for a smaller painting."""

    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    def maps() -> int:
        gc.collect()
        return sum(type(one) is torch.Tensor and one.ndim == 4 for one in gc.get_objects())

    held = target(small.task("best"))
    u = held.canvases[0].start(held.level.size)
    held(u)
    before = maps()
    monkeypatch.setattr("stylewatch_painter.algorithm.losses._Products.backward", fail)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="out of memory"):
            held(u)
    assert maps() == before
