"""Collects what happens, so that many events make one message; however many, it stays small."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from stylewatch_daemon.files.names import shown
from stylewatch_daemon.settings.sections import AlertKind

NAMED = 10
"""How many jobs of a kind a message names; the others are counted."""

LONGEST = 300
"""Letters of a line; what is longer is cut."""

MOST = 1000
"""How many different things in the way are remembered."""

AGAIN = 86400.0
"""Seconds after which something in the way, whose end nobody tells of, is told again."""

_INERT = str.maketrans({"@": "\uff20", "<": "\u2039", ">": "\u203a", "`": "'"})
"""Letters by which a chat calls people or draws links, and others that look like them."""


@dataclass(frozen=True)
class Message:
    """What is told: a line, and lines below it."""

    title: str
    body: str


@dataclass
class _Some:
    """Events of one kind: the first NAMED as lines, and the count of all."""

    lines: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, line: str) -> None:
        self.count += 1
        if len(self.lines) < NAMED:
            self.lines.append(line)


class Collector:
    """What there is to tell of `kinds`; `clock` is monotonic, in seconds.

    What is in the way is told if it still is when the message is taken: once, and once more
    when it is not any more.
    """

    def __init__(self, kinds: frozenset[AlertKind], clock: Callable[[], float]) -> None:
        self.kinds, self._clock = kinds, clock
        self._events: dict[AlertKind, _Some] = {}
        self._blocked: dict[str, str] = {}
        self._told: set[str] = set()
        self._loose: dict[str, str] = {}
        self._loose_told: dict[str, float] = {}

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing new."""
        in_the_way = self._loose or self._blocked.keys() ^ self._told
        return not (self._events or ("paused" in self.kinds and in_the_way))

    def add(self, kind: AlertKind, job: str, reason: str = "") -> None:
        """A job came to an end of this `kind`."""
        if kind in self.kinds:
            self._events.setdefault(kind, _Some()).add(_line(job, reason))

    def paused(self, what: str, reason: str) -> None:
        """Something keeps `what` from going on."""
        recent = self._clock() - self._loose_told.get(what, -float("inf")) < AGAIN
        known = recent or what in self._blocked or what in self._told
        if "paused" in self.kinds and not known and len(self._loose) < MOST:
            self._loose[what] = reason

    def blocked(self, trouble: Mapping[str, str]) -> None:
        """All that is kept from going on now, and why."""
        self._blocked = dict(list(trouble.items())[:MOST])
        for what in trouble:
            self._loose.pop(what, None)  # its end will be told

    def take(self) -> Message | None:
        """What is new, and not any more from now on; None where nothing is."""
        found: dict[str, _Some] = dict(self._events.items())
        self._events = {}
        if "paused" in self.kinds:
            found |= {"waiting": self._waiting(), "going on again": self._going_on()}
            self._remember()
        return _message({kind: some for kind, some in found.items() if some.count})

    def _waiting(self) -> _Some:
        some = _Some()
        for what, reason in (*self._blocked.items(), *self._loose.items()):
            if what not in self._told:
                some.add(_line(what, reason))
        return some

    def _going_on(self) -> _Some:
        some = _Some()
        for what in sorted(self._told - self._blocked.keys()):
            some.add(_line(what))
        return some

    def _remember(self) -> None:
        now = self._clock()
        told = {what: when for what, when in self._loose_told.items() if now - when < AGAIN}
        self._loose_told = dict(list({**told, **dict.fromkeys(self._loose, now)}.items())[-MOST:])
        self._loose, self._told = {}, set(self._blocked)


def _line(what: str, reason: str = "") -> str:
    """One line that no name or reason can make into two, or into more than text."""
    text = shown(re.sub(r"\s*\n\s*", "; ", f"{what}: {reason}" if reason else what))
    text = text.translate(_INERT)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _message(parts: Mapping[str, _Some]) -> Message | None:
    if not parts:
        return None
    title = ", ".join(f"{some.count} {kind}" for kind, some in parts.items())
    return Message(f"stylewatch: {title}", "\n".join(_lines(parts)))


def _lines(parts: Mapping[str, _Some]) -> Iterator[str]:
    for kind, some in parts.items():
        yield from (f"{kind}: {line}" for line in some.lines)
        if more := some.count - len(some.lines):
            yield f"{kind}: and {more} more"
