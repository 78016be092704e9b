"""The inside of a worker process, run in this one: what it makes of what comes through the pipe."""

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
from stylewatch_daemon.worker import child
from stylewatch_daemon.worker.contract import READY, Done, End, Event, Order, Stopped


@pytest.fixture
def pipe() -> Iterator[tuple[Connection, Connection]]:
    ours, theirs = Pipe()
    with ours, theirs:
        yield ours, theirs


def order(what: str) -> Order:
    path = Path("nowhere")
    return Order(what, JobSettings(), content=path, styles=(path,), staging=path)


def received(pipe: Connection) -> Event:
    while (raw := pipe.recv_bytes()) == READY:
        pass
    assert raw[0] == 0  # the first of those that came together
    event: Event = decode(raw[1:], *get_args(Event))
    return event


def serve(orders: Connection, lock: Path) -> None:
    with suppress(SystemExit):  # the end of the process, where this is one
        child.serve(orders, WORK, lock)
    orders.close()


def test_it_leaves_when_the_pipe_closes(
    pipe: tuple[Connection, Connection], tmp_path: Path
) -> None:
    ours, theirs = pipe
    ours.send([order("paint")])
    serving = Thread(target=serve, args=(theirs, tmp_path / "lock"))
    serving.start()
    assert isinstance(received(ours), Progress)
    assert isinstance(received(ours), Done)
    ours.close()
    serving.join()


def test_a_stop_that_comes_too_late_does_not_stop_the_next_order(
    pipe: tuple[Connection, Connection], tmp_path: Path
) -> None:
    ours, theirs = pipe
    ours.send((0, "stop"))
    ours.send([order("paint")])
    serving = Thread(target=serve, args=(theirs, tmp_path / "lock"))
    serving.start()
    assert isinstance(received(ours), Progress)
    assert isinstance(received(ours), Done)
    ours.close()
    serving.join()


@pytest.mark.parametrize(
    ("said", "end"),
    [
        (["stop"], Stopped(1)),
        (["cancel"], Stopped(1)),
        (["finish"], Done({"state": "finished"})),
        (["finish", "stop"], Stopped(1)),
    ],
)
def test_an_order_ends_as_it_was_asked_to_last(
    pipe: tuple[Connection, Connection], tmp_path: Path, said: list[str], end: End
) -> None:
    ours, theirs = pipe
    ours.send([order("until stopped")])
    for one in said:
        ours.send((0, one))
    serving = Thread(target=serve, args=(theirs, tmp_path / "lock"))
    serving.start()
    assert isinstance(received(ours), Progress)
    assert received(ours) == end
    ours.close()
    serving.join()


def test_a_supervisor_that_goes_in_the_middle_stops_the_work(
    pipe: tuple[Connection, Connection], tmp_path: Path
) -> None:
    ours, theirs = pipe
    ours.send([order("until stopped")])
    serving = Thread(target=serve, args=(theirs, tmp_path / "lock"))
    serving.start()
    assert isinstance(received(ours), Progress)
    ours.close()
    serving.join()
