"""Alerts: the daemon's events, collected into short messages and sent by a thread."""

import logging
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
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
"""Timeout in seconds for sending a message; a stopping daemon waits for at most two messages."""

MAX_PAUSE = 600.0
"""Maximum interval in seconds between messages while no URL can be reached, unless `every_s` is
longer."""

NAMED = 10
"""Maximum number of jobs of a kind that a message names; the others are counted."""

LONGEST = 300
"""Maximum number of characters of a line; a longer line is cut."""

_INERT = str.maketrans({"@": "\uff20", "<": "\u2039", ">": "\u203a", "`": "'"})
"""Characters that mention people or create links in chats, mapped to harmless look-alikes."""

Send = Callable[[Sequence[SecretStr], Message, float], list[Ending]]


class Collector:
    """Events of `kinds` that no message has reported yet.

    A wait is reported if it still lasts when the message is taken, and once more when it is over.
    """

    def __init__(self, kinds: Collection[AlertKind]) -> None:
        self.kinds = kinds
        self.blocked: Mapping[str, str] = {}
        """Everything that waits now, with the reason."""
        self._reported: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._lines: defaultdict[str, list[str]] = defaultdict(list)
        self._taken = self._counts, self._lines

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to report."""
        changed = "blocked" in self.kinds and self.blocked.keys() != self._reported
        return not (self._counts or changed)

    def add(self, kind: str, what: str, reason: str = "") -> None:
        """Add an event that concerns `what`, such as a job."""
        self._counts[kind] += 1
        if self._counts[kind] <= NAMED:
            self._lines[kind].append(_line(kind, what, reason))

    def take(self) -> Message | None:
        """Return a message with everything new, and start over; None if nothing is new."""
        if "blocked" in self.kinds:
            for what, reason in self.blocked.items():
                if what not in self._reported:
                    self.add("waiting", what, reason)
            for what in sorted(self._reported - self.blocked.keys()):
                self.add("going on again", what)
            self._reported = set(self.blocked)
        counts, lines = self._taken = self._counts, self._lines
        self._counts, self._lines = Counter(), defaultdict(list)
        if not counts:
            return None
        title, body = [], []
        for kind, count in counts.items():
            title.append(f"{count} {kind}")
            body += lines[kind]
            if count > NAMED:
                body.append(f"{kind}: and {count - NAMED} more")
        return Message(f"stylewatch: {', '.join(title)}", "\n".join(body))

    def put_back(self) -> None:
        """Restore the message taken last, which was not sent, before newer events."""
        counts, lines = self._taken
        counts.update(self._counts)
        for kind, later in self._lines.items():
            lines[kind] = (lines[kind] + later)[:NAMED]
        self._counts, self._lines = counts, lines


class Notifier(Reporter):
    """Sender of events to `targets` with `send`, in a thread.

    A message that no URL accepted is sent with the next one. Leaving the context sends the rest,
    once, unless a second signal interrupted the daemon.
    """

    def __init__(self, targets: Alerts, send: Send = alert_sender.send) -> None:
        self._targets, self._send = targets, send
        self._events = Collector(targets.events if targets.urls else ())
        self._changed = threading.Condition()
        self._leaving = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._changed:
            self._leaving = True
            self._changed.notify_all()
        if kind is not KeyboardInterrupt:
            self._thread.join(2 * WITHIN)

    def done(self, job: str, folder: Path) -> None:
        """Report a finished job."""
        self._add("done", job)

    def refused(self, job: str, reason: str, cause: Cause, folder: Path) -> None:
        """Report refused input."""
        self._add("refused", job, reason)

    def failed(self, job: str, reason: str, cause: Cause, folder: Path) -> None:
        """Report a job that failed for good."""
        self._add("failed", job, reason)

    def blocked(self, trouble: Mapping[str, str]) -> None:
        """Report new waits, and waits that are over."""
        with self._changed:
            self._events.blocked = dict(trouble)
            self._changed.notify_all()

    def _add(self, kind: AlertKind, job: str, reason: str = "") -> None:
        with self._changed:
            if kind in self._events.kinds:
                self._events.add(kind, job, reason)
                self._changed.notify_all()

    def _run(self) -> None:
        leaving, failures, logged = False, 0, list[str]()
        every_s = self._targets.every_s
        backoff = Backoff(every_s, max(every_s, MAX_PAUSE))
        while not leaving:
            with self._changed:
                self._changed.wait_for(lambda: self._leaving or not self._events.is_empty)
                self._changed.wait_for(lambda: self._leaving, backoff.seconds(failures + 1))
                leaving, message = self._leaving, self._events.take()
            if message is None:
                continue
            endings = self._send(self._targets.urls, message, WITHIN)
            if (missed := _missed(endings)) and missed != logged:
                logging.getLogger(__name__).warning("an alert %s", "; ".join(missed))
            failures, logged = 0 if "sent" in endings else failures + 1, missed
            if failures:
                with self._changed:
                    self._events.put_back()


def _missed(endings: Sequence[Ending]) -> list[str]:
    """Describe which URLs were not reached, by number, because a URL may contain a password."""
    return [
        f"to {url_number(number, len(endings))}: {IN_WORDS[ending]}"
        for number, ending in enumerate(endings)
        if ending != "sent"
    ]


def _line(kind: str, what: str, reason: str) -> str:
    """Return one line that no name or reason can break in two or turn into markup."""
    text = shown(re.sub(r"\s*\n\s*", "; ", f"{what}: {reason}" if reason else what))
    text = text.translate(_INERT)
    return f"{kind}: {text if len(text) <= LONGEST else f'{text[: LONGEST - 1]}…'}"
