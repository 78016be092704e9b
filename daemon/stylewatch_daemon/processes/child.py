"""Child processes of ours: what each does when it begins, how it speaks, and how it ended."""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, Self

from stylewatch_daemon.files import shortages
from stylewatch_daemon.processes import messages

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

LEAVE_WITHIN = 2.0
"""Seconds that a process gets to end before it is killed."""

_LOOK_EVERY = 0.01


def settle_in() -> None:
    """In a child: leave signals to the supervisor, and leave at once when that is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def received(pipe: Connection) -> Any:
    """In a child: what the supervisor says next; None when it will say no more."""
    try:
        return pipe.recv()
    except (EOFError, ConnectionError):
        return None


def send(pipe: Connection, record: "DataclassInstance", head: bytes = b"") -> None:
    """In a child: tell the supervisor, as plain data; raises TypeError where it is not plain."""
    try:
        pipe.send_bytes(head + messages.pack(record))
    except ConnectionError:
        raise SystemExit(1) from None  # there is nobody to work for


@dataclass(frozen=True)
class Child:
    """In the supervisor: a process, and our end of the line to it."""

    process: BaseProcess
    line: Connection

    @classmethod
    def start(cls, door: Callable[..., None], *given: Any, name: str | None = None) -> Self:
        """One that enters by `door`, with its own end of the line, and with what is `given`.

        Raises ShortageError where this machine has no process to spare.
        """
        try:
            spawn = get_context("spawn")  # CUDA needs it, and it takes nothing of ours along
            ours, theirs = spawn.Pipe()
            with theirs, ExitStack() as on_failure:
                on_failure.callback(ours.close)
                process = spawn.Process(target=door, name=name, args=(theirs, *given))
                process.start()
                on_failure.pop_all()
        except OSError as error:
            raise shortages.no_process(error) from error
        return cls(process, ours)

    @property
    def handles(self) -> list[Connection | int]:
        """What is ready, for `multiprocessing.connection.wait`, when it spoke or ended."""
        return [self.line, self.process.sentinel]

    def let_go(self) -> None:
        """Say no more, by which an idle one leaves; one that does not is killed."""
        self.line.close()
        let_end(self.process)
        self.kill()

    def kill(self) -> None:
        """End it now."""
        self.process.kill()
        self.process.join()
        self.line.close()


def let_end(process: BaseProcess) -> None:
    """In the supervisor: give a process LEAVE_WITHIN to end.

    It is looked at itself: `join` waits without a limit once the sentinel is closed, and that
    code of a stranger's may have done, which lives on.
    """
    until = time.monotonic() + LEAVE_WITHIN
    while process.is_alive() and time.monotonic() < until:
        time.sleep(_LOOK_EVERY)


def cause(process: BaseProcess) -> str:
    """In the supervisor: what ended a process, in words; empty where it goes on."""
    return "" if process.exitcode is None else fate(process.exitcode)


def fate(code: int) -> str:
    """What the exit code of a process means, in words; a signal's is less than 0."""
    if code == -signal.SIGKILL:
        return "signal 9, often for want of memory"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _leave_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
    os._exit(1)
