"""Waking and stopping of the main loop, also from signal handlers; delays between retries."""

import os
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Generic, TypeVar


class Intent(Enum):
    """What the daemon should do next."""

    RUN = "run"
    STOP = "stop"
    """Stop for good. This cannot be taken back."""
    RESTART = "restart"
    """Stop, and start anew with the current settings (law 15)."""


class Wakeup:
    """Queue of calls for the main loop, with flags that say why it woke up.

    `scan_requested` is set if a folder may have new files, `reloading` if the settings should be
    read again; the main loop clears a flag when it begins to scan or to read. The queue is a
    SimpleQueue, whose `put` may interrupt its own `get`, as in a signal handler.
    """

    def __init__(self) -> None:
        self.reloading = self.scan_requested = False
        # Two flags, because a signal may come between any two steps of the main loop: only `stop`
        # sets the first, and only the main loop changes the second, so neither undoes the other.
        self._is_told_to_stop = False
        self._starts_anew = False
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self.guard: Callable[[Callable[[], object]], object] = lambda call: call()
        """Function that makes each of the posted calls, and may handle their errors."""

    def post(self, call: Callable[[], object]) -> None:
        """Make the loop call a function; can be called from any thread."""
        self._calls.put(call)

    def request_scan(self) -> None:
        """Wake the loop, because a folder may have new files.

        Until its next scan, further events do not wake it again: a claim alone causes several.
        """
        if not self.scan_requested:
            self.scan_requested = True
            self.wake()

    def wake(self) -> None:
        """Wake the loop, or make its next wait return at once."""
        self._calls.put(None)

    @property
    def intent(self) -> Intent:
        """The next thing for the daemon to do; a request to stop overrides one to start anew."""
        if self._is_told_to_stop:
            return Intent.STOP
        return Intent.RESTART if self._starts_anew else Intent.RUN

    @property
    def stopping(self) -> bool:
        """True once the main loop should end, whether or not the daemon starts anew."""
        return self.intent is not Intent.RUN

    def stop(self) -> None:
        """Ask the daemon to stop for good; a signal handler may call this at any moment."""
        self._is_told_to_stop = True
        self.wake()

    def restart(self) -> None:
        """Ask the daemon to stop and to start anew; only the main loop calls this."""
        self._starts_anew = True
        self.wake()

    def stay(self) -> None:
        """Take back the request to start anew; only the main loop calls this."""
        self._starts_anew = False

    def reload(self) -> None:
        """Ask the daemon to read its settings again, and to start anew with them."""
        self.reloading = True
        self.wake()

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds`, make the posted calls, and return whether the loop was woken."""
        try:
            calls = [self._calls.get(timeout=max(0.0, seconds))]
        except Empty:
            return False
        while not self._calls.empty():  # there is no other consumer
            calls.append(self._calls.get())
        for call in calls:
            if call is not None:
                self.guard(call)
        return True


SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that the daemon handles, and that are blocked while it starts anew."""


def open_terminals() -> tuple[int, ...]:
    """Return the descriptors of the standard streams that are terminals."""
    return tuple(file for file in (0, 1, 2) if os.isatty(file))


@contextmanager
def woken_by_signals(wakeup: Wakeup, terminals: Collection[int] | None = None) -> Iterator[None]:
    """Make SIGTERM and SIGINT stop the daemon in the block; a second one raises KeyboardInterrupt.

    SIGHUP reloads the settings, or stops the daemon if one of the `terminals` was closed; these are
    descriptors, by default those that `open_terminals` returns now. If SIGHUP is ignored, as under
    nohup, it stays ignored. At the end of the block the former handlers are restored. If the daemon
    starts anew then, signals stay blocked instead, until the next image of this process handles
    them in the same way.
    """
    watched = open_terminals() if terminals is None else terminals

    def stop(number: int, frame: FrameType | None) -> None:
        if wakeup.intent is Intent.STOP:
            raise KeyboardInterrupt
        wakeup.stop()

    def hang_up(number: int, frame: FrameType | None) -> None:
        if all(os.isatty(file) for file in watched):
            wakeup.reload()
        else:
            wakeup.stop()

    handlers = {signal.SIGTERM: stop, signal.SIGINT: stop}
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        handlers[signal.SIGHUP] = hang_up
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    release_signals()
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        if wakeup.intent is Intent.RESTART:
            _hold(before)
        else:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_IGN)  # which discards one that came too late
                signal.signal(number, handler)
            release_signals()


def _hold(numbers: Collection[int]) -> None:
    """Set the handlers of `numbers` for a restart: a no-op for SIGHUP, else the default action.

    The signals are blocked, and stay pending for the next image of this process. A thread that does
    not block them, such as an abandoned one, still receives them: SIGTERM and SIGINT then end the
    process, whose work has stopped by now, and SIGHUP has no effect.
    """
    for number in numbers:
        signal.signal(number, _do_nothing if number == signal.SIGHUP else signal.SIG_DFL)


def ignore_hang_ups() -> None:
    """Ignore SIGHUP in a process that is about to end, as the signal would change its exit code."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def release_signals() -> None:
    """Unblock the signals of the daemon, so that those that wait are handled."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """Handle a signal by ignoring it."""


@dataclass(frozen=True)
class Backoff:
    """Exponential delays: `first` x 2^(n-1) seconds after the n-th failure, at most `most`."""

    first: float
    most: float

    def seconds(self, failures: int) -> float:
        """Return the delay in seconds after this number of `failures`, which is 1 or more."""
        return min(self.most, self.first * 2.0 ** min(failures - 1, 60))


Name = TypeVar("Name")


class Pauses(Generic[Name]):
    """Names that wait for their next try; `clock` is monotonic, in seconds."""

    def __init__(self, backoff: Backoff, clock: Callable[[], float]) -> None:
        self._backoff = backoff
        self._clock = clock
        self._waits: dict[Name, tuple[int, float]] = {}
        """For each name the number of its failures, and the time at which its wait ends."""

    def begin(self, name: Name, times: float = 1.0) -> None:
        """Count a failure of `name`, and start its wait, unless it is waiting already.

        The delay is that of the backoff for the number of its failures, multiplied by `times`.
        """
        failures, until = self._waits.get(name, (0, 0.0))
        if until <= (now := self._clock()):
            delay = times * self._backoff.seconds(failures + 1)
            self._waits[name] = failures + 1, now + delay

    def forget(self, name: Name) -> None:
        """Forget `name` and its number of failures."""
        self._waits.pop(name, None)

    def __contains__(self, name: object) -> bool:
        """Return whether `name` is one of `all`."""
        return name in self._waits

    def all(self) -> frozenset[Name]:
        """Return all names that failed and are not forgotten, even those whose wait is over."""
        return frozenset(self._waits)

    def held(self) -> frozenset[Name]:
        """Return the names that are waiting now."""
        now = self._clock()
        return frozenset(name for name, (_, until) in self._waits.items() if until > now)

    def seconds(self, name: Name | None) -> float:
        """Return the seconds until the wait of `name` ends; 0 if it does not wait, or is None."""
        _, until = self._waits.get(name, (0, 0.0)) if name is not None else (0, 0.0)
        return max(0.0, until - self._clock())

    def soonest(self) -> float | None:
        """Return the seconds until the first wait ends; None if no name is waiting."""
        now = self._clock()
        return min((until - now for _, until in self._waits.values() if until > now), default=None)
