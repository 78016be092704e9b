"""What the executors have in common: tickets that are out, and events that come by a queue.

What does the work lives in a thread of its own, and is there from the first order on.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from queue import Empty, SimpleQueue
from typing import Protocol, get_args

from stylewatch_daemon.files import shortages
from stylewatch_daemon.worker.contract import End, Heard, Order, Wanted


class Hands(Protocol):
    """Who does the work, in a thread of its own; nothing waits for it but `close`."""

    def start(self) -> None:
        """Begin to listen to what follows."""
        ...

    def submit(self, orders: Mapping[str, Order]) -> None:
        """Have attempts made, by ticket."""
        ...

    def ask(self, ticket: str, wanted: Wanted) -> None:
        """Pass on what is wanted of an attempt."""
        ...

    def drop(self, ticket: str) -> None:
        """End an attempt now."""
        ...

    def close(self) -> None:
        """End everything, and the thread."""
        ...


class Desk(ABC):
    """An Executor, but for who does the work, and how many places there are for it."""

    def __init__(self) -> None:
        self.wake: Callable[[], object] = lambda: None
        self._heard: SimpleQueue[Heard] = SimpleQueue()
        self._going: dict[str, int] = {}
        """For each attempt the number of those that it came with."""
        self._batches = count()
        self._hands: Hands | None = None

    def submit(self, orders: Mapping[str, Order]) -> None:
        """Have attempts made by the first worker that is free.

        Raises ShortageError where there is nobody for it, and none can be had.
        """
        if self._hands is None:  # until there is work, there is not even a thread
            try:
                hands = self._hire()
                hands.start()
            except (OSError, RuntimeError) as error:
                raise shortages.no_process(error) from error
            self._hands = hands
        self._going |= dict.fromkeys(orders, next(self._batches))
        self._hands.submit(orders)

    def ask(self, ticket: str, wanted: Wanted) -> None:
        """Pass on what is wanted of an attempt."""
        if self._hands is not None:
            self._hands.ask(ticket, wanted)

    def drop(self, ticket: str) -> None:
        """Kill the worker that makes this attempt, or stop it there where others have a part."""
        if self._hands is not None:
            self._hands.drop(ticket)

    def heard(self) -> Iterator[Heard]:
        """The events that came since this was last asked."""
        while True:
            try:
                one = self._heard.get_nowait()
            except Empty:
                return
            if isinstance(one.event, get_args(End)):
                self._going.pop(one.ticket, None)
            yield one

    def free(self) -> int:
        """How many places have nothing to do."""
        return max(0, self._places() - len(set(self._going.values())))

    def close(self) -> None:
        """End everything at once, but for idle workers, which may leave by themselves."""
        if self._hands is not None:
            self._hands.close()
            self._hands = None

    @abstractmethod
    def _hire(self) -> Hands:
        """Those who do the work, for the first order; they tell by `_tell`."""

    @abstractmethod
    def _places(self) -> int:
        """How many attempts, or batches, can be made at once."""

    def _tell(self, heard: Heard) -> None:
        """Called by the thread of those who do the work."""
        self._heard.put(heard)
        self.wake()
