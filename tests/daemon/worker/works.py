"""Work for worker processes in place of painting; the order's name chooses it."""

import os
import resource
import signal
import stat
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from stylewatch_daemon.base.model import Progress, Started
from stylewatch_daemon.worker import batch
from stylewatch_daemon.worker.failures import as_end
from stylewatch_daemon.worker.messages import (
    Divided,
    Done,
    End,
    Event,
    Order,
    Staged,
    Stopped,
)
from stylewatch_painter.errors import PictureError
from stylewatch_plugins.contract import Wish

WORK = "tests.daemon.worker.works:work"
PAINTED = "a/job"
SPOILED = ("close files", "close the line", "write into the line", "write half a message")
"""Ways in which a worker breaks its connection to the daemon."""
SCENES = {1: 2, 3: 3, 6: 4}
"""The scenes of a clip that are not painted: their first frames, and their frames."""
FRAMES = 10
"""Frames of that clip."""
CONFINED = "tests.daemon.worker.works:confined"


def work(
    orders: Sequence[Order], wishes: Sequence[Callable[[], Wish]]
) -> Iterator[tuple[int, Event]]:
    """Follow each order, an event of each in turn; what goes wrong with one ends no other.

    Those that `orders` makes are painted.
    """
    if PAINTED in [order.name for order in orders]:
        yield from batch.work(orders, wishes)
        return
    going = dict(enumerate(map(follow, orders, wishes)))
    while going:
        for index, events in list(going.items()):
            event: Event | None
            try:
                event = next(events, None)
            except Exception as error:
                if len(orders) == 1:
                    raise
                event = as_end(error)
            if event is None or isinstance(event, End):
                del going[index]
            if event is not None:
                yield index, event


def follow(order: Order, wish: Callable[[], Wish]) -> Iterator[Event]:
    """Make a step, then do as the order's name says."""
    if "clip" in order.name:
        yield from clip(order, wish)
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


def until_asked(wish: Callable[[], Wish], step: int = 1) -> Iterator[Event]:
    """Repeat a step until there is a request."""
    while (asked := wish()) is Wish.GO_ON:
        signal.sigtimedwait([], 0.01)
        yield Progress(step, 2, (1, 1), loss=1.0, seconds=0.0)
    yield Done({"state": "stopped early"}) if asked is Wish.FINISH else Stopped(step)


def clip(order: Order, wish: Callable[[], Wish]) -> Iterator[Event]:
    """Divide a clip of FRAMES frames, paint some of its scenes, or join it.

    All but "clip" itself go on until they are asked to end, "late clip" before it divides, too. In
    "clip: FAULT" the first part fails.
    """
    ends_by_itself, scenes = order.name == "clip", order.scenes
    before = FRAMES - sum(SCENES.values())
    if order.divide:
        yield Started("fake", "cpu", ((1, 1),), (FRAMES,), before)
        while order.name == "late clip" and wish() is Wish.GO_ON:
            signal.sigtimedwait([], 0.01)
        yield Divided(tuple(SCENES.items()))
        return
    if scenes:
        yield Started("fake", "gpu:0", ((1, 1),), (FRAMES,), before)
        yield Staged(f"{order.checkpoint} {scenes}", "12ab")
        frames = sum(SCENES[first] for first in scenes) if ends_by_itself else 1
        for frame in range(1, frames + 1):
            yield Progress(before + frame, FRAMES, (1, 1), loss=1.0, seconds=float(frame))
        if order.name.startswith("clip: ") and max(SCENES) in scenes:
            fail(order.name.removeprefix("clip: "))
    if not ends_by_itself:
        yield from until_asked(wish, before + 1)
    else:
        yield Stopped(before + frames) if scenes else Done({"state": "done"})


def pipes() -> Iterator[int]:
    """The file descriptors of the connection to the daemon, which notices when they close."""
    for path in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError):
            if stat.S_ISSOCK(path.stat().st_mode):
                yield int(path.name)


def spoil(how: str) -> None:
    """Do what no backend should to what leads to the daemon, and live on."""
    if how == "close files":
        os.closerange(3, 1000)
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
    elif how == "lost device":
        raise RuntimeError("CUDA error: unspecified launch failure")
    elif how == "bug":
        raise ZeroDivisionError("by zero")


def confined(
    orders: Sequence[Order], wishes: Sequence[Callable[[], Wish]]
) -> Iterator[tuple[int, Event]]:
    """Paint in a process that may take so many bytes more as the order's name says.

    A first, small, painting sets up the machinery before.
    """
    (order,) = orders
    small = order.settings.model_copy(update={"size": "64"})
    for _ in batch.work([replace(order, settings=small, checkpoint=None)], wishes):
        pass
    held = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (held + int(order.name), resource.RLIM_INFINITY))
    yield from batch.work(orders, wishes)
