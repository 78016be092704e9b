"""The worker process: it takes orders from a pipe, paints them, and sends events back.

It exits at once when the daemon has ended, so that two workers never write the same files.
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
    AttemptEnd,
    AttemptRequest,
    Event,
    Failed,
    Order,
    Refused,
)
from stylewatch_plugins.contract import Wish

Work = Callable[[Order, Callable[[], Wish]], Iterator[Event]]
"""Function that paints an order and yields its events. The second argument is a function that
returns the current request."""


def serve(pipe: Connection, work: str, lock: Path) -> None:
    """Paint the orders from `pipe` with the function `work` (`module:function`).

    End when `pipe` closes. Meanwhile the worker holds the file `lock` together with the other
    workers. After a crash of the daemon, the next daemon knows by the lock whether all workers have
    ended.
    """
    with shared(lock):
        with suppress(ConnectionError):  # if the parent has ended, `received` detects it
            pipe.send_bytes(READY)
        while (message := received(pipe)) is not None:
            if isinstance(message, Order):  # otherwise a request that arrived after its order's end
                paint(message, work, pipe, pipe)


def paint(order: Order, work: str, requests: Connection, events: Connection) -> None:
    """Paint an order with `work`, and send its events; the last is the only AttemptEnd.

    Meanwhile, read the parent's requests to the attempt from `requests`.
    """
    wish = Wish.GO_ON

    def ask() -> Wish:
        """Read the parent's requests and return the latest."""
        nonlocal wish
        while requests.poll():
            wanted = received(requests)
            if wanted is None:  # the parent has ended
                return Wish.STOP
            wish = Wish.FINISH if wanted == AttemptRequest.FINISH else Wish.STOP
        return wish

    end: Refused | Failed = Failed("a fault of stylewatch: the worker ended without saying how")
    try:
        run: Work = resolve_name(work)
        for event in run(order, ask):
            send(events, event)
            if isinstance(event, AttemptEnd):
                return
    except Exception as error:
        end = as_end(error)
    send(events, end)
