"""In the supervisor: the driver, which is a process, and the thread that speaks with it.

The driver is started for the first order, and let go when there was none for a while. Where it
dies, or says nothing any more, the attempts that it had are ended: that is no fault of theirs, so
they fail as they do where a device is gone, and are tried again.
"""

import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from pkgutil import resolve_name
from queue import Empty, SimpleQueue
from typing import get_args

from stylewatch_daemon.executors.ray.messages import (
    NOT_THERE,
    Away,
    Manner,
    Room,
    Word,
    heard,
)
from stylewatch_daemon.processes.child import Child, cause, let_end
from stylewatch_daemon.processes.messages import LONGEST
from stylewatch_daemon.settings.resources import Demand
from stylewatch_daemon.worker.contract import End, Failed, Heard, Lost, Order, Wanted

_SERVE = "stylewatch_daemon.executors.ray.driver:serve"

ASK_EVERY = 1.0
"""Seconds that the driver is waited for at a stretch: a machine that slept makes it not silent."""

COMES_WITHIN = 120.0
"""Seconds that a driver gets to load Ray, and to connect; that it gives up by itself before."""

Tell = Callable[[Heard | Room], object]
"""Hears of every event, and of how many places there are; 0: it is not known any more."""


class Office:
    """Speaks with the driver, for whoever gives orders; `tell` is called by its thread.

    A driver without work is let go after `idle_s`, one that is silent for `silent_s` is killed.
    """

    def __init__(self, lock: Path, demand: Demand, manner: Manner, tell: Tell) -> None:
        self._lock, self._demand, self._manner, self._tell = lock, demand, manner, tell
        self._commands: SimpleQueue[tuple[object, ...]] = SimpleQueue()
        self._hears, self._knocks = Pipe(duplex=False)
        self._going: set[str] = set()
        self._driver: Child | None = None
        self._quiet = self._idle = 0.0
        """Seconds that the driver said nothing, and had nothing to do."""
        self._leaving = self._met = False
        """Whether we were told to leave; whether the driver has said anything yet."""
        self._thread = threading.Thread(target=self._go, name="cluster", daemon=True)

    def start(self) -> None:
        """Begin to listen to commands."""
        self._thread.start()

    def submit(self, orders: Mapping[str, Order]) -> None:
        """Have attempts made, by ticket."""
        self._do("submit", dict(orders))

    def ask(self, ticket: str, wanted: Wanted) -> None:
        """Tell what is wanted of an attempt."""
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
            except Exception as error:  # whatever it is, nobody must wait for ever
                self._gone(f"a fault of our own, {type(error).__name__}: {error}")
        self._end_all(Lost("the daemon left"))
        self._let_go()

    def _listen(self) -> None:
        """Wait until something happens, and deal with it."""
        began, driver = time.monotonic(), self._driver
        handles = [] if driver is None else driver.handles
        ready = wait([self._hears, *handles], None if driver is None else ASK_EVERY)
        passed = min(time.monotonic() - began, ASK_EVERY)
        self._quiet += passed
        self._idle = 0.0 if self._going else self._idle + passed
        if self._hears in ready:
            self._hears.recv_bytes()
            self._obey()
        if driver is not None:
            self._hear()
        patience = self._manner.silent_s if self._met else COMES_WITHIN
        if self._driver is not None and self._quiet > patience:
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
        """What came from the driver; where it is gone, that as well."""
        while (driver := self._driver) is not None:
            left = not driver.process.is_alive()  # asked first: what it sent is there
            try:
                if not driver.line.poll():
                    if left:
                        self._gone(f"it ended ({cause(driver.process)})")
                    return
                ticket, word = heard(driver.line.recv_bytes(LONGEST))
            except (EOFError, OSError):
                let_end(driver.process)
                self._gone(f"it ended ({cause(driver.process) or 'it closed its files'})")
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
            self._tell(Heard(ticket, word))

    def _gone(self, why: str) -> None:
        """Have no driver any more."""
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
            self._tell(Heard(ticket, end))

    def _let_go(self) -> None:
        if self._driver is not None:
            self._driver.let_go()
            self._driver = None

    def _kill(self) -> None:
        if self._driver is not None:
            self._driver.kill()
        self._driver = None

    def _ready(self) -> Connection:
        """The line to a driver that lives."""
        if self._driver is None:
            given = (self._lock, self._demand, self._manner)
            self._driver = Child.start(enter, *given, name="cluster")
            self._quiet, self._idle, self._met = 0.0, 0.0, False
        return self._driver.line


def enter(pipe: Connection, lock: Path, demand: Demand, manner: Manner) -> None:
    """The driver's door; what lies behind it is heavy, and is loaded there only."""
    resolve_name(_SERVE)(pipe, lock, demand, manner)
