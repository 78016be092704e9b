"""The actors of a cluster: started while batches wait, ended when they have no work.

An actor is requested where there is work, and takes a batch once it is there: so no batch waits for
a machine that others keep, while another has nothing to do.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from stylewatch_daemon.errors import UnavailableError
from stylewatch_daemon.executors.ray.actor_client import ActorSlot, Remote
from stylewatch_daemon.executors.ray.messages import NOT_THERE, Manner
from stylewatch_daemon.executors.scheduler import DROPPED, Emit, Scheduler
from stylewatch_daemon.settings.resources import Demand, Machine
from stylewatch_daemon.worker.messages import Failed, Order, Wanted

StartActor = Callable[[str], Remote]
"""Requests an actor, on the machine with that id; empty: on any."""


class ActorPool:
    """Runs attempts by actors that `start_actor` requests, each of which takes `demand`."""

    def __init__(
        self, demand: Demand, options: Manner, start_actor: StartActor, emit: Emit
    ) -> None:
        self._demand, self._options, self._start_actor = demand, options, start_actor
        self._emit, self._scheduler = emit, Scheduler(emit)
        self._machines: Sequence[Machine] | None = None
        """None until the cluster has answered."""
        self._machine_of: dict[ActorSlot, str] = {}
        """All slots, each with the machine that it is bound to."""
        self._starting: dict[ActorSlot, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def places(self) -> int:
        """Number of batches that can run at once."""
        return self._demand.places(self._machines or ())

    def submit(self, orders: Mapping[str, Order]) -> None:
        """Run a batch of attempts, by ticket."""
        self._scheduler.submit(orders)
        self._start_actors()

    def look(self, machines: Sequence[Machine]) -> None:
        """Continue with the machines that are there now."""
        self._machines = machines
        self._start_actors()

    def ask(self, ticket: str, wanted: Wanted) -> None:
        """Pass a request on to an attempt."""
        self._scheduler.ask(ticket, wanted)

    def drop(self, ticket: str) -> None:
        """End an attempt now."""
        self._scheduler.drop(ticket)

    def close(self) -> None:
        """End all actors; no other is started. Their attempts are ended by the supervisor."""
        self._machines = None
        for slot in list(self._machine_of):
            slot.end("the daemon left")

    def _start_actors(self) -> None:
        """Request as many actors as there are batches that wait, and places."""
        if self._machines is None:
            return
        if not self.places:
            reason = self._demand.impossible(self._machines)
            self._scheduler.fail_waiting(Failed(reason, NOT_THERE))
            for task in self._starting.values():
                task.cancel()
        while self._scheduler.waiting > len(self._starting) and len(self._machine_of) < self.places:
            machine = "" if self._demand.taken else self._unused_machine(self._machines)
            slot = ActorSlot(self._start_actor(machine), self._emit, self._options.silent_s)
            self._machine_of[slot] = machine
            task = self._starting[slot] = asyncio.ensure_future(self._serve(slot))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _unused_machine(self, machines: Sequence[Machine]) -> str:
        """A suitable machine without an actor, where each machine has one place."""
        used = self._machine_of.values()
        suitable = (machine.id for machine in machines if self._demand.fits(machine))
        return next((machine for machine in suitable if machine not in used), "")

    async def _serve(self, slot: ActorSlot) -> None:
        """Run batches in a slot until it has had none for a while, or its actor is lost."""
        try:
            await slot.connect()
            del self._starting[slot]
            self._scheduler.add(slot)
            while await slot.has_work(self._options.idle_s):
                await slot.run()
                self._scheduler.assign()
        except UnavailableError as error:
            if slot in self._starting:
                self._scheduler.fail_next(Failed(str(error), NOT_THERE))
        finally:
            self._starting.pop(slot, None)
            del self._machine_of[slot]
            self._scheduler.remove(slot)
            self._scheduler.emit_all(slot.end(DROPPED))
            self._start_actors()
