"""Work for worker processes in place of painting; the order's name chooses it."""

import os
import signal
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from stylewatch_daemon.base.model import Progress, Started
from stylewatch_daemon.worker import run_job
from stylewatch_daemon.worker.messages import AttemptStopped, Done, Event, Order
from stylewatch_painter.errors import PictureError
from stylewatch_plugins.contract import Wish

WORK = "tests.daemon.worker.works:work"
PAINTED = "a/job"
SPOILED = ("close the line", "write into the line", "write half a message")
"""Ways in which a worker breaks its connection to the daemon."""


def work(order: Order, wish: Callable[[], Wish]) -> Iterator[Event]:
    """Make a step, then do as the order's name says; an order that `orders` makes is painted."""
    if order.name == PAINTED:
        yield from run_job.work(order, wish)
        return
    if order.name == "find gpus":
        gpus = ("gpu:0", "gpu:1", "gpu:2")
        yield Started("fake", order.settings.device or "gpu:0", (), (), accelerators=gpus)
    yield Progress(1, 2, (1, 1), loss=1.0, seconds=0.0)
    if order.name in ("paint", "find gpus"):
        yield Done({"pid": os.getpid(), "device": order.device})
    elif order.name == "until stopped":
        yield from until_asked(wish)
    elif order.name == "unspeakable":
        yield Done({"receipt": lambda: None})
    elif order.name in SPOILED:
        spoil(order.name)
    else:
        fail(order.name)


def until_asked(wish: Callable[[], Wish]) -> Iterator[Event]:
    """Repeat a step until there is a request."""
    while (asked := wish()) is Wish.GO_ON:
        signal.sigtimedwait([], 0.01)
        yield Progress(1, 2, (1, 1), loss=1.0, seconds=0.0)
    yield Done({"state": "stopped early"}) if asked is Wish.FINISH else AttemptStopped(1)


def pipes() -> Iterator[int]:
    """The file descriptors of the connection to the daemon, which notices when they close."""
    for path in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError):
            if stat.S_ISSOCK(path.stat().st_mode):
                yield int(path.name)


def spoil(how: str) -> None:
    """Do what no backend should to what leads to the daemon, and live on."""
    for fd in pipes():
        if how == "close the line":
            os.close(fd)
        elif how == "write into the line":
            os.write(fd, struct.pack("!i", 4) + b"oops")
        elif how == "write half a message":
            os.write(fd, struct.pack("!i", 8) + b"oops")
    signal.pause()


def fail(how: str) -> None:
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "leave":
        os._exit(3)
    elif how == "hang":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif how == "bad picture":
        raise PictureError("it is no picture")
    elif how == "bug":
        raise ZeroDivisionError("by zero")
