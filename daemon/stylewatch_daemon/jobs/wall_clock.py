"""The wall clock, which people, time servers and empty batteries set.

A machine may start in 1970, run for days with a clock that is months behind, or be years ahead for
a moment. So nothing is removed for its age by the wall clock: time is counted by a clock that
nobody sets. The wall clock is asked only how long no daemon ran.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from math import inf

from stylewatch_daemon.ledger.ledger import Sight

DAY = 24 * 3600.0

NOTICEABLE = 1.0
"""Difference in seconds up to which a time server merely corrects the clock."""

MAX_OFF = 8 * DAY
"""Maximum seconds between two daemons that count: after longer ones the clock may be wrong."""


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
        self._now = now
        self._clock = clock
        self._looked: float | None = None
        self._offset = now().timestamp() - clock()
        self._set_at = -inf

    def local(self) -> datetime:
        """Return the time in the zone of this machine."""
        return self._now().astimezone()

    def even_s(self) -> float:
        """Return for how many seconds nobody has set the clock; infinity if that was never seen.

        A daemon that starts while the clock is wrong knows of it by `recall`.
        """
        clock = self._clock()
        offset = self._now().timestamp() - clock
        if abs(offset - self._offset) > NOTICEABLE:
            self._offset = offset
            self._set_at = clock
        return clock - self._set_at

    def recall(self, last: Sight | None) -> None:
        """Go on counting since the clock was set, as an earlier daemon has seen, or since it ran.

        After a boot the clock counts as set, too: the other one begins anew.
        """
        if last is None:
            return
        clock = self._clock()
        if last.offset_s is not None and abs(self._offset - last.offset_s) > NOTICEABLE:
            self._set_at = clock
        elif last.set_s is not None:
            counted_s = last.counted_s + self._passed_since(last)
            self._set_at = clock - (counted_s - last.set_s)

    def look(self, last: Sight | None) -> Sight:
        """Return what is seen now; `last` was seen before, perhaps by another daemon."""
        now = self._now()
        clock = self._clock()
        last_clock = self._looked
        self._looked = clock
        if last is None:
            return Sight(now, 0.0, offset_s=self._offset)
        passed = self._passed_since(last) if last_clock is None else clock - last_clock
        counted_s = last.counted_s + passed
        even_s = self.even_s()
        # a clock that is ahead at each start counts once
        is_off = abs((now - last.latest).total_seconds()) > MAX_OFF
        latest = now if is_off else max(now, last.latest)
        set_s = last.set_s if even_s == inf else counted_s - even_s
        return Sight(latest, counted_s, set_s, self._offset)

    def _passed_since(self, last: Sight) -> float:
        """Return for how many seconds no daemon ran, by the wall clock."""
        ahead_s = (self._now() - last.latest).total_seconds()
        return ahead_s if 0 < ahead_s <= MAX_OFF else 0.0
