"""A device and the worker process that paints on it: long-lived, replaced when it is no good."""

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import get_args

from stylewatch_daemon.errors import ShortageError
from stylewatch_daemon.executors.hang_timeout import Patience
from stylewatch_daemon.files import shortages
from stylewatch_daemon.processes.child import MAX_MESSAGE, Child, decode
from stylewatch_daemon.worker.messages import (
    READY,
    AttemptEvent,
    Done,
    Event,
    Failed,
    Lost,
    Order,
    Refused,
    Stopped,
    Wanted,
)

NAME = "worker"
"""The name of the process."""

MAX_EVENTS = 100

_SERVE = "stylewatch_daemon.worker.worker_main:serve"


class Slot:
    """A place for attempts on `device` (None: the one that the backend prefers).

    `work` names, as `module:function`, what paints; `lock` is a file that each worker holds
    while it lives. A worker that, idle, holds more than `most_memory` bytes is replaced.
    """

    def __init__(self, device: str | None, lock: Path, work: str, most_memory: int) -> None:
        self.device = device
        self.idle_since = time.monotonic()
        self._lock, self._work, self._most_memory = lock, work, most_memory
        self._child: Child | None = None
        self._backend = ""
        self._tickets: tuple[str, ...] = ()
        self._going: dict[str, Patience] = {}
        self._spent = False
        """The process is to get no more orders."""
        self._serves = False
        """The process has begun to take orders."""

    @property
    def manned(self) -> bool:
        """True if there is a process."""
        return self._child is not None

    @property
    def tickets(self) -> frozenset[str]:
        """The attempts that are being made."""
        return frozenset(self._going)

    @property
    def handles(self) -> list[Connection]:
        """The connections to wait on for events with `multiprocessing.connection.wait`."""
        return [] if self._child is None else [self._child.line]

    def begin(self, orders: Mapping[str, Order]) -> list[AttemptEvent]:
        """Begin attempts that came together, by ticket; return events only if that failed."""
        self._tickets, self._spent = tuple(orders), False
        self._going = {ticket: Patience(order.step_timeout_s) for ticket, order in orders.items()}
        (backend, *_) = [order.settings.backend for order in orders.values()]
        try:
            on_device = [replace(order, device=self.device) for order in orders.values()]
            self._ready(backend).send(on_device)
        except OSError as error:  # no process to be had, or it died this very moment
            self._serves = False
            why = shortages.in_words(error) if shortages.shortage(error) else str(error)
            return self._lose(self._end(f"the worker process could not be used: {why}"))
        return []

    def ask(self, ticket: str, wanted: Wanted) -> None:
        """Pass on to the worker what is wanted of an attempt."""
        patience = self._going.get(ticket)
        if self._child is not None and patience is not None and wanted != patience.asked:
            patience.asked = wanted
            try:
                self._child.send((self._tickets.index(ticket), wanted))
            except OSError:
                return  # its death is an event that comes next

    def hear(self) -> list[AttemptEvent]:
        """Return the events that have come from the worker, and its death if it is gone.

        At most MAX_EVENTS at once, so that a flood from one worker holds up no other.
        """
        events: list[AttemptEvent] = []
        while (child := self._child) is not None and len(events) < MAX_EVENTS:
            try:
                if not child.line.poll():
                    break
                heard = self._receive(child)
            except (EOFError, OSError):
                when = "while it painted" if self._serves else "before it could begin"
                events += self._lose(self._end(f"the worker process {_fate(child, when)}"))
            except ValueError as error:
                events += self._lose(Lost(f"the worker process sent {error}"))
            else:
                if heard is not None:
                    self._note(heard)
                    events.append(heard)
        return events

    def waited(self, seconds: float) -> list[AttemptEvent]:
        """Count more silence of the worker; return the ends of attempts if it is too much."""
        alive = [patience for patience in self._going.values() if not patience.waited(seconds)]
        if not self._going or alive:
            return []
        silent = max(patience.silent for patience in self._going.values())
        why = f"the worker hung: there was no sign of life for {silent:.0f} s"
        return self._lose(self._end(why))

    def drop(self, ticket: str, why: str) -> list[AttemptEvent]:
        """End an attempt: now, with its worker, or at its next step if others share the worker."""
        if self.tickets == {ticket}:
            return self.end(why)
        self.ask(ticket, Wanted.CANCEL)
        return []

    def end(self, why: str) -> list[AttemptEvent]:
        """End all attempts now, if there are any, and kill their worker."""
        return self._lose(Lost(why)) if self._going else []

    def let_go(self) -> None:
        """Stop an idle worker, which gives back its memory, also that of the GPU."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def _note(self, heard: AttemptEvent) -> None:
        """Record that the worker lives, and the end of one of its attempts."""
        for patience in self._going.values():
            patience.silent = 0.0
        self._going[heard.ticket].heard(heard.event)
        if isinstance(heard.event, Done | Stopped | Refused | Failed):
            del self._going[heard.ticket]
            self._spent |= isinstance(heard.event, Failed) and heard.event.recycle
            self.idle_since = time.monotonic()
            if self._spent and not self._going:
                self._kill()

    def _lose(self, end: Lost | Failed) -> list[AttemptEvent]:
        """Kill the process; return `end` for each of its attempts."""
        self._kill()
        lost, self._going = list(self._going), {}
        self.idle_since = time.monotonic()
        return [AttemptEvent(ticket, end) for ticket in lost]

    def _end(self, why: str) -> Lost | Failed:
        """Return the end of the attempts of a process that is gone.

        A process that never took its orders says nothing about them: they are tried again later.
        """
        return Lost(why) if self._serves else Failed(why, ShortageError.exit_code)

    def _kill(self) -> None:
        if self._child is not None:
            self._child.kill()
        self._child = None

    def _ready(self, backend: str) -> Child:
        """Return a process that never ran any backend but `backend`; raises ShortageError.

        Whatever a backend does to its process, jobs of others are not affected, and need not wait
        for memory, of the GPU too, that it keeps.
        """
        if self._child is not None and (
            backend != self._backend or _memory(self._child.pid) > self._most_memory
        ):
            self.let_go()
        self._backend = backend
        if self._child is None or not self._child.is_alive():
            self._kill()
            self._serves = False
            self._child = Child(_SERVE, self._work, self._lock, name=NAME)
        return self._child

    def _receive(self, child: Child) -> AttemptEvent | None:
        """Return the event that has come; None if the worker only says that it is ready.

        Raises EOFError or OSError if no more can come, ValueError if the message is invalid.
        """
        raw = child.line.recv_bytes(MAX_MESSAGE)
        self._serves = True
        if raw == READY:
            return None
        event: Event = decode(raw[1:], *get_args(Event))
        ticket = next(iter(self._tickets[raw[0] :]), "")
        if ticket not in self._going:
            raise ValueError(f"an event of an attempt that is not being made: {raw[:80]!r}")
        return AttemptEvent(ticket, event)


def _memory(pid: int) -> int:
    """Bytes of memory that a process holds; 0 if unknown."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _fate(child: Child, when: str) -> str:
    """Describe how a worker ended, `when`, and what may help."""
    why = child.exit_reason()
    if not why:
        return f"cut itself off from us, closing files that were not its own, {when}"
    advice = "; a smaller size needs less" if "memory" in why else ""
    return f"died ({why}{advice}) {when}"
