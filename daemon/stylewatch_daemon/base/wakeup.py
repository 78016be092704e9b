"""Waking and stopping the main loop, also from signal handlers; delays between retries."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import FrameType


class Wakeup:
    """The queue of what the main loop is to do, with flags that say why it woke.

    `scan_requested`: there may be something new in a directory. `reloading`: the settings are to be
    read again. Whoever does so clears the flag. `stopping` is set once the daemon is to stop.
    It is built on SimpleQueue, whose `put` may interrupt its own `get`, as in a signal handler.
    """

    def __init__(self) -> None:
        self.stopping = self.reloading = self.scan_requested = False
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()

    def post(self, call: Callable[[], object]) -> None:
        """Have the loop call a function; for all threads."""
        self._calls.put(call)

    def request_scan(self) -> None:
        """Wake the loop: there may be something new in a directory."""
        self.scan_requested = True
        self.wake()

    def wake(self) -> None:
        """Wake the loop, or let its next wait return at once."""
        self._calls.put(None)

    def stop(self) -> None:
        """Ask the daemon to stop."""
        self.stopping = True
        self.wake()

    def reload(self) -> None:
        """Ask the daemon to read its settings again."""
        self.reloading = True
        self.wake()

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds`, call what was posted, and return whether anything came."""
        try:
            calls = [self._calls.get(timeout=max(0.0, seconds))]
        except Empty:
            return False
        while not self._calls.empty():  # nobody else takes any
            calls.append(self._calls.get())
        for call in calls:
            if call is not None:
                call()
        return True


@contextmanager
def stops_on_signals(wakeup: Wakeup) -> Iterator[None]:
    """Let SIGTERM and SIGINT stop the daemon; a second one raises KeyboardInterrupt."""

    def handle(number: int, frame: FrameType | None) -> None:
        if wakeup.stopping:
            raise KeyboardInterrupt
        wakeup.stop()

    with _handler(handle, signal.SIGTERM), _handler(handle, signal.SIGINT):
        yield


@contextmanager
def reloads_on_signal(wakeup: Wakeup) -> Iterator[None]:
    """Let SIGHUP reload the settings, or stop the daemon if its terminal was closed."""
    terminals = [file for file in (0, 1, 2) if os.isatty(file)]

    def handle(number: int, frame: FrameType | None) -> None:
        if all(os.isatty(file) for file in terminals):
            wakeup.reload()
        else:
            wakeup.stop()

    is_ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN  # as under nohup
    with nullcontext() if is_ignored else _handler(handle, signal.SIGHUP):
        yield


@contextmanager
def _handler(handle: Callable[[int, FrameType | None], None], number: int) -> Iterator[None]:
    before = signal.signal(number, handle)
    try:
        yield
    finally:
        signal.signal(number, before)


@dataclass(frozen=True)
class Backoff:
    """Random exponential delays, in seconds: after the n-th failure up to `first` x 2^(n-1).

    `least` is the share of that which is waited in any case, `most` what it never exceeds.
    """

    first: float
    most: float
    least: float = 0.0

    def seconds(self, failures: int, chance: float) -> float:
        """Return the delay after so many `failures`; `chance` is a random number in 0..1."""
        longest = min(self.most, self.first * 2.0 ** min(failures - 1, 60))
        return longest * (self.least + (1 - self.least) * chance)


class Pauses:
    """Names that wait for their next try; `clock` is monotonic, in seconds.

    `chance` returns random numbers in 0..1.
    """

    def __init__(
        self, backoff: Backoff, clock: Callable[[], float], chance: Callable[[], float]
    ) -> None:
        self._backoff, self._clock, self._chance = backoff, clock, chance
        self._failures: dict[str, int] = {}
        self._until: dict[str, float] = {}

    def begin(self, name: str, times: float = 1.0) -> None:
        """Let `name` wait, longer each time until it is forgotten; no longer if it waits now.

        The delay is `times` that of the backoff.
        """
        if name in self.held():
            return
        self._failures[name] = self._failures.get(name, 0) + 1
        delay = self._backoff.seconds(self._failures[name], self._chance())
        self._until[name] = self._clock() + delay * times

    def release(self, name: str) -> None:
        """End the wait of `name` now; its next one is longer still."""
        self._until.pop(name, None)

    def forget(self, name: str) -> None:
        """Forget `name` and how often it failed."""
        self._failures.pop(name, None)
        self._until.pop(name, None)

    def all(self) -> frozenset[str]:
        """Return the names that began to wait and were not forgotten, still waiting or not."""
        return frozenset(self._until)

    def held(self) -> frozenset[str]:
        """Return the names that have to wait now."""
        now = self._clock()
        return frozenset(name for name, until in self._until.items() if until > now)

    def soonest(self) -> float | None:
        """Return the seconds until the first of them may go on; None if none waits."""
        now = self._clock()
        return min((until - now for until in self._until.values() if until > now), default=None)
