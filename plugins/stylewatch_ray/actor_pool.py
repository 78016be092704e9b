"""Pool of the actors of a cluster, which are started while orders wait, and ended when idle.

An order is assigned only to an actor that is available. So no order waits for an occupied machine
while another machine is idle.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol, get_args

from stylewatch_daemon.base.errors import UnavailableError
from stylewatch_daemon.base.model import Cause
from stylewatch_daemon.executors.scheduler import DROPPED, Command, Emit, Scheduler
from stylewatch_daemon.executors.shared_inputs import shared
from stylewatch_daemon.worker.failures import as_end
from stylewatch_daemon.worker.messages import (
    AttemptEnd,
    AttemptEvent,
    AttemptLost,
    AttemptRequest,
    Event,
    Failed,
    Order,
)
from stylewatch_ray.demand import Demand, Machine
from stylewatch_ray.messages import ActorOptions, versions


class Actor(Protocol):
    """A WorkerActor on any machine; `ray_api.ActorHandle` is an implementation."""

    async def hello(self) -> tuple[str, ...]:
        """Return the actor's host name and versions of stylewatch and Python, once it is available.

        Raises UnavailableError if the actor cannot start or is lost.
        """
        ...

    def run(self, order: Order, silent_s: float) -> AsyncIterator[Event]:
        """Run an order, and yield its events.

        Raises UnavailableError if the actor is lost, or sends nothing for `silent_s` seconds.
        """
        ...

    def ask(self, wanted: AttemptRequest) -> None:
        """Pass a request on to the running order."""
        ...

    def end(self) -> None:
        """End the actor immediately, and with it the order that it runs."""
        ...


class ActorSlot:
    """A Slot whose attempts an actor runs; all calls are made in one event loop.

    An actor that sends nothing for `silent_s` seconds counts as lost.
    """

    device: str | None = None

    def __init__(self, actor: Actor, emit: Emit, silent_s: float) -> None:
        self.ticket, self.is_ended = "", False
        self.actor, self._emit, self._silent_s = actor, emit, silent_s
        self._orders: asyncio.Queue[Order] = asyncio.Queue()
        self._wanted: AttemptRequest | None = None
        """A request that arrived before the actor had the order."""
        self._runs = False

    def begin(self, ticket: str, order: Order) -> None:
        """Queue an order, as the attempt `ticket`, for `run_next`."""
        # the previous call may not have returned yet, although its AttemptEnd has arrived
        self.ticket, self._wanted, self._runs = ticket, None, False
        self._orders.put_nowait(order)

    def ask(self, wanted: AttemptRequest) -> None:
        """Pass a request on to the attempt, as soon as the actor has its order."""
        if self._runs:
            self.actor.ask(wanted)
        else:
            self._wanted = wanted

    def end(self, why: str) -> None:
        """End the actor, and its attempt, if there is one, as lost with the reason `why`."""
        self.is_ended = True
        self.actor.end()
        self._finish(AttemptLost(why))

    async def connect(self) -> None:
        """Wait until the actor is available, however long the cluster is busy.

        Raises UnavailableError if the actor cannot start, or runs another version of stylewatch or
        Python.
        """
        machine, *theirs = await self.actor.hello()
        if theirs != (own := list(versions())):
            raise UnavailableError(
                f"the machine {machine} of the cluster has stylewatch {theirs[0]} with Python "
                f"{theirs[1]}, and this one {own[0]} with {own[1]}: install the same on all"
            )

    async def run_next(self, idle_s: float) -> bool:
        """Run the next order; return False if the slot has to end.

        The slot has to end if no order arrives within `idle_s` seconds, or if it was ended while
        the inputs of the order could not be shared. Raises UnavailableError if the actor is lost,
        and any error of the call to it, after emitting the AttemptEnd of the attempt.
        """
        try:
            async with asyncio.timeout(idle_s):
                order = await self._orders.get()
        except TimeoutError:
            return False
        try:
            order = await asyncio.to_thread(shared, order)
        except Exception as error:
            self._finish(as_end(error))
            return not self.is_ended  # the attempt may have been dropped meanwhile
        try:
            await self._run(order)
        except Exception as error:
            self._finish(AttemptLost(str(error)) if self._runs else as_end(error))
            raise
        finally:
            self._runs = False
        return True

    async def _run(self, order: Order) -> None:
        async for event in self.actor.run(order, self._silent_s):
            if not isinstance(event, get_args(Event)):
                raise UnavailableError(f"the machine of the cluster sent {str(event)[:80]!r}")
            if not self._runs:
                self._runs = True
                if self._wanted is not None:
                    self.actor.ask(self._wanted)
            if isinstance(event, AttemptEnd):
                self._finish(event)
            elif self.ticket:
                self._emit(AttemptEvent(self.ticket, event))

    def _finish(self, end: AttemptEnd) -> None:
        ticket, self.ticket = self.ticket, ""
        if ticket:
            self._emit(AttemptEvent(ticket, end))


StartActor = Callable[[str], Actor]
"""Function that requests an actor on the machine with the given id, or on any machine if the id is
empty."""


class ActorPool(Scheduler):
    """Scheduler that runs attempts by actors from `start_actor`; each actor takes `demand`."""

    def __init__(
        self, demand: Demand, options: ActorOptions, start_actor: StartActor, emit: Emit
    ) -> None:
        super().__init__(emit)
        self._demand, self._options, self._start_actor = demand, options, start_actor
        self._machines: Sequence[Machine] | None = None
        """The machines of the cluster; None until it has answered."""
        self._machine_of: dict[ActorSlot, str] = {}
        """All slots, each with the id of the machine that it is bound to, or an empty string."""
        self._tasks: dict[ActorSlot, asyncio.Task[None]] = {}
        self._starting: set[ActorSlot] = set()

    @property
    def places(self) -> int:
        """Number of attempts that can run at once; 0 while the machines are unknown."""
        return self._demand.places(self._machines or ())

    def obey(self, command: Command) -> None:
        """Carry out a command, remove ended slots, and start actors for waiting orders."""
        super().obey(command)
        for slot in self._machine_of:
            if slot.is_ended:
                self.remove(slot)
        self._start_actors()

    def look(self, machines: Sequence[Machine]) -> None:
        """Update the machines that are available, and start actors for waiting orders."""
        self._machines = machines
        self._start_actors()

    def close(self) -> None:
        """End all actors, and start no more. The daemon ends their attempts."""
        self._machines = None
        for slot in self._machine_of:
            slot.actor.end()

    def _start_actors(self) -> None:
        """Request actors for the waiting orders, as far as there are places.

        If no machine has a place for a job, all waiting attempts fail, and actors that have not
        started yet are cancelled.
        """
        if self._machines is None:
            return
        if not self.places:
            reason = self._demand.impossible(self._machines)
            self.fail_waiting(Failed(reason, Cause.DEVICE))
            for slot in self._starting:
                self._tasks[slot].cancel()
        while self.waiting > len(self._starting) and len(self._machine_of) < self.places:
            machine = "" if self._demand.taken else self._unused_machine(self._machines)
            slot = ActorSlot(self._start_actor(machine), self._emit, self._options.silent_s)
            self._machine_of[slot] = machine
            self._starting.add(slot)
            self._tasks[slot] = asyncio.ensure_future(self._serve(slot))

    def _unused_machine(self, machines: Sequence[Machine]) -> str:
        """Return the id of a suitable machine without an actor; empty if there is none.

        Without demands each machine has one place.
        """
        used = self._machine_of.values()
        suitable = (machine.id for machine in machines if self._demand.places([machine]))
        return next((machine for machine in suitable if machine not in used), "")

    async def _serve(self, slot: ActorSlot) -> None:
        """Run orders in a slot until it is idle for `idle_s` seconds, or its actor is lost.

        The slot is then removed, and its actor ended.
        """
        try:
            await slot.connect()
            self._starting.remove(slot)
            self.add(slot)
            while await slot.run_next(self._options.idle_s):
                self.assign()
        except Exception as error:  # whatever the error is, no order may wait forever
            if slot in self._starting:
                self.fail_next(as_end(error))
        finally:
            self._starting.discard(slot)
            del self._machine_of[slot], self._tasks[slot]
            self.remove(slot)
            slot.end(DROPPED)
            self._start_actors()
