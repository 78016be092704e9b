"""An actor on a machine of the cluster: it manages a worker process there, as `local` does here.

The actor runs no job itself. So a worker that dies, hangs or is of no more use is replaced on the
spot, and Ray's process, which could do anything in the cluster, decodes no untrusted picture.
"""

import asyncio
import os
import pickle
import platform
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version

from platformdirs import user_cache_path

from stylewatch_daemon.executors.local import WorkerPool, max_idle_memory
from stylewatch_daemon.executors.ray import inputs
from stylewatch_daemon.executors.ray.messages import PIECE, framed, said
from stylewatch_daemon.executors.worker_process import Slot
from stylewatch_daemon.worker.messages import AttemptEvent, Failed, Order, Wanted

HEARTBEAT = 2.0
"""Seconds after which an actor answers, if only that it is alive."""

_NEVER = 1e6
"""Seconds after which an idle worker would be ended; it ends with its actor."""

_CANNOT_WRITE = 73


@dataclass(frozen=True)
class Program:
    """Versions that must be the same on both sides for messages to mean the same."""

    stylewatch: str
    python: str

    @classmethod
    def ours(cls) -> "Program":
        """The versions of this process."""
        return cls(version("stylewatch"), ".".join(platform.python_version_tuple()[:2]))


@dataclass(frozen=True)
class Hello:
    """The program that an actor runs, and its machine."""

    program: Program
    machine: str


class WorkerActor:
    """Runs `work` (`module:function`) in a worker process of its own.

    The worker may use `all_cores`, or as many as Ray says.
    """

    def __init__(self, work: str, *, all_cores: bool) -> None:
        _forget_script()
        if all_cores:  # where no CPU is requested, Ray allows one thread
            os.environ.pop("OMP_NUM_THREADS", None)
        folder = user_cache_path("stylewatch") / "cluster"
        folder.mkdir(parents=True, exist_ok=True)
        self._incoming, self._outgoing = bytearray(), bytearray()
        self._has_news = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        slot = Slot(None, folder / "worker.lock", work, max_idle_memory())
        self._pool = WorkerPool([slot], _NEVER, self._emit)
        self._pool.start()

    async def hello(self) -> Hello:
        """The program and the machine of this actor."""
        self._loop = asyncio.get_running_loop()
        return Hello(Program.ours(), platform.node())

    async def begin(self, piece: bytes, last: bool) -> None:
        """Take the next piece of pickled orders by ticket; the `last` piece begins them."""
        self._incoming += piece
        if not last:
            return
        orders: dict[str, Order] = pickle.loads(self._incoming)
        self._incoming.clear()
        for ticket, order in list(orders.items()):
            if (path := inputs.missing(order)) is not None:
                reason = f"{path} is not there on {platform.node()}; is the outbox mounted?"
                self._add(AttemptEvent(ticket, Failed(reason, _CANNOT_WRITE)))
                del orders[ticket]
        if orders:
            self._pool.submit(orders)

    async def ask(self, ticket: str, wanted: Wanted) -> None:
        """Pass a request on to an attempt."""
        self._pool.ask(ticket, wanted)

    async def drop(self, ticket: str) -> None:
        """End an attempt now."""
        self._pool.drop(ticket)

    async def heard(self) -> bytes:
        """The next piece of the stream of events; an empty one where nothing came for a while."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._has_news.wait(), HEARTBEAT)
        piece = bytes(self._outgoing[:PIECE])
        del self._outgoing[:PIECE]
        if not self._outgoing:
            self._has_news.clear()
        return piece

    def close(self) -> None:
        """End the worker; where Ray ends the actor, the worker ends by itself."""
        self._loop = None
        self._pool.close()

    def _emit(self, event: AttemptEvent) -> None:
        """Take an event; called by the thread of the worker pool."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._add, event)

    def _add(self, event: AttemptEvent) -> None:
        self._outgoing += framed(said(event.event, event.ticket))
        self._has_news.set()


def _forget_script() -> None:
    """Keep a new process from importing Ray's script, which it does not need."""
    main = sys.modules["__main__"]
    main.__spec__ = None
    main.__dict__.pop("__file__", None)
