"""Which of the pictures of an order are painted from: both sides, or only one."""

from dataclasses import replace

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.worker.contract import Order

_CALLED = {"content": "content picture", "style": "style picture"}


def wanted(order: Order) -> Order:
    """`order` with the pictures that `only` leaves it; SettingsError where one is missing."""
    only = order.settings.only
    if only == "style":
        order = replace(order, content=None)
    elif only == "content":
        order = replace(order, styles=())
    there = {"content": order.content is not None, "style": bool(order.styles)}
    for side in ("content", "style") if only is None else (only,):
        if not there[side]:
            other = next(one for one in there if one != side)
            raise SettingsError(
                f"there is no {_CALLED[side]}: add one"
                + (f", or say only: {other}" if there[other] else f", or leave out only: {side}")
            )
    return order
