"""Benchmarks of scale and of the page: attributed time, simulated workers, viewers."""

import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.fleet import MEASURED, SLICE, Fleet, Script
from bench.meter import REST, Meter
from bench.scale import Plan, measure
from bench.viewers import watching

from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.store.ledger import FILE_NAME, reading
from stylewatch_daemon.worker.messages import Done, Order

EVENT = (
    rb'data: {"part": "running", "html": "<img src=\"/jobs/1/pictures/stage-50?d=aa\" alt=\"\">"}'
)


class Work:
    """Work that takes so many nanoseconds, by a clock of its own."""

    def __init__(self) -> None:
        self.now = 0

    def inner(self, takes: int) -> None:
        self.now += takes

    def outer(self) -> None:
        self.now += 5
        self.inner(30)
        self.now += 2

    def steps(self) -> Iterator[int]:
        for number in (1, 2):
            self.inner(10)
            self.now += 1
            yield number


def test_time_belongs_to_the_innermost_part_and_generators_count_by_their_steps() -> None:
    work = Work()
    meter = Meter(lambda: work.now)
    with pytest.MonkeyPatch.context() as patch:
        for name, part in (("inner", "in"), ("outer", "out"), ("steps", "out")):
            meter.wrap(patch, work, name, part)
        work.now += 100
        work.outer()
        work.inner(1)
        for _ in work.steps():
            work.now += 1000
    with meter.part("last"):
        work.now += 4
    assert meter.spent == {REST: 2100, "out": 9, "in": 51, "last": 4}


def test_simulated_workers_take_the_measured_times_and_end_each_job_once(tmp_path: Path) -> None:
    fleet = Fleet(3, Script(steps=4, save_every=2), random.Random(1))
    order = Order("a", JobSettings(), Path("a.jpg"), (Path("b.jpg"),), tmp_path)
    for ticket in "ab":
        fleet.submit({ticket: order})
    assert fleet.free() == 1
    ends: dict[str, float] = {}
    events: Counter[str] = Counter()
    while len(ends) < 2:
        for heard in fleet.events():
            events[type(heard.event).__name__] += 1
            if isinstance(heard.event, Done):
                ends[heard.ticket] = fleet.now
    assert fleet.free() == 3
    assert events == {"Started": 2, "Progress": 8, "Staged": 10, "Done": 2}
    for at in ends.values():
        assert any(at == pytest.approx(takes, abs=1.1 * SLICE) for takes in MEASURED)
    assert (tmp_path / "stages/0004.png").exists()


@pytest.mark.parametrize("batch", [1, 4])
def test_all_simulated_jobs_go_through_the_real_pipeline(batch: int, tmp_path: Path) -> None:
    script = Script(steps=2, save_every=1)
    found = measure(Plan(queued=10, jobs=10, devices=3, batch=batch, script=script), tmp_path)
    with reading(tmp_path / "state" / FILE_NAME) as ledger:
        assert ledger.counts()["done"] == 10
    assert len(list(tmp_path.glob("out-*/*/receipt.json"))) == 10
    assert found.own > 0 and 0 < found.calls["commits, and syncs in them"] < 5


def test_each_viewer_gets_every_event_and_fetches_a_stage_once() -> None:
    requests, over = list[bytes](), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer(client: socket.socket) -> None:
            with client:
                requests.append(client.recv(4096).split(b" ")[1])
                if requests[-1] != b"/events":
                    client.sendall(b"HTTP/1.1 200 OK\r\n\r\npicture")
                    return
                client.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
                client.sendall((EVENT + b"\n\n") * 2)
                over.wait()

        def serve() -> None:
            for _ in range(6):
                threading.Thread(target=answer, args=(server.accept()[0],)).start()

        threading.Thread(target=serve).start()
        with watching(server.getsockname()[1], "/events", 3, pictures=True) as tally:
            while tally.pictures < 3 or tally.events < 6:
                time.sleep(0.01)
            over.set()
    assert (tally.viewers, tally.events, tally.pictures) == (3, 6, 3)
    assert sorted(requests) == [b"/events"] * 3 + [b"/jobs/1/pictures/stage-50?d=aa"] * 3
