"""A worker process of one device: started when needed, watched, replaced when it dies or hangs.

When a worker dies, `WorkerProcess.receive` first emits the events that the worker sent before, and
then ends its attempt: as AttemptLost if the worker had taken the order, or else as Failed with the
cause MACHINE.
"""

import time
from collections import deque
from contextlib import suppress
from dataclasses import replace
from enum import Enum, auto
from itertools import accumulate
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import get_args

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.child import Child, decode
from stylewatch_daemon.base.model import Cause, Progress, Started
from stylewatch_daemon.executors.scheduler import Emit
from stylewatch_daemon.worker.messages import (
    READY,
    AttemptEnd,
    AttemptEvent,
    AttemptLost,
    AttemptRequest,
    Event,
    Failed,
    Order,
    Saving,
)
from stylewatch_painter.process_memory import resident

NAME = "worker"
"""Name of the process."""

MAX_EVENTS = 100

_SERVE = "stylewatch_daemon.worker.worker_main:serve"

MIN_STEP = 60.0
"""Minimum timeout of a step in seconds, if `limits.step_timeout_s` is not set."""

FACTOR = 10
"""Timeout of a step as a multiple of the median step. Loading, the first step at a size, and
writing a checkpoint or the final files may take this multiple of `limits.step_timeout_s` or, if
that is not set, of MIN_STEP."""

MEDIAN_OF = 25
"""Number of steps from which the median is computed."""


class Phase(Enum):
    """Work that an attempt may be doing until its next event, by which its timeout is chosen."""

    LOADING = auto()
    """Loading, or the first step at a size, before which the backend decides how to use the memory.
    """
    UNTIMED = auto()
    """A step at a size at which no step has been timed."""
    STEP = auto()
    SAVING = auto()
    """Writing of a checkpoint, or of the final files."""


class HangTimeout:
    """Timer of the silence of an attempt, with the limit from which its worker counts as hung.

    `step_timeout_s` is the limit for a step. If it is None, the limit is FACTOR times the median
    step, but at least MIN_STEP; before a step at the present size was timed, it is the limit for
    loading. Time is counted as reported to `add_silence`, so that no worker looks hung after the
    machine was asleep or this process was stopped.
    """

    def __init__(self, step_timeout_s: float | None) -> None:
        self.silent = 0.0
        """Seconds of silence since the last event."""
        self.asked = AttemptRequest.GO_ON
        """The last request that was passed on to the attempt."""
        self._step_timeout_s = step_timeout_s
        self._phase = Phase.LOADING
        self._step_seconds: deque[float] = deque(maxlen=MEDIAN_OF)
        """Durations in seconds of the last steps at the present size."""
        self._last: Progress | None = None
        self._last_steps: set[int] = set()
        """Numbers of the steps that are the last ones at their sizes."""

    def note(self, event: Event) -> None:
        """Record an event of the attempt."""
        self.silent = 0.0
        if isinstance(event, Started):  # after a new start it loads again
            self._last_steps = set(accumulate(event.steps_at))
            self._last = None
            self._step_seconds.clear()
            self._phase = Phase.LOADING
        elif isinstance(event, Progress):
            self._time(event)
            if event.step in self._last_steps:
                self._phase = Phase.LOADING
            elif self._step_seconds:
                self._phase = Phase.STEP
            else:
                self._phase = Phase.UNTIMED
        elif isinstance(event, Saving):
            self._phase = Phase.SAVING

    def _time(self, progress: Progress) -> None:
        """Record the duration of the step `progress`; at a new size, drop the recorded ones."""
        if self._last is None or progress.size != self._last.size:
            self._step_seconds.clear()
        else:
            self._step_seconds.append(progress.seconds - self._last.seconds)
        self._last = progress

    def add_silence(self, seconds: float) -> bool:
        """Add seconds of silence; return whether the limit is exceeded."""
        self.silent += seconds
        return self.silent > self.limit

    @property
    def limit(self) -> float:
        """Seconds that the attempt may be silent now."""
        step = self._step_limit
        if not self._may_be_slow:
            return step
        return max(step, FACTOR * (self._step_timeout_s or MIN_STEP))

    @property
    def _step_limit(self) -> float:
        """Seconds that a step may take, by the settings or by the steps before it."""
        if self._step_timeout_s:
            return self._step_timeout_s
        if not self._step_seconds:
            return MIN_STEP
        return max(MIN_STEP, FACTOR * median(self._step_seconds))

    @property
    def _may_be_slow(self) -> bool:
        """True if the attempt may do something now that takes longer than a step."""
        if self._phase is Phase.SAVING or self.asked is AttemptRequest.FINISH:
            return True
        if self.asked is not AttemptRequest.GO_ON:
            return False  # it has made no step, and so nothing is saved before it ends
        is_untimed = self._phase is Phase.UNTIMED and self._step_timeout_s is None
        return is_untimed or self._phase is Phase.LOADING


