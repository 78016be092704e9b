"""The wall clock, which people, time servers and empty batteries set.

A machine may start in 1970, run for days with a clock that is months behind, or be years ahead for
a moment. So nothing is removed for its age by the wall clock: time is counted by a clock that
nobody sets. The wall clock is asked only how long no daemon ran.

Whether somebody has set the wall clock is seen by its offset from the other clock:

| event                                | offset  | since when is it set?                     |
| ------------------------------------ | ------- | ----------------------------------------- |
| the first daemon starts              | unknown | nobody was seen to set it                 |
| the wall clock is set                | changes | since the daemon sees it, or starts       |
| the machine boots: the other clock   | changes | since the daemon starts: what happened    |
| begins anew                          |         | before nobody knows                       |
| the machine sleeps: both clocks go on | stays  | as before                                 |
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from stylewatch_daemon.ledger.ledger import Sight

DAY = 24 * 3600.0

NOTICEABLE = 1.0
"""Difference in seconds up to which a time server merely corrects the clock."""

MAX_OFF = 8 * DAY
"""Maximum time without a daemon, in seconds, that counts: after more the clock may be wrong."""


def since_boot() -> float:
    """Return seconds on a clock that nobody sets, and that on Linux goes on during sleep."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class WallClock:
    """The wall clock `now`, compared with `clock`, which counts seconds and which nobody sets."""

    def __init__(
        self,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = since_boot,
    ) -> None:
        self._now = now
        self._clock = clock
        self._looked_at: float | None = None
        """Time of the last look on `clock`; None before the first look."""
        self._offset = now().timestamp() - clock()
        self._set_at: float | None = None
        """Time on `clock` when the wall clock was seen to be set; None if it never was."""

    def local(self) -> datetime:
        """Return the time in the zone of this machine."""
        return self._now().astimezone()

    def seconds_since_set(self) -> float | None:
        """Return the seconds since somebody set the wall clock; None if nobody was seen to set it.

        What earlier daemons have seen counts after `restore`.
        """
        clock = self._clock()
        offset = self._now().timestamp() - clock
        if abs(offset - self._offset) > NOTICEABLE:
            self._offset = offset
            self._set_at = clock
        return None if self._set_at is None else clock - self._set_at

    def restore(self, last: Sight | None) -> None:
        """Restore, from the `last` sight of an earlier daemon, when the wall clock was last set.

        If the offset has changed since that sight, the wall clock was set, or the machine booted,
        while no daemon ran: then it counts as set now.
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
        """Return the sight of both clocks now.

        `last` is the sight before it, perhaps of an earlier daemon; None for the first sight.
        """
        now = self._now()
        clock = self._clock()
        looked_at = self._looked_at
        self._looked_at = clock
        if last is None:
            return Sight(now, 0.0, offset_s=self._offset)
        passed = self._passed_since(last) if looked_at is None else clock - looked_at
        counted_s = last.counted_s + passed
        since_set = self.seconds_since_set()
        # a clock that is ahead at each start counts once
        is_off = abs((now - last.latest).total_seconds()) > MAX_OFF
        latest = now if is_off else max(now, last.latest)
        set_s = last.set_s if since_set is None else counted_s - since_set
        return Sight(latest, counted_s, set_s, self._offset)

    def _passed_since(self, last: Sight) -> float:
        """Return the seconds without a daemon since the `last` sight, by the wall clock.

        The result is 0 if the wall clock says that none or more than MAX_OFF have passed.
        """
        ahead_s = (self._now() - last.latest).total_seconds()
        return ahead_s if 0 < ahead_s <= MAX_OFF else 0.0
