"""An actor on a machine of the cluster, which manages a worker process by the executor `local`.

The actor does not run jobs itself. Therefore a worker that dies, hangs or becomes unusable is
replaced at once, and Ray's process, which has full access to the cluster, decodes no untrusted
picture.

The daemon's copies of a job's inputs are in the state folder, which other machines need not have.
The outbox is mounted on all of them, so the pictures, and the user's own recipes, are copied into
the staging folder of their attempt, which is removed with it.

  outbox/.staging/JOB/ATTEMPT/.inputs/0/content.jpg
"""

import asyncio
import os
import platform
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

from platformdirs import user_cache_path

from stylewatch_daemon.base.model import Cause
from stylewatch_daemon.executors.local import Local
from stylewatch_daemon.files import atomic, entries
from stylewatch_daemon.outbox import publish
from stylewatch_daemon.worker.messages import AttemptEnd, AttemptRequest, Event, Failed, Order
from stylewatch_ray.messages import versions

HEARTBEAT = 2.0
"""Seconds without an event after which an actor reports that it is alive."""

_NEVER = 1e6
"""Idle time in seconds, practically infinite, because a worker ends with its actor."""

INPUTS = ".inputs"


class WorkerActor:
    """Runner of `work` (`module:function`) in its own worker process, one order at a time.

    With `all_cores` the worker may use all cores, otherwise the number that Ray sets.
    """

    def __init__(self, work: str, *, all_cores: bool) -> None:
        _forget_script()
        if all_cores:  # if no CPU is requested, Ray allows one thread
            os.environ.pop("OMP_NUM_THREADS", None)
        folder = user_cache_path("stylewatch") / "cluster"
        folder.mkdir(parents=True, exist_ok=True)
        self._local = Local(folder / "worker.lock", work, devices=(None,), idle_s=_NEVER)
        self._orders = count()
        self._ticket = ""

    async def hello(self) -> tuple[str, ...]:
        """Return the machine of this actor, and its versions."""
        return platform.node(), *versions()

    async def run(self, order: Order) -> AsyncIterator[Event | None]:
        """Run an order; yield its events, and None after each HEARTBEAT without an event."""
        if (path := missing(order)) is not None:
            reason = f"{path} does not exist on {platform.node()}; is the outbox mounted?"
            yield Failed(reason, Cause.DISK)
            return
        loop, news = asyncio.get_running_loop(), asyncio.Event()
        self._local.wake = lambda: loop.call_soon_threadsafe(news.set)
        self._ticket = str(next(self._orders))
        self._local.submit(self._ticket, order)
        while True:
            news.clear()
            for received in self._local.events():
                yield received.event
                if isinstance(received.event, AttemptEnd):
                    return
            try:
                # `asyncio.wait_for` of Python 3.11 may lose the cancellation of a call
                async with asyncio.timeout(HEARTBEAT):
                    await news.wait()
            except TimeoutError:
                yield None

    async def ask(self, wanted: AttemptRequest) -> None:
        """Pass a request on to the running order."""
        self._local.ask(self._ticket, wanted)

    def close(self) -> None:
        """End the worker; if Ray ends the actor, the worker ends by itself."""
        self._local.wake = lambda: None
        self._local.close()


def _forget_script() -> None:
    """Prevent new processes from importing Ray's script, which they do not need."""
    main = sys.modules["__main__"]
    main.__spec__ = None
    main.__dict__.pop("__file__", None)


def share(order: Order) -> Order:
    """Copy the inputs of `order` into its staging folder; return the order with these copies.

    A file that cannot be read keeps its path, and the worker reports it. Raises OSError and
    OutputError if the staging folder cannot be written.
    """
    copies: dict[Path, Path] = {}

    def copy(path: Path) -> Path:
        if path not in copies:
            name = f"{INPUTS}/{len(copies)}/{path.name}"
            try:
                source = path.open("rb")
            except OSError:
                return path
            with source, publish.staging_file(order.staging, name) as target:
                shutil.copyfileobj(source, target, atomic.CHUNK)
            copies[path] = order.staging / name
        return copies[path]

    return replace(
        order,
        content=order.content and copy(order.content),
        styles=tuple(copy(path) for path in order.styles),
        init=order.init and copy(order.init),
        masks={role: copy(path) for role, path in order.masks.items()},
    )


def missing(order: Order) -> Path | None:
    """Return the first shared input that this machine cannot see; None if it sees all."""
    paths = (path for path in _paths(order) if path.is_relative_to(order.staging / INPUTS))
    return next((path for path in paths if not entries.exists(path)), None)


def _paths(order: Order) -> Iterator[Path]:
    yield from (path for path in (order.content, *order.styles, order.init) if path is not None)
    yield from order.masks.values()
