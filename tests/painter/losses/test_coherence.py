"""Coherence: matches that follow their neighbors, where the content is even."""

import torch
from torch.nn.functional import normalize

from stylewatch_painter.losses.coherence import coherent, evenness
from stylewatch_painter.losses.nearest import Side, similarities

GRID, STYLES = (10, 12), [(14, 15), (9, 16)]
"""Rows and columns of the painting and of two pictures of the style."""


def test_matches_follow_their_neighbors_if_it_costs_little() -> None:
    """The painting is a part of the second picture, and noise hides most matches."""
    generator = torch.Generator().manual_seed(1)
    first, second = (torch.randn(*grid, 16, generator=generator) for grid in ((14, 15), (9, 16)))
    inside = (slice(0, 9), slice(3, 15))
    painting = torch.randn(*GRID, 16, generator=generator)
    painting[:9] = second[inside] + 2 * torch.randn(9, 12, 16, generator=generator)
    places = torch.arange(9 * 16).view(9, 16)[inside].flatten() + 14 * 15
    candidates = torch.cat([first.flatten(0, 1), second.flatten(0, 1)])
    search = similarities(Side(painting.flatten(0, 1)), Side(candidates))
    nearest = search.nearest()

    def found(bonus: float) -> int:
        """Return the number of matches that continue the picture."""
        everywhere = torch.full((len(nearest),), bonus)
        matches = coherent(nearest, search, GRID, STYLES, everywhere)
        return int((matches[: 9 * 12] == places).sum())

    assert found(0) == int((nearest[: 9 * 12] == places).sum()) < 60
    assert found(0.4) > 95, "of 108"
    half = torch.zeros(GRID)
    half[:, 6:] = 0.4
    matches = coherent(nearest, search, GRID, STYLES, half.flatten()).view(GRID)
    assert torch.equal(matches[:, :6], nearest.view(GRID)[:, :6]), "no bonus, no change"


def test_matches_stay_in_their_picture_and_count() -> None:
    """At the borders of a picture of the style, and beside candidates that do not count."""
    generator = torch.Generator().manual_seed(2)
    counts = torch.rand(14 * 15 + 9 * 16, generator=generator) < 0.5
    candidates = Side(torch.randn(len(counts), 4, generator=generator), counts)
    search = similarities(Side(torch.randn(120, 4, generator=generator)), candidates)
    matches = coherent(search.nearest(), search, GRID, STYLES, torch.full((120,), 5.0))
    assert counts[matches].all()
    assert not torch.equal(matches, search.nearest())


def test_even_areas_get_the_bonus() -> None:
    """The right half has one direction, the left half a different one at each position."""
    columns = normalize(torch.randn(20, 20, 30), dim=-1)
    columns[:, 10:] = columns[0, 0]
    shares = evenness(columns.flatten(0, 1), (20, 20)).view(20, 20)
    assert (shares[:, :7] == 0).all() and (shares[:, 13:] == 1).all()
    assert evenness(columns[:1, :1].flatten(0, 1), (1, 1)).tolist() == [1]
