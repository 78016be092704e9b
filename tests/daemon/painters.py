"""Executors that paint nothing: they leave small files, and end as they are told."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from stylewatch_daemon import durable
from stylewatch_daemon.execute.contract import (
    Done,
    Event,
    Failed,
    Order,
    Progress,
    Refused,
    Staged,
    Started,
    Stopped,
    Wanted,
)

Ending = Refused | Failed | OSError | None


@dataclass
class Painter:
    """Two stages, a final picture and a receipt, unless `endings` has another end in store.

    Of `endings` each order takes the first, None for a good one. As a real one does, it keeps a
    checkpoint after the first stage, and goes on from there.
    """

    endings: list[Ending] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    started_at: list[int] = field(default_factory=list)
    closed: int = 0

    def run(self, order: Order, wanted: Callable[[], Wanted]) -> Generator[Event, None, None]:
        self.orders.append(order)
        assert order.checkpoint is not None
        first = 1 if order.checkpoint.exists() else 0
        self.started_at.append(first)
        yield Started("fake", "cpu", ((4, 4),), steps_at=(2,), step=first)
        for step in range(first + 1, 3):
            if (asked := wanted()) in ("stop", "cancel"):
                yield Stopped(step - 1)
                return
            if asked == "finish":
                break
            yield Progress(step, 2, (4, 4), loss=1 / step, seconds=step)
            yield from self.leave(order, f"stages/{step}.png")
            durable.write(order.checkpoint, b"after step 1")
            ending = self.endings.pop(0) if self.endings else None
            if isinstance(ending, OSError):
                raise ending
            if ending is not None:
                yield ending
                return
        yield from self.leave(order, "final.png")
        yield from self.leave(order, "receipt.json")
        content = {"name": order.content.name, "size": [4, 4], "sha256": "12ab"}
        yield Done({"job": order.name, "inputs": [content]})

    def leave(self, order: Order, name: str) -> Generator[Event, None, None]:
        durable.make_folder((order.staging / name).parent)
        text = f"{name} of {order.content.read_text()} and {order.styles[0].read_text()}"
        durable.write(order.staging / name, text.encode())
        yield Staged(name)

    def close(self) -> None:
        self.closed += 1
