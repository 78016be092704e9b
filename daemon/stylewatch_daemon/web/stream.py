"""What changes on a page, sent as it changes: one look at the disk for all who look on.

A page is made of parts. What is sent of a part is its newest form, made once for all viewers; of
one that was not fetched yet the older form is dropped, so that a slow viewer costs no memory.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from stylewatch_daemon.errors import DaemonError

LOOK_EVERY, BEAT_EVERY = 0.25, 15.0
"""Seconds between two looks, and seconds of silence after which a sign of life is sent."""

MOST = 400
"""Viewers at once."""

BEAT = b": still here\n\n"
RETRY = b"retry: 2000\n\n"

Parts = Mapping[str, str]
"""The HTML of each part of a page, by its name."""


@dataclass(eq=False)
class Viewer:
    """Someone who looks on; `pending` has what was not sent yet, by part."""

    pending: dict[str, bytes] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def give(self, messages: Mapping[str, bytes]) -> None:
        """Have these sent, in place of older ones."""
        _add(self.pending, messages)
        self.news.set()

    async def take(self, seconds: float) -> bytes:
        """What is to be sent next; a sign of life where there is nothing for so many `seconds`."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.news.wait(), seconds)
        self.news.clear()
        taken, self.pending = self.pending, {}
        return b"".join(taken.values()) or BEAT


@dataclass(eq=False)
class Topic:
    """A page that is looked at: its viewers, and how its parts were seen last."""

    viewers: set[Viewer] = field(default_factory=set)
    shown: dict[str, str] = field(default_factory=dict)
    messages: dict[str, bytes] = field(default_factory=dict)
    newest: str = ""


class Hub:
    """Looks at the disk while anybody looks on, and sends what changed.

    `look` says what a page depends on, `render` makes the parts of a page by its name; both are
    called in a thread.
    """

    def __init__(
        self,
        look: Callable[[], Hashable],
        render: Callable[[str], Parts],
        every: float = LOOK_EVERY,
        beat: float = BEAT_EVERY,
    ) -> None:
        self._look, self._render, self._every, self._beat = look, render, every, beat
        self._topics: dict[str, Topic] = {}
        self._polling: asyncio.Task[None] | None = None
        self._life, self._count = secrets.token_hex(4), 0

    @property
    def viewers(self) -> int:
        """How many look on."""
        return sum(len(one.viewers) for one in self._topics.values())

    async def watch(self, page: str, last: str = "") -> AsyncGenerator[bytes, None]:
        """What changes on `page`, for one viewer, who had the event `last` before; without end.

        At first comes all of it, unless that event is still the newest.
        """
        viewer = Viewer()
        topic = self._topics.setdefault(page, Topic())
        topic.viewers.add(viewer)
        try:
            yield RETRY
            if not topic.messages:
                await self._refresh(page, topic)
            if not last or last != topic.newest:
                viewer.give(topic.messages)
            while True:
                if self._polling is None:
                    self._polling = asyncio.create_task(self._poll())
                yield await viewer.take(self._beat)
        finally:
            topic.viewers.discard(viewer)
            if not topic.viewers:
                self._topics.pop(page, None)

    async def _poll(self) -> None:
        """Look until nobody looks on any more."""
        seen: Hashable = None
        try:
            while self._topics:
                now = await asyncio.to_thread(self._look)
                if now != seen:
                    seen = now
                    for page, topic in list(self._topics.items()):
                        await self._refresh(page, topic)
                await asyncio.sleep(self._every)
        finally:
            self._polling = None

    async def _refresh(self, page: str, topic: Topic) -> None:
        """Give the viewers of a page those of its parts that changed."""
        try:
            parts = await asyncio.to_thread(self._render, page)
        except DaemonError:  # the ledger cannot be read now: what was shown stays
            return
        changed = {name: html for name, html in parts.items() if topic.shown.get(name) != html}
        messages = {name: self._message(topic, name, html) for name, html in changed.items()}
        topic.shown.update(changed)
        _add(topic.messages, messages)
        if messages:
            for viewer in topic.viewers:
                viewer.give(messages)

    def _message(self, topic: Topic, name: str, html: str) -> bytes:
        self._count += 1
        topic.newest = f"{self._life}-{self._count}"
        data = json.dumps({"part": name, "html": html})
        return f"id: {topic.newest}\nevent: part\ndata: {data}\n\n".encode()


def _add(known: dict[str, bytes], messages: Mapping[str, bytes]) -> None:
    """Put the newest last, so that the last id that somebody gets is the newest one."""
    for name, message in messages.items():
        known.pop(name, None)
        known[name] = message
