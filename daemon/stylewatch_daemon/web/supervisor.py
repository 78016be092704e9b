"""Keeps the page's process: starts it, watches it, starts it again; on a thread of its own.

The supervisor listens, and the process takes what comes: one that dies loses nobody who waits.
Nothing comes back from it, so that the supervisor never waits for it either.
"""

import logging
import random
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from pkgutil import resolve_name

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files import shortages
from stylewatch_daemon.processes.backoff import Backoff
from stylewatch_daemon.processes.child import cause, let_end
from stylewatch_daemon.settings.config import WebPage
from stylewatch_daemon.web import sockets

SERVE = "stylewatch_daemon.web.serve:serve"

NAME = "web"
"""What the process and the thread are called."""

RETRY = Backoff(first=1.0, most=60.0, least=0.5)
"""How long is waited before a page is started again."""

SOUND_S = 60.0
"""Seconds after which one that was started again counts as sound."""


class Keeper(Reporter):
    """Keeps the page that is `served` from the moment that inboxes are watched; None: none.

    `ours` is the socket that systemd handed over. The process runs `serve` (`module:function`).
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
        self._told = ""

    def check(self, served: WebPage | None) -> WebPage | None:
        """`served`, if it can be; raises SettingsError as `sockets.check` does."""
        if served is not None:
            sockets.check(served, self._ours)
        return served

    def offer(self, served: WebPage | None) -> None:
        """What is to be served once the settings hold that say so; raises SettingsError."""
        self._offered = self.check(served)

    def reloaded(self) -> None:
        """The settings were read again, and hold."""
        if self._offered != self._held:
            self._held = self._offered
            if self._thread is not None:
                self._knocks.send_bytes(b"!")

    def not_reloaded(self, reason: str) -> None:
        """The settings were read again, and are wrong."""
        self._offered = self._held

    def watching(self, inboxes: Sequence[Path]) -> None:
        """The daemon is at work: there is something to look at."""
        if self._thread is None and self._held is not None:
            self._thread = threading.Thread(target=self._go, name=NAME, daemon=True)
            self._thread.start()

    def leave(self) -> None:
        """Have the page's process end, and the thread."""
        self._leaving = True
        self._knocks.send_bytes(b"!")
        if self._thread is not None:
            self._thread.join()

    def _go(self) -> None:
        """Serve what is to be served, until we leave; what cannot be had is tried again."""
        failures = 0
        while not self._leaving:
            served = self._held
            try:
                if served is None:
                    self._is_news([], None)
                else:
                    with sockets.bound(served, self._ours) as listening:
                        failures = 0
                        self._say(served, listening)
                        self._keep(served, listening)
            except OSError as error:
                failures += 1
                where = served.address if served is not None else "the page"
                why = shortages.shortage(error) or error.strerror or error
                self._warn(f"the page cannot be served at {where} ({why}): "
                           "painting goes on, and it is tried again")  # fmt: skip
                self._is_news([], self._retry.seconds(failures, random.random()))

    def _keep(self, served: WebPage, listening: socket.socket) -> None:
        """Have a process serve it, one after the other, until there is news."""
        times = 0
        while True:
            began = time.monotonic()
            process, life = self._started(served, listening)
            try:
                if self._is_news([process.sentinel], None):
                    return
                let_end(process)
                why = cause(process) or "it closed its files"
            finally:
                _end(process, life)
            times = 1 if time.monotonic() - began >= SOUND_S else times + 1
            seconds = self._retry.seconds(times, random.random())
            self._log.warning("the page's process ended (%s): it is started again", why)
            if self._is_news([], seconds):
                return

    def _started(self, served: WebPage, listening: socket.socket) -> tuple[BaseProcess, Connection]:
        """A process that serves, and what it lives by: it ends once that is closed."""
        spawn = get_context("spawn")
        theirs, life = spawn.Pipe(duplex=False)
        with theirs:
            arguments = (self._serve, theirs, listening, served)
            process = spawn.Process(target=_enter, name=NAME, args=arguments)
            process.start()
        return process, life

    def _is_news(self, others: list[int], seconds: float | None) -> bool:
        """Wait for news or one of `others`, so long at most; whether there is news."""
        if self._hears not in wait([self._hears, *others], seconds):
            return False
        self._hears.recv_bytes()
        return True

    def _say(self, served: WebPage, listening: socket.socket) -> None:
        where = sockets.told(listening, served.settings.web.path)
        who = "this machine alone" if sockets.is_near(listening) else "other machines too"
        knows = "" if served.token is None else ", where one knows the token"
        self._warn("")
        self._log.info("the page is at %s, for %s%s", where, who, knows)

    def _warn(self, text: str) -> None:
        """Warn of something once, until it is different."""
        if text and text != self._told:
            self._log.warning("%s", text)
        self._told = text


def _end(process: BaseProcess, life: Connection) -> None:
    life.close()
    let_end(process)
    process.kill()
    process.join()
    process.close()


def _enter(serve: str, life: Connection, listening: socket.socket, served: WebPage) -> None:
    """The process's door; what lies behind it is heavy, and is loaded there only."""
    resolve_name(serve)(life, listening, served)


@contextmanager
def kept(served: WebPage | None, ours: socket.socket | None = None) -> Iterator[Keeper]:
    """A Keeper of what is `served`; the page ends with it. Raises SettingsError as `check` does."""
    keeper = Keeper(served, ours)
    keeper.check(served)
    try:
        yield keeper
    finally:
        keeper.leave()
