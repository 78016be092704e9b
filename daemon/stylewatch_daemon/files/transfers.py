"""Long copies in a separate thread, so that the main loop never waits for one."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any, TypeVar

from stylewatch_daemon.errors import InProgressError, OutputError
from stylewatch_daemon.files import shortages

SMALL = 8 << 20
"""Bytes; smaller files are copied at once."""

_Result = TypeVar("_Result")


class Transfers:
    """Runs what reads or writes many bytes, one at a time; `wake` is called after each.

    All methods but `step` are for the main thread, and so is the ledger: no work may touch it.
    """

    def __init__(self, wake: Callable[[], object] = lambda: None) -> None:
        self._wake, self._closing = wake, Event()
        self._thread = _new_thread()
        self._begun: dict[str, Future[Any]] = {}

    def has(self, key: str) -> bool:
        """Return True if work with that `key` has begun and its result was not fetched yet."""
        return key in self._begun

    def run(self, key: str, size: int, work: Callable[[], _Result]) -> _Result:
        """Return the result of `work`, which handles `size` bytes, or raise its error.

        Raises InProgressError while long work runs; a later call with the same `key` gets the
        result, once. Raises ShortageError if no thread can be started.
        """
        if key not in self._begun:
            if size < SMALL:
                return work()
            try:
                future = self._thread.submit(work)
            except RuntimeError as error:
                self._thread = _new_thread()  # the other one still has `work` in its queue
                raise shortages.no_process(error) from error
            self._begun[key] = future
            future.add_done_callback(lambda _: self._wake())
        if not self._begun[key].done():
            raise InProgressError(key)
        result: _Result = self._begun.pop(key).result()
        return result

    def forget(self, key: str) -> None:
        """Drop the result of that `key`."""
        self._begun.pop(key, None)

    def step(self) -> None:
        """Raise OutputError if the daemon stops; work calls this repeatedly."""
        if self._closing.is_set():
            raise OutputError("copying was stopped; the next start goes on with it")

    def close(self) -> None:
        """End running copies; no other begins."""
        self._closing.set()
        self._thread.shutdown(cancel_futures=True)


def _new_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="transfers")
