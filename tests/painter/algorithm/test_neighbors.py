"""Neighbor matching: hypercolumns, the search, the loss, regions, and scales of other terms."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.paintings import painted, resumed
from tests.painter.small import WIDE, split
from torch import Tensor
from torch.nn import functional

from stylewatch_painter.algorithm import neighbors
from stylewatch_painter.algorithm.canvas import Canvas
from stylewatch_painter.algorithm.neighbors import (
    LayerTarget,
    Target,
    column_loss,
    directions,
    grid,
    hubness,
    hypercolumns,
    layer_loss,
    nearest,
)
from stylewatch_painter.algorithm.objective import Objective
from stylewatch_painter.algorithm.padding import features
from stylewatch_painter.algorithm.scales import Level, pools_before
from stylewatch_painter.algorithm.state import PaintState
from stylewatch_painter.algorithm.task import MemoryPlan, Prior, Task
from stylewatch_painter.errors import PictureError
from stylewatch_painter.recipes.book import find
from stylewatch_painter.recipes.recipe import LayerName
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
    assert objective.level.is_coarse
    return objective


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
    monkeypatch.setattr(neighbors, "SEARCH_BYTES", 4 * 50 * 3)  # three candidates at once
    assert nearest(queries, candidates).tolist() == expected


def test_hubs_are_farther_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """With twenty queries near the first candidate, and two that are nearer to it, too."""
    hub, other = torch.tensor([1.0, 0, 0, 0]), torch.tensor([0.8, 0.6, 0, 0])
    between = torch.tensor([0.96, 0.26, 0.05, 0])
    crowd = hub + torch.tensor([0, 0, 0, 0.1]) * torch.linspace(-1, 1, 20).unsqueeze(1)
    away = -torch.cat([crowd, between.expand(2, 4)])  # so that the mean is zero
    queries = torch.cat([crowd, between.expand(2, 4), away])
    candidates = torch.stack([hub, other, -hub, -other])
    near = functional.normalize(queries, dim=1) @ functional.normalize(candidates, dim=1).T
    assert torch.allclose(hubness(near.T), near.sort(0).values[-2:].mean(0)), "5 % of 44 queries"
    assert nearest(queries, candidates)[20:22].tolist() == [0, 0]
    assert nearest(queries, candidates, 1.0)[20:22].tolist() == [1, 1]
    assert nearest(queries, candidates, 1.0)[:20].tolist() == [0] * 20
    crowd_only = torch.arange(len(queries)) < 20
    assert nearest(queries, candidates, 1.0, crowd_only)[20:22].tolist() == [1, 1]
    nobody = torch.zeros(len(queries), dtype=torch.bool)
    assert nearest(queries, candidates, 1.0, nobody)[20:22].tolist() == [0, 0]
    monkeypatch.setattr(neighbors, "SEARCH_BYTES", 4 * 44 * 1)
    assert nearest(queries, candidates, 1.0)[20:22].tolist() == [1, 1], "in blocks"


@pytest.mark.parametrize("hub_penalty", [0.0, 1.0])
def test_those_who_ask_are_matched_as_if_there_were_no_others(hub_penalty: float) -> None:
    queries, candidates = torch.randn(50, 7), torch.randn(40, 7)
    queries[20:] += 3
    asking = torch.arange(50) < 20
    alone = nearest(queries[asking], candidates, hub_penalty)
    assert nearest(queries, candidates, hub_penalty, asking)[asking].tolist() == alone.tolist()
    nobody = torch.zeros_like(asking)
    near = functional.normalize(queries) @ functional.normalize(candidates - candidates.mean(0)).T
    assert nearest(queries, candidates, hub_penalty, nobody).tolist() == near.argmax(1).tolist()


def test_search_adds_the_squared_difference_of_brightness(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, candidates = torch.randn(50, 7), torch.randn(40, 7)
    bright, others = torch.randn(50), torch.randn(40)
    centered = [functional.normalize(rows - rows.mean(0)) for rows in (queries, candidates)]
    distances = 1 - centered[0] @ centered[1].T + (bright.unsqueeze(1) - others).square()
    monkeypatch.setattr(neighbors, "SEARCH_BYTES", 4 * 50 * 3)  # three candidates at once
    indices = nearest(queries, candidates, brightness=(bright, others))
    assert indices.tolist() == distances.argmin(1).tolist()
    assert indices.tolist() != nearest(queries, candidates).tolist()


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
    for which, is_zero in ((same, True), (made, False), (task({"strength": 0}), True)):
        objective = coarse(which)
        losses = objective.losses(objective(small.content(objective)).terms[0])
        assert not losses.content and set(losses.style["style-1"]) == {"neighbors"}
        assert (losses.total < 1e-5) == is_zero


def test_each_region_of_a_style_that_is_the_content_is_matched_with_itself() -> None:
    """With the same mask on both, although one region is much darker than the other."""
    content, mask = small.picture(0, *WIDE), split(16)
    content[:, :16] = content[:, :16] / 4 + 10
    changes = {"strength": 1, "scales": [{"scale": 1, "steps": 1}], **FEATURES_ALONE,
               "objective.coarse.neighbors.rotations": False}  # fmt: skip
    made = task(changes, content=content, content_mask=mask)
    objective = coarse(replace(made, styles=(replace(made.styles[0], picture=content, mask=mask),)))
    assert float(objective(small.content(objective)).objective) == pytest.approx(0, abs=1e-6)


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
    objective = coarse(made)
    return neighbors.targets(objective.canvas, objective.network, objective.level, None)


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
    both, unmasked = (
        targets(replace(made, content_mask=mask, styles=styles))
        for styles in (everywhere, made.styles)
    )
    for expected, target in zip(*both, *unmasked, strict=True):
        assert torch.equal(target.columns, expected.columns), "a style without a mask serves both"
    ((everything,),) = targets(replace(made, content_mask=np.ones_like(mask[..., :1])))
    assert torch.equal(everything.columns, whole.columns)


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
    flat = replace(made.styles[0], picture=np.full_like(dull, 80))
    ((plain,),) = targets(replace(made, styles=(flat,)))
    assert plain.columns.isfinite().all()


def test_brightness_is_compared_within_a_region() -> None:
    """A side of the style that is much duller serves its region all the same."""
    unscaled = {"scales": [{"scale": 1, "steps": 1}]}  # so that the two sides do not mix
    mask, made = split(16), task({**BY_BRIGHTNESS, **unscaled})
    assert made.content is not None
    dull = np.ascontiguousarray(made.content[:, ::-1])
    dull[:, 16:] = dull[:, 16:] / 4 + 150
    style = replace(made.styles[0], picture=dull, mask=np.ascontiguousarray(mask[:, ::-1]))
    ((own,),) = targets(task({"strength": 0, **unscaled}, content=dull))
    mirrored = own.columns.view(7, 8, -1).flip(1)
    ((left, right),) = targets(replace(made, content_mask=mask, styles=(style,)))
    torch.testing.assert_close(left.columns.view(7, 8, -1)[:, :4], mirrored[:, :4])
    torch.testing.assert_close(right.columns.view(7, 8, -1)[:, 4:], mirrored[:, 4:])
    nowhere = np.zeros_like(mask)
    ((empty, *_),) = targets(replace(made, content_mask=nowhere[..., :1]))
    assert empty.columns.isfinite().all()


def test_each_region_has_hubs_of_its_own() -> None:
    ((left, right),) = targets(task({"strength": 1}, content_mask=split(16)))
    assert left.weights is not None and not torch.equal(left.columns, right.columns)


def test_outside_of_the_regions_the_target_is_the_content() -> None:
    ((own,),) = targets(task({"strength": 0}))  # its targets are the content's own columns
    for region, outside in targets(task({"strength": 1}, 2, content_mask=split(16)[..., :1])):
        assert region.weights is not None and outside.weights is not None
        assert torch.allclose(outside.columns, own.columns, atol=1e-6)
        assert torch.allclose(region.weights + outside.weights, torch.tensor(1 / 12))
    ((_,),) = targets(task(content_mask=np.ones((28, 32, 1), np.float32)))


def test_coarse_terms_hold_up_to_their_largest_side() -> None:
    scales = [{"scale": 0.25, "steps": 1}, {"scale": 0.5, "steps": 1}, {"scale": 1, "steps": 1}]

    def sides(changes: Mapping[str, Any], **fields: Any) -> list[tuple[int, bool]]:
        made = task({"scales": scales, **changes}, **fields)
        return [(level.size[0], level.is_coarse) for level in made.levels()]

    ceil = {"objective.network.pool_edge": "ceil"}
    assert sides(ceil) == [(8, True), (16, True), (32, True), (32, False)]
    assert sides({"objective.coarse.largest": 16}) == [(16, True), (32, False)]
    assert sides({"objective.coarse": None}) == [(16, False), (32, False)]
    for missing in ({"content": None, "init": small.picture(0, *WIDE)}, {"styles": 0}):
        assert not any(is_coarse for _, is_coarse in sides({}, **missing)), "nothing to match"


def test_strength_zero_is_the_content_and_one_has_no_content_term() -> None:
    """In each region, too: Gram targets are those of the region, not of the whole content."""
    (*_, last) = painted(task({"strength": 0}))
    content = task().content
    assert isinstance(last, Stage) and content is not None
    assert np.abs(last.picture - content).mean() < 1
    level = Level(WIDE, 1.0, 1)
    objective = small.objective(task({"strength": 0}, content_mask=split(10)), level=level)
    assert float(objective(small.content(objective)).objective) < 1e-8
    objective = small.objective(task({"strength": 1}), level=level)
    losses = objective.losses(objective(torch.zeros(1, 3, 28, 32)).terms[0])
    assert losses.content["conv4_2"].weight == 0


LAST: Mapping[str, Any] = {
    "scales": [{"scale": 0.5, "steps": 2}, {"scale": 1, "steps": 2}],
    "steps": 3,
    "save_every": 2,
}
LAYERS: Mapping[LayerName, float] = {"conv1_1": 1.0, "conv2_1": 0.5}
ONLY = {f"objective.neighbors.layers.{n}": LAYERS.get(n) for n in find("nnst").objective.layers}


def by_layers(changes: Mapping[str, Any] | None = None, styles: int = 1, **fields: Any) -> Task:
    """A painting of recipe `nnst`, whose last pass matches each layer by itself."""
    return small.wide_task("nnst", {**LAST, **(changes or {})}, styles, **fields)


def last_pass(made: Task, evaluations: int = 0) -> Objective:
    objective = small.objective(made)
    assert objective.level.size == WIDE and not objective.level.is_coarse
    objective.step = evaluations
    return objective


@pytest.mark.parametrize("make", [task, by_layers])
def test_resumed_painting_is_byte_identical(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each size, with positions drawn by chance, and the coefficients of a pyramid."""
    monkeypatch.setattr(neighbors, "MOST_SAMPLED", 4)
    made = make(styles=2)
    whole = resumed(made, 1, 3, 4, *((5, 6) if make is by_layers else ()))
    damaged = {k: v for k, v in kept(whole[0].checkpoint).items() if k != "begun"}
    with pytest.raises(Exception, match="lacks 'begun'"):
        painted(replace(made, resume=damaged))


