"""The one module that knows Ray: the cluster, its machines, and actors there, with plain errors."""

import asyncio
import logging
import socket
from typing import Any

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from stylewatch_daemon.errors import UnavailableError
from stylewatch_daemon.executors.ray.actor import Painter
from stylewatch_daemon.settings.resources import Demand, Machine

NAMESPACE = "stylewatch"

KNOCK_FOR = 5.0
"""Seconds that the cluster's port is tried; Ray itself would do so for minutes."""

_HELPS = {
    "Version mismatch": "install the same Ray and the same minor version of Python on all machines",
    "No module named 'stylewatch": "install stylewatch on every machine, the same version",
    "any running Ray": "start it with `ray start`, or say executor.address",
}
_SHUT_OUT = ("uthentication", "Failed to connect to Ray cluster")
"""What Ray says where there is no token, and where the other side takes none of ours."""

_WHY = "The actor is dead because "
"""What stands before it, of ids and addresses, helps nobody."""

_LONGEST = 300  # characters of what Ray says


def connect(address: str) -> None:
    """Join the cluster at `address`; raises UnavailableError where that cannot be."""
    _knock(address)
    try:
        ray.init(
            address=address,
            namespace=NAMESPACE,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (Exception, SystemExit) as error:
        raise UnavailableError(f"the Ray cluster at {address} {_why_not(error)}") from error


def _why_not(error: BaseException) -> str:
    if any(sign in str(error) for sign in _SHUT_OUT):
        return (
            "does not let us in: give this machine its token (RAY_AUTH_MODE=token, and "
            "RAY_AUTH_TOKEN_PATH, its file), or correct executor.address"
        )
    return f"cannot be used: {told(error)}"


def leave() -> None:
    """Leave the cluster; all that was started there ends."""
    ray.shutdown()


def machines() -> list[Machine]:
    """The machines that are there, as far as the cluster knows; raises as Ray does."""
    return [
        Machine(one["NodeID"], one["Resources"], one["Labels"])
        for one in ray.nodes()
        if one["Alive"]
    ]


class Actor:
    """A Painter somewhere in the cluster, perhaps still to come; on `machine` where one is named.

    It is never started again by itself, nor is anything that it is asked asked twice.
    """

    def __init__(self, demand: Demand, work: str, cache: str = "", machine: str = "") -> None:
        options = {**demand.options(), "max_restarts": 0, "max_task_retries": 0}
        if machine:
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(machine, soft=False)
        made: Any = ray.remote(Painter)
        all_cores = "CPU" not in demand.taken
        self._handle = made.options(**options).remote(work, cache, all_cores=all_cores)

    async def call(self, name: str, *args: Any, within: float | None = None, **more: Any) -> Any:
        """What its method says; raises UnavailableError where it says nothing `within` seconds."""
        try:
            asked = getattr(self._handle, name).remote(*args, **more)
            return await asyncio.wait_for(_answer(asked), within)
        except TimeoutError:
            reason = f"gave no sign of life for {within:.0f} s"
            raise UnavailableError(f"the machine of the cluster {reason}") from None
        except exceptions.RayError as error:
            raise UnavailableError(f"the machine of the cluster is lost: {told(error)}") from error

    def end(self) -> None:
        """End it, and what it does, at once."""
        ray.kill(self._handle, no_restart=True)


async def _answer(asked: Any) -> Any:
    return await asked


def told(error: BaseException) -> str:
    """What Ray says, in a sentence, with what helps."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = text[text.find(_WHY) + len(_WHY) :] if _WHY in text else text
    helps = [help_ for sign, help_ in _HELPS.items() if sign in text]
    return "; ".join([_cut(text), *helps[:1]])


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _knock(address: str) -> None:
    """Raise UnavailableError where nobody listens at `address`."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), KNOCK_FOR).close()
    except OSError as error:
        raise UnavailableError(
            f"the Ray cluster at {address} does not answer: {error.strerror or error}; start it "
            "there with `ray start --head`, or correct executor.address"
        ) from error
