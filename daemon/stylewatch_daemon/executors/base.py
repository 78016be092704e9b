"""Executors: where attempts run, in processes of this machine or on a cluster."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from queue import Empty, SimpleQueue
from typing import Protocol, get_args

from stylewatch_daemon.files import shortages
from stylewatch_daemon.worker.messages import AttemptEvent, End, Order, Wanted


class _TakesOrders(Protocol):
    def submit(self, orders: Mapping[str, Order]) -> None:
        """Run attempts, by ticket, as soon as a worker for them is free.

        Several orders, all for one backend and one device, go to one worker, which runs them at
        once where the backend can, else one after the other. Each has its own events and End, and
        is independent of the others unless it takes the worker with it.

        Raises ShortageError where no worker can be had.
        """
        ...

    def ask(self, ticket: str, wanted: Wanted) -> None:
        """Pass a request on to an attempt, unless that has ended."""
        ...

    def drop(self, ticket: str) -> None:
        """End an attempt now, whatever is lost by it; its End may be Lost.

        An attempt that shares its worker is ended as soon as the others do not suffer by it.
        """
        ...

    def close(self) -> None:
        """End all attempts and release all resources. Nothing can be submitted afterwards."""
        ...


class Executor(_TakesOrders, Protocol):
    """Runs attempts, each under a ticket: a name that is used once.

    Each submitted attempt gets exactly one End, as its last event, whatever dies meanwhile. An
    executor never retries: the caller decides. The events of one attempt come in their order,
    those of several interleaved.

    All methods are called by one thread; only `close` blocks.
    """

    wake: Callable[[], object]
    """Set by the listener; called, by any thread, when there are new events."""

    def events(self) -> Iterator[AttemptEvent]:
        """The events since the last call."""
        ...

    def free(self) -> int:
        """Number of workers without work, each for an attempt or several; it may grow."""
        ...


class Runner(_TakesOrders, Protocol):
    """The part of an executor that does the work, in a thread of its own."""

    def start(self) -> None:
        """Start the thread."""
        ...


class ThreadedExecutor(ABC):
    """An Executor whose runner is started for the first order, and reports through a queue."""

    def __init__(self) -> None:
        self.wake: Callable[[], object] = lambda: None
        self._events: SimpleQueue[AttemptEvent] = SimpleQueue()
        self._batch_of: dict[str, int] = {}
        """The batch of each running attempt, by ticket."""
        self._batches = count()
        self._runner: Runner | None = None

    def submit(self, orders: Mapping[str, Order]) -> None:
        """Run attempts; raises ShortageError where no runner can be started."""
        if self._runner is None:
            try:
                runner = self._make_runner()
                runner.start()
            except (OSError, RuntimeError) as error:
                raise shortages.no_process(error) from error
            self._runner = runner
        self._batch_of |= dict.fromkeys(orders, next(self._batches))
        self._runner.submit(orders)

    def ask(self, ticket: str, wanted: Wanted) -> None:
        """Pass a request on to an attempt."""
        if self._runner is not None:
            self._runner.ask(ticket, wanted)

    def drop(self, ticket: str) -> None:
        """End an attempt now."""
        if self._runner is not None:
            self._runner.drop(ticket)

    def events(self) -> Iterator[AttemptEvent]:
        """The events since the last call."""
        return iter(self._received())

    def free(self) -> int:
        """Number of places without work."""
        return max(0, self._places() - len(set(self._batch_of.values())))

    def close(self) -> None:
        """End all attempts and the runner."""
        if self._runner is not None:
            self._runner.close()
            self._runner = None

    @abstractmethod
    def _make_runner(self) -> Runner:
        """The runner; it reports through `_emit`."""

    @abstractmethod
    def _places(self) -> int:
        """Number of batches that can run at once."""

    def _emit(self, event: AttemptEvent) -> None:
        """Take an event; called by the runner's thread."""
        self._events.put(event)
        self.wake()

    def _received(self) -> list[AttemptEvent]:
        received: list[AttemptEvent] = []
        while True:
            try:
                event = self._events.get_nowait()
            except Empty:
                return received
            if isinstance(event.event, get_args(End)):
                self._batch_of.pop(event.ticket, None)
            received.append(event)
