"""Alerts: collect the daemon's events into short messages, and send them from a thread."""

import logging
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import SecretStr

from stylewatch_daemon.app.alert_sender import (
    IN_WORDS,
    Ending,
    Message,
    countdown,
    send,
    url_number,
)
from stylewatch_daemon.base.events import Reporter
from stylewatch_daemon.base.model import Cause
from stylewatch_daemon.base.wakeup import Backoff
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.settings.sections import AlertKind, Alerts

WITHIN = 30.0
"""Seconds to send a message."""

LAST_WITHIN = 5.0
"""Seconds to send a message when the daemon stops."""

TRIES = 5
RETRY = Backoff(first=30.0, most=600.0, least=0.5)
"""Attempts to send a message, and the pauses between them."""

NAMED = 10
"""Jobs of a kind that a message names; the others are counted."""

LONGEST = 300
"""Characters of a line; a longer one is cut."""

_INERT = str.maketrans({"@": "\uff20", "<": "\u2039", ">": "\u203a", "`": "'"})
"""Characters that mention people or draw links in chats, and harmless look-alikes."""

Send = Callable[[Sequence[SecretStr], Message | None, Callable[[], float]], list[Ending]]


class Collector:
    """Events of `kinds` that no message has reported yet.

    Something that waits is reported if it still waits when the message is taken, and once more
    when it goes on.
    """

    def __init__(self, kinds: Collection[AlertKind]) -> None:
        self.kinds = kinds
        self.blocked: Mapping[str, str] = {}
        """Everything that waits now, with the reason."""
        self._reported: set[str] = set()
        self._lines: dict[str, list[str]] = {}
        self._counts: Counter[str] = Counter()

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to report."""
        changed = "blocked" in self.kinds and self.blocked.keys() != self._reported
        return not (self._counts or changed)

    def add(self, kind: AlertKind, job: str, reason: str = "") -> None:
        """Add a job that ended in this way."""
        if kind in self.kinds:
            self._add(kind, job, reason)

    def take(self) -> Message | None:
        """Return a message with all that is new, and start afresh; None if nothing is new."""
        if "blocked" in self.kinds:
            for what, reason in self.blocked.items():
                if what not in self._reported:
                    self._add("waiting", what, reason)
            for what in sorted(self._reported - self.blocked.keys()):
                self._add("going on again", what)
            self._reported = set(self.blocked)
        lines, self._lines = self._lines, {}
        counts, self._counts = self._counts, Counter()
        body = []
        for kind, texts in lines.items():
            body += [f"{kind}: {text}" for text in texts]
            if more := counts[kind] - len(texts):
                body.append(f"{kind}: and {more} more")
        title = ", ".join(f"{counts[kind]} {kind}" for kind in lines)
        return Message(f"stylewatch: {title}", "\n".join(body)) if body else None

    def _add(self, kind: str, what: str, reason: str = "") -> None:
        self._counts[kind] += 1
        if self._counts[kind] <= NAMED:
            self._lines.setdefault(kind, []).append(_line(what, reason))


class Notifier(Reporter):
    """Sends events to `targets` with `send`; without URLs there is no thread."""

    def __init__(self, targets: Alerts, send: Send = send, retry: Backoff = RETRY) -> None:
        self._targets, self._send, self._retry = targets, send, retry
        self._events = Collector(targets.events)
        self._changed = threading.Condition()
        self._leaving = False
        self._give_up_at = float("inf")
        """When to give up a message that is being sent; monotonic, in seconds."""
        self._thread: threading.Thread | None = None
        self._log = logging.getLogger(__name__)

    def use(self, targets: Alerts) -> None:
        """Use the targets of new settings from now on."""
        with self._changed:
            self._targets, self._events.kinds = targets, targets.events
            self._wake()

    def done(self, job: str, folder: Path) -> None:
        """Report a finished job."""
        self._add("done", job)

    def refused(self, job: str, reason: str, cause: Cause, folder: Path) -> None:
        """Report refused input."""
        self._add("refused", job, reason)

    def failed(self, job: str, reason: str, cause: Cause, trace: str, *, for_good: bool) -> None:
        """Report a job that failed for good; attempts that will be repeated are not reported."""
        if for_good:
            self._add("failed", job, reason)

    def blocked(self, trouble: Mapping[str, str]) -> None:
        """Report what waits now and did not before, and what waits no more."""
        with self._changed:  # without URLs too: it may still wait when there are some
            self._events.blocked = dict(trouble)
            self._wake()

    def leave(self, within: float) -> None:
        """Send the rest, once, within so many seconds at most."""
        with self._changed:
            self._leaving, self._give_up_at = True, time.monotonic() + LAST_WITHIN
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(within)

    def _add(self, kind: AlertKind, job: str, reason: str = "") -> None:
        with self._changed:
            if self._targets.urls:
                self._events.add(kind, job, reason)
                self._wake()

    def _wake(self) -> None:
        if self._targets.urls and self._thread is None and not self._events.is_empty:
            thread = threading.Thread(target=self._run, daemon=True)
            with suppress(RuntimeError):  # no thread to spare: the next event tries again
                thread.start()
                self._thread = thread
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
            endings = self._send(left, message, self._time_limit()) if left else []
            missed = [(url, end) for url, end in zip(left, endings, strict=True) if end != "sent"]
            if missed and attempt == 1:
                reasons = "; ".join(f"to {self._name(url)}: {IN_WORDS[end]}" for url, end in missed)
                self._log.warning("an alert, tried up to %d times: %s", TRIES, reasons)
            missed = [(url, end) for url, end in missed if end != "unknown"]
            if not missed or self._leaving or attempt == TRIES:
                return
            with self._changed:
                seconds = self._retry.seconds(attempt, random.random())
                self._changed.wait_for(lambda: self._leaving, seconds)
                left = tuple(url for url, _ in missed if url in self._targets.urls)

    def _time_limit(self) -> Callable[[], float]:
        """Return a function that returns how many seconds the message may still take.

        A message that is being sent when the daemon stops leaves time for the last one.
        """
        if self._leaving:
            return countdown(LAST_WITHIN)
        in_time = countdown(WITHIN)
        return lambda: min(in_time(), self._give_up_at - time.monotonic())

    def _name(self, url: SecretStr) -> str:
        urls = self._targets.urls
        return url_number(urls.index(url), len(urls)) if url in urls else "an old URL"


@contextmanager
def notifying(targets: Alerts) -> Iterator[Notifier]:
    """Yield a Notifier; a regular exit gives it a moment for what is left, an error does not."""
    notifier = Notifier(targets)
    within = 0.0
    try:
        yield notifier
        within = 3 * LAST_WITHIN
    finally:
        notifier.leave(within)


def _line(what: str, reason: str) -> str:
    """Return one line, which no name or reason can break in two or turn into markup."""
    text = shown(re.sub(r"\s*\n\s*", "; ", f"{what}: {reason}" if reason else what))
    text = text.translate(_INERT)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
