"""The actors of a cluster: started while batches wait, ended when they have no work.

An actor is requested where there is work, and takes a batch once it is there: so no batch waits for
a machine that others keep, while another has nothing to do.
"""

import asyncio
import pickle
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from stylewatch_daemon.base.errors import UnavailableError
from stylewatch_daemon.base.model import Cause
from stylewatch_daemon.executors.ray.actor import share
from stylewatch_daemon.executors.ray.clip_scheduler import ClipScheduler
from stylewatch_daemon.executors.ray.messages import (
    PIECE,
    ActorOptions,
    Stream,
    unpack,
    versions,
)
from stylewatch_daemon.executors.scheduler import DROPPED, Emit
from stylewatch_daemon.settings.sections import Demand, Machine
from stylewatch_daemon.worker.failures import as_end
from stylewatch_daemon.worker.messages import (
    AttemptEvent,
    AttemptRequest,
    End,
    Event,
    Failed,
    Lost,
    Order,
    Refused,
)

MAX_ORDER = 16 << 20
"""Bytes of an order without its files; the usual has two kB."""

_TOO_LARGE = (
    "the settings and names of this job have {:.0f} MB, and {:.0f} MB can be sent to a machine of "
    "the cluster: make its settings shorter"
)


class ActorHandle(Protocol):
    """A WorkerActor, wherever it is."""

    def call(self, name: str, *args: Any, within: float | None = None) -> Awaitable[Any]:
        """Call one of its methods; raises UnavailableError."""
        ...

    def end(self) -> None:
        """End it at once."""
        ...


