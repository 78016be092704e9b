"""Batches of attempts that wait, and the workers that run them: local processes or Ray actors.

A scheduler belongs to one thread or event loop, which makes all calls; it needs no lock.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

from stylewatch_daemon.worker.messages import (
    AttemptEvent,
    AttemptRequest,
    Failed,
    Lost,
    Order,
    Stopped,
)

DROPPED = "it was given up"

Emit = Callable[[AttemptEvent], object]
"""Takes an event of an attempt."""


class Worker(Protocol):
    """A worker that runs one batch at a time, and emits the events of its attempts."""

    @property
    def device(self) -> str | None:
        """The device it runs on; None: the best one that the backend finds."""
        ...

    @property
    def tickets(self) -> Collection[str]:
        """The attempts that it runs."""
        ...

    def begin(self, orders: Mapping[str, Order]) -> None:
        """Begin a batch, by ticket."""
        ...

    def ask(self, ticket: str, wanted: AttemptRequest) -> None:
        """Pass a request on, if it runs that attempt; the last request holds."""
        ...

    def drop(self, ticket: str) -> None:
        """End an attempt now; where it shares its worker, at its next step."""
        ...

    def end(self, why: str) -> None:
        """End all attempts of the worker now."""
        ...


class Scheduler:
    """Gives waiting batches to free workers, first come, first served.

    `emit` gets the ends of attempts that no worker began.
    """

    def __init__(self, emit: Emit, workers: Iterable[Worker] = ()) -> None:
        self._emit, self._workers = emit, list(workers)
        self._waiting: list[dict[str, Order]] = []
        self._wanted: dict[str, AttemptRequest] = {}
        """Requests to attempts that wait."""

    @property
    def waiting(self) -> int:
        """Number of batches that wait for a worker."""
        return len(self._waiting)

    def add(self, worker: Worker) -> None:
        """Use another worker from now on."""
        self._workers.append(worker)
        self.assign()

    def remove(self, worker: Worker) -> None:
        """Use a worker no more, if it was in use."""
        if worker in self._workers:
            self._workers.remove(worker)

    def submit(self, orders: Mapping[str, Order]) -> None:
        """Run a batch of attempts, by ticket, as soon as a worker for its device is free."""
        self._waiting.append(dict(orders))
        self.assign()

    def ask(self, ticket: str, wanted: AttemptRequest) -> None:
        """Pass a request on to an attempt, or keep it until the attempt begins."""
        for worker in self._workers:
            worker.ask(ticket, wanted)
        if any(ticket in orders for orders in self._waiting):
            self._wanted[ticket] = wanted
            if wanted in (AttemptRequest.STOP, AttemptRequest.CANCEL):
                self._end_waiting([ticket], Stopped(0))

    def drop(self, ticket: str) -> None:
        """End an attempt now."""
        for worker in self._workers:
            if ticket in worker.tickets:
                worker.drop(ticket)
        self._end_waiting([ticket], Lost(DROPPED))

    def assign(self) -> None:
        """Give waiting batches to free workers; to be called when a worker becomes free."""
        for orders in list(self._waiting):
            worker = self._free_worker(next(iter(orders.values())).settings.device)
            if worker is not None:
                self._waiting.remove(orders)
                worker.begin(orders)
                for ticket in orders.keys() & self._wanted.keys():
                    worker.ask(ticket, self._wanted.pop(ticket))

    def fail_next(self, end: Failed) -> None:
        """End the batch that waits longest."""
        if self._waiting:
            self._end_waiting(list(self._waiting[0]), end)

    def fail_waiting(self, end: Failed | Lost) -> None:
        """End all batches that wait."""
        self._end_waiting([ticket for orders in self._waiting for ticket in orders], end)

    def end_all(self, why: str) -> None:
        """End all attempts, those that run and those that wait, as lost."""
        for worker in self._workers:
            worker.end(why)
        self.fail_waiting(Lost(why))

    def _free_worker(self, device: str | None) -> Worker | None:
        """A free worker: that of `device` where it has its own, else any."""
        own = [worker for worker in self._workers if device is not None and worker.device == device]
        return next((worker for worker in own or self._workers if not worker.tickets), None)

    def _end_waiting(self, tickets: Iterable[str], end: Stopped | Failed | Lost) -> None:
        ended = []
        for ticket in tickets:
            self._wanted.pop(ticket, None)
            ended += [ticket for orders in self._waiting if orders.pop(ticket, None) is not None]
        self._waiting = [orders for orders in self._waiting if orders]
        for ticket in ended:  # last, as an end may cause another batch to be submitted
            self._emit(AttemptEvent(ticket, end))
