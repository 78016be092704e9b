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

    def took(self, inbox: str) -> None:
        """A job of `inbox` was begun."""
        self._level = self._place(inbox)
        self._at[inbox] = self._level + 1 / self._weights.get(inbox, 1.0)

    def _place(self, inbox: str) -> float:
        return max(self._at.get(inbox, 0.0), self._level)
