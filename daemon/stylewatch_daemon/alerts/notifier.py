"""Collect the daemon's events into short messages, and send them from a thread."""

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

from stylewatch_daemon.alerts.sender import IN_WORDS, Ending, Message, countdown, place, send
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.processes.wakeup import Backoff
from stylewatch_daemon.settings.sections import AlertKind, Alerts

WITHIN, LAST_WITHIN = 30.0, 5.0
"""Seconds to send a message; while the daemon stops."""

TRIES = 5
RETRY = Backoff(first=30.0, most=600.0, least=0.5)
"""Attempts to send a message, and the pauses between them."""

NAMED = 10
"""Jobs of a kind that a message names; the others are counted."""

LONGEST = 300
"""Characters of a line; a longer one is cut."""

MOST = 1000
"""Obstacles that are remembered."""

REPEAT_S = 86400.0
"""Seconds until an obstacle whose end is never reported is reported again."""

_INERT = str.maketrans({"@": "\uff20", "<": "\u2039", ">": "\u203a", "`": "'"})
"""Characters that mention people or draw links in chats, and harmless look-alikes."""

Send = Callable[[Sequence[SecretStr], Message | None, Callable[[], float]], list[Ending]]


class Collector:
    """Events of `kinds` that no message has reported yet; `clock` is monotonic, in seconds.

    An obstacle is reported if it is still there when the message is taken, and once more when it
    is gone. `blocked` reports all that are there; of one from `paused` alone the end is unknown.
    """

    def __init__(self, kinds: Collection[AlertKind], clock: Callable[[], float]) -> None:
        self.kinds, self._clock = kinds, clock
        self._lines: dict[AlertKind, list[str]] = {}
        self._counts: Counter[str] = Counter()
        self._blocked: dict[str, str] = {}
        self._reported: set[str] = set()
        self._paused: dict[str, str] = {}
        self._paused_reported: dict[str, float] = {}

    @property
    def is_empty(self) -> bool:
        """True where there is nothing to report."""
        obstacles = self._paused or self._blocked.keys() ^ self._reported
        return not (self._counts or ("paused" in self.kinds and obstacles))

    def add(self, kind: AlertKind, job: str, reason: str = "") -> None:
        """Add a job that ended in this way."""
        if kind in self.kinds:
            self._counts[kind] += 1
            if self._counts[kind] <= NAMED:
                self._lines.setdefault(kind, []).append(_line(job, reason))

    def paused(self, what: str, reason: str) -> None:
        """Add an obstacle to `what`, unless it is known."""
        recent = self._clock() - self._paused_reported.get(what, -float("inf")) < REPEAT_S
        known = recent or what in self._blocked or what in self._reported
        if "paused" in self.kinds and not known and len(self._paused) < MOST:
            self._paused[what] = reason

    def blocked(self, obstacles: Mapping[str, str]) -> None:
        """Replace the obstacles that are there now, with their reasons."""
        self._blocked = dict(list(obstacles.items())[:MOST])
        for what in obstacles:
            self._paused.pop(what, None)  # its end will be reported

    def take(self) -> Message | None:
        """Return a message of all that is new, and start afresh; None where nothing is."""
        parts: dict[str, list[str]] = dict(self._lines.items())
        counts, self._lines, self._counts = self._counts, {}, Counter()
        if "paused" in self.kinds:
            obstacles = {**self._paused, **self._blocked}
            waiting = [
                _line(what, obstacles[what])
                for what in (*self._blocked, *self._paused)
                if what not in self._reported
            ]
            ended = [_line(what) for what in sorted(self._reported - self._blocked.keys())]
            for kind, lines in (("waiting", waiting), ("going on again", ended)):
                if lines:
                    parts[kind], counts[kind] = lines[:NAMED], len(lines)
            self._remember()
        if not parts:
            return None
        body = []
        for kind, lines in parts.items():
            body += [f"{kind}: {line}" for line in lines]
            if more := counts[kind] - len(lines):
                body.append(f"{kind}: and {more} more")
        title = ", ".join(f"{counts[kind]} {kind}" for kind in parts)
        return Message(f"stylewatch: {title}", "\n".join(body))

    def _remember(self) -> None:
        now = self._clock()
        recent = {what: at for what, at in self._paused_reported.items() if now - at < REPEAT_S}
        reported = {**recent, **dict.fromkeys(self._paused, now)}
        self._paused_reported = dict(list(reported.items())[-MOST:])
        self._paused, self._reported = {}, set(self._blocked)


class Notifier(Reporter):
    """Send events to `targets` with `send`; without URLs there is no thread."""

    def __init__(self, targets: Alerts, send: Send = send, retry: Backoff = RETRY) -> None:
        self._targets, self._offered, self._send, self._retry = targets, targets, send, retry
        self._events = Collector(targets.events, time.monotonic)
        self._changed = threading.Condition()
        self._leaving = False
        self._unsent_by = float("inf")
        """When to give up the messages that are being sent; monotonic, in seconds."""
        self._thread: threading.Thread | None = None
        self._log = logging.getLogger(__name__)

    def offer(self, targets: Alerts) -> None:
        """Set the targets to use once the new settings are in force."""
        self._offered = targets

    def reloaded(self) -> None:
        """Use the targets of the new settings."""
        with self._changed:
            self._targets, self._events.kinds = self._offered, self._offered.events
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
            self._leaving, self._unsent_by = True, time.monotonic() + LAST_WITHIN
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(within)

    def _collect(self, add: Callable[[Collector], None]) -> None:
        with self._changed:
            if self._targets.urls:
                add(self._events)
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
            endings = self._send(left, message, self._seconds_left()) if left else []
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

    def _seconds_left(self) -> Callable[[], float]:
        """Return a function that returns how long the message may still take.

        A message that is being sent when the daemon stops leaves time for the last one.
        """
        if self._leaving:
            return countdown(LAST_WITHIN)
        in_time = countdown(WITHIN)
        return lambda: min(in_time(), self._unsent_by - time.monotonic())

    def _name(self, url: SecretStr) -> str:
        urls = self._targets.urls
        return place(urls.index(url), len(urls)) if url in urls else "an old URL"


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


def _line(what: str, reason: str = "") -> str:
    """Return one line, which no name or reason can break in two or turn into markup."""
    text = shown(re.sub(r"\s*\n\s*", "; ", f"{what}: {reason}" if reason else what))
    text = text.translate(_INERT)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
