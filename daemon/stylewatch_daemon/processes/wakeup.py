"""What wakes the daemon, and what tells it to leave; both may come from a signal handler."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from types import FrameType


class Bell:
    """Rung when there is something to look at in a folder, and a waker when there is other news.

    `rung` until whoever looks takes it back; `stopping` once the daemon was told to leave;
    `reloading` where it was told to read its settings again, until whoever does so takes it back.
    It stands on SimpleQueue, whose `put` may interrupt its own `get`, as a signal handler does.
    """

    def __init__(self) -> None:
        self.stopping = self.reloading = self.rung = False
        self._news: SimpleQueue[None] = SimpleQueue()

    def ring(self) -> None:
        """Wake whoever waits, or will wait next: there is something to look at."""
        self.rung = True
        self._news.put(None)

    def wake(self) -> None:
        """Wake whoever waits, or will wait next."""
        self._news.put(None)

    def stop(self) -> None:
        """Tell the daemon to leave."""
        self.stopping = True
        self.wake()

    def reload(self) -> None:
        """Tell the daemon to read its settings again."""
        self.reloading = True
        self.wake()

    def wait(self, seconds: float) -> bool:
        """Wait to be woken, at most so long; whether we were. Many times count as one."""
        try:
            self._news.get(timeout=max(0.0, seconds))
        except Empty:
            return False
        while not self._news.empty():
            self._news.get_nowait()
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


@contextmanager
def reloads_on_signal(bell: Bell) -> Iterator[None]:
    """SIGHUP has the settings read again; where our terminal was closed, it stops `bell`."""
    terminals = [file for file in (0, 1, 2) if os.isatty(file)]

    def handle(number: int, frame: FrameType | None) -> None:
        if all(os.isatty(file) for file in terminals):
            bell.reload()
        else:
            bell.stop()

    before = signal.getsignal(signal.SIGHUP)
    if before != signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
