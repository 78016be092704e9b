"""The search for nearest neighbors: hubs, brightness, rows that do not count, and projections."""

import pytest
import torch
from torch.nn import functional

from stylewatch_painter.losses import nearest as search
from stylewatch_painter.losses.nearest import (
    Side,
    directions,
    hubness,
    nearest_neighbors,
    projection,
)


def test_hubs_are_farther_away() -> None:
    """With twenty queries near the first candidate, and two that are nearer to it, too."""
    hub, other = torch.tensor([1.0, 0, 0, 0]), torch.tensor([0.8, 0.6, 0, 0])
    between = torch.tensor([0.96, 0.26, 0.05, 0])
    crowd = hub + torch.tensor([0, 0, 0, 0.1]) * torch.linspace(-1, 1, 20).unsqueeze(1)
    away = -torch.cat([crowd, between.expand(2, 4)])  # so that the mean is zero
    queries = torch.cat([crowd, between.expand(2, 4), away])
    candidates = Side(torch.stack([hub, other, -hub, -other]))
    near = functional.normalize(queries, dim=1) @ functional.normalize(candidates.rows, dim=1).T
    assert torch.allclose(hubness(near.T), near.sort(0).values[-2:].mean(0)), "5 % of 44 queries"

    def found(counted: torch.Tensor | None, hub_penalty: float) -> list[int]:
        """Return the candidates nearest to the first 22 queries."""
        return nearest_neighbors(Side(queries, counted), candidates, hub_penalty)[:22].tolist()

    assert found(None, 0) == [0] * 22
    assert found(None, 1) == [0] * 20 + [1, 1]
    assert found(torch.arange(len(queries)) < 20, 1)[20:] == [1, 1]
    nobody = torch.zeros(len(queries), dtype=torch.bool)
    assert found(nobody, 1)[20:] == [0, 0]


def test_search_in_blocks_is_that_of_the_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    """With brightness and a penalty for hubs, among the candidates that count."""
    queries, candidates = torch.randn(50, 7), torch.randn(40, 7)
    bright, others = torch.randn(50), torch.randn(40)
    counts = torch.arange(40) % 3 > 0
    some = candidates[counts]
    centered = [functional.normalize(rows - rows.mean(0)) for rows in (queries, some)]
    cosines = centered[0] @ centered[1].T - (bright.unsqueeze(1) - others[counts]).square()
    cosines -= cosines.topk(round(0.05 * 50), dim=0).values.mean(0)
    monkeypatch.setattr(search, "CPU_BLOCK_ROWS", 3)
    own, theirs = Side(queries, None, bright), Side(candidates, counts, others)
    found = nearest_neighbors(own, theirs, 1.0)
    assert found.tolist() == counts.nonzero()[:, 0][cosines.argmax(1)].tolist()
    assert found.tolist() != nearest_neighbors(Side(queries), theirs, 1.0).tolist()


def test_projection_keeps_the_dimensions_that_the_rows_have() -> None:
    rows = torch.randn(90, 6) @ torch.randn(6, 40)
    basis = projection(rows[:50], rows[50:], 6)
    torch.testing.assert_close(basis.T @ basis, torch.eye(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(rows @ basis @ basis.T, rows, atol=1e-2, rtol=1e-3)
    sides = Side(rows[:50]), Side(rows[50:])
    exact = nearest_neighbors(*sides, 1.0)
    assert nearest_neighbors(*sides, 1.0, dimensions=8).tolist() == exact.tolist()
    assert nearest_neighbors(*sides, 1.0, dimensions=1).tolist() != exact.tolist()


def test_a_projection_has_no_direction_in_which_no_row_points() -> None:
    """With fewer rows than dimensions, or rows that are alike, as in a plain picture."""
    draw = torch.Generator().manual_seed(5)
    few = torch.randn(40, 3, generator=draw) @ torch.randn(3, 64, generator=draw)
    basis = projection(directions(few), directions(few[:10]), 32)
    lengths = torch.linalg.vector_norm(basis, dim=0)
    assert int((lengths > 0).sum()) == 3
    assert torch.allclose(lengths[lengths > 0], torch.ones(3), atol=1e-3)