class ActorClient:
    """A Worker that `actor` manages; all calls are made in one event loop.

    An actor that does not answer for `silent_s` seconds is given up.
    """

    device: str | None = None

    def __init__(self, actor: ActorHandle, emit: Emit, silent_s: float) -> None:
        self.tickets: set[str] = set()
        self.actor, self._emit, self._silent_s = actor, emit, silent_s
        self._batch: Mapping[str, Order] = {}
        self._has_batch = asyncio.Event()
        self._requests: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        """Calls that the actor gets once it has the batch."""

    def begin(self, orders: Mapping[str, Order]) -> None:
        """Leave a batch to `run`."""
        self.tickets, self._batch = set(orders), orders
        self._has_batch.set()

    def ask(self, ticket: str, wanted: AttemptRequest) -> None:
        """Pass a request on; the last one holds."""
        if ticket in self.tickets:
            self._requests.put_nowait(("ask", ticket, wanted))

    def drop(self, ticket: str) -> None:
        """End an attempt; its End follows."""
        self._requests.put_nowait(("drop", ticket))

    def end(self, why: str) -> None:
        """End the actor, and all that it runs."""
        self.actor.end()
        self._end_all(Lost(why))

    async def connect(self) -> None:
        """Wait until the actor is there, however long the cluster is busy.

        Raises UnavailableError: it cannot start, or runs another version.
        """
        machine, *theirs = await self.actor.call("hello")
        if theirs != (own := list(versions())):
            raise UnavailableError(
                f"the machine {machine} of the cluster has stylewatch {theirs[0]} with Python "
                f"{theirs[1]}, and this one {own[0]} with {own[1]}: install the same on all"
            )

    async def has_work(self, idle_s: float) -> bool:
        """Wait for a batch; False where none comes within `idle_s` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(idle_s):
                await self._has_batch.wait()
        return self._has_batch.is_set()

    async def run(self) -> None:
        """Run the batch; raises UnavailableError once the actor is lost.

        By then each attempt has its End.
        """
        self._has_batch.clear()
        orders = await self._shared(self._batch)
        if not orders:
            return
        try:
            content = pickle.dumps(orders)
            for start in range(0, len(content), PIECE):
                is_last = start + PIECE >= len(content)
                await self._call("begin", content[start : start + PIECE], is_last)
        except UnavailableError as error:
            self._end_all(Failed(str(error), error.cause))
            raise
        sending = asyncio.ensure_future(self._send_requests())
        try:
            await self._listen()
        except (UnavailableError, ValueError) as error:
            self._end_all(Lost(str(error)))
            raise UnavailableError(str(error)) from error
        finally:
            sending.cancel()

    async def _shared(self, orders: Mapping[str, Order]) -> dict[str, Order]:
        """Orders whose inputs other machines can read; the attempts at others are ended."""
        shared: dict[str, Order] = {}
        for ticket, order in orders.items():
            if (size := len(pickle.dumps(order))) > MAX_ORDER:
                reason = _TOO_LARGE.format(size / 1e6, MAX_ORDER / 1e6)
                self._finish(ticket, Refused(reason, Cause.SETTINGS))
                continue
            try:
                shared[ticket] = await asyncio.to_thread(share, order)
            except Exception as error:
                self._finish(ticket, as_end(error))
        return shared

    async def _listen(self) -> None:
        """Emit the events of all attempts until each has its End."""
        stream, batch = Stream(), self.tickets
        while batch and batch is self.tickets:  # the last End may cause the next batch to begin
            for message in stream.feed(await self._call("events")):
                ticket, event = unpack(message)
                if ticket not in self.tickets or not isinstance(event, Event):
                    raise ValueError(f"the machine of the cluster sent {message[:80]!r}")
                if isinstance(event, End):
                    self.tickets.discard(ticket)
                self._emit(AttemptEvent(ticket, event))

    async def _call(self, name: str, *args: Any) -> Any:
        return await self.actor.call(name, *args, within=self._silent_s)

    async def _send_requests(self) -> None:
        """Pass requests on in their order, until canceled; if the actor is lost, `run` notices."""
        with suppress(UnavailableError):
            while True:
                await self._call(*await self._requests.get())

    def _finish(self, ticket: str, end: End) -> None:
        if ticket in self.tickets:
            self.tickets.discard(ticket)
            self._emit(AttemptEvent(ticket, end))

    def _end_all(self, end: Failed | Lost) -> None:
        for ticket in list(self.tickets):
            self._emit(AttemptEvent(ticket, end))
        self.tickets = set()  # last: a free actor would get a clip that these ends join


StartActor = Callable[[str], ActorHandle]
"""Requests an actor, on the machine with that id; empty: on any."""


class ActorPool(ClipScheduler):
    """Runs attempts by actors that `start_actor` requests, each of which takes `demand`."""

    def __init__(
        self, demand: Demand, options: ActorOptions, start_actor: StartActor, emit: Emit
    ) -> None:
        self._demand, self._options, self._start_actor = demand, options, start_actor
        super().__init__(emit)
        self._machines: Sequence[Machine] | None = None
        """None until the cluster has answered."""
        self._machine_of: dict[ActorClient, str] = {}
        """All workers, each with the machine that it is bound to."""
        self._tasks: dict[ActorClient, asyncio.Task[None]] = {}
        self._starting: set[ActorClient] = set()

    @property
    def places(self) -> int:
        """Number of batches that can run at once; 0 while it is not known."""
        return self._demand.places(self._machines or ())

    def submit(self, orders: Mapping[str, Order]) -> None:
        """Run a batch of attempts, by ticket."""
        super().submit(orders)
        self._start_actors()

    def look(self, machines: Sequence[Machine]) -> None:
        """Continue with the machines that are there now."""
        self._machines = machines
        self._start_actors()

    def close(self) -> None:
        """End all actors; no other is started. Their attempts are ended by the daemon."""
        self._machines = None
        for worker in self._machine_of:
            worker.actor.end()

    def _start_actors(self) -> None:
        """Request as many actors as there are batches that wait, and places."""
        if self._machines is None:
            return
        if not self.places:
            reason = self._demand.impossible(self._machines)
            self.fail_waiting(Failed(reason, Cause.DEVICE))
            for worker in self._starting:
                self._tasks[worker].cancel()
        while self.waiting > len(self._starting) and len(self._machine_of) < self.places:
            machine = "" if self._demand.taken else self._unused_machine(self._machines)
            worker = ActorClient(self._start_actor(machine), self._emit, self._options.silent_s)
            self._machine_of[worker] = machine
            self._starting.add(worker)
            self._tasks[worker] = asyncio.ensure_future(self._serve(worker))

    def _unused_machine(self, machines: Sequence[Machine]) -> str:
        """A suitable machine without an actor, where each machine has one place."""
        used = self._machine_of.values()
        suitable = (machine.id for machine in machines if self._demand.places([machine]))
        return next((machine for machine in suitable if machine not in used), "")

    async def _serve(self, worker: ActorClient) -> None:
        """Run batches in a worker until it has had none for a while, or its actor is lost."""
        try:
            await worker.connect()
            self._starting.remove(worker)
            self.add(worker)
            while await worker.has_work(self._options.idle_s):
                await worker.run()
                self.assign()
        except UnavailableError as error:
            if worker in self._starting:
                self.fail_next(Failed(str(error), error.cause))
        finally:
            self._starting.discard(worker)
            del self._machine_of[worker], self._tasks[worker]
            self.remove(worker)
            worker.end(DROPPED)
            self._start_actors()
