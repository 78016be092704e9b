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
"""The same on a CPU, where the similarities of a block then fit into the cache."""

_MAX_HUB_QUERIES = 1021
"""Number of queries that determine hubs. It is prime, so that they do not form columns of the
grid."""

_NEAR_HUB = 0.05
"""Share of these queries, the nearest ones, that enter the hubness of a candidate."""

_SAMPLES_FOR_DIMENSION = 2
"""Number of rows that are drawn for each dimension of a projection."""

_NEVER = -1e4
"""Similarity of a candidate that does not count; the others have more than -100."""

_LEAST_SHARE = 1e-6
"""Minimum square of a principal component, as a share of the largest one's."""

TINY = 1e-12
"""Value added to squared lengths, so that a black area has a direction."""


def directions(rows: Tensor) -> Tensor:
    """Scale rows (..., N) to length 1."""
    return rows / _lengths(rows)


def _lengths(rows: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    return (lengths.square() + TINY).sqrt()


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a search: rows (R, N), flags (R,) of those that count, and brightness (R,).

    Without flags, all rows count. Both sides have a brightness, or neither.
    """

    rows: Tensor
    counted: Tensor | None = None
    brightness: Tensor | None = None


def nearest_neighbors(
    queries: Side, candidates: Side, hub_penalty: float = 0.0, dimensions: int | None = None
) -> Tensor:
    """Return the index (Q,), int64, of the most similar candidate that counts, for each query.

    Similarity is the cosine, after both sides are centered by the mean of the rows that count, less
    the squared difference of brightness and `hub_penalty` times the candidate's `hubness` among the
    queries that count. With `dimensions`, the cosines are those of a `projection`; else they are
    exact.
    """
    own = _centered(queries)
    others = _centered(candidates)
    if dimensions is not None and dimensions < own.shape[1]:
        basis = projection(own, others, dimensions)
        own = own @ basis
        others = others @ basis
    # All penalties are columns of the rows, so that the search is one product of matrices.
    a = queries.brightness
    b = candidates.brightness
    if a is not None and b is not None:  # -(a - b)^2 = 2ab - a^2 - b^2
        own = _with_columns(own, 2 * a, -a.square(), torch.ones_like(a))
        others = _with_columns(others, b, torch.ones_like(b), -b.square())
    if hub_penalty or candidates.counted is not None:
        penalty = others.new_zeros(len(others))
        if hub_penalty:
            asked = own[_evenly(_MAX_HUB_QUERIES, queries)]
            penalty -= hub_penalty * hubness(others @ asked.T)
        if candidates.counted is not None:
            penalty[~candidates.counted] = _NEVER
        own = _with_columns(own, own.new_ones(len(own)))
        others = _with_columns(others, penalty)
    rows = CPU_BLOCK_ROWS if own.device.type == "cpu" else BLOCK_ROWS
    return torch.cat([_nearest(block, others.split(rows)) for block in own.split(rows)])


def _nearest(queries: Tensor, blocks: Sequence[Tensor]) -> Tensor:
    """Return the index (Q,) of the row in `blocks` with the largest product with each query."""
    largest, found = (queries @ blocks[0].T).max(1)
    before = len(blocks[0])
    for block in blocks[1:]:
        products, rows = (queries @ block.T).max(1)
        found = torch.where(products > largest, rows + before, found)
        largest = largest.maximum(products)
        before += len(block)
    return found


def _with_columns(rows: Tensor, *columns: Tensor) -> Tensor:
    """Return rows (R, N + K) with K further columns (R,)."""
    return torch.cat([rows, torch.stack(columns, dim=1)], dim=1)


def _centered(side: Side) -> Tensor:
    """Return directions (R, N) of rows from the mean of those that count."""
    rows = side.rows
    counted = side.counted
    mean = rows.mean(0) if counted is None else rows[counted].mean(0).nan_to_num()  # none: NaN
    rows = rows - mean
    rows /= _lengths(rows)  # in place: they take most of the memory of a painting
    return rows


def projection(queries: Tensor, candidates: Tensor, dimensions: int) -> Tensor:
    """Return an orthonormal basis (N, dimensions) that keeps most of the rows' lengths.

    It spans the principal components, not centered, of rows drawn evenly from both sides. If these
    have fewer, the other columns are 0.
    """
    count = _SAMPLES_FOR_DIMENSION * dimensions // 2
    rows = torch.cat([side[_evenly(count, Side(side))] for side in (queries, candidates)])
    squares, vectors = torch.linalg.eigh(rows @ rows.T)
    squares = squares[-dimensions:]
    vectors = vectors[:, -dimensions:]
    # what is left of a direction in which no row points is noise of rounding
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
