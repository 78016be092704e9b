"""A slot of the cluster: an actor, the batch that it runs, and how long it may be silent."""

import asyncio
import pickle
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, Protocol, get_args

from stylewatch_daemon.errors import UnavailableError
from stylewatch_daemon.executors.ray import inputs
from stylewatch_daemon.executors.ray.actor import Hello, Program
from stylewatch_daemon.executors.ray.messages import NOT_THERE, PIECE, Stream, heard
from stylewatch_daemon.executors.scheduler import Emit
from stylewatch_daemon.worker.failures import as_end
from stylewatch_daemon.worker.messages import (
    AttemptEvent,
    End,
    Event,
    Failed,
    Lost,
    Order,
    Refused,
    Wanted,
)

MAX_ORDER = 16 << 20
"""Bytes of an order without its files; the usual has two kB."""

_TOO_LARGE = (
    "the settings and names of this job have {:.0f} MB, and {:.0f} MB can be sent to a machine of "
    "the cluster: make its settings shorter"
)


class Remote(Protocol):
    """A WorkerActor, wherever it is."""

    def call(
        self, name: str, *args: Any, within: float | None = None, **more: Any
    ) -> Coroutine[Any, Any, Any]:
        """The answer of one of its methods; raises UnavailableError."""
        ...

    def end(self) -> None:
        """End it at once."""
        ...


class ActorSlot:
    """A Slot whose worker is managed by `actor`; all calls are made in one event loop.

    An actor that does not answer for `silent_s` seconds is given up.
    """

    device: str | None = None

    def __init__(self, actor: Remote, emit: Emit, silent_s: float) -> None:
        self.tickets: set[str] = set()
        self._actor, self._emit, self._silent_s = actor, emit, silent_s
        self._batch: Mapping[str, Order] = {}
        self._has_batch = asyncio.Event()
        self._requests: dict[str, Wanted] = {}
        """Requests to attempts that the actor does not have yet."""
        self._begun = False
        self._in_order = asyncio.Lock()
        self._sending: set[asyncio.Task[None]] = set()

    def begin(self, orders: Mapping[str, Order]) -> Iterable[AttemptEvent]:
        """Leave a batch to `run`."""
        self.tickets, self._batch = set(orders), orders
        self._has_batch.set()
        return ()

    def ask(self, ticket: str, wanted: Wanted) -> None:
        """Pass a request on; the last one holds."""
        if ticket not in self.tickets:
            return
        if self._begun:
            self._send("ask", ticket, wanted)
        else:
            self._requests[ticket] = wanted

    def drop(self, ticket: str, why: str) -> Iterable[AttemptEvent]:
        """End an attempt; its End follows."""
        if self._begun:
            self._send("drop", ticket)
        else:
            self._requests[ticket] = Wanted.CANCEL
        return ()

    def end(self, why: str) -> Iterable[AttemptEvent]:
        """End the actor, and all that it runs."""
        self._actor.end()
        return self._all_ended(Lost(why))

    async def connect(self) -> None:
        """Wait until the actor is there, however long the cluster is busy.

        Raises UnavailableError: it cannot start, or runs another version.
        """
        hello: Hello = await self._actor.call("hello")
        if hello.program != (ours := Program.ours()):
            raise UnavailableError(
                f"the machine {hello.machine} of the cluster has stylewatch "
                f"{hello.program.stylewatch} with Python {hello.program.python}, and this one "
                f"{ours.stylewatch} with {ours.python}: install the same on all"
            )

    async def has_work(self, idle_s: float) -> bool:
        """Wait for a batch; False where none comes within `idle_s` seconds."""
        try:
            await asyncio.wait_for(self._has_batch.wait(), idle_s)
        except TimeoutError:
            return self._has_batch.is_set()
        return True

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
            self._end_all(Failed(str(error), NOT_THERE))
            raise
        self._begun = True
        requests, self._requests = self._requests, {}
        for ticket, wanted in requests.items():
            self.ask(ticket, wanted)
        try:
            await self._listen()
        except (UnavailableError, ValueError) as error:
            self._end_all(Lost(str(error)))
            raise UnavailableError(str(error)) from error
        finally:
            self._begun = False

    async def _shared(self, orders: Mapping[str, Order]) -> dict[str, Order]:
        """Orders whose inputs other machines can read; the attempts at others are ended."""
        shared: dict[str, Order] = {}
        for ticket, order in orders.items():
            if (size := len(pickle.dumps(order))) > MAX_ORDER:
                self._finish(ticket, Refused(_TOO_LARGE.format(size / 1e6, MAX_ORDER / 1e6)))
                continue
            try:
                shared[ticket] = await asyncio.to_thread(inputs.share, order)
            except Exception as error:
                self._finish(ticket, as_end(error))
        return shared

    async def _listen(self) -> None:
        """Emit the events of all attempts until each has its End."""
        stream = Stream()
        while self.tickets:
            for message in stream.feed(await self._call("heard")):
                ticket, event = heard(message)
                if ticket not in self.tickets or not isinstance(event, get_args(Event)):
                    raise ValueError(f"the machine of the cluster sent {message[:80]!r}")
                if isinstance(event, get_args(End)):
                    self.tickets.discard(ticket)
                self._emit(AttemptEvent(ticket, event))

    async def _call(self, name: str, *args: Any) -> Any:
        return await self._actor.call(name, *args, within=self._silent_s)

    def _send(self, name: str, *args: Any) -> None:
        """Call the actor later, after earlier calls; where it is lost, `run` notices."""

        async def call() -> None:
            async with self._in_order:
                try:
                    await self._call(name, *args)
                except UnavailableError:
                    return

        task = asyncio.ensure_future(call())
        self._sending.add(task)  # a task without a reference may be collected before it is done
        task.add_done_callback(self._sending.discard)

    def _finish(self, ticket: str, end: End) -> None:
        if ticket in self.tickets:
            self.tickets.discard(ticket)
            self._emit(AttemptEvent(ticket, end))

    def _end_all(self, end: Failed | Lost) -> None:
        for event in self._all_ended(end):
            self._emit(event)

    def _all_ended(self, end: Failed | Lost) -> list[AttemptEvent]:
        tickets, self.tickets = self.tickets, set()
        return [AttemptEvent(ticket, end) for ticket in tickets]
