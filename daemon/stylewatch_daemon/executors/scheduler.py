"""Waiting orders, and the slots that run them: local processes or actors of a cluster.

A scheduler belongs to one thread or event loop, which makes all calls, so it needs no lock.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from stylewatch_daemon.worker.messages import (
    AttemptEnd,
    AttemptEvent,
    AttemptLost,
    AttemptRequest,
    AttemptStopped,
    Failed,
    Order,
    Refused,
)

DROPPED = "it was given up"

Emit = Callable[[AttemptEvent], object]
"""Function that receives an event of an attempt."""


@dataclass(frozen=True)
class Submit:
    """Command to run an attempt as soon as a slot is free."""

    ticket: str
    order: Order


@dataclass(frozen=True)
class Ask:
    """Command to pass a request on to an attempt."""

    ticket: str
    wanted: AttemptRequest


@dataclass(frozen=True)
class Drop:
    """Command to end an attempt now."""

    ticket: str


Command = Submit | Ask | Drop


class Slot(Protocol):
    """A place that runs one attempt at a time, and emits its events."""

    @property
    def device(self) -> str | None:
        """Device of the slot; None: the best one that the backend finds."""
        ...

    @property
    def ticket(self) -> str:
        """Ticket of the running attempt; empty if the slot is free."""
        ...

    def begin(self, ticket: str, order: Order) -> None:
        """Begin the attempt `ticket`, as `order` describes it."""
        ...

    def ask(self, wanted: AttemptRequest) -> None:
        """Pass a request on to the attempt; a later request replaces an earlier one."""
        ...

    def end(self, why: str) -> None:
        """End the attempt now, if there is one, as lost with the reason `why`."""
        ...


class Scheduler:
    """Assignment of waiting orders to free slots, first come, first served.

    `emit` gets the ends of attempts that no slot began.
    """

    def __init__(self, emit: Emit, slots: Iterable[Slot] = ()) -> None:
        self._emit = emit
        self._slots = list(slots)
        self._waiting: dict[str, Order] = {}
        self._wanted: dict[str, AttemptRequest] = {}
        """Latest requests to attempts that wait for a slot, by ticket."""

    @property
    def waiting(self) -> int:
        """Number of orders that wait for a slot."""
        return len(self._waiting)

    def add(self, slot: Slot) -> None:
        """Add a slot, and give waiting orders to free slots."""
        self._slots.append(slot)
        self.assign()

    def remove(self, slot: Slot) -> None:
        """Remove a slot, if it was added."""
        if slot in self._slots:
            self._slots.remove(slot)

    def obey(self, command: Command) -> None:
        """Carry out a command; a command for an attempt that has ended does nothing.

        A request to stop or to cancel ends an attempt that waits for a slot.
        """
        ticket = command.ticket
        if isinstance(command, Submit):
            self._waiting[ticket] = command.order
            self.assign()
            return
        running = [slot for slot in self._slots if slot.ticket == ticket]
        if isinstance(command, Drop):
            for slot in running:
                slot.end(DROPPED)
            self._end_waiting([ticket], AttemptLost(DROPPED))
            return
        for slot in running:
            slot.ask(command.wanted)
        if ticket in self._waiting:
            self._wanted[ticket] = command.wanted
            if command.wanted in (AttemptRequest.STOP, AttemptRequest.CANCEL):
                self._end_waiting([ticket], AttemptStopped(0))

    def assign(self) -> None:
        """Give waiting orders to free slots; call this when a slot becomes free."""
        for ticket, order in list(self._waiting.items()):
            slot = self._free_slot(order.settings.device)
            if slot is not None:
                del self._waiting[ticket]
                slot.begin(ticket, order)
                wanted = self._wanted.pop(ticket, None)
                if wanted is not None:
                    slot.ask(wanted)

    def fail_next(self, end: Refused | Failed) -> None:
        """End the attempt that has waited longest, if any waits, with `end`."""
        self._end_waiting([*self._waiting][:1], end)

    def fail_waiting(self, end: Failed | AttemptLost) -> None:
        """End all waiting attempts with `end`."""
        self._end_waiting([*self._waiting], end)

    def end_all(self, why: str) -> None:
        """End all attempts, running and waiting, as lost with the reason `why`."""
        for slot in self._slots:
            slot.end(why)
        self.fail_waiting(AttemptLost(why))

    def _free_slot(self, device: str | None) -> Slot | None:
        """Return a free slot, or None; only slots for `device` count if there are any for it."""
        preferred = [slot for slot in self._slots if device is not None and slot.device == device]
        for slot in preferred or self._slots:
            if not slot.ticket:
                return slot
        return None

    def _end_waiting(self, tickets: Iterable[str], end: AttemptEnd) -> None:
        ended = [ticket for ticket in tickets if self._waiting.pop(ticket, None) is not None]
        for ticket in ended:
            self._wanted.pop(ticket, None)
            self._emit(AttemptEvent(ticket, end))
