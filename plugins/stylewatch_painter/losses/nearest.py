"""Exact search for nearest neighbors by cosine distance."""

import math

import torch
from torch import Tensor

SEARCH_BYTES = 64 * 2**20
"""Memory for a block of similarities during a search, in bytes."""

_MAX_HUB_QUERIES = 1021
"""Number of queries that determine hubs. It is prime, so that they do not form columns of the
grid."""

_NEAR_HUB = 0.05
"""Share of these queries, the nearest ones, that enter the hubness of a candidate."""

_TINY = 1e-12
"""Value added to squared lengths, so that a black area has a direction."""


def directions(rows: Tensor) -> Tensor:
    """Scale rows (..., N) to length 1."""
    return rows / _lengths(rows)


def _lengths(rows: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    return (lengths.square() + _TINY).sqrt()


def nearest(
    queries: Tensor,
    candidates: Tensor,
    hub_penalty: float = 0.0,
    selected: Tensor | slice = slice(None),
    brightness: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Return the index (Q,), int64, of the candidate nearest to each query.

    The distance is the centered cosine distance: `queries` (Q, N) are centered by the mean of those
    that `selected` gives, `candidates` (C, N) by their own mean. Two terms can be added to it: the
    squared difference of `brightness`, (Q,) and (C,), and `hub_penalty` times the candidate's
    `hubness` among the selected queries. The search is exact.
    """
    candidates = candidates - candidates.mean(0)
    candidates /= _lengths(candidates)  # in place: they take most of the memory of a painting
    queries = queries - queries[selected].mean(0).nan_to_num()  # the mean of no queries is NaN
    if hub_penalty or brightness:
        queries /= _lengths(queries)  # without these terms the length has no effect
    asked = _evenly(torch.arange(len(queries), device=queries.device)[selected])
    best = queries.new_full((len(queries),), -math.inf)
    chosen, before = torch.zeros_like(best, dtype=torch.int64), 0
    for block in candidates.split(max(1, SEARCH_BYTES // (4 * len(queries)))):
        similarities = block @ queries.T
        if brightness:
            own, others = brightness
            similarities -= (own - others[before : before + len(block), None]).square_()
        if hub_penalty:
            similarities -= hub_penalty * hubness(similarities[:, asked]).unsqueeze(1)
        values, places = similarities.max(0)
        chosen = torch.where(values > best, places + before, chosen)
        best, before = torch.maximum(values, best), before + len(block)
        del similarities  # free the memory before the next block is computed
    return chosen


def _evenly(positions: Tensor) -> Tensor:
    """Return up to `_MAX_HUB_QUERIES` of the positions, evenly spaced."""
    count = min(_MAX_HUB_QUERIES, len(positions))
    return positions[torch.arange(count, device=positions.device) * len(positions) // max(1, count)]


def hubness(similarities: Tensor) -> Tensor:
    """Return the mean similarity (C,) of each candidate to its nearest queries.

    `similarities` is (C, Q). A hub is nearest to many queries: without a penalty, all positions in
    a plain area of the painting would follow the same few positions of the style. Conneau et al.
    2018, "Word Translation Without Parallel Data" (arXiv 1710.04087), equation (3), use half of it
    as a penalty.
    """
    candidates, asked = similarities.shape
    if not asked:
        return similarities.new_zeros(candidates)
    return similarities.topk(max(1, round(_NEAR_HUB * asked))).values.mean(1)
