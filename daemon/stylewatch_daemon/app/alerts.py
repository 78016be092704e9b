"""Alerts: the daemon's events, collected into short messages and sent by a thread."""

import logging
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Self

from pydantic import SecretStr

from stylewatch_daemon.app import alert_sender
from stylewatch_daemon.app.alert_sender import IN_WORDS, Message, Outcome, url_number
from stylewatch_daemon.base.events import Reporter
from stylewatch_daemon.base.model import PICTURES, Job
from stylewatch_daemon.base.wakeup import Backoff
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.settings.sections import AlertSettings

WITHIN = 15.0
"""Timeout in seconds for sending a message; a stopping daemon waits for at most two messages."""

MAX_PAUSE = 600.0
"""Maximum interval in seconds between messages while no URL can be reached, unless `every_s` is
longer."""

NAMED = 10
"""Maximum number of events of a kind that a message names; the others are counted."""

LONGEST = 300
"""Maximum number of characters of a line, after the kind of its event; a longer line is cut."""

_INERT = str.maketrans({"@": "\uff20", "<": "\u2039", ">": "\u203a", "`": "'"})
"""Characters that mention people or create links in chats, mapped to harmless look-alikes."""

Send = Callable[[Sequence[SecretStr], Message, float], list[Outcome]]


class Digest:
    """Events that no message has reported yet.

    A wait is reported if it still lasts when a message is written; its end is reported, too, if its
    beginning was.
    """

    def __init__(self) -> None:
        self._blocked: Mapping[str, str] = {}
        """Reasons of the waits that last now, by the name of the job, folder or request that waits.
        """
        self._reported: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._lines: defaultdict[str, list[str]] = defaultdict(list)

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to report."""
        return not self._counts and self._blocked.keys() == self._reported

    def add(self, kind: str, what: str, reason: str = "") -> None:
        """Add an event of a `kind` that concerns `what`, such as a job; `reason` may be empty."""
        self._counts[kind] += 1
        if self._counts[kind] <= NAMED:
            self._lines[kind].append(_line(kind, what, reason))

    def block(self, blocked: Mapping[str, str]) -> None:
        """Record the reasons of all waits that last now, by the name of what waits."""
        self._blocked = blocked

    def message(self) -> Message | None:
        """Return a message with everything since the last `clear`; None if there is nothing.

        Waits in the message count as reported.
        """
        for what, reason in self._blocked.items():
            if what not in self._reported:
                self.add("waiting", what, reason)
        for what in sorted(self._reported - self._blocked.keys()):
            self.add("going on again", what)
        self._reported = set(self._blocked)
        if not self._counts:
            return None
        title = []
        body = []
        for kind, count in self._counts.items():
            title.append(f"{count} {kind}")
            body += self._lines[kind]
            if count > NAMED:
                body.append(f"{kind}: and {count - NAMED} more")
        return Message(f"stylewatch: {', '.join(title)}", "\n".join(body))

    def clear(self) -> None:
        """Forget the events of the last message, because it was sent."""
        self._counts.clear()
        self._lines.clear()


class Notifier(Reporter):
    """Sender of events to `targets` with `send`, in a thread.

    A message that no URL accepted is sent again later, together with newer events. Leaving the
    context sends the remaining events once, and waits at most 2 * WITHIN seconds for that. After a
    KeyboardInterrupt, the second signal to stop, it does not wait.
    """

    def __init__(self, targets: AlertSettings, send: Send = alert_sender.send) -> None:
        self._targets = targets
        self._send = send
        self._kinds = targets.events if targets.urls else ()
        self._events: SimpleQueue[Callable[[Digest], object] | None] = SimpleQueue()
        """Functions that add an event to a digest; None once the daemon stops."""
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._events.put(None)
        if kind is not KeyboardInterrupt:
            self._thread.join(2 * WITHIN)

    def ended(self, job: Job, folder: Path, final: Path | None = None) -> None:
        """Queue an alert that a job is done, was refused or failed, if the settings want that."""
        kind, reason = ("done", "") if job.end in PICTURES else (str(job.end), job.reason)
        if kind in self._kinds:
            self._events.put(lambda digest: digest.add(kind, shown(job.title), reason))

    def blocked(self, trouble: Mapping[str, str]) -> None:
        """Queue an alert about new waits and waits that are over, if the settings want that."""
        if "blocked" in self._kinds:
            self._events.put(lambda digest: digest.block(trouble))

    def _run(self) -> None:
        digest = Digest()
        leaving = False
        failures = 0
        logged = list[str]()
        every_s = self._targets.every_s
        backoff = Backoff(every_s, max(every_s, MAX_PAUSE))
        while not leaving:
            leaving = self._collect(digest, backoff.seconds(failures + 1))
            message = digest.message()
            if message is None:
                continue
            outcomes = self._send(self._targets.urls, message, WITHIN)
            missed = _missed(outcomes)
            if missed and missed != logged:
                logging.getLogger(__name__).warning("an alert %s", "; ".join(missed))
            failures = 0 if "sent" in outcomes else failures + 1
            logged = missed
            if not failures:
                digest.clear()

    def _collect(self, digest: Digest, seconds: float) -> bool:
        """Collect events for `seconds` from the first one on; return whether the daemon stops.

        If the digest has events already, the time begins at once.
        """
        until: float | None = None
        while True:
            if until is None and not digest.is_empty:
                until = monotonic() + seconds
            try:
                left = None if until is None else max(0.0, until - monotonic())
                event = self._events.get(timeout=left)
            except Empty:
                return False
            if event is None:
                return True
            event(digest)


def _missed(outcomes: Sequence[Outcome]) -> list[str]:
    """Describe which URLs were not reached, by number, because a URL may contain a password."""
    return [
        f"to {url_number(number, len(outcomes))}: {IN_WORDS[outcome]}"
        for number, outcome in enumerate(outcomes)
        if outcome != "sent"
    ]


def _line(kind: str, what: str, reason: str) -> str:
    """Return one line that no name or reason can break in two or turn into markup."""
    text = shown(re.sub(r"\s*\n\s*", "; ", f"{what}: {reason}" if reason else what))
    text = text.translate(_INERT)
    return f"{kind}: {text if len(text) <= LONGEST else f'{text[: LONGEST - 1]}…'}"
