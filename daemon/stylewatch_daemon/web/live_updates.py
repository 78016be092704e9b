"""Live updates: a page is made of parts, and what changed of them is sent to its viewers.

The disk is looked at once for all viewers, also for the picture that all of them fetch after an
update. Of a part that a slow viewer has not fetched yet only the newest form is kept, so that it
costs no memory.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from starlette.responses import Response, StreamingResponse

from stylewatch_daemon.base.errors import DaemonError

POLL_EVERY_S, BEAT_EVERY_S = 0.25, 15.0
"""Seconds between two looks at the disk, and of silence until a comment keeps the stream open."""

MAX_VIEWERS = 400

SHARED_S, MAX_SHARED = 1.0, 16
"""Seconds for which an answer is given to all who ask, and number of such answers."""

BEAT = b": still here\n\n"
RETRY = b"retry: 2000\n\n"

Parts = Mapping[str, str]
"""The HTML of each part of a page, by its name."""


@dataclass(eq=False)
class _Viewer:
    """Someone who watches a page; `pending` are the messages to send, by part."""

    pending: dict[str, bytes] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def give(self, messages: Mapping[str, bytes]) -> None:
        """Queue messages, in place of older ones about the same parts."""
        self.pending.update(messages)
        self.news.set()

    async def take(self, seconds: float) -> bytes:
        """Wait for the next messages, and so many seconds at most; then it is a BEAT."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.news.wait()
        self.news.clear()
        messages, self.pending = self.pending, {}
        return b"".join(messages.values()) or BEAT


@dataclass(eq=False)
class _Topic:
    """A page that is watched, with the latest message about each of its parts."""

    viewers: set[_Viewer] = field(default_factory=set)
    messages: dict[str, bytes] = field(default_factory=dict)


class Hub:
    """Looks at the disk while there are viewers, and sends them what changed.

    `look` returns what the pages depend on, `render` the parts of a page; both run in a thread.
    """

    def __init__(
        self,
        look: Callable[[], Hashable],
        render: Callable[[str], Parts],
        poll_every_s: float = POLL_EVERY_S,
        beat_every_s: float = BEAT_EVERY_S,
    ) -> None:
        self._look, self._render = look, render
        self._poll_every_s, self._beat_every_s = poll_every_s, beat_every_s
        self._topics: dict[str, _Topic] = {}
        self._polling: asyncio.Task[None] | None = None

    @property
    def viewers(self) -> int:
        """Number of viewers of all pages."""
        return sum(len(topic.viewers) for topic in self._topics.values())

    async def watch(self, page: str) -> AsyncGenerator[bytes, None]:
        """Messages for a new viewer of `page`, without end: first the whole page, then changes."""
        viewer = _Viewer()
        topic = self._topics.setdefault(page, _Topic())
        topic.viewers.add(viewer)
        try:
            yield RETRY
            if not topic.messages:
                await self._refresh(page, topic)
            viewer.give(topic.messages)
            while True:
                if self._polling is None:
                    self._polling = asyncio.create_task(self._poll())
                yield await viewer.take(self._beat_every_s)
        finally:
            topic.viewers.discard(viewer)
            if not topic.viewers:
                self._topics.pop(page, None)

    async def _poll(self) -> None:
        """Look at the disk until there is no viewer left."""
        seen: Hashable = None
        try:
            while self._topics:
                now = await asyncio.to_thread(self._look)
                if now != seen:
                    seen = now
                    for page, topic in list(self._topics.items()):
                        await self._refresh(page, topic)
                await asyncio.sleep(self._poll_every_s)
        finally:
            self._polling = None

    async def _refresh(self, page: str, topic: _Topic) -> None:
        """Send the parts of a page that changed."""
        try:
            parts = await asyncio.to_thread(self._render, page)
        except DaemonError:  # the ledger cannot be read now: viewers keep what they have
            return
        messages = {
            name: message
            for name, html in parts.items()
            if (message := _message(name, html)) != topic.messages.get(name)
        }
        topic.messages.update(messages)
        if messages:
            for viewer in topic.viewers:
                viewer.give(messages)


def _message(name: str, html: str) -> bytes:
    return f"event: part\ndata: {json.dumps({'part': name, 'html': html})}\n\n".encode()


class SharedAnswers:
    """Answers of the last second by their addresses; each is made once."""

    def __init__(self) -> None:
        self._latest: dict[str, tuple[float, asyncio.Future[Response]]] = {}

    async def get(self, address: str, make: Callable[[], Awaitable[Response]]) -> Response:
        """Return the answer for `address`; one that is streamed is made for each who asks."""
        now = asyncio.get_running_loop().time()
        latest = [(key, kept) for key, kept in self._latest.items() if now - kept[0] < SHARED_S]
        self._latest = dict(latest[-MAX_SHARED:])
        is_first = address not in self._latest
        if is_first:
            self._latest[address] = now, asyncio.ensure_future(make())
        answer = await asyncio.shield(self._latest[address][1])
        return answer if is_first or not isinstance(answer, StreamingResponse) else await make()
