"""An actor on a machine of the cluster: a worker process there, as `local` has them here.

It paints nothing itself. So a worker that dies, hangs, or is of no more use is replaced on the
spot, by what does so here too, and Ray's process, which could do anything in the cluster, decodes
no picture of a stranger's.
"""

import asyncio
import os
import pickle
import platform
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from platformdirs import user_cache_path

from stylewatch_daemon.executors.local import much_memory
from stylewatch_daemon.executors.ray.input_cache import Larder, Parcel
from stylewatch_daemon.executors.ray.messages import PIECE, framed, said
from stylewatch_daemon.executors.worker_pool import Crew
from stylewatch_daemon.executors.worker_process import Slot
from stylewatch_daemon.worker.contract import Heard, Order, Wanted

PULSE = 2.0
"""Seconds after which it says something, if only that it is there."""

_NEVER = 1e6
"""Seconds after which an idle worker would be let go; it goes with its actor."""


@dataclass(frozen=True)
class Program:
    """Which program this is: what crosses from one to another must mean the same in both."""

    stylewatch: str
    python: str

    @classmethod
    def ours(cls) -> "Program":
        """The one that runs."""
        return cls(version("stylewatch"), ".".join(platform.python_version_tuple()[:2]))


@dataclass(frozen=True)
class Hello:
    """Which program an actor is, on which machine, and where that keeps what it is sent."""

    program: Program
    machine: str
    pid: int
    root: Path


class Painter:
    """Paints with `work` (`module:function`) what it is sent, in a worker process of its own.

    What comes is kept below `cache` (empty: the user's own). The worker may use `all_cores`, or as
    many as Ray says.
    """

    def __init__(self, work: str, cache: str, *, all_cores: bool) -> None:
        _be_no_script()
        if all_cores:  # where no CPU is asked for Ray allows one thread
            os.environ.pop("OMP_NUM_THREADS", None)
        root = Path(cache) if cache else user_cache_path("stylewatch") / "cluster"
        root.mkdir(parents=True, exist_ok=True)
        self._larder = Larder(root / "inputs")
        self._larder.root.mkdir(exist_ok=True)
        self._coming, self._said = bytearray(), bytearray()
        self._news = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        slot = Slot(None, root / "worker.lock", work, much_memory())
        self._crew = Crew([slot], _NEVER, self._tell)
        self._crew.start()

    async def hello(self) -> Hello:
        """Who is here."""
        self._loop = asyncio.get_running_loop()
        return Hello(Program.ours(), platform.node(), os.getpid(), self._larder.root)

    async def lacks(self, parcels: Sequence[Parcel]) -> list[Parcel]:
        """Which of them are not on this machine."""
        return self._larder.lacks(parcels)

    async def take(self, parcel: Parcel, piece: bytes, last: bool) -> None:
        """Take a piece of a file; raises as Larder.take does."""
        self._larder.take(parcel, piece, last=last)

    async def begin(self, piece: bytes, last: bool) -> None:
        """Take the next piece of orders by ticket, pickled; with the `last` they are begun."""
        self._coming += piece
        if last:
            orders: Mapping[str, Order] = pickle.loads(self._coming)
            self._coming.clear()
            self._crew.submit(orders)

    async def ask(self, ticket: str, wanted: Wanted) -> None:
        """Tell the worker what is wanted of an attempt."""
        self._crew.ask(ticket, wanted)

    async def drop(self, ticket: str) -> None:
        """End an attempt now."""
        self._crew.drop(ticket)

    async def heard(self) -> bytes:
        """The next piece of the stream of events; an empty one where nothing came for a while."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), PULSE)
        piece = bytes(self._said[:PIECE])
        del self._said[:PIECE]
        if not self._said:
            self._news.clear()
        return piece

    def close(self) -> None:
        """End the worker; an actor that is ended takes it along by itself."""
        self._loop = None
        self._crew.close()

    def _tell(self, heard: Heard) -> None:
        """Called by the thread that the worker is waited for in."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._note, framed(said(heard.event, heard.ticket)))

    def _note(self, message: bytes) -> None:
        self._said += message
        self._news.set()


def _be_no_script() -> None:
    """Let a new process of ours not begin with Ray's script, which it does not need."""
    main = sys.modules["__main__"]
    main.__spec__ = None
    main.__dict__.pop("__file__", None)
