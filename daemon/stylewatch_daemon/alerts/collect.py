"""Collect events into messages, which stay short however many events there are."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from stylewatch_daemon.files.names import shown
from stylewatch_daemon.settings.sections import AlertKind

NAMED = 10
"""Jobs of a kind that a message names; the others are counted."""

LONGEST = 300
"""Characters of a line; a longer one is cut."""

MOST = 1000
"""Obstacles that are remembered."""

AGAIN = 86400.0
"""Seconds until an obstacle whose end is never reported is reported again."""

_INERT = str.maketrans({"@": "\uff20", "<": "\u2039", ">": "\u203a", "`": "'"})
"""Characters that mention people or draw links in chats, and harmless look-alikes."""


@dataclass(frozen=True)
class Message:
    """A message: a line, and the lines below it."""

    title: str
    body: str


@dataclass
class _Events:
    """Events of one kind: the first NAMED as lines, and the count of all."""

    lines: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, line: str) -> None:
        self.count += 1
        if len(self.lines) < NAMED:
            self.lines.append(line)


class Collector:
    """Events of `kinds` that no message has reported yet; `clock` is monotonic, in seconds.

    An obstacle is reported if it is still there when the message is taken, and once more when it
    is gone. `blocked` reports all that are there; of one from `paused` alone the end is unknown.
    """

    def __init__(self, kinds: frozenset[AlertKind], clock: Callable[[], float]) -> None:
        self.kinds, self._clock = kinds, clock
        self._events: dict[AlertKind, _Events] = {}
        self._blocked: dict[str, str] = {}
        self._reported: set[str] = set()
        self._paused: dict[str, str] = {}
        self._paused_reported: dict[str, float] = {}

    @property
    def is_empty(self) -> bool:
        """True where there is nothing to report."""
        obstacles = self._paused or self._blocked.keys() ^ self._reported
        return not (self._events or ("paused" in self.kinds and obstacles))

    def add(self, kind: AlertKind, job: str, reason: str = "") -> None:
        """Add a job that ended in this way."""
        if kind in self.kinds:
            self._events.setdefault(kind, _Events()).add(_line(job, reason))

    def paused(self, what: str, reason: str) -> None:
        """Add an obstacle to `what`, unless it is known."""
        recent = self._clock() - self._paused_reported.get(what, -float("inf")) < AGAIN
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
        parts: dict[str, _Events] = dict(self._events.items())
        self._events = {}
        if "paused" in self.kinds:
            waiting, ended = _Events(), _Events()
            for what, reason in (*self._blocked.items(), *self._paused.items()):
                if what not in self._reported:
                    waiting.add(_line(what, reason))
            for what in sorted(self._reported - self._blocked.keys()):
                ended.add(_line(what))
            parts |= {"waiting": waiting, "going on again": ended}
            self._remember()
        return _message({kind: events for kind, events in parts.items() if events.count})

    def _remember(self) -> None:
        now = self._clock()
        recent = {what: at for what, at in self._paused_reported.items() if now - at < AGAIN}
        reported = {**recent, **dict.fromkeys(self._paused, now)}
        self._paused_reported = dict(list(reported.items())[-MOST:])
        self._paused, self._reported = {}, set(self._blocked)


def _line(what: str, reason: str = "") -> str:
    """Return one line, which no name or reason can break in two or turn into markup."""
    text = shown(re.sub(r"\s*\n\s*", "; ", f"{what}: {reason}" if reason else what))
    text = text.translate(_INERT)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _message(parts: Mapping[str, _Events]) -> Message | None:
    if not parts:
        return None
    title = ", ".join(f"{events.count} {kind}" for kind, events in parts.items())
    return Message(f"stylewatch: {title}", "\n".join(_lines(parts)))


def _lines(parts: Mapping[str, _Events]) -> Iterator[str]:
    for kind, events in parts.items():
        yield from (f"{kind}: {line}" for line in events.lines)
        if more := events.count - len(events.lines):
            yield f"{kind}: and {more} more"
