"""Children of ours leave with us, are deaf to signals, and their ends are told in words."""

import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from multiprocessing.process import BaseProcess

import pytest

from stylewatch_daemon.processes import child as processes
from stylewatch_daemon.processes import messages
from stylewatch_daemon.worker.contract import Staged


def stay(pipe: Connection) -> None:
    """What a child does: it says that it is there, and goes when it is told to."""
    processes.settle_in()
    processes.send(pipe, Staged("here", "12ab"))
    processes.received(pipe)


def started(target: Callable[[Connection], None] = stay) -> tuple[BaseProcess, Connection]:
    child = processes.Child.start(target)
    assert messages.unpack(child.line.recv_bytes(), Staged) == Staged("here", "12ab")
    return child.process, child.line


def test_a_child_is_deaf_to_signals_and_leaves_when_its_line_closes() -> None:
    process, ours = started()
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(process.pid or 0, number)
    time.sleep(0.1)
    assert processes.cause(process) == ""
    ours.close()
    processes.let_end(process)
    assert processes.cause(process) == "exit code 0"


def test_one_that_is_let_go_leaves_and_one_that_is_killed_does_not() -> None:
    left, killed = (processes.Child(*started()) for _ in range(2))
    left.let_go()
    killed.kill()
    assert processes.cause(left.process) == "exit code 0"
    assert processes.cause(killed.process).startswith("signal 9")


def test_one_that_does_not_end_is_not_waited_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "LEAVE_WITHIN", 0.05)
    process, ours = started()
    processes.let_end(process)
    assert process.is_alive()
    process.kill()
    process.join()
    assert processes.cause(process) == "signal 9, often for want of memory"
    ours.close()


def test_nobody_to_tell_is_the_end() -> None:
    ours, theirs = Pipe()
    ours.close()
    assert processes.received(theirs) is None
    with pytest.raises(SystemExit):
        processes.send(theirs, Staged("a", "12ab"))
