"""The worker process, run in a thread: its events for what comes through the pipe."""

from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from typing import get_args

import pytest
from tests.daemon.worker.works import WORK

from stylewatch_daemon.model import Progress
from stylewatch_daemon.processes.child import decode
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.worker import worker_main
from stylewatch_daemon.worker.messages import READY, Done, Event, Order


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[tuple[Connection, Thread]]:
    """Our end of a worker's pipe, and its thread, which is to be started."""
    ours, theirs = Pipe()

    def serve() -> None:
        with suppress(SystemExit):  # the end of the process, where this is one
            worker_main.serve(theirs, WORK, tmp_path / "lock")
        theirs.close()

    thread = Thread(target=serve)
    yield ours, thread
    ours.close()
    thread.join()


def order(what: str) -> Order:
    path = Path("nowhere")
    return Order(what, JobSettings(), content=path, styles=(path,), staging=path)


def received(pipe: Connection) -> Event:
    while (raw := pipe.recv_bytes()) == READY:
        pass
    assert raw[0] == 0  # the first of those that came together
    event: Event = decode(raw[1:], *get_args(Event))
    return event


@pytest.mark.parametrize("too_late", [(), ((0, "stop"),)])
def test_an_order_is_painted_whatever_was_asked_of_the_last_one(
    pipe: tuple[Connection, Thread], too_late: tuple[tuple[int, str], ...]
) -> None:
    ours, thread = pipe
    for message in (*too_late, [order("paint")]):
        ours.send(message)
    thread.start()
    assert isinstance(received(ours), Progress)
    assert isinstance(received(ours), Done)


def test_the_work_stops_when_the_parent_is_gone(pipe: tuple[Connection, Thread]) -> None:
    ours, thread = pipe
    ours.send([order("until stopped")])
    thread.start()
    assert isinstance(received(ours), Progress)
    ours.close()
    thread.join(60)
    assert not thread.is_alive()
