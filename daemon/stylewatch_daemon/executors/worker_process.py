"""A worker process of one device: started when needed, watched, replaced when it dies or hangs.

When a worker dies, `WorkerProcess.receive` emits what it sent before, and then ends its attempts:
as Lost if it had taken their orders, else as Failed by a lack of the machine.
"""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from itertools import accumulate
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import get_args

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.child import Child, decode
from stylewatch_daemon.base.model import Cause, Progress, Started
from stylewatch_daemon.executors.scheduler import DROPPED, Emit
from stylewatch_daemon.worker.messages import (
    READY,
    AttemptEvent,
    AttemptRequest,
    End,
    Event,
    Failed,
    Lost,
    Order,
    Saving,
)
from stylewatch_painter.process_memory import resident

NAME = "worker"
"""The name of the process."""

MAX_EVENTS = 100

_SERVE = "stylewatch_daemon.worker.worker_main:serve"

MIN_STEP = 60.0
"""Seconds that any step may take, where `limits.step_timeout_s` is not set."""

FACTOR = 10
"""A step may take so many times the median. Loading, the first step at a size, and writing a
checkpoint or the final files may take so many times the limit of a step."""

MEDIAN_OF = 25
"""Number of steps of which the median is taken."""


class HangTimeout:
    """Silence of one attempt, and the limit after which its worker counts as hung.

    `step_timeout_s` is the limit for a step; None: MIN_STEP, or FACTOR times the median step if
    that is longer. Time is counted as reported to `add_silence`: where the machine slept, or this
    process was stopped, no worker looks hung.
    """

    def __init__(self, step_timeout_s: float | None) -> None:
        self.silent = 0.0
        self.asked = AttemptRequest.GO_ON
        """The last request: an attempt that is to end and made no step has nothing to keep."""
        self._step_timeout_s = step_timeout_s
        self._slow_next = True
        self._saving = False
        self._steps: deque[float] = deque(maxlen=MEDIAN_OF)
        self._last: Progress | None = None
        self._last_steps: set[int] = set()
        """The last step at each size."""

    def note(self, event: Event) -> None:
        """Note an event of the attempt."""
        self.silent = 0.0
        self._saving = isinstance(event, Saving)
        if isinstance(event, Started):
            self._last_steps = set(accumulate(event.steps_at))
            self._last, self._slow_next = None, True  # it may have begun again, and loads again
            self._steps.clear()
        elif isinstance(event, Progress):
            if self._last is None or event.size != self._last.size:
                self._steps.clear()
            else:
                self._steps.append(event.seconds - self._last.seconds)
            self._last = event
            self._slow_next = event.step in self._last_steps

    def add_silence(self, seconds: float) -> bool:
        """Add seconds of silence; return True where that is too long."""
        self.silent += seconds
        return self.silent > self.limit

    @property
    def limit(self) -> float:
        """Seconds that the attempt may be silent now."""
        step = self._step_timeout_s or max(MIN_STEP, FACTOR * median(self._steps or [0.0]))
        loads = self._slow_next and not self.asked
        if self._saving or self.asked is AttemptRequest.FINISH or loads:
            return max(step, FACTOR * (self._step_timeout_s or MIN_STEP))
        return step


