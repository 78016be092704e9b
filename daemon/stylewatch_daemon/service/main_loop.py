"""Goes round while the daemon watches: when to look, how long to wait, and that all is well."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from stylewatch_daemon.ingest.watcher import Watcher
from stylewatch_daemon.outbox.status_json import AT_MOST_EVERY
from stylewatch_daemon.processes.wakeup import Bell
from stylewatch_daemon.service.pipeline import Line
from stylewatch_daemon.service.systemd import Manager
from stylewatch_daemon.settings.config import ServiceSettings

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

    `reread` reads the settings again; None where they are wrong.
    """

    line: Line
    watcher: Watcher
    settings: ServiceSettings
    bell: Bell
    manager: Manager
    reread: Callable[[], ServiceSettings | None]
    new: ServiceSettings | None = None

    def go(self) -> ServiceSettings | None:
        """Look and paint; the new settings to go on by, None where we were told to stop."""
        self.bell.rung = True
        self.line.hear()
        while not self._over():
            more = self.line.fill()
            more = self.line.finish() or more
            self._look_if_due()
            more = self.line.claim() or more
            self.line.tell_news(resting=not more)
            if not more and not self._drained:
                self._rest()
            self.line.hear()
        if not self.bell.stopping:
            return self.new
        self.line.see_off(self._take_leave)
        return None

    def _over(self) -> bool:
        self._pulse()
        if self._drained:
            self.bell.stop()
        return self.bell.stopping or self.new is not None

    @property
    def _drained(self) -> bool:
        """Whether all is done that was to be done before we leave."""
        return self.line.control.draining and not self.line.busy

    def _look_if_due(self) -> None:
        """Look and take: something happened, or it is time; a moment after the last look."""
        if self.line.front.looked_for() >= self._until_look():
            self.bell.rung = False
            self.watcher.check()
            self.line.lost_events(self.watcher.take_lost())
            self.line.look()
            if self.watcher.follow(self.line.front.folders()):
                self.bell.ring()  # what came into a new folder meanwhile was not seen
            self.line.front.polled(self.watcher.polled)
            self.line.teller.publisher.observer = self.watcher.sound and not self.watcher.polled
            self.line.take()

    def _take_leave(self) -> None:
        """Ask for time to leave, again and again: a checkpoint may take some."""
        self._pulse()
        self.manager.stopping()

    def _rest(self) -> None:
        """Wait until something happens or it is time for something."""
        self.line.publish(at_once=not self.line.busy)
        self.bell.wait(min(self._patience(), self.manager.ping_every or LONGEST))

    def _patience(self) -> float:
        """Seconds to wait if nothing happens: for a look, or for a job that had to wait."""
        patience = self._until_look() - self.line.front.looked_for()
        soonest = self.line.queue.soonest()
        if soonest is not None:
            patience = min(patience, soonest)
        return min(patience, AT_MOST_EVERY) if self.line.busy else patience

    def _until_look(self) -> float:
        """Seconds between two looks as things stand; most of the time is for other things."""
        at_least = max(AT_LEAST, SHARE * self.line.front.look_took)
        if self.bell.rung:
            return at_least
        interval = self.watcher.interval(self.settings.watch.rescan_s)
        if not self.line.front.settled:
            interval = min(interval, max(self.settings.watch.quiet_s, AT_LEAST))
        return max(interval, at_least)

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
            (self.settings.state.path / SIGN).touch()
        return self.watcher.sound
