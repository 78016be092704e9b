"""The driver, which is the process that imports Ray. It decodes no pictures.

Ray brings threads, gRPC and a hundred megabytes, and ends its process if its own daemon on the
machine has ended. The daemon of stylewatch survives that: it gets the reason from the driver, and
starts another driver. Data from the cluster is unpickled only here; the daemon gets plain data.

When the daemon has ended, this process exits at once. No actor is detached: all actors end with the
driver that started them, and the jobs continue from their checkpoints. A machine that is
disconnected from the others may continue to work, which does no harm, because each attempt has its
own folder.
"""

import asyncio
import os
import sys
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from stylewatch_daemon.base.child import received
from stylewatch_daemon.base.errors import UnavailableError
from stylewatch_daemon.files.lock import shared
from stylewatch_ray.actor_pool import ActorPool
from stylewatch_ray.demand import Demand
from stylewatch_ray.messages import (
    ActorOptions,
    Capacity,
    ClusterLost,
    Message,
    pack,
)

CONNECT_WITHIN = 60.0
"""Timeout in seconds for the cluster to accept the driver."""

LOOK_EVERY = 2.0
"""Interval in seconds between queries of the available machines. Each answer is reported to the
daemon, also as a heartbeat."""


def serve(pipe: Connection, lock: Path, demand: Demand, options: ActorOptions) -> None:
    """Run the orders from `pipe` on the cluster that `demand` names, holding `lock`.

    This does not return: the process exits when the pipe closes, or when the cluster cannot be
    used.
    """
    _discard_output()
    # the daemon retries by itself; three attempts by Ray take five seconds
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "3")
    with shared(lock):
        asyncio.run(_Driver(pipe, demand, options).run())


class _Driver:
    """The connection between the daemon's pipe and the cluster."""

    def __init__(self, pipe: Connection, demand: Demand, options: ActorOptions) -> None:
        from stylewatch_ray import ray_api

        self._ray, self._pipe, self._demand = ray_api, pipe, demand
        self._silent_s = options.silent_s
        start_actor = partial(ray_api.ActorHandle, demand, options.work)
        self._pool = ActorPool(
            demand, options, start_actor, lambda event: self._send(event.event, event.ticket)
        )
        self._closed = asyncio.Event()

    async def run(self) -> None:
        """Connect, work until the pipe closes, and end the process."""
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._obey)
        watching = asyncio.ensure_future(self._watch())
        await self._closed.wait()
        watching.cancel()
        self._pool.close()
        self._ray.leave()
        os._exit(0)  # a call to an unresponsive cluster may still run in a thread

    async def _watch(self) -> None:
        """Connect to the cluster, and report the number of places every LOOK_EVERY seconds.

        If the cluster cannot be used, report the reason, and end the process.
        """
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
        except Exception as error:  # whatever the error is, no caller may wait forever
            reason = f"the Ray cluster at {address} cannot be used: {self._ray.explain(error)}"
        self._send(ClusterLost(reason))
        os._exit(1)

    def _obey(self) -> None:
        """Carry out the daemon's commands that have arrived; end `run` if the pipe is closed."""
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
            os._exit(1)  # the daemon has ended


def _discard_output() -> None:
    """Discard all output of this process, and turn off Ray's usage reports.

    Ray has log files of its own, and its output would appear in the daemon's log.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no reports to its developers
    sys.stdout.flush()
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)
