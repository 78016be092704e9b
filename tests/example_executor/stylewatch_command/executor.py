"""Executor `command`: each attempt runs in a process that a command starts, here or elsewhere.

The process gets the order, and later requests, on its standard input, and answers with events on
its standard output. It sees the outbox and not the state folder, so it gets copies of the pictures.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from shutil import which
from subprocess import Popen
from typing import Annotated, ClassVar, get_args

from pydantic import Field

from stylewatch_daemon.base.child import decode, limit_silence
from stylewatch_daemon.base.model import Cause
from stylewatch_daemon.executors.base import Executor
from stylewatch_daemon.executors.local import WORK
from stylewatch_daemon.executors.scheduler import Command, Emit, Scheduler
from stylewatch_daemon.executors.shared_inputs import shared
from stylewatch_daemon.executors.worker_process import HangTimeout
from stylewatch_daemon.settings.executors import ExecutorSettings
from stylewatch_daemon.worker.failures import as_end
from stylewatch_daemon.worker.messages import (
    READY,
    AttemptEnd,
    AttemptEvent,
    AttemptLost,
    AttemptRequest,
    Event,
    Failed,
    Order,
)

POLL_EVERY = 0.2
"""Maximum wait for a process that paints, in seconds."""


class CommandSettings(ExecutorSettings):
    """The keys of `executor:` that are for the kind `command`."""

    is_remote: ClassVar = True

    python: Annotated[tuple[str, ...], Field(min_length=1)] = (sys.executable,)
    """The command that starts Python where jobs run, such as `[ssh, studio, python3]`."""
    places: Annotated[int, Field(ge=1, le=64)] = 1
    """Number of attempts at once."""

    def mistakes(self) -> Iterator[str]:
        """Yield that there is no such command."""
        if which(self.python[0]) is None:
            yield f"executor.python: {self.python[0]!r} is no program that can be run"

    def start(self, lock: Path, wake: Callable[[], object]) -> "ByCommand":
        """Return the executor; a process that outlives it does no harm, and needs no `lock`.

        It writes into the folder of its own attempt alone, as it `is_remote`.
        """
        return ByCommand(self.python, self.places, wake)


class Place:
    """A slot for one attempt at a time, each in a process of its own."""

    device: str | None = None

    def __init__(self, emit: Emit, command: Sequence[str]) -> None:
        self.ticket = ""
        self.line: Connection | None = None
        """The connection to the process; None while there is none."""
        self._emit, self._command = emit, command
        self._process: Popen[bytes] | None = None

    def begin(self, ticket: str, order: Order) -> None:
        """Copy the inputs to where the process sees them, start it, and give it the order."""
        self.ticket, self._is_ready = ticket, False
        self._timeout = HangTimeout(order.step_timeout_s)
        try:
            order = shared(order)
        except Exception as error:
            self._finish(as_end(error))
            return
        try:
            self.line, theirs = Pipe()
            with theirs:
                limit_silence(self.line)
                self._process = Popen(
                    self._command, stdin=theirs.fileno(), stdout=theirs.fileno(),
                    start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            self._finish(Failed(f"the command could not be used: {error}", Cause.MACHINE))
            return
        self._send(order)

    def ask(self, wanted: AttemptRequest) -> None:
        """Pass a request on to the process."""
        self._timeout.asked = wanted
        self._send(wanted)

    def _send(self, message: Order | AttemptRequest) -> None:
        """Send a message to the process; if it has just died, `read` finds that."""
        if self.line is not None:
            with suppress(OSError):
                self.line.send(message)

    def end(self, why: str) -> None:
        """End the attempt now, as lost, if there is one."""
        if self.ticket:
            self._finish(AttemptLost(why))

    def read(self) -> None:
        """Emit the event that has arrived; without one the process has died."""
        assert self.line is not None
        try:
            raw = self.line.recv_bytes()
            if raw == READY and not self._is_ready:
                self._is_ready = True
                return
            event: Event = decode(raw, *get_args(Event))
        except (EOFError, OSError, ValueError):
            event = self._lost("ended")
        self._timeout.note(event)
        if isinstance(event, AttemptEnd):
            self._finish(event)
        else:
            self._emit(AttemptEvent(self.ticket, event))

    def add_silence(self, seconds: float) -> None:
        """Count more silence of the process; end the attempt if it is too much."""
        if self._timeout.add_silence(seconds):
            self._finish(self._lost("hung"))

    def _lost(self, how: str) -> AttemptLost | Failed:
        """Return the end of an attempt whose process is gone.

        If it did not get to the order, as when the machine is away, the job is not to blame, and
        waits.
        """
        reason = f"the process of {self._command[0]} {how} before its job did"
        return AttemptLost(reason) if self._is_ready else Failed(reason, Cause.DEVICE)

    def _finish(self, end: AttemptEnd) -> None:
        if self.line is not None:
            self.line.close()  # at which a process on another machine stops
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # also what a script has started
            self._process.wait()
        self.line = self._process = None
        ticket, self.ticket = self.ticket, ""
        self._emit(AttemptEvent(ticket, end))


class ByCommand(Executor):
    """Executor that starts Python by the command `python` for each attempt.

    `work` names, as `module:function`, what the process does with its order.
    """

    def __init__(
        self, python: Sequence[str], places: int, wake: Callable[[], object], work: str = WORK
    ) -> None:
        super().__init__("command", wake)
        # without modules from the folder where it starts, the home of an account elsewhere
        command = [*python, "-P", "-m", "stylewatch_command.remote", work]
        self._places = [Place(self._emit, command) for _ in range(places)]
        self._scheduler = Scheduler(self._emit, self._places)
        self.capacity = places

    def _obey(self, command: Command) -> None:
        self._scheduler.obey(command)

    def _wait(self) -> None:
        self._scheduler.assign()
        busy = {place.line: place for place in self._places if place.line is not None}
        began = time.monotonic()
        ready = wait([self._wakeup, *busy], POLL_EVERY if busy else None)
        passed = min(time.monotonic() - began, POLL_EVERY)
        if self._wakeup in ready:
            self._obey_next()
        for line, place in busy.items():
            if place.line is not line:
                continue  # its attempt has been given up
            if line in ready:
                place.read()
            else:
                place.add_silence(passed)

    def _fail(self, why: str) -> None:
        self._scheduler.end_all(why)

    def _leave(self, why: str) -> None:
        self._scheduler.end_all(why)