class WorkerProcess:
    """A Worker on `device` (None: the one that the backend prefers).

    `work` names, as `module:function`, the code that it runs; `lock` is a file that each worker
    holds while it lives. A worker that, idle, holds more than `most_memory` bytes is replaced.
    """

    def __init__(
        self, emit: Emit, device: str | None, lock: Path, work: str, most_memory: int
    ) -> None:
        self.device, self._emit = device, emit
        self._idle_since = time.monotonic()
        self._lock, self._work, self._most_memory = lock, work, most_memory
        self._child: Child | None = None
        self._backend = ""
        self._tickets: tuple[str, ...] = ()
        self._running: dict[str, HangTimeout] = {}
        self._spent = False
        """The process is to get no more orders."""
        self._serves = False
        """The process has begun to take orders."""

    @property
    def is_running(self) -> bool:
        """True if there is a process."""
        return self._child is not None

    @property
    def idle_s(self) -> float:
        """Seconds since the last attempt ended."""
        return time.monotonic() - self._idle_since

    @property
    def tickets(self) -> frozenset[str]:
        """The attempts that are being made."""
        return frozenset(self._running)

    @property
    def handles(self) -> list[Connection]:
        """The connections to wait on for events with `multiprocessing.connection.wait`."""
        return [] if self._child is None else [self._child.line]

    def begin(self, orders: Mapping[str, Order]) -> None:
        """Begin attempts that came together, by ticket."""
        self._tickets, self._spent = tuple(orders), False
        self._running = {
            ticket: HangTimeout(order.step_timeout_s) for ticket, order in orders.items()
        }
        (backend, *_) = [order.settings.backend for order in orders.values()]
        try:
            on_device = [replace(order, device=self.device) for order in orders.values()]
            self._ready(backend).send(on_device)
        except OSError as error:  # no process to be had, or it died this very moment
            why = shortages.in_words(error) if shortages.shortage(error) else str(error)
            reason = f"the worker process could not be used: {why}"
            self._lose(Failed(reason, Cause.MACHINE))

    def ask(self, ticket: str, wanted: AttemptRequest) -> None:
        """Pass a request on to the worker, if it runs that attempt."""
        timeout = self._running.get(ticket)
        if self._child is not None and timeout is not None and wanted != timeout.asked:
            timeout.asked = wanted
            try:
                self._child.send((self._tickets.index(ticket), wanted))
            except OSError:
                return  # its death is an event that comes next

    def receive(self) -> None:
        """Handle the messages that have come from the worker, and its death if it is gone.

        At most MAX_EVENTS at once, so that a flood from one worker holds up no other.
        """
        for _ in range(MAX_EVENTS):
            if (child := self._child) is None:
                return
            try:
                if not child.line.poll():
                    return
                self._receive(child)
            except (EOFError, OSError):
                self._lose(self._end_by_death(_describe_death(child, self._serves)))
            except ValueError as error:
                self._lose(Lost(f"the worker process sent {error}"))

    def add_silence(self, seconds: float) -> None:
        """Count more silence of the worker; end its attempts if it is too much."""
        alive = [timeout for timeout in self._running.values() if not timeout.add_silence(seconds)]
        if self._running and not alive:
            silent = max(timeout.silent for timeout in self._running.values())
            why = f"the worker hung: there was no sign of life for {silent:.0f} s"
            self._lose(self._end_by_death(why))

    def drop(self, ticket: str) -> None:
        """End an attempt: now, with its worker, or at its next step if others share the worker."""
        if self.tickets == {ticket}:
            self.end(DROPPED)
        else:
            self.ask(ticket, AttemptRequest.CANCEL)

    def end(self, why: str) -> None:
        """End all attempts now, if there are any, and kill their worker."""
        if self._running:
            self._lose(Lost(why))

    def stop(self) -> None:
        """Stop an idle worker, which gives back its memory, also that of the GPU."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def _handle(self, ticket: str, event: Event) -> None:
        """Emit an event, after recording that the worker lives, and that an attempt has ended."""
        for timeout in self._running.values():
            timeout.silent = 0.0
        self._running[ticket].note(event)
        if isinstance(event, End):
            del self._running[ticket]
            self._spent |= isinstance(event, Failed) and event.recycle
            self._idle_since = time.monotonic()
            if self._spent and not self._running:
                self._kill()
        self._emit(AttemptEvent(ticket, event))

    def _lose(self, end: Lost | Failed) -> None:
        """Kill the process; `end` is that of each of its attempts."""
        self._kill()
        lost, self._running = list(self._running), {}
        self._idle_since = time.monotonic()
        for ticket in lost:
            self._emit(AttemptEvent(ticket, end))

    def _end_by_death(self, why: str) -> Lost | Failed:
        """Return the end of the attempts of a process that is gone.

        A process that never took its orders says nothing about them: they are tried again later.
        """
        return Lost(why) if self._serves else Failed(why, Cause.MACHINE)

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
            backend != self._backend or resident(self._child.pid) > self._most_memory
        ):
            self.stop()
        self._backend = backend
        if self._child is None or not self._child.is_alive():
            self._kill()
            self._serves = False
            self._child = Child(_SERVE, self._work, self._lock, name=NAME)
        return self._child

    def _receive(self, child: Child) -> None:
        """Handle the message that has come.

        Raises EOFError or OSError if no more can come, ValueError if the message is invalid.
        """
        raw = child.receive_bytes()
        self._serves = True
        if raw == READY:
            return
        event: Event = decode(raw[1:], *get_args(Event))
        ticket = next(iter(self._tickets[raw[0] :]), "")
        if ticket not in self._running:
            raise ValueError(f"an event of an attempt that is not being made: {raw[:80]!r}")
        self._handle(ticket, event)


def _describe_death(child: Child, served: bool) -> str:
    """Return a sentence on how a worker ended, before or after it `served`, and what may help."""
    when = "while it painted" if served else "before it could begin"
    why = child.exit_reason()
    if not why:
        return f"the worker process cut itself off, closing files that were not its own, {when}"
    advice = "; a smaller size needs less" if "memory" in why else ""
    return f"the worker process died ({why}{advice}) {when}"
