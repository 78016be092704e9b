"""Coherence: in even areas, neighbors in the painting follow neighbors in the style.

The nearest neighbors of an even area, whose positions are all alike, are scattered over the style,
and its strokes become dabs. As in PatchMatch (Barnes, Shechtman, Finkelstein, Goldman 2009, "A
Randomized Correspondence Algorithm for Structural Image Editing"), each position is offered the
matches of its neighbors, moved by the distance between them. It takes one of them if more of its
neighbors then follow the style together, unless that one is much less similar.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from stylewatch_painter.losses.nearest import Similarity

Grid = tuple[int, int]
"""Numbers of rows and columns of positions."""

_AROUND = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right)
"""Distances in rows and columns to the eight neighbors."""

_ROUNDS = 4
"""Number of times that each position chooses again."""

_WINDOW = 5
"""Side, in positions, of the window whose evenness counts for the position in its center."""

_UNEVEN = 0.4
"""Share of positions, the least even ones, that keep their nearest neighbors. Faces and other
small structures are among them."""

_EVEN = 0.3
"""Share of positions, the most even ones, that get the whole bonus."""

_OUTSIDE = -1
"""Index in place of a position outside of its picture."""


class _Positions:
    """The positions of pictures with these grids, one picture after the other."""

    def __init__(self, grids: Sequence[Grid], device: torch.device) -> None:
        counts = torch.tensor([rows * columns for rows, columns in grids])
        of = torch.repeat_interleave(counts)
        self._rows, self._columns = (
            torch.tensor(side)[of].to(device) for side in zip(*grids, strict=True)
        )
        self._first = (counts.cumsum(0) - counts)[of].to(device)
        own = torch.arange(len(of), device=device) - self._first
        self.row, self.column = own // self._columns, own % self._columns

    def beside(self, index: Tensor, down: int, right: int) -> Tensor:
        """Return the positions beside `index` in the same picture, or _OUTSIDE."""
        known = index.clamp(min=0)
        row, column = self.row[known] + down, self.column[known] + right
        is_inside = (row >= 0) & (row < self._rows[known])
        is_inside &= (column >= 0) & (column < self._columns[known]) & (index >= 0)
        return torch.where(is_inside, self._first[known] + row * self._columns[known] + column,
                           _OUTSIDE)  # fmt: skip


def evenness(columns: Tensor, grid: Grid) -> Tensor:
    """Return the share (Q,), 0..1, of the bonus that each position of a picture gets.

    `columns` (Q, N) are directions on a `grid`. The more alike the positions of the window around
    a position and their neighbors are, the more even it is. Ranks, and not the likeness itself,
    decide, so that each picture has even areas.
    """
    positions = _Positions([grid], columns.device)
    every = torch.arange(len(columns), device=columns.device)
    total, count = columns.new_zeros(len(columns)), columns.new_zeros(len(columns))
    for step in _AROUND:
        other = positions.beside(every, *step)
        is_inside = other >= 0
        total += is_inside * (columns * columns[other.clamp(min=0)]).sum(1)
        count += is_inside
    alike = (total / count.clamp(min=1)).view(1, 1, *grid)
    pad = _WINDOW // 2
    even = functional.avg_pool2d(alike, _WINDOW, 1, pad, count_include_pad=False).flatten()
    rank = torch.searchsorted(even.sort().values, even, right=True) / len(even)
    return ((rank - _UNEVEN) / (1 - _UNEVEN - _EVEN)).clamp(0, 1)


def coherent(
    nearest: Tensor, similarity: Similarity, grid: Grid, grids: Sequence[Grid], bonus: Tensor
) -> Tensor:
    """Return matches (Q,), int64, of which more follow their neighbors than of the `nearest` (Q,).

    The painting has `grid`, the pictures of the style have `grids`. `bonus` (Q,) is added to the
    similarity of a match for each neighbor that it follows.
    """
    device, chosen = nearest.device, nearest.clone()
    own, theirs = _Positions([grid], device), _Positions(grids, device)
    every = torch.arange(len(chosen), device=device)
    neighbors = torch.stack([own.beside(every, *step) for step in _AROUND])
    # A position and its neighbors do not choose at the same time.
    turns = [every[(own.row % 2 * 2 + own.column % 2 == turn) & (bonus > 0)] for turn in range(4)]
    for _ in range(_ROUNDS):
        for turn in turns:
            beside = neighbors[:, turn]
            matches = torch.where(beside >= 0, chosen[beside.clamp(min=0)], _OUTSIDE)
            offers = [theirs.beside(match, -down, -right)
                      for match, (down, right) in zip(matches, _AROUND, strict=True)]  # fmt: skip
            options = torch.stack([chosen[turn], *offers])
            rows = similarity.candidates[options.clamp(min=0)]
            score = torch.einsum("qn,oqn->oq", similarity.queries[turn], rows)
            for match, step in zip(matches, _AROUND, strict=True):
                follows = (match >= 0) & (theirs.beside(options, *step) == match)
                score += follows * bonus[turn]
            score[options < 0] = -torch.inf
            chosen[turn] = options.gather(0, score.argmax(0, keepdim=True))[0]
    return chosen
