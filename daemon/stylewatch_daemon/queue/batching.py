"""Jobs that are alike can be painted at once: by what they are told, and how many are."""

from stylewatch_daemon.model import Started
from stylewatch_daemon.settings.sections import Batch

MANY = 8


class Company:
    """How many jobs of a shape are best begun together, as far as workers told by now.

    Where nothing is known of who paints it, a job begins alone: by its Started we learn.
    """

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._by_painter: dict[str, int] = {}
        self._by_shape: dict[str, int] = {}
        """Where memory did not suffice for more."""

    def hear(self, shape: str, started: Started) -> None:
        """A job of that shape has begun."""
        best = MANY if started.device != "cpu" else 1
        wanted = best if self._batch == "auto" else self._batch
        self._by_painter[_painter(shape)] = wanted if started.paints_many else 1
        if started.too_many:
            self._by_shape[shape] = max(1, started.too_many // 2)

    def most(self, shape: str) -> int:
        """How many to begin together, at most."""
        known = self._by_painter.get(_painter(shape), 1) if shape else 1
        return min(known, self._by_shape.get(shape, known))


def _painter(shape: str) -> str:
    """Who paints it, and on which device if one was asked for."""
    return shape.rpartition(" ")[0]
