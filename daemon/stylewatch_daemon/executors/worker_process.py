"""A device and the worker process that paints on it: long-lived, replaced when it is no good."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from pkgutil import resolve_name
from typing import get_args

from stylewatch_daemon.errors import ShortageError
from stylewatch_daemon.executors.hang_timeout import Patience
from stylewatch_daemon.files import shortages
from stylewatch_daemon.processes import messages
from stylewatch_daemon.processes.child import Child, cause, let_end
from stylewatch_daemon.worker.contract import (
    READY,
    Done,
    Event,
    Failed,
    Heard,
    Lost,
    Order,
    Refused,
    Stopped,
    Wanted,
)

_SERVE = "stylewatch_daemon.worker.child:serve"


class Slot:
    """Paints on `device` (None: on what the backend takes for the best) what came together.

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
        """Whether the process is of no use for more."""
        self._serves = False
        """Whether the process has begun to take orders."""

    @property
    def manned(self) -> bool:
        """Whether there is a process."""
        return self._child is not None

    @property
    def tickets(self) -> frozenset[str]:
        """The attempts that are being made."""
        return frozenset(self._going)

    @property
    def handles(self) -> list[Connection | int]:
        """What is ready, for `multiprocessing.connection.wait`, when there may be an event."""
        return [] if self._child is None else self._child.handles

    def begin(self, orders: Mapping[str, Order]) -> Iterator[Heard]:
        """Begin attempts, by ticket; an event only where that went wrong."""
        self._tickets, self._spent = tuple(orders), False
        self._going = {ticket: Patience(one.step_timeout_s) for ticket, one in orders.items()}
        (backend, *_) = [one.settings.backend for one in orders.values()]
        try:
            here = [replace(one, device=self.device) for one in orders.values()]
            self._ready(backend).send(here)
        except OSError as error:  # no process to be had, or it died this very moment
            self._serves = False
            why = shortages.in_words(error) if shortages.shortage(error) else str(error)
            yield from self._gone(self._end(f"the worker process could not be used: {why}"))

    def ask(self, ticket: str, wanted: Wanted) -> None:
        """Tell the worker what is wanted of an attempt."""
        patience = self._going.get(ticket)
        if self._child is not None and patience is not None and wanted != patience.asked:
            patience.asked = wanted
            try:
                self._child.line.send((self._tickets.index(ticket), wanted))
            except OSError:
                return  # it is gone, which is heard next

    def hear(self) -> Iterator[Heard]:
        """What came from the worker; where it is gone, that as well."""
        while (child := self._child) is not None:
            left = _left(child.process)  # asked first: what it sent before it died is there
            try:
                heard = self._receive(child)
            except (EOFError, OSError):
                heard, left = None, True
            except ValueError as error:
                yield from self._gone(Lost(f"the worker process sent {error}"))
                return
            if heard is None:
                if left:
                    let_end(child.process)
                    when = "while it painted" if self._serves else "before it could begin"
                    fate = _fate(child.process, when)
                    yield from self._gone(self._end(f"the worker process {fate}"))
                return
            self._note(heard)
            yield heard

    def waited(self, seconds: float) -> Iterator[Heard]:
        """The worker was silent for so much longer; events where that is too long for all."""
        borne = [one for one in self._going.values() if not one.waited(seconds)]
        if self._going and not borne:
            silent = max(one.silent for one in self._going.values())
            why = f"the worker hung: there was no sign of life for {silent:.0f} s"
            yield from self._gone(self._end(why))

    def drop(self, ticket: str, why: str) -> Iterator[Heard]:
        """End an attempt: now, with its worker, or where others share that at its next step."""
        if self.tickets == {ticket}:
            yield from self.end(why)
        else:
            self.ask(ticket, Wanted.CANCEL)

    def end(self, why: str) -> Iterator[Heard]:
        """End all attempts now, if there are any; their worker is killed."""
        if self._going:
            yield from self._gone(Lost(why))

    def let_go(self) -> None:
        """Let an idle worker leave; what it holds, a GPU's memory too, is given back."""
        if self._child is not None:
            self._child.let_go()
            self._child = None

    def _note(self, heard: Heard) -> None:
        """The worker lives; one of its attempts, perhaps, is at its end."""
        for patience in self._going.values():
            patience.silent = 0.0
        self._going[heard.ticket].heard(heard.event)
        if isinstance(heard.event, Done | Stopped | Refused | Failed):
            del self._going[heard.ticket]
            self._spent |= isinstance(heard.event, Failed) and heard.event.recycle
            self.idle_since = time.monotonic()
            if self._spent and not self._going:
                self._kill()

    def _gone(self, end: Lost | Failed) -> Iterator[Heard]:
        """End the process; `end` holds for all that it painted."""
        self._kill()
        lost, self._going = list(self._going), {}
        self.idle_since = time.monotonic()
        for ticket in lost:
            yield Heard(ticket, end)

    def _end(self, why: str) -> Lost | Failed:
        """The end of what a process painted that is gone.

        One that never took its orders says nothing about them: they wait for better times.
        """
        return Lost(why) if self._serves else Failed(why, ShortageError.exit_code)

    def _kill(self) -> None:
        if self._child is not None:
            self._child.kill()
        self._child = None

    def _ready(self, backend: str) -> Connection:
        """The line to a process that is fit for `backend`, and never had another one in it.

        Whatever a backend does to its process, jobs for others do not feel it, nor does one wait
        for memory, a GPU's too, that another keeps.
        """
        if self._child is not None and (
            backend != self._backend or _memory(self._child.process.pid) > self._most_memory
        ):
            self.let_go()
        self._backend = backend
        if self._child is None or not self._child.process.is_alive():
            self._kill()
            self._serves = False
            self._child = Child.start(_enter, self._work, self._lock)
        return self._child.line

    def _receive(self, child: Child) -> Heard | None:
        """The next event; None where there is none yet.

        Raises EOFError, OSError: no more can come. ValueError: it is nonsense.
        """
        raw = READY
        while raw == READY:
            if not child.line.poll():
                return None
            raw = child.line.recv_bytes(messages.LONGEST)
            self._serves = True
        event: Event = messages.unpack(raw[1:], *get_args(Event))
        ticket = next(iter(self._tickets[raw[0] :]), "")
        if ticket not in self._going:
            raise ValueError(f"word of an attempt that is not being made: {raw[:80]!r}")
        return Heard(ticket, event)


def _enter(orders: Connection, work: str, lock: Path) -> None:
    """The child's door; what lies behind it is heavy, and is loaded there only."""
    serve: Callable[[Connection, str, Path], None] = resolve_name(_SERVE)
    serve(orders, work, lock)


def _left(process: BaseProcess) -> bool:
    """Whether a worker is gone, or can be heard no more: its files were closed."""
    return not process.is_alive() or bool(wait([process.sentinel], 0))


def _memory(pid: int | None) -> int:
    """Bytes of memory that a process holds; 0 where the kernel does not say."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _fate(process: BaseProcess, when: str) -> str:
    """What became of a worker, `when`, and what may help."""
    why = cause(process)
    if not why:
        return f"cut itself off from us, closing files that were not its own, {when}"
    helps = "; a smaller size needs less" if "memory" in why else ""
    return f"died ({why}{helps}) {when}"
