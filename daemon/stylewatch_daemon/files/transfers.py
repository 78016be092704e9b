"""Long copies in a thread of their own, so that the main loop never waits for one."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any, TypeVar

from stylewatch_daemon.errors import InProgressError, OutputError

SMALL = 8 << 20
"""Bytes; what has fewer is copied at once."""

_Result = TypeVar("_Result")


class Transfers:
    """Runs what reads or writes many bytes, one at a time; `wake` is called after each.

    All methods but `step` are for the main thread, and so is the ledger: no work may touch it.
    """

    def __init__(self, wake: Callable[[], object] = lambda: None) -> None:
        self._wake, self._leaving = wake, Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="transfers")
        self._begun: dict[str, Future[Any]] = {}

    def has(self, key: str) -> bool:
        """Return whether the work of that `key` was begun, and its result not asked for since."""
        return key in self._begun

    def run(self, key: str, size: int, work: Callable[[], _Result]) -> _Result:
        """The result of `work`, which handles `size` bytes, or what it raises.

        Raises InProgressError until that is there, where it is long; whoever asks again by the same
        `key` gets it, once.
        """
        if key not in self._begun:
            if size < SMALL:
                return work()
            self._begun[key] = future = self._thread.submit(work)
            future.add_done_callback(lambda _: self._wake())
        if not self._begun[key].done():
            raise InProgressError(key)
        result: _Result = self._begun.pop(key).result()
        return result

    def forget(self, key: str) -> None:
        """Drop the result of that `key`, which nobody will ask for."""
        self._begun.pop(key, None)

    def step(self) -> None:
        """Raise OutputError where we are leaving; work calls this now and then."""
        if self._leaving.is_set():
            raise OutputError("copying was stopped; the next start goes on with it")

    def close(self) -> None:
        """End what is being copied; nothing is begun any more."""
        self._leaving.set()
        self._thread.shutdown(cancel_futures=True)
