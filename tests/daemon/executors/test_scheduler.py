"""Waiting batches, requests to them, and workers that become free."""

from collections.abc import Mapping

import pytest
from tests.daemon.worker.listening import order

from stylewatch_daemon.executors.scheduler import Scheduler
from stylewatch_daemon.worker.messages import (
    AttemptEvent,
    Failed,
    Lost,
    Order,
    Stopped,
    Wanted,
)


class FakeWorker:
    """A worker that records what it is given."""

    def __init__(self, device: str | None = None) -> None:
        self.device = device
        self.tickets: set[str] = set()
        self.batches: list[set[str]] = []
        self.requests: list[tuple[str, Wanted]] = []

    def begin(self, orders: Mapping[str, Order]) -> list[AttemptEvent]:
        self.tickets = set(orders)
        self.batches.append(set(orders))
        return []

    def ask(self, ticket: str, wanted: Wanted) -> None:
        if ticket in self.tickets:
            self.requests.append((ticket, wanted))

    def drop(self, ticket: str, why: str) -> list[AttemptEvent]:
        self.tickets.discard(ticket)
        return [AttemptEvent(ticket, Lost(why))]

    def end(self, why: str) -> list[AttemptEvent]:
        return [AttemptEvent(ticket, Lost(why)) for ticket in sorted(self.tickets)]


class World:
    """A scheduler with workers, and the events that it emitted."""

    def __init__(self, *workers: FakeWorker) -> None:
        self.events: list[AttemptEvent] = []
        self.workers = workers
        self.scheduler = Scheduler(self.events.append, workers)

    def submit(self, *tickets: str, device: str | None = None) -> None:
        self.scheduler.submit({ticket: order("paint", device) for ticket in tickets})

    def ends(self) -> dict[str, object]:
        return {event.ticket: event.event for event in self.events}


def test_batches_and_requests_to_them_wait_in_order_for_a_free_worker() -> None:
    world = World(FakeWorker())
    (worker,) = world.workers
    for tickets in ("ab", "c", "d"):
        world.submit(*tickets)
    world.scheduler.ask("c", Wanted.FINISH)
    world.scheduler.ask("a", Wanted.STOP)
    assert world.scheduler.waiting == 2
    worker.tickets.clear()
    world.scheduler.assign()
    assert worker.batches == [{"a", "b"}, {"c"}]
    assert worker.requests == [("a", Wanted.STOP), ("c", Wanted.FINISH)]
    world.scheduler.remove(worker)
    worker.tickets.clear()
    world.scheduler.assign()
    assert len(worker.batches) == 2


def test_a_batch_waits_for_the_worker_of_its_device() -> None:
    world = World(FakeWorker("gpu:0"), FakeWorker("gpu:1"))
    world.submit("a", device="gpu:1")
    world.submit("b", device="gpu:1")
    world.submit("c")
    world.submit("d", device="cpu")  # which has no worker of its own
    assert [worker.batches for worker in world.workers] == [[{"c"}], [{"a"}]]
    assert world.scheduler.waiting == 2


@pytest.mark.parametrize("wanted", [Wanted.STOP, Wanted.CANCEL])
def test_a_waiting_attempt_that_is_to_stop_ends_at_once(wanted: Wanted) -> None:
    world, worker = World(), FakeWorker()
    world.submit("a", "b")
    world.scheduler.ask("a", wanted)
    assert world.ends() == {"a": Stopped(0)}
    world.scheduler.add(worker)
    assert worker.batches == [{"b"}]


def test_a_dropped_attempt_is_lost_and_each_attempt_ends_once() -> None:
    world = World(FakeWorker())
    for ticket in "abcde":
        world.submit(ticket)
    world.scheduler.drop("a")
    world.scheduler.drop("b")
    world.scheduler.fail_next(Failed("no actor", 69))
    world.workers[0].tickets = {"x"}
    world.scheduler.end_all("the daemon left")
    assert len(world.events) == 6
    assert world.ends() == {
        **dict.fromkeys("ab", Lost("it was given up")),
        "c": Failed("no actor", 69),
        **dict.fromkeys("dex", Lost("the daemon left")),
    }
