"""The worker process: takes orders from a pipe, paints them, sends events back.

It exits at once when the daemon is gone, so that no two workers ever write the same files.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from pkgutil import resolve_name

from stylewatch_daemon.base.child import received, send
from stylewatch_daemon.files.lock import shared
from stylewatch_daemon.worker.failures import as_end
from stylewatch_daemon.worker.messages import (
    READY,
    AttemptRequest,
    Divided,
    Done,
    Event,
    Failed,
    Order,
    Refused,
    Stopped,
)
from stylewatch_plugins.contract import Wish

Work = Callable[[Sequence[Order], Sequence[Callable[[], Wish]]], Iterator[tuple[int, Event]]]
"""Paints orders that came together; each event comes with the index of its order."""


def serve(pipe: Connection, work: str, lock: Path) -> None:
    """Paint with `work` (`module:function`) the orders from `pipe` until the pipe closes.

    The worker shares `lock` with the others meanwhile: after a crash of the daemon, the next one
    sees by the lock whether all workers are gone.
    """
    with shared(lock):
        with suppress(ConnectionError):  # if the parent is gone, `received` finds out next
            pipe.send_bytes(READY)
        while (message := received(pipe)) is not None:
            if isinstance(message, list):  # else a request that came after its order's end
                _Batch(pipe, message).paint(work)


class _Batch:
    """Orders that came together: those still going, and the wish for each."""

    def __init__(self, pipe: Connection, orders: Sequence[Order]) -> None:
        self._pipe, self._orders = pipe, orders
        self._going = set(range(len(orders)))
        self._wishes = [Wish.GO_ON] * len(orders)

    def paint(self, work: str) -> None:
        """Paint the orders and send their events, of each exactly one End, last."""
        end: Refused | Failed = Failed("a fault of our own: the worker ended without saying how")
        try:
            paint: Work = resolve_name(work)
            wishes = [partial(self._wish, index) for index in range(len(self._orders))]
            for index, event in paint(self._orders, wishes):
                self._send(index, event)
                if not self._going:
                    return
        except Exception as error:
            end = as_end(error)
        for index in sorted(self._going):
            self._send(index, end)

    def _send(self, index: int, event: Event) -> None:
        send(self._pipe, event, bytes([index]))
        if isinstance(event, Done | Stopped | Divided | Refused | Failed):
            self._going.remove(index)

    def _wish(self, index: int) -> Wish:
        """Read what the parent has asked for; return the wish for one order, the latest."""
        while self._pipe.poll():
            message = received(self._pipe)
            if message is None:  # the parent is gone
                self._wishes = [Wish.STOP] * len(self._orders)
                break
            asked_of, wanted = message
            self._wishes[asked_of] = Wish.FINISH if wanted == AttemptRequest.FINISH else Wish.STOP
        return self._wishes[index]
