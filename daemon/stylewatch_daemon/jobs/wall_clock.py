"""The wall clock, and for how long it can be believed, before anything is removed for its age.

People, time servers and empty batteries set it: a machine may start in 1970, and its clock may be
years ahead for a moment. So it is compared with a clock that nobody sets, and after a start with
the time at which a daemon last looked.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from math import inf

from stylewatch_daemon.ledger.ledger import Sight
from stylewatch_daemon.ledger.schema import EARLIEST

HOUR = 3600.0
"""Difference in seconds up to which the clock was merely set right."""

DAY = 24 * HOUR

NOTICEABLE = 1.0
"""Difference in seconds up to which a time server merely corrects the clock."""

MAX_OFF = DAY
"""Maximum time in seconds between two daemons: after a longer one the clock may be wrong."""


def since_boot() -> float:
    """Return seconds on a clock that nobody sets, and that goes on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class WallClock:
    """The clock `now`, compared with `clock`, in seconds, which nobody sets."""

    def __init__(
        self,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = since_boot,
    ) -> None:
        self._now, self._clock = now, clock
        self._looked: float | None = None
        self._ahead = 0.0
        """Seconds by which `now` was ahead of `clock` at the start, or after the last jump."""
        self._offset = now().timestamp() - clock()
        """The same, where also small jumps count."""
        self._set_at = -inf

    def even_s(self) -> float:
        """Return for how many seconds nobody has set the clock; infinity if that was never seen."""
        clock = self._clock()
        offset = self._now().timestamp() - clock
        if abs(offset - self._offset) > NOTICEABLE:
            self._offset, self._set_at = offset, clock
        return clock - self._set_at

    def look(self, last: Sight | None) -> Sight:
        """Return what is seen now; `last` was seen before, perhaps by another daemon."""
        now, clock = self._now(), self._clock()
        ahead = now.timestamp() - clock
        if last is None:
            passed, is_steady = 0.0, False
        elif self._looked is None:
            off = (now - last.now).total_seconds()
            passed = max(0.0, min(off, HOUR))  # the clock may have been set meanwhile
            is_steady = -HOUR <= off <= MAX_OFF
        else:
            passed = clock - self._looked
            is_steady = abs(ahead - self._ahead) <= HOUR
        if self._looked is None or not is_steady:
            self._ahead = ahead
        self._looked = clock
        if last is None or not is_steady or now.isoformat() < EARLIEST:
            return Sight(now, 0.0)
        return Sight(now, last.steady_s + passed)
