"""The inside of a worker process: takes orders from a pipe, paints them, sends events back.

It leaves at once when the supervisor is gone, so that no two of them ever write the same files.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from pkgutil import resolve_name

from stylewatch_daemon.files.lock import shared
from stylewatch_daemon.processes.child import received, send, settle_in
from stylewatch_daemon.worker.contract import (
    READY,
    Done,
    Event,
    Failed,
    Order,
    Refused,
    Stopped,
    Wanted,
)
from stylewatch_daemon.worker.failures import as_end
from stylewatch_plugins.contract import Wish

_ENDS = {Wanted.STOP: Wish.STOP, Wanted.FINISH: Wish.FINISH, Wanted.CANCEL: Wish.STOP}
"""What the supervisor says to end an order at its next step, as a backend hears of it."""

Work = Callable[[Sequence[Order], Sequence[Callable[[], Wish]]], Iterator[tuple[int, Event]]]
"""Paints orders that came together; each event says by index which of them it is of."""


def serve(orders: Connection, work: str, lock: Path) -> None:
    """Paint with `work` (`module:function`) what comes through `orders` until that closes.

    It shares `lock` with the other workers meanwhile: after a crash of the supervisor, the next
    one sees by it whether all of them are gone. To signals the supervisor alone listens.
    """
    settle_in()
    with shared(lock):
        with suppress(ConnectionError):  # there is nobody to work for, which is seen next
            orders.send_bytes(READY)
        while (said := received(orders)) is not None:
            if isinstance(said, list):  # else a wish that came after its order's end
                _Together(orders, said).paint(work)


class _Together:
    """Orders that came together, how far each is, and what is asked of it."""

    def __init__(self, pipe: Connection, orders: Sequence[Order]) -> None:
        self._pipe, self._orders = pipe, orders
        self._going = set(range(len(orders)))
        self._asked = [Wish.GO_ON] * len(orders)

    def paint(self, work: str) -> None:
        """Send the events of each, exactly one End last."""
        end: Refused | Failed = Failed("a fault of our own: the worker ended without saying how")
        try:
            paint: Work = resolve_name(work)
            for index, event in paint(self._orders, [partial(self._wish, one) for one in self]):
                self._tell(index, event)
                if not self._going:
                    return
        except Exception as error:
            end = as_end(error)
        for index in sorted(self._going):
            self._tell(index, end)

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self._orders)))

    def _tell(self, index: int, event: Event) -> None:
        send(self._pipe, event, bytes([index]))
        if isinstance(event, Done | Stopped | Refused | Failed):
            self._going.remove(index)

    def _wish(self, index: int) -> Wish:
        gone = False
        while not gone and self._pipe.poll():  # what was said last holds
            said = received(self._pipe)
            gone = said is None
            for which in self if gone else [said[0]]:
                self._asked[which] = Wish.STOP if gone else _ENDS.get(said[1], Wish.STOP)
        return self._asked[index]
