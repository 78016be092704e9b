"""Hears what the daemon does, and tells it by alerts: from a thread that may wait for a network."""

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
from stylewatch_daemon.processes.backoff import Backoff
from stylewatch_daemon.settings.sections import AlertTargets

WITHIN, LAST_WITHIN = 30.0, 5.0
"""Seconds that a message gets to be sent; while the daemon leaves."""

TRIES = 5
RETRY = Backoff(first=30.0, most=600.0, least=0.5)
"""How often a message is tried, and how long is waited in between."""

Send = Callable[[Sequence[SecretStr], Message | None, float], list[Ending]]


class Teller(Reporter):
    """Tells those whom `to` names, by `send`; without URLs it does nothing, and has no thread."""

    def __init__(self, to: AlertTargets, send: Send = send, retry: Backoff = RETRY) -> None:
        self._to, self._offered, self._send, self._retry = to, to, send, retry
        self._news = Collector(to.kinds, time.monotonic)
        self._changed = threading.Condition()
        self._leaving = False
        self._thread: threading.Thread | None = None
        self._log = logging.getLogger(__name__)

    def offer(self, to: AlertTargets) -> None:
        """Whom to tell once the settings hold that say so."""
        self._offered = to

    def reloaded(self) -> None:
        """The settings were read again, and hold."""
        with self._changed:
            self._to, self._news.kinds = self._offered, self._offered.kinds
            self._wake()

    def not_reloaded(self, reason: str) -> None:
        """The settings were read again, and are wrong."""
        self._offered = self._to

    def done(self, job: str, folder: Path) -> None:
        """The painting is there."""
        self._hear(lambda news: news.add("done", job))

    def refused(self, job: str, reason: str, folder: Path) -> None:
        """The input cannot be painted."""
        self._hear(lambda news: news.add("refused", job, reason))

    def failed(self, job: str, reason: str, trace: str, *, for_good: bool) -> None:
        """A try went wrong by a fault of ours."""
        if for_good:
            self._hear(lambda news: news.add("failed", job, reason))

    def paused(self, what: str, reason: str) -> None:
        """Something outside of us keeps `what` from going on."""
        self._hear(lambda news: news.paused(what, reason))

    def blocked(self, trouble: Mapping[str, str]) -> None:
        """All that is kept from going on now, and why."""
        with self._changed:  # even where nobody is to know: it may hold on until somebody is
            self._news.blocked(trouble)
            self._wake()

    def leave(self, within: float) -> None:
        """Tell what is left, once, and for `within` seconds at most."""
        with self._changed:
            self._leaving = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(within)

    def _hear(self, what: Callable[[Collector], None]) -> None:
        with self._changed:
            if self._to.urls:
                what(self._news)
                self._wake()

    def _wake(self) -> None:
        """Have the thread look whether there is something to tell."""
        if self._to.urls and self._thread is None and not self._news.is_empty:
            self._thread = threading.Thread(target=self._go, daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _go(self) -> None:
        leaving = False
        while not leaving:
            with self._changed:
                self._changed.wait_for(lambda: self._leaving or not self._news.is_empty)
                self._changed.wait_for(lambda: self._leaving, self._to.every_s)
                leaving, message = self._leaving, self._news.take()
            if message is not None:
                self._tell(message)

    def _tell(self, message: Message) -> None:
        """Send `message`, again and again to those whom it did not reach; then let it be."""
        left = self._to.urls
        for tries in range(1, TRIES + 1):
            leaving = self._leaving
            ends = self._send(left, message, LAST_WITHIN if leaving else WITHIN) if left else []
            failed = [(url, end) for url, end in zip(left, ends, strict=True) if end != "sent"]
            if failed and tries == 1:
                why = "; ".join(f"to {self._name(url)}: {IN_WORDS[end]}" for url, end in failed)
                self._log.warning("an alert, tried up to %d times: %s", TRIES, why)
            failed = [(url, end) for url, end in failed if end != "unknown"]
            if not failed or leaving or tries == TRIES:
                return
            with self._changed:
                seconds = self._retry.seconds(tries, random.random())
                self._changed.wait_for(lambda: self._leaving, seconds)
                left = tuple(url for url, _ in failed if url in self._to.urls)

    def _name(self, url: SecretStr) -> str:
        there = self._to.urls
        return place(there.index(url), len(there)) if url in there else "an old URL"


@contextmanager
def telling(to: AlertTargets) -> Iterator[Teller]:
    """A Teller; at the end it gets a moment for what is left, unless we leave in haste."""
    teller = Teller(to)
    within = 0.0
    try:
        yield teller
        within = 3 * LAST_WITHIN
    finally:
        teller.leave(within)
