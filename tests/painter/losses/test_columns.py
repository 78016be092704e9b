"""Columns: hypercolumns, their distance, targets in regions, and scales of other terms."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.small import WIDE, split
from torch import Tensor
from torch.nn import functional

from stylewatch_painter.losses.columns import Columns, Target, distance, grid, hypercolumns_on_grid
from stylewatch_painter.losses.nearest import directions
from stylewatch_painter.paint.memory_plan import MemoryPlan
from stylewatch_painter.paint.objective import Objective
from stylewatch_painter.scene.task import Prior, Task
from stylewatch_painter.size import Size

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
        (rows,) = hypercolumns_on_grid({"conv1_1": maps}, shape, {"conv1_1": 2.0})
        expected = functional.interpolate(maps[None], shape, mode="bilinear", align_corners=True)
        expected = expected[0].flatten(1).mT * 2 / 3
        torch.testing.assert_close(rows, expected)
        weights = torch.rand_like(rows)
        (gradient,) = torch.autograd.grad((rows * weights).sum(), maps)
        back = torch.autograd.grad((expected * weights).sum(), maps)
        torch.testing.assert_close(gradient, back[0])
    assert grid(Size(21, 18)) == (4, 5) and grid(Size(3, 2)) == (1, 1)


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
    made = task({"strength": 0.4, "objective.coarse.neighbors.hub_penalty": 0})
    assert made.content is not None
    same = replace(made, styles=(replace(made.styles[0], picture=made.content),))
    mask = split(16)
    masked = replace(same.styles[0], mask=mask)
    in_regions = replace(same, content_mask=mask, styles=(masked,))
    for which, is_zero in (
        (same, True), (in_regions, True), (made, False), (task({"strength": 0}), True)
    ):  # fmt: skip
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


def test_plain_areas_count_less_by_length() -> None:
    """The left half of the content is noise, the right half has one color."""
    content = small.picture(0, *WIDE)
    content[:, 16:] = 120
    fields = {"strength": 0, "objective.coarse.neighbors.by_length": True}
    made = task(fields, content=content)
    ((whole,),) = targets(made)
    assert whole.weights is not None
    weights = whole.weights.view(3, 4) * 12
    assert (weights[:, 0] == 1).all() and (weights[:, 3] < 0.95).all()
    ((left, right),) = targets(replace(made, content_mask=split(16)))
    assert left.weights is not None and right.weights is not None
    torch.testing.assert_close(left.weights + right.weights, whole.weights)


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
    """Coarse terms hold up to their largest side; nothing is matched in a frame after another."""
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
    frame = task(prior=prior)
    assert "neighbors" not in frame.final_terms.losses
