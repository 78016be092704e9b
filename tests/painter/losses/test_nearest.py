"""The search for nearest neighbors: exact in blocks, hubs, brightness."""

import pytest
import torch
from torch.nn import functional

from stylewatch_painter.losses import nearest as search
from stylewatch_painter.losses.nearest import hubness, nearest


def test_search_is_exact_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, candidates = torch.randn(50, 7), torch.randn(40, 7) + 1
    centered = (candidates - candidates.mean(0)).unsqueeze(0)
    expected = [
        int(functional.cosine_similarity(query.view(1, 1, 7), centered, -1).argmax())
        for query in queries - queries.mean(0)
    ]
    assert nearest(queries, candidates).tolist() == expected
    monkeypatch.setattr(search, "SEARCH_BYTES", 4 * 50 * 3)  # three candidates at once
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
    monkeypatch.setattr(search, "SEARCH_BYTES", 4 * 44 * 1)
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
    monkeypatch.setattr(search, "SEARCH_BYTES", 4 * 50 * 3)  # three candidates at once
    indices = nearest(queries, candidates, brightness=(bright, others))
    assert indices.tolist() == distances.argmin(1).tolist()
    assert indices.tolist() != nearest(queries, candidates).tolist()
