"""Neighbor matching: hypercolumns, the search, the loss, regions, and scales of other terms."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.paintings import painted
from torch import Tensor
from torch.nn import functional

from stylewatch_painter.algorithm import neighbors
from stylewatch_painter.algorithm.canvas import Canvas
from stylewatch_painter.algorithm.neighbors import (
    Target,
    column_loss,
    directions,
    grid,
    hypercolumns,
    nearest,
)
from stylewatch_painter.algorithm.objective import Objective
from stylewatch_painter.algorithm.paint import paint_many
from stylewatch_painter.algorithm.scales import Level
from stylewatch_painter.algorithm.task import MemoryPlan, Task
from stylewatch_painter.stage import Stage, Wish, go_on
from stylewatch_plugins.testing.tasks import after, kept, stages

SIZE = (32, 28)

SMALL: Mapping[str, Any] = {
    "size": "32x28",
    "scales": [{"scale": 0.5, "steps": 3}],
    "smallest": 1,
    "steps": 2,
    "save_every": 1,
}


def task(changes: Mapping[str, Any] | None = None, styles: int = 1, **fields: Any) -> Task:
    """A painting of two sizes, of which the smaller one matches neighbors."""
    made = small.task("best", {**SMALL, **(changes or {})}, styles)
    wide = replace(
        made,
        content=small.picture(0, *SIZE),
        styles=tuple(
            replace(style, picture=small.picture(number, *SIZE))
            for number, style in enumerate(made.styles, 1)
        ),
    )
    return replace(wide, **fields)


def coarse(made: Task, start: Tensor | None = None) -> Objective:
    """The objective of a task at its coarsest size."""
    vgg = small.network()
    level = made.levels()[0]
    assert level.is_coarse and level.size == (16, 14)
    canvas = Canvas(made, vgg.mean, vgg.device, MemoryPlan(tile=16))
    return Objective([canvas], vgg, level, start=start)


def test_hypercolumns_are_sampled_from_corner_to_corner() -> None:
    maps = torch.rand(2, 3, 9, 13, dtype=torch.float64).float().requires_grad_()
    for shape in ((2, 3), (9, 13), (18, 20), (1, 1)):
        (rows,) = hypercolumns({"conv1_1": maps}, shape, {"conv1_1": 2.0})
        expected = functional.interpolate(maps, shape, mode="bilinear", align_corners=True)
        torch.testing.assert_close(rows, expected.flatten(2).mT * 2 / 3)
        weights = torch.rand_like(rows)
        (gradient,) = torch.autograd.grad((rows * weights).sum(), maps)
        back = torch.autograd.grad((expected.flatten(2).mT * 2 / 3 * weights).sum(), maps)
        torch.testing.assert_close(gradient, back[0])
    assert grid((21, 18)) == (4, 5) and grid((3, 2)) == (1, 1)


def test_search_is_exact_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, candidates = torch.randn(50, 7), torch.randn(40, 7) + 1
    centered = (candidates - candidates.mean(0)).unsqueeze(0)
    expected = [
        int(functional.cosine_similarity(query.view(1, 1, 7), centered, -1).argmax())
        for query in queries - queries.mean(0)
    ]
    assert nearest(queries, candidates).tolist() == expected
    monkeypatch.setattr(neighbors, "_SEARCH_BYTES", 4 * 40 * 3)  # three queries at once
    assert nearest(queries, candidates).tolist() == expected


@pytest.mark.parametrize("weighted", [False, True])
def test_loss_is_the_mean_cosine_distance(weighted: bool) -> None:
    rows = [torch.randn(6, n, dtype=torch.float64, requires_grad=True) for n in (3, 4)]
    columns = directions(torch.randn(6, 7, dtype=torch.float64))
    weights = torch.rand(6, dtype=torch.float64) if weighted else None

    def loss(*parts: Tensor) -> Tensor:
        return column_loss(parts, [Target(columns, weights)])

    distance = 1 - functional.cosine_similarity(torch.cat(rows, 1), columns)
    expected = distance.mean() if weights is None else (distance * weights).sum()
    torch.testing.assert_close(loss(*rows), expected)
    assert torch.autograd.gradcheck(loss, rows)


def test_style_that_is_the_content_is_matched_with_itself() -> None:
    """The loss at the content is 0 then, whatever the strength, and above 0 for another style."""
    made = task({"strength": 0.4})
    assert made.content is not None
    same = replace(made, styles=(replace(made.styles[0], picture=made.content),))
    for which, is_zero in (
        (same, True),
        (made, False),
        (replace(made, recipe=task({"strength": 0}).recipe), True),
    ):
        objective = coarse(which)
        content = objective.canvases[0].content((16, 14))
        assert content is not None
        (losses,) = objective.losses(objective(content).terms)
        assert not losses.content and set(losses.style["style-1"]) == {"neighbors"}
        assert (losses.total < 1e-5) == is_zero


def test_turned_style_is_found_if_rotations_are_searched() -> None:
    """Deep features of a picture and of the same one turned by 90 degrees differ."""
    made = task({"strength": 1, "size": "28x28"})
    turned = np.ascontiguousarray(np.rot90(small.picture(0, 28, 28), -1))

    def loss(*, rotations: bool) -> float:
        changes = {
            "strength": 1,
            "size": "28x28",
            "objective.coarse.neighbors.rotations": rotations,
        }
        which = replace(
            made,
            recipe=task(changes).recipe,
            content=small.picture(0, 28, 28),
            styles=(replace(made.styles[0], picture=turned),),
        )
        vgg = small.network()
        canvas = Canvas(which, vgg.mean, vgg.device)
        objective = Objective([canvas], vgg, which.levels()[0])
        content = canvas.content((14, 14))
        assert content is not None
        return float(objective(content).objective)

    assert loss(rotations=True) < 1e-5
    assert loss(rotations=False) > 0.01


def test_start_takes_part_in_the_match_with_the_detail_of_the_content() -> None:
    start = small.tensor(small.plain(small.picture(5, 16, 14)))
    alone, mixed = coarse(task({"strength": 1})), coarse(task({"strength": 1}), start)
    only = {"strength": 1, "objective.coarse.neighbors.content_share": 1}
    u = torch.zeros_like(start)
    assert float(mixed(u).objective) != float(alone(u).objective)
    content = coarse(task(only), start)
    assert float(content(u).objective) == float(alone(u).objective)
    content_picture = alone.canvases[0].content((16, 14))
    same = coarse(task({"strength": 1}), content_picture)
    assert float(same(u).objective) == pytest.approx(float(alone(u).objective), rel=1e-5)


def test_each_region_is_matched_with_its_region_of_the_style() -> None:
    """With the left half of the style for the left half: as if there were two paintings."""
    mask = np.zeros((28, 32, 2), np.float32)
    mask[:, :16, 0] = mask[:, 16:, 1] = 1
    made = task({"strength": 1}, content_mask=mask)
    regions = replace(made, styles=(replace(made.styles[0], mask=mask),))
    objective = coarse(regions)
    ((left, right),) = neighbors.targets(
        objective.canvases[0], objective.network, objective.level, None
    )
    ((whole,),) = neighbors.targets(
        replace(objective.canvases[0], task=replace(made, content_mask=None)),
        objective.network,
        objective.level,
        None,
    )
    assert left.weights is not None and right.weights is not None
    assert float(left.weights.sum()) == float(right.weights.sum()) == pytest.approx(0.5)
    assert left.weights.view(3, 4)[:, 2:].abs().max() == 0 == right.weights.view(3, 4)[:, :2].max()
    assert not torch.equal(left.columns, whole.columns)
    anywhere = neighbors.targets(
        replace(objective.canvases[0], task=made), objective.network, objective.level, None
    )[0]
    assert torch.equal(anywhere[0].columns, whole.columns), "a style without a mask serves both"


def test_weights_of_styles_share_the_neighbor_loss() -> None:
    objective = coarse(task({"strength": 1}, styles=2))
    (losses,) = objective.losses(objective(torch.zeros(1, 3, 14, 16)).terms)
    weights = {name: terms["neighbors"].weight for name, terms in losses.style.items()}
    assert weights == {"style-1": 0.25, "style-2": 0.75}


def test_coarse_terms_hold_up_to_their_largest_side() -> None:
    scales = [{"scale": 0.25, "steps": 1}, {"scale": 0.5, "steps": 1}, {"scale": 1, "steps": 1}]
    made = task({"scales": scales, "size": "32x28", "objective.network.pool_edge": "ceil"})
    assert [level.is_coarse for level in made.levels()] == [True, True, True, False]
    assert [level.size[0] for level in made.levels()] == [8, 16, 32, 32]
    limited = replace(made, recipe=task({"scales": scales, "objective.coarse.largest": 16}).recipe)
    assert [(x.size[0], x.is_coarse) for x in limited.levels()] == [(16, True), (32, False)]
    without = replace(made, recipe=task({"scales": scales, "objective.coarse": None}).recipe)
    assert [(x.size[0], x.is_coarse) for x in without.levels()] == [(16, False), (32, False)]
    for other in (replace(made, content=None, init=made.content), replace(made, styles=())):
        assert not any(level.is_coarse for level in other.levels()), "nothing to match"


def test_resumed_painting_is_byte_identical_at_both_sizes() -> None:
    made = task(styles=2)
    whole = painted(made, *[Wish.CHECKPOINT] * 9)
    for at in (1, 3, 4):
        rest = painted(replace(made, resume=kept(whole[at - 1].checkpoint)))
        assert stages(rest) == stages(whole[at:])
    damaged = {k: v for k, v in kept(whole[0].checkpoint).items() if k != "begun"}
    with pytest.raises(Exception, match="lacks 'begun'"):
        painted(replace(made, resume=damaged))


def test_batch_equals_single_paintings() -> None:
    made = [task(content=small.picture(20 + n, *SIZE)) for n in range(2)]
    made.append(task({"strength": 0.3}))
    results: dict[int, list[Any]] = {n: [] for n in range(3)}
    for number, step in paint_many(made, small.network(), [go_on] * 3):
        results[number].append(step)
    for number, single in enumerate(made):
        for step, expected in zip(results[number], painted(single), strict=True):
            assert step.losses.total == pytest.approx(expected.losses.total, rel=1e-3)
            assert isinstance(step, Stage) and isinstance(expected, Stage)
            np.testing.assert_allclose(step.picture, expected.picture, atol=0.1)


def test_strength_zero_is_the_content_and_one_has_no_content_term() -> None:
    still = {"strength": 0, "scales": [{"scale": 0.5, "steps": 2}]}
    (*_, last) = painted(task(still), *after(99, Wish.GO_ON))
    assert isinstance(last, Stage)
    content = task().content
    assert content is not None
    assert np.abs(last.picture - content).mean() < 1
    made = task({"strength": 1})
    vgg = small.network()
    objective = Objective([Canvas(made, vgg.mean, vgg.device)], vgg, Level(SIZE, 1.0, 1))
    (losses,) = objective.losses(objective(torch.zeros(1, 3, 28, 32)).terms)
    assert losses.content["conv4_2"].weight == 0
