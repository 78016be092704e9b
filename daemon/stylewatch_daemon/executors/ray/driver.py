"""The driver: the process that imports Ray; it decodes no picture.

Ray brings threads, gRPC and a hundred megabytes, and ends its process where its own daemon on the
machine is gone. The daemon survives that: the driver reports why, and another one is started.
What the cluster sends is unpickled here only; the daemon gets plain data.

When the daemon is gone this process exits at once. No actor is detached: everything it started in
the cluster ends with it, and the jobs continue from their checkpoints. A machine that is cut
off from the others may work on: each attempt has a folder of its own, so that harms nothing.
"""

import asyncio
import os
import sys
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from stylewatch_daemon.base.child import received
from stylewatch_daemon.base.errors import UnavailableError
from stylewatch_daemon.executors.ray.actor_pool import ActorPool
from stylewatch_daemon.executors.ray.demand import Demand
from stylewatch_daemon.executors.ray.messages import (
    ActorOptions,
    Capacity,
    ClusterLost,
    Message,
    pack,
)
from stylewatch_daemon.files.lock import shared

CONNECT_WITHIN = 60.0
"""Seconds that the cluster gets to accept the driver."""

LOOK_EVERY = 2.0
"""Seconds between two looks at which machines there are; each is a heartbeat, too."""


def serve(pipe: Connection, lock: Path, demand: Demand, options: ActorOptions) -> None:
    """Run on the cluster what comes through `pipe`, until that closes; hold `lock` meanwhile."""
    _discard_output()
    # the daemon retries by itself; three tries of Ray's own take five seconds
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "3")
    with shared(lock):
        asyncio.run(_Driver(pipe, demand, options).run())


class _Driver:
    """The pipe to the daemon on one side, the cluster on the other."""

    def __init__(self, pipe: Connection, demand: Demand, options: ActorOptions) -> None:
        from stylewatch_daemon.executors.ray import ray_api

        self._ray, self._pipe, self._demand = ray_api, pipe, demand
        self._silent_s = options.silent_s
        start_actor = partial(ray_api.ActorHandle, demand, options.work)
        self._pool = ActorPool(
            demand, options, start_actor, lambda event: self._send(event.event, event.ticket)
        )
        self._closed = asyncio.Event()

    async def run(self) -> None:
        """Connect, and work until the pipe closes; ends the process."""
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._obey)
        watching = asyncio.ensure_future(self._watch())
        await self._closed.wait()
        watching.cancel()
        self._pool.close()
        self._ray.leave()
        os._exit(0)  # a call to a cluster that does not answer may still run in a thread

    async def _watch(self) -> None:
        """Report the number of places again and again, or that the cluster cannot be used."""
        address = self._demand.address
        try:
            async with asyncio.timeout(CONNECT_WITHIN):
                await asyncio.to_thread(self._ray.connect, address)
            while True:
                async with asyncio.timeout(self._silent_s):
                    machines = await asyncio.to_thread(self._ray.machines)
                self._pool.look(machines)
                self._send(Capacity(self._pool.places))
                await asyncio.sleep(LOOK_EVERY)
        except TimeoutError:
            reason = (
                f"the Ray cluster at {address} does not answer any more: check that its head node "
                "runs, and that executor.address is right"
            )
        except UnavailableError as error:
            reason = str(error)
        except Exception as error:  # whatever it is, no caller may wait forever
            reason = f"the Ray cluster at {address} cannot be used: {self._ray.explain(error)}"
        self._send(ClusterLost(reason))
        os._exit(1)

    def _obey(self) -> None:
        """Do what the daemon asks; leave where it has closed the pipe."""
        while self._pipe.poll():
            command = received(self._pipe)
            if command is None:
                asyncio.get_running_loop().remove_reader(self._pipe.fileno())
                self._closed.set()
                return
            self._pool.obey(command)

    def _send(self, message: Message, ticket: str = "") -> None:
        try:
            self._pipe.send_bytes(pack(message, ticket))
        except OSError:
            os._exit(1)  # the daemon is gone


def _discard_output() -> None:
    """Keep what Ray prints out of the daemon's log; Ray's own logs have it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its maker
    sys.stdout.flush()
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)
