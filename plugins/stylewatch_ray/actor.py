"""An actor on a machine of the cluster, which manages a worker process by the executor `local`.

The actor does not run jobs itself. Therefore a worker that dies, hangs or becomes unusable is
replaced at once, and Ray's process, which has full access to the cluster, decodes no untrusted
picture.
"""

import asyncio
import os
import platform
import sys
from collections.abc import AsyncIterator
from itertools import count

from platformdirs import user_cache_path

from stylewatch_daemon.base.model import Cause
from stylewatch_daemon.executors.local import Local
from stylewatch_daemon.executors.shared_inputs import missing
from stylewatch_daemon.worker.messages import AttemptEnd, AttemptRequest, Event, Failed, Order
from stylewatch_ray.messages import versions

HEARTBEAT = 2.0
"""Seconds without an event after which an actor reports that it is alive."""

_NEVER = 1e6
"""Idle time in seconds, practically infinite, because a worker ends with its actor."""


class WorkerActor:
    """Runner of orders by `work` (`module:function`) in a worker process, one order at a time.

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
        """Return the machine's host name, and its versions of stylewatch and Python."""
        return platform.node(), *versions()

    async def run(self, order: Order) -> AsyncIterator[Event | None]:
        """Run an order; yield its events, and None after each HEARTBEAT without an event.

        The last event is an AttemptEnd. It is Failed if this machine does not see a shared input of
        the order.
        """
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
    """Remove Ray's script from `__main__`, so that new processes do not import it."""
    main = sys.modules["__main__"]
    main.__spec__ = None
    main.__dict__.pop("__file__", None)
