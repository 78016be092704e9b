"""Columns: hypercolumns, their distance, targets in regions, and scales of other terms."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.losses.by_layers import by_layers, last_pass
from tests.painter.paintings import painted, resumed
from tests.painter.small import WIDE, split
from torch import Tensor
from torch.nn import functional

from stylewatch_painter.losses import layer_match
from stylewatch_painter.losses.columns import Columns, Target, distance, grid, hypercolumns
from stylewatch_painter.losses.nearest import directions
from stylewatch_painter.paint.memory_plan import MemoryPlan
from stylewatch_painter.paint.objective import Objective
from stylewatch_painter.scene.scales import Level
from stylewatch_painter.scene.task import Prior, Task
from stylewatch_painter.stage import Stage
from stylewatch_plugins.testing.tasks import kept

SMALL: Mapping[str, Any] = {
    "scales": [{"scale": 0.5, "steps": 3}],
    "smallest": 1,
    "steps": 2,
    "save_every": 1,
}


def task(changes: Mapping[str, Any] | None = None, styles: int = 1, **fields: Any) -> Task:
    """A painting of two sizes, of which the smaller one matches neighbors."""
    return small.wide_task("best", {**SMALL, **(changes or {})}, styles, **fields)


def coarse(made: Task, start: Tensor | None = None) -> Objective:
    """The objective of a task at its coarsest size."""
    objective = small.objective(made, MemoryPlan(tile=16), level=0, start=start)
    assert objective.scene.level.is_coarse
    return objective


def test_hypercolumns_are_sampled_from_corner_to_corner() -> None:
    maps = torch.rand(3, 9, 13).requires_grad_()
    for shape in ((2, 3), (9, 13), (18, 20), (1, 1)):
        (rows,) = hypercolumns({"conv1_1": maps}, shape, {"conv1_1": 2.0})
        expected = functional.interpolate(maps[None], shape, mode="bilinear", align_corners=True)
        expected = expected[0].flatten(1).mT * 2 / 3
        torch.testing.assert_close(rows, expected)
        weights = torch.rand_like(rows)
        (gradient,) = torch.autograd.grad((rows * weights).sum(), maps)
        back = torch.autograd.grad((expected * weights).sum(), maps)
        torch.testing.assert_close(gradient, back[0])
    assert grid((21, 18)) == (4, 5) and grid((3, 2)) == (1, 1)


def test_loss_is_the_mean_cosine_distance() -> None:
    rows = [torch.randn(6, n, dtype=torch.float64, requires_grad=True) for n in (3, 4)]
    columns = directions(torch.randn(6, 7, dtype=torch.float64))

    def loss(*parts: Tensor) -> Tensor:
        return distance(parts, [Target(columns)])

    each = 1 - functional.cosine_similarity(torch.cat(rows, 1), columns)
    torch.testing.assert_close(loss(*rows), each.mean())
    assert torch.autograd.gradcheck(loss, rows)


def test_style_that_is_the_content_is_matched_with_itself() -> None:
    """The loss at the content is 0 then, whatever the strength, and above 0 for another style."""
    made = task({"strength": 0.4})
    assert made.content is not None
    same = replace(made, styles=(replace(made.styles[0], picture=made.content),))
    for which, is_zero in ((same, True), (made, False), (task({"strength": 0}), True)):
        objective = coarse(which)
        losses = objective.record(objective(small.content(objective)).terms)
        assert not losses.content and set(losses.style["style-1"]) == {"neighbors"}
        assert (losses.total < 1e-5) == is_zero


def test_turned_style_is_found_if_rotations_are_searched() -> None:
    """Deep features of a picture and of the same one turned by 90 degrees differ."""
    content = small.picture(0, 28, 28)
    for rotations in (True, False):
        match = {f"objective.coarse.neighbors.{key}": value
                 for key, value in (("rotations", rotations), ("hub_penalty", 0))}  # fmt: skip
        made = task({"strength": 1, "size": "28x28", **match}, content=content)
        turned = replace(made.styles[0], picture=np.ascontiguousarray(np.rot90(content, -1)))
        objective = coarse(replace(made, styles=(turned,)))
        loss = float(objective(small.content(objective)).objective)
        assert loss < 1e-5 if rotations else loss > 0.01


def test_start_takes_part_in_the_match_with_the_detail_of_the_content() -> None:
    start, strong = small.tensor(small.plain(small.picture(5, 16, 14))), {"strength": 1}
    alone = coarse(task(strong))
    content_only = task({**strong, "objective.coarse.neighbors.content_share": 1})
    without, mixed, unmixed, same = (
        float(objective(torch.zeros_like(start)).objective)
        for objective in (
            alone,
            coarse(task(strong), start),
            coarse(content_only, start),
            coarse(task(strong), small.content(alone)),
        )
    )
    assert mixed != without == unmixed
    assert same == pytest.approx(without, rel=1e-5)


FEATURES_ALONE: Mapping[str, Any] = {
    "objective.coarse.neighbors.hub_penalty": 0,
    "objective.coarse.neighbors.brightness": 0,
}


def targets(made: Task) -> tuple[tuple[Target, ...], ...]:
    """The targets of each region, for each style."""
    (loss,) = (loss for loss in coarse(made).losses if isinstance(loss, Columns))
    return tuple(loss.targets.values())


def test_each_region_is_matched_with_its_region_of_the_style() -> None:
    """With the left half of the style for the left half: as if there were two paintings."""
    made = task({"strength": 1, **FEATURES_ALONE})
    mask = split(16)
    masked = (replace(made.styles[0], mask=mask),)
    ((left, right),) = targets(replace(made, content_mask=mask, styles=masked))
    ((whole,),) = targets(made)
    assert left.weights is not None and right.weights is not None
    assert float(left.weights.sum()) == float(right.weights.sum()) == pytest.approx(0.5)
    assert left.weights.view(3, 4)[:, 2:].abs().max() == 0 == right.weights.view(3, 4)[:, :2].max()
    assert not torch.equal(left.columns, whole.columns)
    everywhere = (replace(made.styles[0], mask=np.ones_like(mask)),)
    (both,) = targets(replace(made, content_mask=mask, styles=everywhere))
    (unmasked,) = targets(replace(made, content_mask=mask))
    for expected, target in zip(both, unmasked, strict=True):
        assert torch.equal(target.columns, expected.columns), "a style without a mask serves both"


BY_BRIGHTNESS: Mapping[str, Any] = {
    "strength": 1,
    "objective.coarse.neighbors.brightness": 1e7,
    "objective.coarse.neighbors.rotations": False,
    "objective.coarse.neighbors.hub_penalty": 0,
}


def test_light_places_follow_light_ones() -> None:
    """In a duller mirror image of the content each position finds the mirrored one."""
    made = task(BY_BRIGHTNESS)
    assert made.content is not None
    dull = np.ascontiguousarray(made.content[:, ::-1]) / np.float32(2) + np.float32(64)
    ((own,),) = targets(task({"strength": 0}, content=dull))
    mirrored = own.columns.view(3, 4, -1).flip(1).flatten(0, 1)
    ((matched,),) = targets(replace(made, styles=(replace(made.styles[0], picture=dull),)))
    torch.testing.assert_close(matched.columns, mirrored)


def test_outside_of_the_regions_the_target_is_the_content() -> None:
    ((own,),) = targets(task({"strength": 0}))  # its targets are the content's own columns
    for region, outside in targets(task({"strength": 1}, 2, content_mask=split(16)[..., :1])):
        assert region.weights is not None and outside.weights is not None
        assert torch.allclose(outside.columns, own.columns, atol=1e-6)
        assert torch.allclose(region.weights + outside.weights, torch.tensor(1 / 12))


def test_sizes_and_frames_without_a_match() -> None:
    """Coarse terms hold up to their largest side; a frame that follows another keeps its strokes.

    It matches only where there is no other term.
    """
    scales = [{"scale": 0.25, "steps": 1}, {"scale": 0.5, "steps": 1}, {"scale": 1, "steps": 1}]

    def sides(changes: Mapping[str, Any], **fields: Any) -> list[tuple[int, bool]]:
        made = task({"scales": scales, **changes}, **fields)
        return [(level.size[0], level.is_coarse) for level in made.levels()]

    ceil = {"objective.network.pool_edge": "ceil"}
    assert sides(ceil) == [(8, True), (16, True), (32, True), (32, False)]
    assert sides({"objective.coarse.largest": 16}) == [(16, True), (32, False)]
    assert not any(is_coarse for _, is_coarse in sides({}, styles=0)), "nothing to match"
    made = task({"objective.coarse": None, "objective.neighbors.largest": 16})
    half, whole = made.levels()
    assert made.terms(half).needs_whole_picture and not made.terms(whole).needs_whole_picture
    prior = Prior(small.picture(3, *WIDE), np.ones(WIDE[::-1], np.float32), 1.0)
    assert task().final_terms.neighbors is not None
    frame = task(prior=prior)
    assert frame.final_terms.neighbors is None
    assert frame.terms(frame.levels()[0]).neighbors is not None


def test_strength_zero_is_the_content() -> None:
    """In each region, too: Gram targets are those of the region, not of the whole content."""
    (*_, last) = painted(task({"strength": 0}))
    assert isinstance(last, Stage)
    assert np.abs(last.picture - small.picture(0, *WIDE)).mean() < 1
    level = Level(WIDE, 1.0, 1)
    objective = small.objective(task({"strength": 0}, content_mask=split(10)), level=level)
    assert float(objective(small.content(objective)).objective) < 1e-8


@pytest.mark.parametrize("make", [task, by_layers])
def test_resumed_painting_is_byte_identical(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each size, with positions drawn by chance, and the coefficients of a pyramid.

    The start of a size is kept where it is matched.
    """
    monkeypatch.setattr(layer_match, "MOST_SAMPLED", 4)
    made = make(styles=2)
    whole = resumed(made, 1, 3, 4, *((5, 6) if make is by_layers else ()))
    has_start = ["begun" in (step.checkpoint or ()) for step in whole[:-1]]
    assert has_start == [True] * 4 + ([False] * 2 if make is by_layers else [])
    damaged = {k: v for k, v in kept(whole[0].checkpoint).items() if k != "begun"}
    with pytest.raises(Exception, match="lacks 'begun'"):
        painted(replace(made, resume=damaged))


@pytest.mark.parametrize("at", [coarse, last_pass])
def test_each_style_is_matched_with_its_share(at: Any) -> None:
    made = by_layers(styles=2)
    both = at(made)
    u = torch.zeros(1, 3, *both.scene.level.size[::-1])
    losses = both.record(both(u).terms)
    for style, share in zip(made.styles, (0.25, 0.75), strict=True):
        alone = at(replace(made, styles=(style,)))
        term = losses.style[style.name]["neighbors"]
        assert term.weight == share
        assert term.value == pytest.approx(float(alone(u).objective), rel=1e-5)
