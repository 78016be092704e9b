"""Lanes: threads that work on disks, one for each folder, so that the main loop waits for none.

A folder whose disk does not answer holds up its own lane alone (law 9). Its work stays open:
nothing else begins there, and a late result is accepted like any other.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any, TypeVar

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import OutputError
from stylewatch_painter.patience import Patience, SilentError

LONG = 64 << 20
"""Number of bytes above which work is done by a second thread of the lane, so that small files do
not wait for it."""

SILENT_S = 10.0
"""Time in seconds without a sign of life after which a folder counts as not answering."""

REST_POLL_S = 0.02
"""Interval in seconds between two looks whether all work has ended."""

Step = Callable[[], object]
"""Function called for each piece that is copied or hashed; an exception ends the work."""

Post = Callable[[Callable[[], object]], object]
"""Function that makes the main loop call a function."""

_Result = TypeVar("_Result")


class Effort:
    """Time that work in a lane takes, in `seconds`; the pauses after it depend on that.

    Call it for each piece instead of `step`. The time in which the disk is silent does not count:
    otherwise a disk that is back after an hour would be left alone for hours.
    """

    def __init__(self, step: Step, clock: Callable[[], float]) -> None:
        self._step = step
        self._clock = clock
        self._heard = clock()
        self.seconds = 0.0

    def __call__(self) -> None:
        """Note that a piece is done."""
        self._step()
        now = self._clock()
        self.seconds += now - self._heard if now - self._heard < SILENT_S else 0.0
        self._heard = now


class Lanes:
    """Lanes by folder, which do work in the order of its arrival; work must not use the ledger.

    `post` makes the main loop call a function with the results.
    """

    def __init__(self, post: Post) -> None:
        self._post = post
        self._leaving = Event()
        self._resting = Event()
        self._lanes: dict[tuple[Path, bool], _Lane] = {}

    def do(
        self,
        root: Path,
        work: Callable[[Step], _Result],
        done: Callable[[_Result | Exception], object],
        size: int = 0,
    ) -> None:
        """Run `work` on the folder `root`, which handles `size` bytes; then call `done`.

        The main loop calls `done` with the result, or with the exception that `work` raised. If the
        end of the daemon interrupts the work, `done` is not called.
        """
        key = root, size > LONG
        try:
            lane = self._lanes.get(key) or self._start(*key)
        except RuntimeError as error:  # no thread is available
            self._post(partial(done, shortages.no_process(error)))
        else:
            lane.given += 1
            lane.queue.put((work, done))

    def _start(self, root: Path, is_long: bool) -> "_Lane":
        lane = _Lane(root)
        name = f"{'long files of' if is_long else 'files of'} {root.name}"
        lane.thread = Thread(target=self._run, args=[lane], name=name, daemon=True)
        lane.thread.start()
        self._lanes[root, is_long] = lane
        return lane

    def _run(self, lane: "_Lane") -> None:
        def step() -> None:
            """Note a sign of life; raise OutputError if the daemon is stopping."""
            lane.heard = time.monotonic()
            if self._leaving.is_set() or self._resting.is_set():
                raise OutputError("copying was stopped; the next start continues it")

        while not self._leaving.is_set():
            work, done = lane.queue.get()
            lane.heard = time.monotonic()
            try:
                result = work(step)
            except Exception as error:
                result = error
            lane.heard = None
            lane.done += 1
            if not self._leaving.is_set():
                self._post(partial(done, result))

    def silent(self, least_s: float | None = None) -> dict[Path, float]:
        """Return how long folders have not answered, in seconds, if that is at least `least_s`."""
        now = time.monotonic()
        least_s = SILENT_S if least_s is None else least_s
        waits = ((lane.root, now - heard) for lane in self._all() if (heard := lane.heard))
        return {root: seconds for root, seconds in waits if seconds >= least_s}

    def _all(self) -> Iterator["_Lane"]:
        return iter([*self._lanes.values()])

    def rest(self, within: float = 2.0) -> bool:
        """End all work at its next step, and wait until it has ended.

        Returns False if a folder does not answer for `within` seconds: then work goes on.
        """
        self._resting.set()
        until = time.monotonic() + within
        while any(lane.done < lane.given for lane in self._all()):
            if time.monotonic() >= until:
                self._resting.clear()
                return False
            time.sleep(REST_POLL_S)
        return True

    def close(self, within: float = 2.0) -> bool:
        """End running work at its next step, and start no further work.

        Returns False if a folder does not answer for `within` seconds; its thread is abandoned.
        """
        self._leaving.set()
        until = time.monotonic() + within
        for lane in self._all():
            lane.queue.put((lambda step: None, None))  # wakes a waiting thread, so that it ends
        for lane in self._all():
            if lane.thread is not None:
                lane.thread.join(max(0.0, until - time.monotonic()))
        return not any(lane.thread is not None and lane.thread.is_alive() for lane in self._all())


@dataclass
class _Lane:
    """A thread and its queue of work."""

    root: Path
    heard: float | None = None
    """Monotonic time of the last sign of life of its work, in seconds; None without work."""
    thread: Thread | None = None
    given: int = 0
    """Number of pieces of work, which only the main loop counts."""
    done: int = 0
    """Number of pieces of work that have ended, which only the thread counts."""

    def __post_init__(self) -> None:
        self.queue: SimpleQueue[Any] = SimpleQueue()


def bounded(work: Callable[[], _Result], seconds: float) -> _Result | None:
    """Return the result of `work`, or None if a disk does not answer within `seconds`.

    Errors of `work` are raised. Its thread is abandoned if it takes longer.
    """
    try:
        return Patience("first look at folders", seconds).call(work)
    except SilentError:
        return None
