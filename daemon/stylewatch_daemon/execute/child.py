"""The inside of a worker process: takes orders from a pipe, paints them, sends events back.

It leaves at once when the supervisor is gone, so that no two of them ever write the same files.
"""

from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from pkgutil import resolve_name

from stylewatch_daemon.execute.contract import (
    Done,
    Event,
    Failed,
    Order,
    Refused,
    Stopped,
    Wanted,
)
from stylewatch_daemon.execute.ends import as_end
from stylewatch_daemon.lock import shared
from stylewatch_daemon.processes import received, send, settle_in
from stylewatch_plugins.contract import Wish

_ENDS: Mapping[Wanted, Wish] = {"stop": Wish.STOP, "finish": Wish.FINISH, "cancel": Wish.STOP}
"""What the supervisor says to end an order at its next step, as a backend hears of it."""

Work = Callable[[Order, Callable[[], Wish]], Iterator[Event]]


def serve(orders: Connection, work: str, lock: Path) -> None:
    """Paint with `work` (`module:function`) what comes through `orders` until that closes.

    It shares `lock` with the other workers meanwhile: after a crash of the supervisor, the next
    one sees by it whether all of them are gone. To signals the supervisor alone listens.
    """
    settle_in()
    with shared(lock):
        while (order := received(orders)) is not None:
            if isinstance(order, Order):  # else a wish that came after its order's end
                _serve_one(orders, order, work)


def _serve_one(orders: Connection, order: Order, work: str) -> None:
    """Send the events of one order, exactly one End last."""
    asked = Wish.GO_ON

    def wish() -> Wish:
        nonlocal asked
        gone = False
        while not gone and orders.poll():  # what was said last holds
            said = received(orders)
            gone = said is None
            asked = _ENDS.get(said, Wish.STOP)
        return asked

    try:
        paint: Work = resolve_name(work)
        for event in paint(order, wish):
            send(orders, event)
            if isinstance(event, Done | Stopped | Refused | Failed):
                return
        send(orders, Failed("a fault of our own: the worker ended without saying how"))
    except Exception as error:
        send(orders, as_end(error))
