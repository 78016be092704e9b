"""Waiting batches, requests to them, and slots that become free."""

from collections.abc import Mapping

import pytest
from tests.daemon.worker.listening import order

from stylewatch_daemon.executors.scheduler import Scheduler
from stylewatch_daemon.worker.messages import AttemptEvent, Failed, Lost, Order, Stopped, Wanted


class FakeSlot:
    """A slot that records what it is given."""

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
    """A scheduler with slots, and the events that it emitted."""

    def __init__(self, *slots: FakeSlot) -> None:
        self.events: list[AttemptEvent] = []
        self.slots = slots
        self.scheduler = Scheduler(self.events.append, slots)

    def submit(self, *tickets: str, device: str | None = None) -> None:
        self.scheduler.submit({ticket: order("paint", device) for ticket in tickets})

    @property
    def ends(self) -> dict[str, object]:
        return {event.ticket: event.event for event in self.events}


def test_batches_wait_in_order_for_a_free_slot() -> None:
    world = World(FakeSlot())
    for tickets in ("ab", "c", "d"):
        world.submit(*tickets)
    assert world.slots[0].batches == [{"a", "b"}]
    assert world.scheduler.waiting == 2
    world.slots[0].tickets.clear()
    world.scheduler.assign()
    assert world.slots[0].batches == [{"a", "b"}, {"c"}]


def test_a_batch_waits_for_the_slot_of_its_device() -> None:
    world = World(FakeSlot("gpu:0"), FakeSlot("gpu:1"))
    world.submit("a", device="gpu:1")
    world.submit("b", device="gpu:1")
    world.submit("c")
    world.submit("d", device="cpu")  # which has no slot of its own
    assert [slot.batches for slot in world.slots] == [[{"c"}], [{"a"}]]
    assert world.scheduler.waiting == 2


def test_a_request_reaches_a_running_attempt_now_and_a_waiting_one_when_it_begins() -> None:
    world = World(FakeSlot())
    world.submit("a")
    world.submit("b")
    world.scheduler.ask("b", Wanted.FINISH)
    world.scheduler.ask("a", Wanted.STOP)
    world.slots[0].tickets.clear()
    world.scheduler.assign()
    assert world.slots[0].requests == [("a", Wanted.STOP), ("b", Wanted.FINISH)]


@pytest.mark.parametrize("wanted", [Wanted.STOP, Wanted.CANCEL])
def test_a_waiting_attempt_that_is_to_stop_ends_at_once(wanted: Wanted) -> None:
    world = World()
    world.submit("a", "b")
    world.scheduler.ask("a", wanted)
    assert world.ends == {"a": Stopped(0)}
    slot = FakeSlot()
    world.scheduler.add(slot)
    assert slot.batches == [{"b"}]


def test_a_dropped_attempt_is_lost_whether_it_runs_or_waits() -> None:
    world = World(FakeSlot())
    world.submit("a")
    world.submit("b")
    for ticket in "ab":
        world.scheduler.drop(ticket)
    assert world.ends == dict.fromkeys("ab", Lost("it was given up"))
    assert world.scheduler.waiting == 0


def test_all_attempts_end_once() -> None:
    world = World(FakeSlot())
    for ticket in "abc":
        world.submit(ticket)
    world.scheduler.fail_next(Failed("no actor", 69))
    world.scheduler.end_all("the daemon left")
    assert len(world.events) == 3
    assert world.ends == {
        "a": Lost("the daemon left"),
        "b": Failed("no actor", 69),
        "c": Lost("the daemon left"),
    }


def test_a_removed_slot_gets_no_batch() -> None:
    slot = FakeSlot()
    world = World(slot)
    world.scheduler.remove(slot)
    world.submit("a")
    assert slot.batches == []
