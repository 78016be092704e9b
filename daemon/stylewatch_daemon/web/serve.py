"""The page's process: serves the application, until the daemon ends, or nobody can be served."""

import asyncio
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from threading import Thread

import uvicorn

from stylewatch_daemon.processes.child import received
from stylewatch_daemon.service.log import logging_as
from stylewatch_daemon.settings.config import WebPage
from stylewatch_daemon.web.app import application
from stylewatch_daemon.web.timeouts import Patient

HUNG_S = 30
"""Seconds after which a process that does nothing any more is ended, by the kernel."""

BEAT_EVERY = 5.0
"""Seconds between two signs of life."""

MEMORY = 2 << 30
"""Bytes that the process may take: with more something is wrong, and it is better started again."""

FILES = 8_192
"""Files that the process may have open, connections included, where the system allows as many."""

STALLED_MS = 60_000
"""Milliseconds that somebody who takes nothing of what is sent stays connected."""


def serve(life: Connection, listening: socket.socket, served: WebPage) -> None:
    """Serve what is `served` to whoever comes to `listening`, until `life` is closed."""
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, most))
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(files, min(most, FILES)), most))
    with suppress(OSError):  # a UNIX socket has no such things; those that come of it have both
        # asyncio sees to this only where a socket was told its protocol
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_MS)
    with logging_as(served.settings.log, quiet=False):
        server = _Server(
            uvicorn.Config(
                application(served.settings, served.token),
                http=Patient,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",  # what others send us is nothing to fill a log with
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=1,
            )
        )
        Thread(target=_leave_when_closed, args=(life, server), daemon=True).start()
        asyncio.run(_serve(server, listening))


class _Server(uvicorn.Server):
    """One that leaves signals to the supervisor."""

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
    """Put off, again and again, that the kernel ends us: where this hangs, so does everything."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    while True:
        signal.alarm(HUNG_S)
        await asyncio.sleep(BEAT_EVERY)


def _leave_when_closed(life: Connection, server: uvicorn.Server) -> None:
    received(life)
    server.should_exit = True
