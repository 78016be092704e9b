"""The worker process: takes orders from a pipe, paints them, sends events back.

It exits at once when the daemon is gone, so that no two workers ever write the same files.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from pkgutil import resolve_name

from stylewatch_daemon.base.child import received, send
from stylewatch_daemon.files.lock import shared
from stylewatch_daemon.worker.failures import as_end
from stylewatch_daemon.worker.messages import (
    READY,
    AttemptRequest,
    End,
    Event,
    Failed,
    Order,
    Refused,
)
from stylewatch_plugins.contract import Wish

Work = Callable[[Order, Callable[[], Wish]], Iterator[Event]]
"""Paints an order; the second argument returns the current request to it."""


def serve(pipe: Connection, work: str, lock: Path) -> None:
    """Paint with `work` (`module:function`) the orders from `pipe` until the pipe closes.

    The worker shares `lock` with the others meanwhile: after a crash of the daemon, the next one
    sees by the lock whether all workers are gone.
    """
    with shared(lock):
        with suppress(ConnectionError):  # if the parent is gone, `received` finds out next
            pipe.send_bytes(READY)
        while (message := received(pipe)) is not None:
            if isinstance(message, Order):  # else a request that came after its order's end
                _paint(pipe, message, work)


def _paint(pipe: Connection, order: Order, work: str) -> None:
    """Paint an order and send its events, exactly one End, last."""
    wish = Wish.GO_ON

    def ask() -> Wish:
        """Read what the parent has asked for; return the latest."""
        nonlocal wish
        while pipe.poll():
            wanted = received(pipe)
            if wanted is None:  # the parent is gone
                return Wish.STOP
            wish = Wish.FINISH if wanted == AttemptRequest.FINISH else Wish.STOP
        return wish

    end: Refused | Failed = Failed("a fault of our own: the worker ended without saying how")
    try:
        paint: Work = resolve_name(work)
        for event in paint(order, ask):
            send(pipe, event)
            if isinstance(event, End):
                return
    except Exception as error:
        end = as_end(error)
    send(pipe, end)