@pytest.mark.parametrize(
    ("changed", "sizes"),
    [
        (task(), [True, True]),
        (task({"objective.neighbors.largest": 16}), [True, False]),
        (by_layers(), [True, True, False]),
    ],
)
def test_start_of_a_size_is_kept_where_it_is_matched(changed: Task, sizes: list[bool]) -> None:
    network = small.network()
    state = PaintState.start(Canvas(changed, network.mean, network.device))
    kept_starts = ["begun" in state.save()]
    for _ in state.levels[1:]:
        state.next_level()
        kept_starts.append("begun" in state.save())
    assert kept_starts == sizes


def plain_distance(queries: Tensor, candidates: Tensor) -> Tensor:
    """Of rows (Q, N) to their nearest of (C, N), both centered: by the matrix of all distances."""
    queries, candidates = queries - queries.mean(0), candidates - candidates.mean(0)
    lengths = queries.norm(dim=1)[:, None] * candidates.norm(dim=1)
    nearest_distances: Tensor = (1 - queries @ candidates.T / lengths).amin(1)
    return nearest_distances.mean()


def rows(maps: Tensor) -> Tensor:
    return maps.flatten(1).mT


def test_large_maps_are_sampled_in_squares() -> None:
    """At one position of each square of 2x2, the same in the painting and the style."""
    maps, styles = torch.randn(3, 130, 8), torch.randn(3, 20, 8)
    squares = [(slice(None), slice(at // 2, None, 2), slice(at % 2, None, 2)) for at in range(4)]
    values = [float(plain_distance(rows(maps[here]), rows(styles[here]))) for here in squares]
    factors: Mapping[LayerName, float] = {"conv1_1": 1.0}
    target = LayerTarget(
        factors, {"conv1_1": [styles]}, painted={}, usable={}, region_factors=[1.0]
    )
    drawn = {
        round(float(layer_loss({"conv1_1": maps}, target, np.random.default_rng(seed))), 5)
        for seed in range(20)
    }
    assert drawn == {round(value, 5) for value in values}


def test_positions_follow_the_seed_and_the_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbors, "MOST_SAMPLED", 4)
    u = torch.zeros(1, 3, 28, 32)

    def values(made: Task, evaluations: int = 0) -> list[float]:
        each = (last_pass(made, evaluations + more) for more in range(3))
        return [float(objective(u).objective) for objective in each]

    first, second, third = values(by_layers())
    assert len({first, second, third}) == 3
    assert values(by_layers(), evaluations=1)[:2] == [second, third]
    assert values(by_layers(seed=1))[0] != first
    assert first == pytest.approx(float(last_pass(by_layers()).evaluate_terms(u).sum()))


@pytest.mark.parametrize("turns", [1, 4])
def test_each_layer_searches_turned_styles_if_the_recipe_says_so(turns: int) -> None:
    """Each by itself, with every position of maps under 128 rows and columns."""
    made = by_layers({**ONLY, "objective.neighbors.rotations": turns > 1})
    objective, u = last_pass(made), torch.randn(1, 3, 28, 32, requires_grad=True)
    style = objective.canvas.style(made.styles[0], objective.level)
    copies = [style.rot90(-quarter, (-2, -1)) for quarter in range(turns)]
    settings, expected = made.recipe.objective.network, torch.zeros(1)
    own = features(objective.network, u, LAYERS, settings)
    maps = [features(objective.network, copy, LAYERS, settings) for copy in copies]
    for layer, factor in LAYERS.items():
        candidates = torch.cat([rows(copy[layer][0]) for copy in maps])
        expected = expected + factor * plain_distance(rows(own[layer][0]), candidates)
    evaluation, (gradient,) = objective(u), torch.autograd.grad(expected, u)
    torch.testing.assert_close(evaluation.objective, expected, rtol=1e-4, atol=0)
    torch.testing.assert_close(evaluation.gradient, gradient, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("has_style_mask", [True, False])
def test_layers_are_matched_region_by_region(has_style_mask: bool) -> None:
    mask = split(8)
    made = by_layers({**ONLY, "objective.neighbors.rotations": False}, content_mask=mask)
    style = replace(made.styles[0], mask=mask[:, ::-1].copy() if has_style_mask else None)
    objective = last_pass(replace(made, styles=(style,)))
    canvas, network = objective.canvas, objective.network
    u, expected = torch.randn(1, 3, 28, 32), 0.0
    settings = made.recipe.objective.network
    maps = features(network, u, LAYERS, settings)
    styles = features(network, canvas.style(style, objective.level), LAYERS, settings)
    for layer, factor in LAYERS.items():
        edge = 8 >> pools_before(layer)  # of the first region, or the last columns of its style
        own, other = maps[layer][0], styles[layer][0]
        first, second = (other[..., -edge:], other[..., :-edge]) if has_style_mask else (other,) * 2
        expected += factor * 0.25 * float(plain_distance(rows(own[..., :edge]), rows(first)))
        expected += factor * 0.75 * float(plain_distance(rows(own[..., edge:]), rows(second)))
    assert float(objective(u).objective) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("at", [coarse, last_pass])
def test_each_style_is_matched_with_its_share(at: Any) -> None:
    made = by_layers(styles=2)
    both = at(made)
    u = torch.zeros(1, 3, *both.level.size[::-1])
    losses = both.losses(both(u).terms[0])
    for style, share in zip(made.styles, (0.25, 0.75), strict=True):
        alone = at(replace(made, styles=(style,)))
        term = losses.style[style.name]["neighbors"]
        assert term.weight == share
        assert term.value == pytest.approx(float(alone(u).objective), rel=1e-5)


def test_match_of_the_final_size_needs_content_and_style() -> None:
    """Without another term; with one, that paints alone."""
    for missing, fields in (("content", {"content": None}), ("style", {"styles": 0})):
        with pytest.raises(PictureError, match=f"there is no {missing}: give both"):
            painted(by_layers(**fields))
    style = find("gram").objective.style
    assert style is not None
    (*_, last) = painted(by_layers({"objective.style": style, "start": "noise"}, content=None))
    assert {term for terms in last.losses.style.values() for term in terms} == set(style.layers)


def test_sizes_above_the_largest_have_no_match() -> None:
    made = task({"objective.coarse": None, "objective.neighbors.largest": 16})
    half, whole = made.levels()
    assert made.terms(half).neighbors is not None and made.terms(half).needs_whole_picture
    assert made.terms(whole).neighbors is None and not made.final_terms.needs_whole_picture


def test_frame_that_follows_another_one_keeps_its_strokes() -> None:
    """It matches only where there is no other term."""
    prior = Prior(small.picture(3, *WIDE), np.ones(WIDE[::-1], np.float32), 1.0)
    assert task().final_terms.neighbors is not None
    frame = task(prior=prior)
    assert frame.final_terms.neighbors is None
    assert frame.terms(frame.levels()[0]).neighbors is not None
