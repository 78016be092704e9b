"""Neighbor matching: hypercolumns, the search, the loss, regions, and scales of other terms."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.painter import small
from tests.painter.paintings import assert_alike, painted, together
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
    hypercolumns,
    layer_loss,
    nearest,
)
from stylewatch_painter.algorithm.objective import Objective
from stylewatch_painter.algorithm.paint import paint_many
from stylewatch_painter.algorithm.scales import Level, pools_before
from stylewatch_painter.algorithm.task import MemoryPlan, Task
from stylewatch_painter.algorithm.tiles import features
from stylewatch_painter.errors import PictureError
from stylewatch_painter.recipes.book import find
from stylewatch_painter.recipes.recipe import LayerName
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
    monkeypatch.setattr(neighbors, "SEARCH_BYTES", 4 * 40 * 3)  # three queries at once
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


def test_outside_of_the_regions_the_target_is_the_content() -> None:
    mask = np.zeros((28, 32, 1), np.float32)
    mask[:, :16] = 1
    objective = coarse(task({"strength": 1}, styles=2, content_mask=mask))
    canvas, network, level = objective.canvases[0], objective.network, objective.level
    content = canvas.content(level.size)
    assert content is not None
    same = coarse(task({"strength": 0}))  # its targets are the content's own columns
    (own,) = neighbors.targets(same.canvases[0], network, level, None)[0]
    for region, outside in neighbors.targets(canvas, network, level, None):
        assert region.weights is not None and outside.weights is not None
        assert torch.allclose(outside.columns, own.columns, atol=1e-6)
        assert torch.allclose(region.weights + outside.weights, torch.tensor(1 / 12))
    mask[:] = 1
    everywhere = coarse(task(content_mask=mask))
    (targets,) = neighbors.targets(everywhere.canvases[0], network, level, None)
    assert len(targets) == 1


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
    for number, results in together(made).items():
        assert_alike(results, painted(made[number]))


def test_strength_zero_is_the_content_in_each_region() -> None:
    """Gram targets are those of the region, not of the whole content."""
    mask = np.zeros((28, 32, 2), np.float32)
    mask[:, :10, 0] = mask[:, 10:, 1] = 1
    made, vgg = task({"strength": 0}, content_mask=mask), small.network()
    canvas = Canvas(made, vgg.mean, vgg.device)
    objective = Objective([canvas], vgg, Level(SIZE, 1.0, 1))
    content = canvas.content(SIZE)
    assert content is not None
    assert float(objective(content).objective) < 1e-8


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


LAST: Mapping[str, Any] = {
    "size": "32x28",
    "scales": [{"scale": 0.5, "steps": 2}, {"scale": 1, "steps": 2}],
    "steps": 3,
    "save_every": 2,
}
LAYERS: Mapping[LayerName, float] = {"conv1_1": 1.0, "conv2_1": 0.5}


def by_layers(changes: Mapping[str, Any] | None = None, styles: int = 1, **fields: Any) -> Task:
    """A painting of recipe `nnst`, whose last pass matches each layer by itself."""
    made = task(None, styles, **fields)
    return replace(made, recipe=small.task("nnst", {**LAST, **(changes or {})}).recipe)


def only(layers: Mapping[LayerName, float]) -> dict[str, float | None]:
    """The change of a recipe's layers that leaves these."""
    return {layer: layers.get(layer) for layer in find("nnst").objective.layers}


def last_pass(made: Task, evaluations: int = 0) -> Objective:
    vgg = small.network()
    canvas = Canvas(made, vgg.mean, vgg.device)
    level = made.levels()[-1]
    assert level.size == SIZE and not level.is_coarse
    objective = Objective([canvas], vgg, level)
    objective.step = evaluations
    return objective


def target(maps: Mapping[LayerName, list[Tensor]], **fields: Any) -> LayerTarget:
    return LayerTarget(**{
        "factors": LAYERS, "maps": maps, "painted": {}, "usable": {}, "shares": [1.0], **fields
    })  # fmt: skip


def plain_distance(queries: Tensor, candidates: Tensor) -> Tensor:
    """Of rows (Q, N) to their nearest of (C, N), both centered: by the matrix of all distances."""
    queries, candidates = queries - queries.mean(0), candidates - candidates.mean(0)
    lengths = queries.norm(dim=1)[:, None] * candidates.norm(dim=1)
    nearest_distances: Tensor = (1 - queries @ candidates.T / lengths).amin(1)
    return nearest_distances.mean()


def rows(maps: Tensor) -> Tensor:
    return maps.flatten(1).mT


def chance(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_layers_are_matched_one_by_one() -> None:
    """With every position of maps under 128 rows and columns, and both copies of the style."""
    maps = {layer: torch.randn(3, 9, 7, requires_grad=True) for layer in LAYERS}
    styles = {layer: [torch.randn(3, 6, 8) + 1, torch.randn(3, 8, 6)] for layer in LAYERS}
    loss = layer_loss(maps, target(styles), chance())
    expected = sum(
        (LAYERS[n] * plain_distance(rows(maps[n]), torch.cat([*map(rows, styles[n])]))
         for n in LAYERS),
        torch.zeros(()),
    )  # fmt: skip
    torch.testing.assert_close(loss, expected)
    gradients = (torch.autograd.grad(value, [*maps.values()]) for value in (loss, expected))
    for gradient, back in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, back, rtol=1e-4, atol=1e-6)


