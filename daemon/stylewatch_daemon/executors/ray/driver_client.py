"""The daemon's side of the Ray driver: a process, and the thread that talks to it.

The driver is started for the first order, and stopped when there was none for a while. If it
dies, or falls silent, its attempts end as they do when a device is missing, and are tried again:
the jobs are not to blame.
"""

import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import get_args

from stylewatch_daemon.executors.ray.messages import NOT_THERE, Away, Manner, Room, Word, heard
from stylewatch_daemon.processes.child import MAX_MESSAGE, Child
from stylewatch_daemon.settings.resources import Demand
from stylewatch_daemon.worker.messages import AttemptEvent, End, Failed, Lost, Order, Wanted

DRIVER = "stylewatch_daemon.executors.ray.driver:serve"
NAME = "cluster"
"""The name of the process and of the thread."""

ASK_EVERY = 1.0
"""Seconds of each wait for the driver; silence is counted in these, so that a machine that slept
does not make the driver look silent."""

START_TIMEOUT = 120.0
"""Seconds that a driver gets to load Ray and to connect; the driver itself gives up before that."""

Tell = Callable[[AttemptEvent | Room], object]
"""Called with every event, and with the number of places; 0: it is not known any more."""


class Office:
    """Passes orders to the driver and its events to `tell`, which is called by the thread.

    A driver without work is stopped after `idle_s`, one that is silent for `silent_s` is killed.
    """

    def __init__(self, lock: Path, demand: Demand, manner: Manner, tell: Tell) -> None:
        self._lock, self._demand, self._manner, self._tell = lock, demand, manner, tell
        self._commands: SimpleQueue[tuple[object, ...]] = SimpleQueue()
        self._hears, self._knocks = Pipe(duplex=False)
        self._going: set[str] = set()
        self._driver: Child | None = None
        self._quiet = self._idle = 0.0
        """Seconds that the driver was silent, and had no work."""
        self._leaving = self._met = False
        """We are to stop; the driver has sent a message."""
        self._thread = threading.Thread(target=self._go, name=NAME, daemon=True)

    def start(self) -> None:
        """Begin to listen to commands."""
        self._thread.start()

    def submit(self, orders: Mapping[str, Order]) -> None:
        """Begin attempts, by ticket."""
        self._do("submit", dict(orders))

    def ask(self, ticket: str, wanted: Wanted) -> None:
        """Pass on what is wanted of an attempt."""
        self._do("ask", ticket, wanted)

    def drop(self, ticket: str) -> None:
        """End an attempt now."""
        self._do("drop", ticket)

    def close(self) -> None:
        """End everything, and the thread."""
        self._do("leave")
        self._thread.join()
        self._hears.close()
        self._knocks.close()

    def _do(self, *command: object) -> None:
        self._commands.put(command)
        self._knocks.send_bytes(b"!")

    def _go(self) -> None:
        while not self._leaving:
            try:
                self._listen()
            except Exception as error:  # no attempt may wait for ever
                self._gone(f"a fault of our own, {type(error).__name__}: {error}")
        self._end_all(Lost("the daemon left"))
        self._let_go()

    def _listen(self) -> None:
        """Wait for a command or a message, and handle it."""
        began, driver = time.monotonic(), self._driver
        handles = [] if driver is None else [driver.line]
        ready = wait([self._hears, *handles], None if driver is None else ASK_EVERY)
        passed = min(time.monotonic() - began, ASK_EVERY)
        self._quiet += passed
        self._idle = 0.0 if self._going else self._idle + passed
        if self._hears in ready:
            self._hears.recv_bytes()
            self._obey()
        if driver is not None:
            self._hear()
        timeout = self._manner.silent_s if self._met else START_TIMEOUT
        if self._driver is not None and self._quiet > timeout:
            self._gone(f"it said nothing for {self._quiet:.0f} s")
        elif self._driver is not None and self._idle >= self._manner.idle_s:
            self._let_go()

    def _obey(self) -> None:
        while True:
            try:
                name, *values = self._commands.get_nowait()
            except Empty:
                return
            if name == "leave":
                self._leaving = True
            else:
                self._pass_on(str(name), values)

    def _pass_on(self, name: str, values: list[object]) -> None:
        (first, *_) = values
        if name == "submit" and isinstance(first, dict):
            self._going |= first.keys()
        elif first not in self._going:
            return  # it has ended
        try:
            self._ready().send((name, *values))
        except OSError as error:  # no process to be had, or it died this very moment
            self._gone(f"it could not be used: {error}")

    def _hear(self) -> None:
        """Handle the messages that have come from the driver, and its death."""
        while (driver := self._driver) is not None:
            try:
                if not driver.line.poll():
                    return
                ticket, word = heard(driver.line.recv_bytes(MAX_MESSAGE))
            except (EOFError, OSError):
                self._gone(f"it ended ({driver.exit_reason() or 'it closed its files'})")
            except ValueError as error:
                self._gone(f"it sent {error}")
            else:
                self._note(ticket, word)

    def _note(self, ticket: str, word: Word) -> None:
        self._quiet, self._met = 0.0, True
        if isinstance(word, Away):
            self._fail_all(word.reason)
        elif isinstance(word, Room):
            self._tell(word)
        elif ticket in self._going:
            if isinstance(word, get_args(End)):
                self._going.remove(ticket)
            self._tell(AttemptEvent(ticket, word))

    def _gone(self, why: str) -> None:
        """Give up the driver, and fail its attempts."""
        self._fail_all(
            f"the process that speaks with the Ray cluster is gone: {why}; it is tried again"
        )

    def _fail_all(self, reason: str) -> None:
        self._kill()
        self._tell(Room(0))
        self._end_all(Failed(reason, NOT_THERE))

    def _end_all(self, end: End) -> None:
        going, self._going = self._going, set()
        for ticket in going:
            self._tell(AttemptEvent(ticket, end))

    def _let_go(self) -> None:
        if self._driver is not None:
            self._driver.stop()
            self._driver = None

    def _kill(self) -> None:
        if self._driver is not None:
            self._driver.kill()
        self._driver = None

    def _ready(self) -> Child:
        """Return the driver; start it if there is none. Raises ShortageError."""
        if self._driver is None:
            given = (self._lock, self._demand, self._manner)
            self._driver = Child(DRIVER, *given, name=NAME)
            self._quiet, self._idle, self._met = 0.0, 0.0, False
        return self._driver
