"""Send alerts of the daemon's events, from a thread that may wait for a network."""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from stylewatch_daemon.alerts.collect import Collector, Message
from stylewatch_daemon.alerts.send import IN_WORDS, Ending, place, send
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.processes.wakeup import Backoff
from stylewatch_daemon.settings.sections import AlertTargets

WITHIN, LAST_WITHIN = 30.0, 5.0
"""Seconds to send a message; while the daemon stops."""

TRIES = 5
RETRY = Backoff(first=30.0, most=600.0, least=0.5)
"""Attempts to send a message, and the pauses between them."""

Send = Callable[[Sequence[SecretStr], Message | None, float], list[Ending]]


class Notifier(Reporter):
    """Send events to `targets` with `send`; without URLs there is no thread."""

    def __init__(self, targets: AlertTargets, send: Send = send, retry: Backoff = RETRY) -> None:
        self._targets, self._offered, self._send, self._retry = targets, targets, send, retry
        self._events = Collector(targets.kinds, time.monotonic)
        self._changed = threading.Condition()
        self._leaving = False
        self._thread: threading.Thread | None = None
        self._log = logging.getLogger(__name__)

    def offer(self, targets: AlertTargets) -> None:
        """Set the targets to use once the new settings are in force."""
        self._offered = targets

    def reloaded(self) -> None:
        """Use the targets of the new settings."""
        with self._changed:
            self._targets, self._events.kinds = self._offered, self._offered.kinds
            self._wake()

    def not_reloaded(self, reason: str) -> None:
        """Keep the targets, as the new settings are wrong."""
        self._offered = self._targets

    def done(self, job: str, folder: Path) -> None:
        """Report a finished job."""
        self._collect(lambda events: events.add("done", job))

    def refused(self, job: str, reason: str, folder: Path) -> None:
        """Report refused input."""
        self._collect(lambda events: events.add("refused", job, reason))

    def failed(self, job: str, reason: str, trace: str, *, for_good: bool) -> None:
        """Report a job that failed for good; attempts that will be repeated are not reported."""
        if for_good:
            self._collect(lambda events: events.add("failed", job, reason))

    def paused(self, what: str, reason: str) -> None:
        """Report an obstacle outside of the daemon."""
        self._collect(lambda events: events.paused(what, reason))

    def blocked(self, trouble: Mapping[str, str]) -> None:
        """Report all obstacles that are there now."""
        with self._changed:  # without targets too: they may still be there when there are some
            self._events.blocked(trouble)
            self._wake()

    def leave(self, within: float) -> None:
        """Send the rest, once, within so many seconds at most."""
        with self._changed:
            self._leaving = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(within)

    def _collect(self, add: Callable[[Collector], None]) -> None:
        with self._changed:
            if self._targets.urls:
                add(self._events)
                self._wake()

    def _wake(self) -> None:
        """Make the thread look for something to send."""
        if self._targets.urls and self._thread is None and not self._events.is_empty:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        leaving = False
        while not leaving:
            with self._changed:
                self._changed.wait_for(lambda: self._leaving or not self._events.is_empty)
                self._changed.wait_for(lambda: self._leaving, self._targets.every_s)
                leaving, message = self._leaving, self._events.take()
            if message is not None:
                self._deliver(message)

    def _deliver(self, message: Message) -> None:
        """Send `message`, again to the URLs it did not reach, and give up after TRIES."""
        left = self._targets.urls
        for attempt in range(1, TRIES + 1):
            leaving = self._leaving
            endings = self._send(left, message, LAST_WITHIN if leaving else WITHIN) if left else []
            missed = [(url, end) for url, end in zip(left, endings, strict=True) if end != "sent"]
            if missed and attempt == 1:
                reasons = "; ".join(f"to {self._name(url)}: {IN_WORDS[end]}" for url, end in missed)
                self._log.warning("an alert, tried up to %d times: %s", TRIES, reasons)
            missed = [(url, end) for url, end in missed if end != "unknown"]
            if not missed or leaving or attempt == TRIES:
                return
            with self._changed:
                seconds = self._retry.seconds(attempt, random.random())
                self._changed.wait_for(lambda: self._leaving, seconds)
                left = tuple(url for url, _ in missed if url in self._targets.urls)

    def _name(self, url: SecretStr) -> str:
        urls = self._targets.urls
        return place(urls.index(url), len(urls)) if url in urls else "an old URL"


@contextmanager
def notifying(targets: AlertTargets) -> Iterator[Notifier]:
    """Yield a Notifier; a regular exit gives it a moment for what is left, an error does not."""
    notifier = Notifier(targets)
    within = 0.0
    try:
        yield notifier
        within = 3 * LAST_WITHIN
    finally:
        notifier.leave(within)
