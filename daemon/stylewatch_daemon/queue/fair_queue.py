"""Whose turn it is among inboxes: each gets its weight's share."""

from collections.abc import Collection, Mapping


class Turns:
    """Inboxes take turns: over time each gets its weight's share of the jobs that are begun.

    Each job moves its inbox on by 1 / weight, and the one that is furthest behind comes next.
    One that had nothing to do starts level with the others: it is owed nothing for that time.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = dict(weights)
        self._at: dict[str, float] = {}
        self._level = 0.0

    def next(self, waiting: Collection[str]) -> str | None:
        """The one of the `waiting` inboxes whose turn it is; of equals the first by name."""
        return min(sorted(waiting), key=self._place, default=None)

    def took(self, inbox: str, *, in_turn: bool = True) -> None:
        """A job of `inbox` was begun; if it was not its turn yet, the others are owed theirs."""
        at = self._place(inbox)
        if in_turn:
            self._level = at
        self._at[inbox] = at + 1 / self._weights.get(inbox, 1.0)

    def _place(self, inbox: str) -> float:
        return max(self._at.get(inbox, 0.0), self._level)
