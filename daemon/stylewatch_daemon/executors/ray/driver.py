"""The inside of the driver: the process that has Ray in it, and nobody's pictures.

Ray brings threads, gRPC and a hundred megabytes, and ends the process that it is in where its own
daemon on the machine is gone. All that is to the cost of this process, which the supervisor can do
without: it says why, and starts another. What the cluster sends is unpacked here and nowhere else;
the supervisor gets plain data.

When the supervisor is gone this process leaves at once, and with it, since no actor is detached,
all that it had started in the cluster: jobs then go on from their checkpoints, as after any other
crash, and nobody has to find out who still works for whom. What a machine that is cut off from the
others goes on painting harms nobody: each attempt has a folder of its own.
"""

import asyncio
import os
import sys
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from stylewatch_daemon.errors import UnavailableError
from stylewatch_daemon.executors.ray.messages import Away, Room, Word, said
from stylewatch_daemon.executors.ray.scheduler import Manner, Yard
from stylewatch_daemon.files.lock import shared
from stylewatch_daemon.processes.child import received
from stylewatch_daemon.settings.resources import Demand

CONNECT_WITHIN = 60.0
"""Seconds that the cluster gets to take us in."""

LOOK_EVERY = 2.0
"""Seconds between two looks at which machines there are; each is a sign of life, too."""


def serve(pipe: Connection, lock: Path, demand: Demand, manner: Manner) -> None:
    """Have painted in the cluster what comes through `pipe` until that closes.

    It shares `lock` meanwhile, as a worker does.
    """
    _be_silent()
    # the supervisor tries again by itself; three tries of Ray's own take five seconds
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "3")
    with shared(lock):
        asyncio.run(_Driver(pipe, demand, manner).go())


class _Driver:
    """The pipe to the supervisor on one side, the cluster on the other."""

    def __init__(self, pipe: Connection, demand: Demand, manner: Manner) -> None:
        from stylewatch_daemon.executors.ray import ray_api as bridge

        self._bridge, self._pipe = bridge, pipe
        self._demand, self._silent_s = demand, manner.silent_s
        hire = partial(bridge.Actor, demand, manner.work, manner.cache)
        self._yard = Yard(demand, manner, hire, lambda ticket, event: self._say(event, ticket))
        self._told_to_leave = asyncio.Event()

    async def go(self) -> None:
        """Connect, and go on until told to leave; ends the process."""
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._obey)
        tending = asyncio.ensure_future(self._tend())
        await self._told_to_leave.wait()
        tending.cancel()
        self._yard.close()
        self._bridge.leave()
        os._exit(0)  # a call to a cluster that does not answer may go on in a thread

    async def _tend(self) -> None:
        """Tell how many places there are, again and again; say so where the cluster is away."""
        address, bridge = self._demand.address, self._bridge
        try:
            await asyncio.wait_for(asyncio.to_thread(bridge.connect, address), CONNECT_WITHIN)
            while True:
                look = asyncio.to_thread(bridge.machines)
                self._yard.look(await asyncio.wait_for(look, self._silent_s))
                self._say(Room(self._yard.places))
                await asyncio.sleep(LOOK_EVERY)
        except TimeoutError:
            self._say(Away(f"the Ray cluster at {address} does not answer any more: see whether "
                           "its head node runs, and executor.address is right"))  # fmt: skip
        except UnavailableError as error:
            self._say(Away(str(error)))
        except Exception as error:  # whatever it is, nobody must wait for ever
            self._say(Away(f"the Ray cluster at {address} cannot be used: {bridge.told(error)}"))
        os._exit(1)

    def _obey(self) -> None:
        """Do what the supervisor says; leave where it says no more."""
        while self._pipe.poll():
            command = received(self._pipe)
            if command is None:
                asyncio.get_running_loop().remove_reader(self._pipe.fileno())
                self._told_to_leave.set()
                return
            name, *values = command
            getattr(self._yard, name)(*values)

    def _say(self, word: Word, ticket: str = "") -> None:
        try:
            self._pipe.send_bytes(said(word, ticket))
        except OSError:
            os._exit(1)  # there is nobody to work for


def _be_silent() -> None:
    """Keep what Ray prints from the daemon's log; its own logs hold that, and it is told here."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its maker
    sys.stdout.flush()
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)
