"""Search for nearest neighbors by cosine distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stylewatch_painter.late import torch

if TYPE_CHECKING:
    from torch import Tensor

BLOCK_ROWS = 4096
"""Maximum number of rows of each side that are compared at a time, except on a CPU."""

CPU_BLOCK_ROWS = 1024
"""Maximum number of rows of each side that are compared at a time on a CPU. The similarities of a
block then fit into the CPU's cache."""

_MAX_HUB_QUERIES = 1021
"""Maximum number of queries that determine hubs. The number is prime, so that the queries do not
form columns of the grid."""

_NEAR_HUB = 0.05
"""Share of the sampled queries, nearest first, over which `hubness` averages."""

_SAMPLES_FOR_DIMENSION = 2
"""Number of rows that are drawn for each dimension of a projection."""

_NEVER = -1e4
"""Value added to the score of a candidate that does not count. The scores of all other candidates
are above -100."""

_LEAST_SHARE = 1e-6
"""Minimum squared singular value of a principal component of the drawn rows, as a share of the
largest one. Smaller components are dropped."""

TINY = 1e-12
"""Value added to squared lengths, so that the length of a black area is not 0."""


def directions(rows: Tensor) -> Tensor:
    """Return rows (..., N) scaled to length 1; a row of zeros remains zero."""
    return rows / _lengths(rows)


def _lengths(rows: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    return (lengths.square() + TINY).sqrt()


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a search: rows (R, N), flags (R,) of the rows that count, and brightness (R,).

    If `counted` is None, all rows count. A search uses brightness only if both sides have it.
    """

    rows: Tensor
    counted: Tensor | None = None
    brightness: Tensor | None = None


def nearest_neighbors(
    queries: Side, candidates: Side, hub_penalty: float = 0.0, dimensions: int | None = None
) -> Tensor:
    """Return the index (Q,), int64, of the most similar candidate that counts, for each query.

    If no candidate counts, all do. The score of a query q and a candidate c is
    cos(q, c) - (a - b)^2 - h(c). The cosine is computed after each side is centered by the mean of
    its rows that count. a and b are the brightness of q and c, if given. h(c) is `hub_penalty`
    times the `hubness` of c among the queries that count. If rows are longer than `dimensions`, the
    cosines are those of a `projection`; otherwise they are exact.

    One matrix product computes all scores. The rows get further columns, whose products are the
    summands of the score:

      summand              column of queries   column of candidates
      2 a b                2 a                 b
      - a^2                - a^2               1
      - b^2                1                   - b^2
      - h(c), or _NEVER    1                   the same, as the candidate's penalty
    """
    query_rows = _centered(queries)
    candidate_rows = _centered(candidates)
    if dimensions is not None and dimensions < query_rows.shape[1]:
        basis = projection(query_rows, candidate_rows, dimensions)
        query_rows = query_rows @ basis
        candidate_rows = candidate_rows @ basis
    a = queries.brightness
    b = candidates.brightness
    if a is not None and b is not None:
        query_rows = _with_columns(query_rows, 2 * a, -a.square(), torch.ones_like(a))
        candidate_rows = _with_columns(candidate_rows, b, torch.ones_like(b), -b.square())
    if hub_penalty or candidates.counted is not None:
        penalty = candidate_rows.new_zeros(len(candidate_rows))
        if hub_penalty:
            sample = query_rows[_evenly(_MAX_HUB_QUERIES, queries)]
            penalty -= hub_penalty * hubness(candidate_rows @ sample.T)
        if candidates.counted is not None:
            penalty[~candidates.counted] = _NEVER
        query_rows = _with_columns(query_rows, query_rows.new_ones(len(query_rows)))
        candidate_rows = _with_columns(candidate_rows, penalty)
    rows = CPU_BLOCK_ROWS if query_rows.device.type == "cpu" else BLOCK_ROWS
    return torch.cat(
        [_nearest(block, candidate_rows.split(rows)) for block in query_rows.split(rows)]
    )


def _nearest(queries: Tensor, blocks: Sequence[Tensor]) -> Tensor:
    """Return the index (Q,) of the row with the largest product with each query.

    Indices count the rows of all `blocks` in order.
    """
    largest, found = (queries @ blocks[0].T).max(1)
    start = len(blocks[0])
    for block in blocks[1:]:
        products, rows = (queries @ block.T).max(1)
        found = torch.where(products > largest, rows + start, found)
        largest = largest.maximum(products)
        start += len(block)
    return found


def _with_columns(rows: Tensor, *columns: Tensor) -> Tensor:
    """Return rows (R, N + K) with K further columns (R,)."""
    return torch.cat([rows, torch.stack(columns, dim=1)], dim=1)


def _centered(side: Side) -> Tensor:
    """Return the directions (R, N) of rows from the mean of the rows that count.

    The mean is 0 if no row counts.
    """
    rows = side.rows
    counted = side.counted
    mean = rows.mean(0) if counted is None else rows[counted].mean(0).nan_to_num()  # none: NaN
    rows = rows - mean
    rows /= _lengths(rows)  # in place: they take most of the memory of a painting
    return rows


def projection(queries: Tensor, candidates: Tensor, dimensions: int) -> Tensor:
    """Return an orthonormal basis (N, K) that preserves most of the lengths of the rows.

    It spans the principal components, not centered, of rows drawn evenly from both sides. K is
    `dimensions`, or the number of drawn rows if that is smaller. If the rows have fewer than K
    components, the remaining columns are 0.
    """
    count = _SAMPLES_FOR_DIMENSION * dimensions // 2
    rows = torch.cat([side[_evenly(count, Side(side))] for side in (queries, candidates)])
    squares, vectors = torch.linalg.eigh(rows @ rows.T)
    squares = squares[-dimensions:]
    vectors = vectors[:, -dimensions:]
    # a direction in which no row points holds only noise of rounding
    is_known = squares > _LEAST_SHARE * squares[-1].clamp(min=TINY)
    lengths = torch.where(is_known, squares.clamp(min=TINY).sqrt(), torch.inf)
    basis: Tensor = rows.T @ (vectors / lengths)
    return basis


def _evenly(most: int, side: Side) -> Tensor:
    """Return the positions of up to `most` of the rows that count, evenly spaced."""
    positions = torch.arange(len(side.rows), device=side.rows.device)
    if side.counted is not None:
        positions = positions[side.counted]
    number = min(most, len(positions))
    return positions[
        torch.arange(number, device=positions.device) * len(positions) // max(1, number)
    ]


def hubness(similarities: Tensor) -> Tensor:
    """Return the mean similarity (C,) of each candidate to the queries nearest to it.

    `similarities` is (C, Q); the mean is over the share `_NEAR_HUB` of the queries, and is 0
    without queries. A hub is near to many queries. Without a penalty, all positions in a plain area
    of the painting would follow the same few positions of the style. Conneau et al. 2018, "Word
    Translation Without Parallel Data" (arXiv 1710.04087), equation (3), use half of this mean as a
    penalty.
    """
    candidates, asked = similarities.shape
    if not asked:
        return similarities.new_zeros(candidates)
    return similarities.topk(max(1, round(_NEAR_HUB * asked))).values.mean(1)
