"""Batches of attempts that wait, and the slots that run them: local processes or Ray actors.

A scheduler belongs to one thread or event loop, which makes all calls; it needs no lock.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

from stylewatch_daemon.worker.messages import AttemptEvent, Failed, Lost, Order, Stopped, Wanted

DROPPED = "it was given up"

Emit = Callable[[AttemptEvent], object]
"""Takes an event of an attempt."""


class Slot(Protocol):
    """A worker that runs one batch at a time. Methods return the events that they cause."""

    @property
    def device(self) -> str | None:
        """The device it runs on; None: the best one that the backend finds."""
        ...

    @property
    def tickets(self) -> Collection[str]:
        """The attempts that it runs."""
        ...

    def begin(self, orders: Mapping[str, Order]) -> Iterable[AttemptEvent]:
        """Begin a batch, by ticket."""
        ...

    def ask(self, ticket: str, wanted: Wanted) -> None:
        """Pass a request on, if the slot runs that attempt; the last request holds."""
        ...

    def drop(self, ticket: str, why: str) -> Iterable[AttemptEvent]:
        """End an attempt now; where it shares its worker, at its next step."""
        ...

    def end(self, why: str) -> Iterable[AttemptEvent]:
        """End all attempts of the slot now."""
        ...


class Scheduler:
    """Gives waiting batches to free slots, first come, first served; `emit` gets all events."""

    def __init__(self, emit: Emit, slots: Iterable[Slot] = ()) -> None:
        self._emit, self._slots = emit, list(slots)
        self._waiting: list[dict[str, Order]] = []
        self._wanted: dict[str, Wanted] = {}
        """Requests to attempts that wait."""

    @property
    def waiting(self) -> int:
        """Number of batches that wait for a slot."""
        return len(self._waiting)

    def add(self, slot: Slot) -> None:
        """Use another slot from now on."""
        self._slots.append(slot)
        self.assign()

    def remove(self, slot: Slot) -> None:
        """Use a slot no more, if it was in use."""
        if slot in self._slots:
            self._slots.remove(slot)

    def submit(self, orders: Mapping[str, Order]) -> None:
        """Run a batch of attempts, by ticket, as soon as a slot for its device is free."""
        self._waiting.append(dict(orders))
        self.assign()

    def ask(self, ticket: str, wanted: Wanted) -> None:
        """Pass a request on to an attempt, or keep it until the attempt begins."""
        for slot in self._slots:
            slot.ask(ticket, wanted)
        if any(ticket in orders for orders in self._waiting):
            self._wanted[ticket] = wanted
            if wanted.ends_waiting:
                self._end_waiting([ticket], Stopped(0))

    def drop(self, ticket: str) -> None:
        """End an attempt now."""
        for slot in self._slots:
            if ticket in slot.tickets:
                self.emit_all(slot.drop(ticket, DROPPED))
        self._end_waiting([ticket], Lost(DROPPED))

    def assign(self) -> None:
        """Give waiting batches to free slots; to be called when a slot becomes free."""
        for orders in list(self._waiting):
            slot = self._free_slot(next(iter(orders.values())).settings.device)
            if slot is not None:
                self._waiting.remove(orders)
                self.emit_all(slot.begin(orders))
                for ticket in orders.keys() & self._wanted.keys():
                    slot.ask(ticket, self._wanted.pop(ticket))

    def fail_next(self, end: Failed) -> None:
        """End the batch that waits longest."""
        if self._waiting:
            self._end_waiting(list(self._waiting[0]), end)

    def fail_waiting(self, end: Failed | Lost) -> None:
        """End all batches that wait."""
        self._end_waiting([ticket for orders in self._waiting for ticket in orders], end)

    def end_all(self, why: str) -> None:
        """End all attempts, those that run and those that wait, as lost."""
        for slot in self._slots:
            self.emit_all(slot.end(why))
        self.fail_waiting(Lost(why))

    def emit_all(self, events: Iterable[AttemptEvent]) -> None:
        """Emit events of a slot."""
        for event in events:
            self._emit(event)

    def _free_slot(self, device: str | None) -> Slot | None:
        """A free slot: that of `device` where it has its own, else any."""
        own = [slot for slot in self._slots if device is not None and slot.device == device]
        return next((slot for slot in own or self._slots if not slot.tickets), None)

    def _end_waiting(self, tickets: Iterable[str], end: Stopped | Failed | Lost) -> None:
        for ticket in tickets:
            self._wanted.pop(ticket, None)
            for orders in self._waiting:
                if orders.pop(ticket, None) is not None:
                    self._emit(AttemptEvent(ticket, end))
        self._waiting = [orders for orders in self._waiting if orders]