def test_large_maps_are_sampled_in_squares() -> None:
    """At one position of each square of 2x2, the same in the painting and the style."""
    maps, styles = torch.randn(3, 130, 8), torch.randn(3, 20, 8)
    values = {}
    for down in range(2):
        for right in range(2):
            here = (slice(None), slice(down, None, 2), slice(right, None, 2))
            values[down, right] = float(plain_distance(rows(maps[here]), rows(styles[here])))
    one_layer = target({"conv1_1": [styles]}, factors={"conv1_1": 1.0})
    drawn = [float(layer_loss({"conv1_1": maps}, one_layer, chance(seed))) for seed in range(20)]
    assert {round(value, 5) for value in drawn} == {round(v, 5) for v in values.values()}


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
    exact = last_pass(by_layers())
    assert float(exact(u).objective) == pytest.approx(float(exact.exact_terms(u).sum()))


@pytest.mark.parametrize("turns", [1, 4])
def test_each_layer_searches_turned_styles_if_the_recipe_says_so(turns: int) -> None:
    made = by_layers({
        "objective.neighbors.layers": only(LAYERS), "objective.neighbors.rotations": turns > 1
    })  # fmt: skip
    objective, u = last_pass(made), torch.randn(1, 3, 28, 32)
    style = objective.canvases[0].style(made.styles[0], objective.level)
    copies = [style.rot90(-quarter, (-2, -1)) for quarter in range(turns)]
    settings, expected = made.recipe.objective.network, 0.0
    own = features(objective.network, u, LAYERS, settings)
    maps = [features(objective.network, copy, LAYERS, settings) for copy in copies]
    for layer, factor in LAYERS.items():
        candidates = torch.cat([rows(copy[layer][0]) for copy in maps])
        expected += factor * float(plain_distance(rows(own[layer][0]), candidates))
    assert float(objective(u).objective) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("has_style_mask", [True, False])
def test_layers_are_matched_region_by_region(has_style_mask: bool) -> None:
    mask = np.zeros((28, 32, 2), np.float32)
    mask[:, :8, 0] = mask[:, 8:, 1] = 1
    made = by_layers({
        "objective.neighbors.layers": only(LAYERS), "objective.neighbors.rotations": False
    })  # fmt: skip
    style = replace(made.styles[0], mask=mask[:, ::-1].copy() if has_style_mask else None)
    made = replace(made, content_mask=mask, styles=(style,))
    objective = last_pass(made)
    canvas, network = objective.canvases[0], objective.network
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


def test_each_style_is_matched_by_layers_with_its_share() -> None:
    u = torch.zeros(1, 3, 28, 32)
    made = by_layers(styles=2)
    both = last_pass(made)
    (losses,) = both.losses(both(u).terms)
    for style, share in zip(made.styles, (0.25, 0.75), strict=True):
        alone = last_pass(replace(made, styles=(style,)))
        term = losses.style[style.name]["neighbors"]
        assert term.weight == share
        assert term.value == pytest.approx(float(alone(u).objective), rel=1e-5)


def test_last_pass_resumes_in_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """With positions drawn by chance, and the coefficients of the pyramid."""
    monkeypatch.setattr(neighbors, "MOST_SAMPLED", 4)
    made = by_layers(styles=2)
    whole = painted(made, *[Wish.CHECKPOINT] * 9)
    for at in (3, 5, 6):
        rest = painted(replace(made, resume=kept(whole[at - 1].checkpoint)))
        assert stages(rest) == stages(whole[at:])
        assert [step.losses for step in rest] == [step.losses for step in whole[at:]]


def test_batch_by_layers_equals_single_paintings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbors, "MOST_SAMPLED", 4)
    made = [by_layers(content=small.picture(20 + n, *SIZE), seed=n) for n in range(2)]
    results: dict[int, list[Any]] = {0: [], 1: []}
    for number, step in paint_many(made, small.network(), [go_on] * 2):
        results[number].append(step)
    for number, single in enumerate(made):
        for step, expected in zip(results[number], painted(single), strict=True):
            assert step.losses.total == pytest.approx(expected.losses.total, rel=1e-3)
        assert isinstance(expected, Stage)
        np.testing.assert_allclose(results[number][-1].picture, expected.picture, atol=0.5)


def test_match_of_the_final_size_needs_content_and_style() -> None:
    """Also where the recipe has another term that needs only one of them."""
    both = {"objective.style": find("gram").objective.style}
    for made in (by_layers(), replace(by_layers(), recipe=small.task("nnst", both).recipe)):
        for missing, lacking in (
            ("content", replace(made, content=None)),
            ("style", replace(made, styles=())),
        ):
            with pytest.raises(PictureError, match=f"there is no {missing}: give both"):
                painted(lacking)
