"""Alerts: collect the daemon's events into short messages, and send them from a thread."""

import logging
import random
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from pydantic import SecretStr

from stylewatch_daemon.app import alert_sender
from stylewatch_daemon.app.alert_sender import IN_WORDS, Ending, Message, url_number
from stylewatch_daemon.base.events import Reporter
from stylewatch_daemon.base.model import Cause
from stylewatch_daemon.base.wakeup import Backoff
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.settings.sections import AlertKind, Alerts

WITHIN = 15.0
"""Seconds to send a message; a daemon that stops waits for the last two at most."""

TRIES = 5
RETRY = Backoff(first=30.0, most=600.0, least=0.5)
"""Attempts to send a message, and the pauses between them."""

NAMED = 10
"""Jobs of a kind that a message names; the others are counted."""

LONGEST = 300
"""Characters of a line; a longer one is cut."""

_INERT = str.maketrans({"@": "\uff20", "<": "\u2039", ">": "\u203a", "`": "'"})
"""Characters that mention people or draw links in chats, and harmless look-alikes."""

Send = Callable[[Sequence[SecretStr], Message, float], list[Ending]]


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
        self._counts: Counter[str] = Counter()
        self._lines: defaultdict[str, list[str]] = defaultdict(list)

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to report."""
        changed = "blocked" in self.kinds and self.blocked.keys() != self._reported
        return not (self._counts or changed)

    def add(self, kind: str, what: str, reason: str = "") -> None:
        """Add something that happened to `what`, such as a job."""
        self._counts[kind] += 1
        if self._counts[kind] <= NAMED:
            self._lines[kind].append(_line(kind, what, reason))

    def take(self) -> Message | None:
        """Return a message with all that is new, and start afresh; None if nothing is new."""
        if "blocked" in self.kinds:
            for what, reason in self.blocked.items():
                if what not in self._reported:
                    self.add("waiting", what, reason)
            for what in sorted(self._reported - self.blocked.keys()):
                self.add("going on again", what)
            self._reported = set(self.blocked)
        title, body = [], []
        for kind, count in self._counts.items():
            title.append(f"{count} {kind}")
            body += self._lines[kind]
            if count > NAMED:
                body.append(f"{kind}: and {count - NAMED} more")
        self._counts.clear()
        self._lines.clear()
        return Message(f"stylewatch: {', '.join(title)}", "\n".join(body)) if body else None


class Notifier(Reporter):
    """Sends events to `targets` with `send`; without URLs there is no thread.

    Leaving its context sends the rest, once, unless a second signal interrupted the daemon.
    """

    def __init__(
        self, targets: Alerts, send: Send = alert_sender.send, retry: Backoff = RETRY
    ) -> None:
        self._targets, self._send, self._retry = targets, send, retry
        self._events = Collector(targets.events)
        self._changed = threading.Condition()
        self._leaving = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._changed:
            self._leaving = True
            self._changed.notify_all()
        if self._thread is not None and kind is not KeyboardInterrupt:
            self._thread.join(2 * WITHIN)

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

    def _add(self, kind: AlertKind, job: str, reason: str = "") -> None:
        with self._changed:
            if self._targets.urls and kind in self._targets.events:
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
            endings = self._send(left, message, WITHIN) if left else []
            missed = [(url, end) for url, end in zip(left, endings, strict=True) if end != "sent"]
            if missed and attempt == 1:
                reasons = (
                    f"to {url_number(left.index(url), len(left))}: {IN_WORDS[end]}"
                    for url, end in missed
                )
                log = logging.getLogger(__name__)
                log.warning("an alert, tried up to %d times: %s", TRIES, "; ".join(reasons))
            left = tuple(url for url, end in missed if end != "unknown")
            if not left or self._leaving or attempt == TRIES:
                return
            with self._changed:
                seconds = self._retry.seconds(attempt, random.random())
                self._changed.wait_for(lambda: self._leaving, seconds)
                left = tuple(url for url in left if url in self._targets.urls)


def _line(kind: str, what: str, reason: str) -> str:
    """Return one line, which no name or reason can break in two or turn into markup."""
    text = shown(re.sub(r"\s*\n\s*", "; ", f"{what}: {reason}" if reason else what))
    text = text.translate(_INERT)
    return f"{kind}: {text if len(text) <= LONGEST else f'{text[: LONGEST - 1]}…'}"
