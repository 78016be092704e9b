"""HTTP as uvicorn speaks it, with a limit to what it waits for: nobody holds a line for nothing."""

import asyncio
from typing import cast

from uvicorn.protocols.http.h11_impl import H11Protocol

ASKS_WITHIN = 20.0
"""Seconds in which somebody who is connected has to say what they want, header and all."""

CONNECTIONS = 768
"""Connections that are held at once; further ones are closed."""


class Patient(H11Protocol):
    """A connection; one on which nothing was asked for ASKS_WITHIN to twice as long is closed."""

    _look: asyncio.TimerHandle | None = None
    _seen: object = object()
    """The request that there was at the last look."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody came."""
        super().connection_made(cast(asyncio.Transport, transport))
        if len(self.connections) > CONNECTIONS:
            self.transport.abort()
            return
        self._seen = self.cycle
        self._look = self.loop.call_later(ASKS_WITHIN, self._look_after)

    def connection_lost(self, exc: Exception | None) -> None:
        """They are gone."""
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def _look_after(self) -> None:
        answered = self.cycle is None or self.cycle.response_complete
        if answered and self.cycle is self._seen:
            self.transport.abort()
            return
        self._seen = self.cycle
        self._look = self.loop.call_later(ASKS_WITHIN, self._look_after)