class WorkerProcess:
    """A Slot on `device` (None: the backend's preferred device), served by a worker process.

    `work` names, as `module:function`, the code that the process runs; `lock` is a file that all
    workers lock, shared, while they live. An idle worker that holds more than `most_memory` bytes
    is replaced. `emit` gets the events of the attempts.
    """

    def __init__(
        self, emit: Emit, device: str | None, lock: Path, work: str, most_memory: int
    ) -> None:
        self.device = device
        self._emit = emit
        self.ticket = ""
        """Ticket of the running attempt; empty if there is none."""
        self._idle_since = time.monotonic()
        self._lock = lock
        self._work = work
        self._most_memory = most_memory
        self._child: Child | None = None
        self._backend = ""
        self._timeout = HangTimeout(None)
        self._serves = False
        """True once the process has begun to take orders."""

    @property
    def is_running(self) -> bool:
        """True if there is a process."""
        return self._child is not None

    @property
    def idle_s(self) -> float:
        """Seconds since the last attempt ended, or since this slot was made if there was none."""
        return time.monotonic() - self._idle_since

    @property
    def handles(self) -> list[Connection]:
        """Connections on which `multiprocessing.connection.wait` waits for events."""
        return [] if self._child is None else [self._child.line]

    def begin(self, ticket: str, order: Order) -> None:
        """Begin an attempt; if no process can take its order, end it as Failed."""
        self.ticket = ticket
        self._timeout = HangTimeout(order.step_timeout_s)
        try:
            self._ready(order.settings.backend).send(replace(order, device=self.device))
        except OSError as error:  # no process can be started, or it has just died
            why = shortages.in_words(error) if shortages.shortage(error) else str(error)
            reason = f"the worker process could not be used: {why}"
            self._lose(Failed(reason, Cause.MACHINE))

    def ask(self, wanted: AttemptRequest) -> None:
        """Pass a request on to the attempt, unless it repeats the last one."""
        if self._child is not None and self.ticket and wanted != self._timeout.asked:
            self._timeout.asked = wanted
            with suppress(OSError):  # its death will be received as an event
                self._child.send(wanted)

    def receive(self) -> None:
        """Handle messages that have arrived from the worker, and its death.

        At most MAX_EVENTS are handled at once, so that a flood from one worker does not delay
        others.
        """
        for _ in range(MAX_EVENTS):
            child = self._child
            if child is None:
                return
            try:
                if not child.line.poll():
                    return
                self._receive(child)
            except (EOFError, OSError):
                self._lose(self._end_by_death(_describe_death(child, self._serves)))
            except ValueError as error:
                self._lose(AttemptLost(f"the worker process sent {error}"))

    def add_silence(self, seconds: float) -> None:
        """Count more silence of the worker; if it exceeds the limit, end the attempt as hung."""
        if self.ticket and self._timeout.add_silence(seconds):
            silent = self._timeout.silent
            why = f"the worker hung: there was no sign of life for {silent:.0f} s"
            self._lose(self._end_by_death(why))

    def end(self, why: str) -> None:
        """End the attempt now, if there is one, and kill its worker."""
        if self.ticket:
            self._lose(AttemptLost(why))

    def stop(self) -> None:
        """Stop an idle worker, which frees its memory, including that of the GPU."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def _finish(self, end: AttemptEnd) -> None:
        """Record that the attempt has ended, and emit its AttemptEnd."""
        ticket = self.ticket
        self.ticket = ""
        self._idle_since = time.monotonic()
        if ticket:
            self._emit(AttemptEvent(ticket, end))

    def _lose(self, end: AttemptLost | Failed) -> None:
        """Kill the process, and end its attempt, if there is one, with `end`."""
        self._kill()
        self._finish(end)

    def _end_by_death(self, why: str) -> AttemptLost | Failed:
        """Return the end of the attempt of a process that has died or hung.

        If the process never took its order, the attempt is not to blame, and is tried again later.
        """
        return AttemptLost(why) if self._serves else Failed(why, Cause.MACHINE)

    def _kill(self) -> None:
        if self._child is not None:
            self._child.kill()
        self._child = None

    def _ready(self, backend: str) -> Child:
        """Return a running process that has run no backend but `backend`; start one if necessary.

        A process that has run another backend, or that holds too much memory, is stopped first:
        nothing that a backend does to its process, or keeps in memory, may affect jobs of other
        backends. Raises ShortageError.
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
        """Handle the message that has arrived.

        Raises EOFError or OSError if no more can arrive, ValueError if the message is invalid.
        """
        raw = child.receive_bytes()
        self._serves = True
        if raw == READY:
            return
        event: Event = decode(raw, *get_args(Event))
        if not self.ticket:
            raise ValueError(f"an event of an attempt that is not being made: {raw[:80]!r}")
        self._timeout.note(event)
        if not isinstance(event, AttemptEnd):
            self._emit(AttemptEvent(self.ticket, event))
            return
        if isinstance(event, Failed) and event.recycle:
            self._kill()
        self._finish(event)


def _describe_death(child: Child, served: bool) -> str:
    """Return a sentence on how a worker ended, and what may help.

    `served` says whether it had begun to take orders.
    """
    when = "while it painted" if served else "before it could begin"
    why = child.exit_reason()
    if not why:
        return f"the worker process cut itself off, closing files that were not its own, {when}"
    advice = "; a smaller size needs less" if "memory" in why else ""
    return f"the worker process died ({why}{advice}) {when}"
