"""The daemon's side of the executor `ray`; Ray itself runs in another process, the driver.

The driver is started for the first order, and stopped when there has been no order for a while. If
it dies or becomes silent, its attempts end as if a device were missing, and are tried again,
because the jobs are not at fault.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path
from tempfile import TemporaryDirectory

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.child import Child
from stylewatch_daemon.base.errors import UnavailableError
from stylewatch_daemon.base.model import Cause
from stylewatch_daemon.executors.base import Executor
from stylewatch_daemon.executors.local import WORK
from stylewatch_daemon.executors.scheduler import Command, Submit
from stylewatch_daemon.worker.messages import AttemptEnd, AttemptEvent, AttemptLost, Failed
from stylewatch_ray.demand import Demand
from stylewatch_ray.messages import (
    ActorOptions,
    Capacity,
    ClusterLost,
    Message,
    unpack,
)

DRIVER = "stylewatch_ray.driver:serve"
NAME = "cluster"
"""Name of the process and of the thread."""

ASK_EVERY = 1.0
"""Maximum duration of a wait for the driver, in seconds. Its silence is counted in waits, so that
the driver does not seem silent after the machine was asleep."""

START_TIMEOUT = 120.0
"""Timeout in seconds for a driver to load Ray and connect; the driver itself gives up earlier."""

PROBE_TIMEOUT = 90.0
"""Timeout in seconds for a cluster to answer how many places it has."""


class Cluster(Executor):
    """Executor that runs jobs on the machines of a cluster; each job takes `demand`.

    `capacity` is the number of jobs that the cluster can run at once, which it reports once there
    has been work; until then, and while it does not answer, it is 1. `lock` is a file that the
    driver holds while it lives. A driver without work is stopped after `idle_s` seconds; a driver
    or an actor that is silent for `silent_s` seconds is killed.
    """

    def __init__(
        self,
        lock: Path,
        demand: Demand,
        work: str = WORK,
        *,
        idle_s: float = 60.0,
        silent_s: float = 60.0,
        wake: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(NAME, wake)
        self._lock, self._demand = lock, demand
        self._options = ActorOptions(work, idle_s, silent_s)
        self._running: set[str] = set()
        self._driver: Child | None = None
        self._silent = self._idle = 0.0
        """Times in seconds since the last message of the driver, and since its last work."""
        self._has_answered = False
        """True once the driver has sent a message."""

    def _obey(self, command: Command) -> None:
        """Send a command to the driver; start it if there is none.

        A command for an attempt that has ended is ignored. If the driver cannot be used, all
        attempts fail.
        """
        if isinstance(command, Submit):
            self._running.add(command.ticket)
        elif command.ticket not in self._running:
            return  # the attempt has ended
        try:
            if self._driver is None:
                given = (self._lock, self._demand, self._options)
                self._driver = Child(DRIVER, *given, name=NAME)
                self._silent, self._idle, self._has_answered = 0.0, 0.0, False
            self._driver.send(command)
        except OSError as error:  # no process can be started, or it has just died
            self._fail(f"it could not be used: {error}")

    def _wait(self) -> None:
        began, driver = time.monotonic(), self._driver
        handles = [] if driver is None else [driver.line]
        ready = wait([self._wakeup, *handles], None if driver is None else ASK_EVERY)
        passed = min(time.monotonic() - began, ASK_EVERY)
        self._silent += passed
        self._idle = 0.0 if self._running else self._idle + passed
        if self._wakeup in ready:
            self._obey_next()
        if driver is not None:
            self._receive()
        timeout = self._options.silent_s if self._has_answered else START_TIMEOUT
        if self._driver is not None and self._silent > timeout:
            self._fail(f"it sent nothing for {self._silent:.0f} s")
        elif self._driver is not None and self._idle >= self._options.idle_s:
            self._stop()

    def _receive(self) -> None:
        """Handle the messages that have arrived from the driver, and the driver's death."""
        while (driver := self._driver) is not None:
            try:
                if not driver.line.poll():
                    return
                ticket, message = unpack(driver.receive_bytes())
            except (EOFError, OSError):
                self._fail(f"it ended ({driver.exit_reason() or 'it closed its files'})")
            except ValueError as error:
                self._fail(f"it sent {error}")
            else:
                self._handle(ticket, message)

    def _handle(self, ticket: str, message: Message) -> None:
        self._silent, self._has_answered = 0.0, True
        if isinstance(message, ClusterLost):
            self._fail_all(message.reason)
        elif isinstance(message, Capacity):
            self.capacity = max(1, message.places)
            self.wake()
        elif ticket in self._running:
            if isinstance(message, AttemptEnd):
                self._running.remove(ticket)
            self._emit(AttemptEvent(ticket, message))

    def _fail(self, why: str) -> None:
        """Give up the driver, and fail its attempts."""
        self._fail_all(
            f"the process that connects to the Ray cluster is gone: {why}; it is tried again"
        )

    def _fail_all(self, reason: str) -> None:
        if self._driver is not None:
            self._driver.kill()
        self._driver = None
        self.capacity = 1
        self._end_all(Failed(reason, Cause.DEVICE))

    def _leave(self, why: str) -> None:
        self._end_all(AttemptLost(why))
        self._stop()

    def _end_all(self, end: AttemptEnd) -> None:
        running, self._running = self._running, set()
        for ticket in running:
            self._emit(AttemptEvent(ticket, end))

    def _stop(self) -> None:
        if self._driver is not None:
            self._driver.stop()
            self._driver = None


def places(demand: Demand) -> int:
    """Return how many jobs a cluster can run at once, 0 if no machine meets the demand.

    A temporary driver asks the cluster. Raises UnavailableError if the cluster cannot be used or
    does not answer within PROBE_TIMEOUT.
    """
    answer: Message | None = None
    with TemporaryDirectory(dir=shortages.temporary_folder()) as folder:
        driver = Child(DRIVER, Path(folder, "lock"), demand, ActorOptions(WORK), name=NAME)
        try:
            with suppress(EOFError, OSError, ValueError):
                if driver.line.poll(PROBE_TIMEOUT):
                    _, answer = unpack(driver.receive_bytes())
        finally:
            driver.kill()
    if isinstance(answer, Capacity):
        return answer.places
    if isinstance(answer, ClusterLost):
        raise UnavailableError(answer.reason)
    raise UnavailableError(f"the Ray cluster at {demand.address} did not answer")
