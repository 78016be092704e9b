"""What wakes the daemon, and what tells it to leave; both may come from a signal handler."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from types import FrameType


class Bell:
    """Rung when there is something to look at; `stopping` once it was told to leave.

    It stands on SimpleQueue, whose `put` may interrupt its own `get`, as a signal handler does.
    """

    def __init__(self) -> None:
        self.stopping = False
        self._rings: SimpleQueue[None] = SimpleQueue()

    def ring(self) -> None:
        """Wake whoever waits, or will wait next."""
        self._rings.put(None)

    def stop(self) -> None:
        """Tell the daemon to leave."""
        self.stopping = True
        self.ring()

    def wait(self, seconds: float) -> bool:
        """Wait for a ring, at most so long; whether there was one. Many rings count as one."""
        try:
            self._rings.get(timeout=max(0.0, seconds))
        except Empty:
            return False
        while not self._rings.empty():
            self._rings.get_nowait()
        return True


@contextmanager
def stops_on_signals(bell: Bell) -> Iterator[None]:
    """SIGTERM and SIGINT stop `bell`; a second one raises KeyboardInterrupt: leave at once."""

    def handle(number: int, frame: FrameType | None) -> None:
        if bell.stopping:
            raise KeyboardInterrupt
        bell.stop()

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, handle) for number in numbers]
    try:
        yield
    finally:
        for number, old in zip(numbers, before, strict=True):
            signal.signal(number, old)
