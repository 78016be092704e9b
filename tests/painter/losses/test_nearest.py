"""The search for nearest neighbors: hubs, and brightness."""

import pytest
import torch
from torch.nn import functional

from stylewatch_painter.losses import nearest as search
from stylewatch_painter.losses.nearest import hubness, nearest


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


def test_search_in_blocks_adds_the_squared_difference_of_brightness(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queries, candidates = torch.randn(50, 7), torch.randn(40, 7)
    bright, others = torch.randn(50), torch.randn(40)
    centered = [functional.normalize(rows - rows.mean(0)) for rows in (queries, candidates)]
    distances = 1 - centered[0] @ centered[1].T + (bright.unsqueeze(1) - others).square()
    monkeypatch.setattr(search, "SEARCH_BYTES", 4 * 50 * 3)  # three candidates at once
    indices = nearest(queries, candidates, brightness=(bright, others))
    assert indices.tolist() == distances.argmin(1).tolist()
    assert indices.tolist() != nearest(queries, candidates).tolist()
