"""An actor on a machine of the cluster: it manages a worker process there, as `local` does here.

The actor runs no job itself. So a worker that dies, hangs or is of no more use is replaced on the
spot, and Ray's process, which could do anything in the cluster, decodes no untrusted picture.

The daemon's own copies of a job's inputs lie in the state folder, which other machines need not
have. The outbox is mounted on all of them: so the pictures, and the user's own recipes, are copied
into the staging folder of their attempt, which is removed with it.

    outbox/.staging/JOB/ATTEMPT/.inputs/0/content.jpg
"""

import asyncio
import os
import pickle
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from platformdirs import user_cache_path

from stylewatch_daemon.base.model import Cause
from stylewatch_daemon.executors.local import Local
from stylewatch_daemon.executors.ray.messages import PIECE, pack, versions
from stylewatch_daemon.files import atomic
from stylewatch_daemon.outbox import publish
from stylewatch_daemon.worker.messages import AttemptEvent, AttemptRequest, Failed, Order

HEARTBEAT = 2.0
"""Seconds after which an actor answers, if only that it is alive."""

_NEVER = 1e6
"""Seconds after which an idle worker would be ended; it ends with its actor."""

INPUTS = ".inputs"


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
        self._local = Local(folder / "worker.lock", work, devices=(None,), idle_s=_NEVER)

    async def hello(self) -> tuple[str, ...]:
        """Return the machine of this actor, and its versions."""
        loop = asyncio.get_running_loop()
        self._local.wake = lambda: loop.call_soon_threadsafe(self._take_events)
        return platform.node(), *versions()

    async def begin(self, piece: bytes, last: bool) -> None:
        """Take the next piece of pickled orders by ticket; the `last` piece begins them."""
        self._incoming += piece
        if not last:
            return
        orders: dict[str, Order] = pickle.loads(self._incoming)
        self._incoming.clear()
        for ticket, order in list(orders.items()):
            if (path := missing(order)) is not None:
                reason = f"{path} is not there on {platform.node()}; is the outbox mounted?"
                self._send(AttemptEvent(ticket, Failed(reason, Cause.DISK)))
                del orders[ticket]
        if orders:
            self._local.submit(orders)

    async def ask(self, ticket: str, wanted: AttemptRequest) -> None:
        """Pass a request on to an attempt."""
        self._local.ask(ticket, wanted)

    async def drop(self, ticket: str) -> None:
        """End an attempt now."""
        self._local.drop(ticket)

    async def events(self) -> bytes:
        """Return the next piece of the stream of events; empty where none came for a while."""
        with suppress(TimeoutError):
            # `asyncio.wait_for` of Python 3.11 may lose the cancellation of a call
            async with asyncio.timeout(HEARTBEAT):
                await self._has_news.wait()
        piece = bytes(self._outgoing[:PIECE])
        del self._outgoing[:PIECE]
        if not self._outgoing:
            self._has_news.clear()
        return piece

    def close(self) -> None:
        """End the worker; where Ray ends the actor, the worker ends by itself."""
        self._local.wake = lambda: None
        self._local.close()

    def _take_events(self) -> None:
        for event in self._local.events():
            self._send(event)

    def _send(self, event: AttemptEvent) -> None:
        self._outgoing += pack(event.event, event.ticket) + b"\n"
        self._has_news.set()


def _forget_script() -> None:
    """Keep a new process from importing Ray's script, which it does not need."""
    main = sys.modules["__main__"]
    main.__spec__ = None
    main.__dict__.pop("__file__", None)


def share(order: Order) -> Order:
    """Copy the inputs of `order` into its staging folder; return the order that names the copies.

    The parts of a divided clip find the copies there, as they share the folder of their attempt.
    A file that cannot be read keeps its path: the worker reports it. Raises OSError and OutputError
    where the staging folder cannot be written.
    """
    copies: dict[Path, Path] = {}

    def copy(path: Path, folder: str = "") -> Path:
        if path not in copies:
            name = f"{INPUTS}/{folder or len(copies)}/{path.name}"
            if not (order.staging / name).exists():
                try:
                    source = path.open("rb")
                except OSError:
                    return path
                with source, publish.staging_file(order.staging, name) as target:
                    shutil.copyfileobj(source, target, atomic.CHUNK)
            copies[path] = order.staging / name
        return copies[path]

    def copy_recipes(number: int, folder: Path) -> Path:
        names = [copy(path, f"recipes-{number}") for path in sorted(folder.glob("*.yaml"))]
        return names[0].parent if names else folder

    settings = order.settings
    if settings.recipe.endswith((".yaml", ".yml")):
        recipe = str(copy(Path(settings.recipe)))
        settings = settings.model_copy(update={"recipe": recipe})
    return replace(
        order,
        settings=settings,
        content=order.content and copy(order.content),
        styles=tuple(copy(path) for path in order.styles),
        init=order.init and copy(order.init),
        masks={role: copy(path) for role, path in order.masks.items()},
        recipe_folders=tuple(
            copy_recipes(number, folder) for number, folder in enumerate(order.recipe_folders)
        ),
    )


def missing(order: Order) -> Path | None:
    """Return the first shared input that this machine does not see."""
    paths = (path for path in _paths(order) if path.is_relative_to(order.staging / INPUTS))
    return next((path for path in paths if not path.exists()), None)


def _paths(order: Order) -> Iterator[Path]:
    yield from (path for path in (order.content, *order.styles, order.init) if path is not None)
    yield from (*order.masks.values(), *order.recipe_folders, Path(order.settings.recipe))
