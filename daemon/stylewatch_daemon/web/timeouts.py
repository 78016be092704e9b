"""HTTP as uvicorn speaks it, with limits: nobody holds a connection for nothing, or all of them."""

import asyncio
import resource
from typing import cast

from uvicorn.protocols.http.h11_impl import H11Protocol

ASKS_WITHIN = 20.0
"""Seconds in which somebody who is connected has to say what they want, header and all."""

CONNECTIONS = 3_000
"""Connections that are held at once; fewer where the process may open few files."""

CLOSED_AT_ONCE = 8
"""One in so many of the connections that wait for a request is closed where there are too many."""


class Patient(H11Protocol):
    """A connection; one on which nothing was asked for ASKS_WITHIN to twice as long is closed.

    Where there are too many, those that have waited longest for a request are closed first, so
    that whoever asks at once is answered, however many are connected and say nothing.
    """

    _look: asyncio.TimerHandle | None = None
    _seen: object = object()
    """The request that there was at the last look."""
    _since = 0.0
    """When it began to wait for a request, by the loop's clock."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody came."""
        super().connection_made(cast(asyncio.Transport, transport))
        self._since, self._seen = self.loop.time(), self.cycle
        self._look = self.loop.call_later(ASKS_WITHIN, self._look_after)
        if len(self.connections) > _most():
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """They are gone."""
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """They were answered, and may ask again."""
        self._since = self.loop.time()
        super().on_response_complete()

    @property
    def _waits(self) -> bool:
        """Whether there is no request that is not answered yet."""
        return self.cycle is None or self.cycle.response_complete

    def _make_room(self) -> None:
        """Close those that have waited longest: this one, the newest, where no other waits."""
        connections = (one for one in self.connections if isinstance(one, Patient))
        waiting = sorted((one for one in connections if one._waits), key=lambda one: one._since)
        for one in waiting[: max(1, len(waiting) // CLOSED_AT_ONCE)]:
            self.connections.discard(one)  # it is gone only after those that come at the same time
            one.transport.abort()

    def _look_after(self) -> None:
        if self._waits and self.cycle is self._seen:
            self.transport.abort()
            return
        self._seen = self.cycle
        self._look = self.loop.call_later(ASKS_WITHIN, self._look_after)


def _most() -> int:
    """How many connections are held: the other files that the process opens need room too."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(CONNECTIONS, files // 2)
