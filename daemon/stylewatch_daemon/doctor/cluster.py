"""Check of the cluster: that it answers, and has a machine for a job."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from stylewatch_daemon.doctor.finding import Finding, mend, ok
from stylewatch_daemon.errors import SettingsError, UnavailableError
from stylewatch_daemon.executors.local import WORK
from stylewatch_daemon.executors.ray.driver_client import DRIVER, NAME
from stylewatch_daemon.executors.ray.messages import (
    ActorOptions,
    Capacity,
    ClusterLost,
    Message,
    unpack,
)
from stylewatch_daemon.processes.child import MAX_MESSAGE, Child
from stylewatch_daemon.settings.resources import Demand

ANSWER_WITHIN = 90.0
"""Seconds that the cluster gets to answer."""

_WHAT = "cluster"


def look(demand: Demand | None) -> Iterator[Finding]:
    """Check the cluster that `demand` names, if any."""
    if demand is None:
        return
    try:
        demand.check()
    except SettingsError as error:
        yield mend(_WHAT, str(error), error.exit_code)
        return
    answer = _answer(demand)
    if isinstance(answer, Capacity) and answer.places:
        yield ok(_WHAT, f"{demand.address} answers, with places for {answer.places} jobs at once")
    elif isinstance(answer, Capacity):
        wanted = ", ".join(demand.wanted())
        words = f"{demand.address} answers, and no machine there has {wanted}: correct executor"
        yield mend(_WHAT, words, UnavailableError.exit_code)
    else:
        yield mend(_WHAT, answer.reason, UnavailableError.exit_code)


def _answer(demand: Demand) -> Capacity | ClusterLost:
    """Start a driver, return its answer, and end it."""
    message: Message | None = None
    with TemporaryDirectory() as folder:
        driver = Child(DRIVER, Path(folder) / "lock", demand, ActorOptions(WORK), name=NAME)
        try:
            if driver.line.poll(ANSWER_WITHIN):
                _, message = unpack(driver.line.recv_bytes(MAX_MESSAGE))
        except (EOFError, OSError, ValueError):
            message = None
        finally:
            driver.kill()
    if isinstance(message, Capacity | ClusterLost):
        return message
    return ClusterLost(f"the Ray cluster at {demand.address} did not answer")
