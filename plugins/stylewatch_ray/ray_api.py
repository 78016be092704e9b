"""Access to a Ray cluster, its machines and its actors, with plain errors.

No other module imports Ray.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from stylewatch_daemon.base.errors import UnavailableError
from stylewatch_daemon.worker.messages import AttemptRequest, Event, Order
from stylewatch_ray.actor import WorkerActor
from stylewatch_ray.demand import Demand, Machine

NAMESPACE = "stylewatch"

TRY_PORT_FOR = 5.0
"""Timeout in seconds for connecting to the cluster's port; Ray itself would try for minutes."""

_HINTS = {
    "Version mismatch": "install the same Ray and the same minor version of Python on all machines",
    "No module named 'stylewatch": "install stylewatch on every machine, the same version",
    "any running Ray": "start it with `ray start`, or set executor.address",
}
_NO_ACCESS = ("uthentication", "Failed to connect to Ray cluster")
"""Parts of Ray's messages about a missing or refused token."""

_WHY = "The actor is dead because "
"""Marker in Ray's messages; the text before it contains only ids and addresses."""

_LOST = "the machine of the cluster is lost: {}"

_MAX_CHARACTERS = 300


def connect(address: str) -> None:
    """Join the cluster at `address`; raises UnavailableError if that is not possible."""
    _check_port(address)
    try:
        ray.init(
            address=address,
            namespace=NAMESPACE,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (Exception, SystemExit) as error:
        why = f"cannot be used: {explain(error)}"
        if any(sign in str(error) for sign in _NO_ACCESS):
            why = (
                "refuses access: give this machine its token (RAY_AUTH_MODE=token, and "
                "RAY_AUTH_TOKEN_PATH, its file), or correct executor.address"
            )
        raise UnavailableError(f"the Ray cluster at {address} {why}") from error


def leave() -> None:
    """Leave the cluster; the actors that this process started end."""
    ray.shutdown()


def machines() -> list[Machine]:
    """Return the machines that the cluster reports as alive; raises Ray's errors."""
    return [Machine(node["NodeID"], node["Resources"]) for node in ray.nodes() if node["Alive"]]


class ActorHandle:
    """Handle of a WorkerActor in the cluster, on `machine` or, if that is empty, on any machine.

    The actor may not have started yet. It is never restarted automatically, and no call is
    repeated.
    """

    def __init__(self, demand: Demand, work: str, machine: str = "") -> None:
        options = {**demand.options(), "max_restarts": 0, "max_task_retries": 0}
        if machine:
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(machine, soft=False)
        actor_class: Any = ray.remote(WorkerActor)
        all_cores = "CPU" not in demand.taken
        self._handle = actor_class.options(**options).remote(work, all_cores=all_cores)

    async def hello(self) -> tuple[str, ...]:
        """Return the actor's host name and versions of stylewatch and Python, once it is available.

        Raises UnavailableError if the actor cannot start or is lost.
        """
        with _translated_errors():
            greeting: tuple[str, ...] = await self._handle.hello.remote()
            return greeting

    async def run(self, order: Order, silent_s: float) -> AsyncIterator[Event]:
        """Run an order, and yield its events.

        Raises UnavailableError if the actor is lost, or sends nothing for `silent_s` seconds.
        """
        items = self._handle.run.remote(order)
        with _translated_errors():
            try:
                while True:
                    async with asyncio.timeout(silent_s):
                        item = await (await anext(items))
                    if item is not None:
                        yield item
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise UnavailableError(_LOST.format(f"it is silent for {silent_s:.0f} s")) from None

    def ask(self, wanted: AttemptRequest) -> None:
        """Pass a request on to the running order."""
        self._handle.ask.remote(wanted)

    def end(self) -> None:
        """End the actor immediately, and with it the order that it runs."""
        ray.kill(self._handle, no_restart=True)


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except exceptions.RayError as error:
        raise UnavailableError(_LOST.format(explain(error))) from error


def explain(error: BaseException) -> str:
    """Return the message of an error in one line, followed by a hint if there is one for it.

    A message of more than _MAX_CHARACTERS is cut.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    text = text[text.find(_WHY) + len(_WHY) :] if _WHY in text else text
    hints = [hint for sign, hint in _HINTS.items() if sign in text]
    short = text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}..."
    return "; ".join([short, *hints[:1]])


def _check_port(address: str) -> None:
    """Raise UnavailableError if nothing listens at `address`.

    An address without a port is not checked.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), TRY_PORT_FOR).close()
    except OSError as error:
        raise UnavailableError(
            f"the Ray cluster at {address} does not answer: {error.strerror or error}; start it "
            "there with `ray start --head`, or correct executor.address"
        ) from error
