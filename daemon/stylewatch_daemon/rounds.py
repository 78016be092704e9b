"""Goes round while the daemon watches: when to look, how long to wait, and that all is well."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from stylewatch_daemon.bell import Bell
from stylewatch_daemon.line import Line
from stylewatch_daemon.service_settings import ServiceSettings
from stylewatch_daemon.systemd import Manager
from stylewatch_daemon.watch import Watcher

AT_LEAST = 0.2
"""Seconds between two looks at an inbox, however much goes on in it."""

SHARE = 5.0
"""How many times as long as the last look took we do other things before the next one."""

LONGEST = 3600.0
"""Seconds that are slept at a stretch; longer waits overflow on some systems."""

SIGN = "alive"
"""The file in the state folder that is touched before we say that we are well."""


@dataclass
class Rounds:
    """Rounds by `settings`, until told to stop, or to go on by others.

    `reread` reads the settings again; None where they are wrong. `idle_since` is None once the
    worker was let go; `rung`: something happened since the last look.
    """

    line: Line
    watcher: Watcher
    settings: ServiceSettings
    bell: Bell
    manager: Manager
    reread: Callable[[], ServiceSettings | None]
    idle_since: float | None = None
    rung: bool = True
    new: ServiceSettings | None = None

    def go(self) -> ServiceSettings | None:
        """Look and paint; the new settings to go on by, None where we were told to stop."""
        while not self._over():
            self._look_if_due()
            if self._over():
                break
            if job := self.line.next():
                self.line.paint(job, self._meanwhile)
            elif not self.line.claim():
                self._rest()
        return None if self.bell.stopping else self.new

    def _over(self) -> bool:
        self._pulse()
        if self.line.control.draining:  # and nothing is being painted now
            self.bell.stop()
        return self.bell.stopping or self.new is not None

    def _look_if_due(self) -> None:
        """Look and take: something happened, or it is time; a moment after the last look."""
        self.rung = self.bell.wait(0) or self.rung
        looked_for = self.line.looked_for()
        if looked_for >= (self._at_least() if self.rung else self._until_look()):
            self.rung = False
            self.watcher.check()
            self.line.publisher.observer = self.watcher.sound
            self.line.look()
            self.line.take()

    def _meanwhile(self) -> None:
        """Look and claim while a job is being painted."""
        self._pulse()
        if self.bell.stopping:
            self.manager.stopping()  # again and again: a checkpoint may take its time
        else:
            self._look_if_due()
            self.line.claim()
        self.idle_since = time.monotonic()

    def _rest(self) -> None:
        """Wait until something happens or it is time; an idle worker is let go meanwhile."""
        self.line.publish(at_once=True)
        since = self.idle_since
        if since is not None and time.monotonic() - since >= self.settings.idle_s:
            self.line.release()
            self.idle_since = None
        until = time.monotonic() + self._patience()
        while (left := until - time.monotonic()) > 0:
            if self.bell.wait(min(left, self.manager.ping_every or LONGEST)):
                self.rung = True
                break
            self._pulse()

    def _patience(self) -> float:
        """Seconds to wait if nothing happens: for a look, or for a job that had to wait."""
        next_look = self._at_least() if self.rung else self._until_look()
        patience = next_look - self.line.looked_for()
        soonest = self.line.queue.soonest()
        if soonest is not None:
            patience = min(patience, soonest)
        if self.idle_since is None:
            return patience
        return min(patience, self.idle_since + self.settings.idle_s - time.monotonic())

    def _at_least(self) -> float:
        """Seconds between two looks however much goes on: most of the time is for other things."""
        return max(AT_LEAST, SHARE * self.line.look_took)

    def _until_look(self) -> float:
        """Seconds between two looks as things stand."""
        interval = self.watcher.interval(self.settings.rescan_s)
        return (
            interval if self.line.settled else min(interval, max(self.settings.quiet_s, AT_LEAST))
        )

    def _pulse(self) -> None:
        """Do what a signal asked for; say what we do and, having made sure, that we are well."""
        self.line.control.act()
        if self.bell.reloading:
            self.bell.reloading = False
            self.new = self.reread() or self.new
        self.manager.status(self.line.in_words())
        if self.manager.ping_due() and self._well():
            self.manager.ping()

    def _well(self) -> bool:
        """Whether events come in and the state folder answers; a hung worker we end ourselves.

        An error is an answer: a full disk is told, and no restart would make it less full.
        """
        if self.watcher.check():
            self.bell.ring()  # what happened meanwhile was not seen
        with suppress(OSError):
            (self.settings.state / SIGN).touch()
        return self.watcher.sound
