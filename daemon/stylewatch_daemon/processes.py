"""Child processes of ours: what each does when it begins, how it speaks, and how it ended."""

import os
import signal
import threading
import time
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from stylewatch_daemon import wire

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
        pipe.send_bytes(head + wire.pack(record))
    except ConnectionError:
        raise SystemExit(1) from None  # there is nobody to work for


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
    code = process.exitcode
    if code is None:
        return ""
    if code == -signal.SIGKILL:
        return "signal 9, often for want of memory"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _leave_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
    os._exit(1)
