"""Starts the page's process, watches it and starts it again, from a thread of its own.

The daemon listens, and the process accepts connections: if it dies, visitors who wait are not lost.
The process sends nothing back, so the daemon never waits for it either.
"""

import logging
import random
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from pkgutil import resolve_name

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files import shortages
from stylewatch_daemon.processes.child import Child
from stylewatch_daemon.processes.wakeup import Backoff
from stylewatch_daemon.settings.config import WebPage
from stylewatch_daemon.web import sockets

SERVE = "stylewatch_daemon.web.serve:serve"
ENTRY = "stylewatch_daemon.web.supervisor:enter"

NAME = "web"
"""The name of the process and of the thread."""

RETRY = Backoff(first=1.0, most=60.0, least=0.5)
"""Delays before a page is started again."""

STABLE_S = 60.0
"""Seconds after which a failure of the page counts as its first again."""


class Keeper(Reporter):
    """Runs the page `served` (None: no page) from the moment that inboxes are watched.

    `ours` is the socket that systemd handed over. The process calls `serve` (`module:function`)
    with its end of a connection, the listening socket and `served`.
    """

    def __init__(
        self,
        served: WebPage | None,
        ours: socket.socket | None = None,
        serve: str = SERVE,
        retry: Backoff = RETRY,
    ) -> None:
        self._held, self._offered, self._ours = served, served, ours
        self._serve, self._retry = serve, retry
        self._leaving = False
        self._hears, self._knocks = Pipe(duplex=False)
        self._thread: threading.Thread | None = None
        self._log = logging.getLogger(__name__)
        self._warned = ""

    def check(self, served: WebPage | None) -> WebPage | None:
        """Return `served`; raises SettingsError as `sockets.check` does."""
        if served is not None:
            sockets.check(served, self._ours)
        return served

    def offer(self, served: WebPage | None) -> None:
        """Set the page to be served after the reload of the settings; raises SettingsError."""
        self._offered = self.check(served)

    def reloaded(self) -> None:
        """Serve the page of the new settings."""
        if self._offered != self._held:
            self._held = self._offered
            if self._thread is not None:
                self._knocks.send_bytes(b"!")

    def not_reloaded(self, reason: str) -> None:
        """Keep the page of the old settings."""
        self._offered = self._held

    def watching(self, inboxes: Sequence[Path]) -> None:
        """Start the thread once the daemon is at work."""
        if self._thread is None and self._held is not None:
            self._thread = threading.Thread(target=self._run, name=NAME, daemon=True)
            self._thread.start()

    def leave(self) -> None:
        """Stop the page's process and the thread."""
        self._leaving = True
        self._knocks.send_bytes(b"!")
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        """Serve the page until we leave; try again whatever fails."""
        failures = 0
        while not self._leaving:
            served = self._held
            try:
                if served is None:
                    self._is_news([], None)
                else:
                    with sockets.bound(served, self._ours) as listening:
                        failures = 0
                        self._log_address(served, listening)
                        self._keep(served, listening)
            except OSError as error:
                failures += 1
                where = served.address if served is not None else "the page"
                why = shortages.shortage(error) or error.strerror or error
                self._warn(f"the page cannot be served at {where} ({why}): "
                           "painting goes on, and it is tried again")  # fmt: skip
                self._is_news([], self._retry.seconds(failures, random.random()))

    def _keep(self, served: WebPage, listening: socket.socket) -> None:
        """Run one process after the other until there is news; raises ShortageError."""
        failures = 0
        while True:
            began = time.monotonic()
            fd = listening.fileno()
            child = Child(ENTRY, self._serve, fd, served, name=NAME, pass_fds=[fd])
            try:
                if self._is_news([child.line], None):
                    child.stop()
                    return
                why = child.exit_reason() or "it closed its files"
            finally:
                child.kill()
            failures = 1 if time.monotonic() - began >= STABLE_S else failures + 1
            self._log.warning("the page's process ended (%s): it is started again", why)
            if self._is_news([], self._retry.seconds(failures, random.random())):
                return

    def _is_news(self, others: Sequence[Connection], seconds: float | None) -> bool:
        """Wait for news or one of `others`, for `seconds` at most; return True if there is news."""
        if self._hears not in wait([self._hears, *others], seconds):
            return False
        self._hears.recv_bytes()
        return True

    def _log_address(self, served: WebPage, listening: socket.socket) -> None:
        where = sockets.told(listening, served.settings.web.path)
        who = "this machine alone" if sockets.is_near(listening) else "other machines too"
        token = "" if served.token is None else ", where one knows the token"
        self._warn("")
        self._log.info("the page is at %s, for %s%s", where, who, token)

    def _warn(self, text: str) -> None:
        """Log a warning, unless it is the same as the last one."""
        if text and text != self._warned:
            self._log.warning("%s", text)
        self._warned = text


def enter(life: Connection, serve: str, fd: int, served: WebPage) -> None:
    """Serve the page, in its process, at the listening socket `fd` until `life` is closed."""
    listening = socket.socket(fileno=fd)
    listening.set_inheritable(False)
    resolve_name(serve)(life, listening, served)


@contextmanager
def kept(served: WebPage | None, ours: socket.socket | None = None) -> Iterator[Keeper]:
    """Yield a Keeper of the page `served`; raises SettingsError as `check` does."""
    keeper = Keeper(served, ours)
    keeper.check(served)
    try:
        yield keeper
    finally:
        keeper.leave()
