"""The page's process: serves the application until the daemon ends it, or it hangs."""

import asyncio
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from threading import Thread
from typing import cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from stylewatch_daemon.processes.child import received
from stylewatch_daemon.service.monitoring import logging_as
from stylewatch_daemon.settings.config import WebPage
from stylewatch_daemon.web.app import application

HANG_TIMEOUT_S = 30
"""Seconds without a beat after which the kernel ends the process."""

BEAT_EVERY_S = 5.0

MAX_MEMORY = 2 << 30
"""Bytes of memory; a process that needs more is broken, and better started again."""

MAX_FILES = 8_192
"""Files that the process may have open, connections included, where the system allows it."""

STALLED_MS = 60_000
"""Milliseconds after which a client that reads nothing of its answer is disconnected."""

REQUEST_TIMEOUT_S = 20.0
"""Seconds in which a connected client has to send a request with all headers."""

MAX_CONNECTIONS = 3_000
"""Connections that are held at once; fewer where the process may open few files."""

CLOSED_SHARE = 8
"""One in so many idle connections is closed where there are too many."""


def serve(life: Connection, listening: socket.socket, served: WebPage) -> None:
    """Serve what is `served` to the clients of `listening`, until `life` is closed."""
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY, most))
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(files, min(most, MAX_FILES)), most))
    # Accepted connections inherit these options. asyncio sets TCP_NODELAY only for sockets that
    # were made with a protocol; a UNIX socket has no such options.
    with suppress(OSError):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_MS)
    with logging_as(served.settings.log, quiet=False):
        server = _Server(
            uvicorn.Config(
                application(served.settings, served.token),
                http=LimitedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",  # invalid requests of others should not fill the log
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=1,
            )
        )
        Thread(target=_exit_when_closed, args=(life, server), daemon=True).start()
        asyncio.run(_serve(server, listening))


class _Server(uvicorn.Server):
    """A server that leaves signals to the supervisor."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(server: uvicorn.Server, listening: socket.socket) -> None:
    beating = asyncio.create_task(_beat())
    try:
        await server.serve([listening])
    finally:
        beating.cancel()


async def _beat() -> None:
    """Set the alarm again and again: a loop that hangs does not, and the kernel ends us."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    while True:
        signal.alarm(HANG_TIMEOUT_S)
        await asyncio.sleep(BEAT_EVERY_S)


def _exit_when_closed(life: Connection, server: uvicorn.Server) -> None:
    received(life)
    server.should_exit = True


class LimitedProtocol(H11Protocol):
    """A connection that is closed if no request arrives for REQUEST_TIMEOUT_S to twice as long.

    Where there are too many connections, those that have waited longest for a request are closed,
    so that new clients are answered, however many others are connected and send nothing.
    """

    _timer: asyncio.TimerHandle | None = None
    _seen: object = object()
    """The request that there was when the timer ran last."""
    _waits_since = 0.0
    """Time of the loop's clock since which the connection waits for a request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the timer, and make room if there are too many connections."""
        super().connection_made(cast(asyncio.Transport, transport))
        self._waits_since, self._seen = self.loop.time(), self.cycle
        self._timer = self.loop.call_later(REQUEST_TIMEOUT_S, self._check)
        if len(self.connections) > _max_connections():
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the next request from now on."""
        self._waits_since = self.loop.time()
        super().on_response_complete()

    @property
    def _is_idle(self) -> bool:
        """True while all requests are answered."""
        return self.cycle is None or self.cycle.response_complete

    def _make_room(self) -> None:
        """Close idle connections, the longest idle first; this one where there is no other."""
        idle = [
            other
            for other in self.connections
            if isinstance(other, LimitedProtocol) and other._is_idle
        ]
        idle.sort(key=lambda other: other._waits_since)
        for other in idle[: max(1, len(idle) // CLOSED_SHARE)]:
            # It would be removed only after the connections that come at the same time.
            self.connections.discard(other)
            other.transport.abort()

    def _check(self) -> None:
        if self._is_idle and self.cycle is self._seen:
            self.transport.abort()
            return
        self._seen = self.cycle
        self._timer = self.loop.call_later(REQUEST_TIMEOUT_S, self._check)


def _max_connections() -> int:
    """Connections to hold; half of all files are left for other uses."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(MAX_CONNECTIONS, files // 2)
