"""What has to wait, and for how long: longer each time, and not all at the same moment."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """How long to wait after the n-th time, in seconds: by chance, up to `first` x 2^(n-1).

    `least` is the share of that which is waited in any case, `most` what it never exceeds.
    """

    first: float
    most: float
    least: float = 0.0

    def seconds(self, times: int, chance: float) -> float:
        """Seconds after so many `times`; `chance` is in 0..1."""
        longest = min(self.most, self.first * 2.0 ** min(times - 1, 60))
        return longest * (self.least + (1 - self.least) * chance)


class Pauses:
    """What has to wait; `clock` is monotonic, in seconds, `chance` gives numbers in 0..1."""

    def __init__(
        self, backoff: Backoff, clock: Callable[[], float], chance: Callable[[], float]
    ) -> None:
        self._backoff, self._clock, self._chance = backoff, clock, chance
        self._times: dict[str, int] = {}
        self._until: dict[str, float] = {}

    def begin(self, what: str) -> None:
        """Let `what` wait, longer each time until it is forgotten; no longer while it waits."""
        if what in self.held():
            return
        self._times[what] = self._times.get(what, 0) + 1
        wait = self._backoff.seconds(self._times[what], self._chance())
        self._until[what] = self._clock() + wait

    def release(self, what: str) -> None:
        """Let `what` go on now; if it has to wait again, that is longer still."""
        self._until.pop(what, None)

    def forget(self, what: str) -> None:
        """Nothing holds `what` any more."""
        self._times.pop(what, None)
        self._until.pop(what, None)

    def all(self) -> frozenset[str]:
        """What was told to wait and is not forgotten, its time over or not."""
        return frozenset(self._until)

    def held(self) -> frozenset[str]:
        """What has to wait now."""
        now = self._clock()
        return frozenset(what for what, until in self._until.items() if until > now)

    def soonest(self) -> float | None:
        """Seconds until something may go on again; None where nothing has to wait."""
        now = self._clock()
        return min((until - now for until in self._until.values() if until > now), default=None)
