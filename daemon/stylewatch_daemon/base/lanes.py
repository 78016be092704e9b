"""Lanes: threads that work on disks, so that the main loop waits for none.

Each folder has a lane, and a second one for large files. A folder whose disk does not answer delays
only the work in its own lanes (law 9): the lane begins nothing else, and accepts a late result like
any other.
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
"""Number of bytes above which work is done in the second lane of its folder, so that small files do
not wait for it."""

SILENT_S = 10.0
"""Time in seconds without a sign of life after which a folder counts as not answering."""

REST_POLL_S = 0.02
"""Interval in seconds between two checks whether all work has ended."""

Step = Callable[[], object]
"""Function called for each piece that is copied or hashed; an exception that it raises ends the
work."""

Post = Callable[[Callable[[], object]], object]
"""Function that makes the main loop call a function."""

_Result = TypeVar("_Result")


class Effort:
    """Measure of the time that work in a lane takes, `seconds`, on which later pauses depend.

    Pass it to the work in place of `step`, to be called for each piece. A piece that takes SILENT_S
    or longer does not count, because the disk was silent: otherwise a disk that is back after an
    hour would be left alone for hours. `clock` counts seconds.
    """

    def __init__(self, step: Step, clock: Callable[[], float]) -> None:
        self._step = step
        self._clock = clock
        self._heard = clock()
        self.seconds = 0.0

    def __call__(self) -> None:
        """Call `step`, and count the time since the last piece."""
        self._step()
        now = self._clock()
        self.seconds += now - self._heard if now - self._heard < SILENT_S else 0.0
        self._heard = now


class Lanes:
    """Lanes by folder; each does its work in the order of arrival. Work must not use the ledger.

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
        """Queue `work`, which handles `size` bytes, for a lane of the folder `root`.

        When the work has ended, the main loop calls `done` with the result, or with the exception
        that `work` raised. If no thread can be started, it calls `done` with a ShortageError. After
        `close`, `done` is not called any more.
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
        """Return the folders that have not answered for `least_s` or longer, each with the seconds.

        `least_s` is SILENT_S by default.
        """
        now = time.monotonic()
        least_s = SILENT_S if least_s is None else least_s
        waits = ((lane.root, now - heard) for lane in self._all() if (heard := lane.heard))
        return {root: seconds for root, seconds in waits if seconds >= least_s}

    def _all(self) -> Iterator["_Lane"]:
        return iter([*self._lanes.values()])

    def rest(self, is_wanted: Callable[[], bool] = lambda: True, within: float = SILENT_S) -> bool:
        """End all work at its next step, and wait at most `within` seconds until it has ended.

        Returns False if some work has not ended by then, or as soon as `is_wanted` returns False;
        that work goes on, and further work is done as usual. After True, all further work ends at
        its first step. The default of `within` suffices for a folder that answers, however slowly.
        """
        self._resting.set()
        until = time.monotonic() + within
        while any(lane.done < lane.given for lane in self._all()):
            if time.monotonic() >= until or not is_wanted():
                self._resting.clear()
                return False
            time.sleep(REST_POLL_S)
        return True

    def close(self, within: float = 2.0) -> bool:
        """End running work at its next step, and start no further work.

        Returns False if a thread has not ended after `within` seconds; it is abandoned.
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
    """Monotonic time in seconds of the last sign of life of the running work; None without work."""
    thread: Thread | None = None
    given: int = 0
    """Number of pieces of work that the lane was given; only the main loop counts them."""
    done: int = 0
    """Number of pieces of work that have ended; only the thread counts them."""

    def __post_init__(self) -> None:
        self.queue: SimpleQueue[Any] = SimpleQueue()


def bounded(work: Callable[[], _Result], seconds: float) -> _Result | None:
    """Return the result of `work`, or None if it takes longer than `seconds`.

    Errors of `work` are raised. If it takes longer, its thread is abandoned.
    """
    try:
        return Patience("first look at folders", seconds).call(work)
    except SilentError:
        return None
