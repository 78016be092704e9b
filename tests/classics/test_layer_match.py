"""Layer match: sampling, regions, shares and resuming; its formula is in `test_objective`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.painter import small
from tests.painter.paintings import painted
from tests.painter.small import WIDE, split
from torch import Tensor

from stylewatch_classics import layer_match
from stylewatch_painter.paint.objective import Objective
from stylewatch_painter.recipes.book import find
from stylewatch_painter.scene.task import Task
from stylewatch_painter.stage import Wish
from stylewatch_painter.vgg import LayerName, pools_before
from stylewatch_plugins.testing.tasks import saved_and_loaded, stages

LAST: Mapping[str, Any] = {
    "scales": [{"scale": 0.5, "steps": 2}, {"scale": 1, "steps": 2}],
    "steps": 3,
    "save_every": 2,
}
LAYERS: Mapping[LayerName, float] = {"conv1_1": 1.0, "conv2_1": 0.5}
ONLY = {f"objective.layer_match.layers.{n}": LAYERS.get(n) for n in find("nnst").objective.layers}


def by_layers(changes: Mapping[str, Any] | None = None, styles: int = 1, **fields: Any) -> Task:
    """A painting of recipe `nnst`, whose last pass matches each layer by itself."""
    return small.wide_task("nnst", {**LAST, **(changes or {})}, styles, **fields)


def last_pass(made: Task, evaluations: int = 0) -> Objective:
    objective = small.objective(made)
    assert objective.scene.level.size == WIDE and not objective.scene.level.is_coarse
    objective.step = evaluations
    return objective


def plain_distance(queries: Tensor, candidates: Tensor) -> Tensor:
    """Of rows (Q, N) to their nearest of (C, N), both centered: by the matrix of all distances."""
    queries, candidates = queries - queries.mean(0), candidates - candidates.mean(0)
    lengths = queries.norm(dim=1)[:, None] * candidates.norm(dim=1)
    nearest_distances: Tensor = (1 - queries @ candidates.T / lengths).amin(1)
    return nearest_distances.mean()


def rows(maps: Tensor) -> Tensor:
    return maps.flatten(1).mT


def test_positions_follow_the_seed_and_the_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_match, "MOST_SAMPLED", 4)
    u = torch.zeros(1, 3, 28, 32)

    def values(made: Task, evaluations: int = 0) -> list[float]:
        each = (last_pass(made, evaluations + more) for more in range(3))
        return [float(objective(u).objective) for objective in each]

    first, second, third = values(by_layers())
    assert len({first, second, third}) == 3
    assert values(by_layers(), evaluations=1)[:2] == [second, third]
    assert values(by_layers(seed=1))[0] != first


@pytest.mark.parametrize("has_style_mask", [True, False])
def test_layers_are_matched_region_by_region(has_style_mask: bool) -> None:
    mask = split(8)
    made = by_layers({**ONLY, "objective.layer_match.rotations": False}, content_mask=mask)
    style = replace(made.styles[0], mask=mask[:, ::-1].copy() if has_style_mask else None)
    objective = last_pass(replace(made, styles=(style,)))
    u, expected = torch.randn(1, 3, 28, 32), 0.0
    maps = objective.scene.features(u, LAYERS)
    styles = objective.scene.features(objective.scene.style(style), LAYERS)
    for layer, factor in LAYERS.items():
        edge = 8 >> pools_before(layer)  # of the first region, or the last columns of its style
        own, other = maps[layer][0], styles[layer][0]
        first, second = (other[..., -edge:], other[..., :-edge]) if has_style_mask else (other,) * 2
        expected += factor * 0.25 * float(plain_distance(rows(own[..., :edge]), rows(first)))
        expected += factor * 0.75 * float(plain_distance(rows(own[..., edge:]), rows(second)))
    assert float(objective(u).objective) == pytest.approx(expected, rel=1e-4)


def test_checkpoints_hold_the_start_of_a_size_if_the_loss_matches_it() -> None:
    made = by_layers(styles=2)
    whole = painted(made, *[Wish.CHECKPOINT] * 99)
    has_start = ["begun" in (step.checkpoint or ()) for step in whole[:-1]]
    assert has_start == [True] * 4 + [False] * 2
    rest = painted(replace(made, resume=saved_and_loaded(whole[0].checkpoint)))
    assert stages(rest) == stages(whole[1:])
    damaged = {k: v for k, v in saved_and_loaded(whole[0].checkpoint).items() if k != "begun"}
    with pytest.raises(Exception, match="lacks 'begun'"):
        painted(replace(made, resume=damaged))
