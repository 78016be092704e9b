"""The mover: threads that copy, move and hash files, so that the main loop never waits for one."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Event
from typing import Any, TypeVar

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import OutputError

LONG = 64 << 20
"""Bytes; work on more of them has a thread of its own, so that small files do not wait for it."""

Step = Callable[[], object]
"""Called for each piece that is copied or hashed; it may raise, to end that."""

Post = Callable[[Callable[[], object]], object]
"""Has the main loop call a function."""

_Result = TypeVar("_Result")


class Mover:
    """Does work in threads, in the order it came; no work may touch the ledger.

    `post` has the main loop call what follows from it.
    """

    def __init__(self, post: Post) -> None:
        self._post, self._leaving = post, Event()
        self._threads = [
            ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
            for name in ("mover", "long-mover")
        ]

    def do(
        self,
        work: Callable[[Step], _Result],
        done: Callable[[_Result | Exception], object],
        size: int = 0,
    ) -> None:
        """Run `work`, which handles `size` bytes; then the main loop calls `done` with its result.

        The result is the exception if it raised one. Work that the daemon's end cuts off has none.
        """
        is_refused = Event()

        def begin() -> _Result | None:
            return None if is_refused.is_set() else work(self._step)

        def finished(future: Future[Any]) -> None:
            if not future.cancelled() and not self._leaving.is_set():
                error = future.exception()
                result = error if isinstance(error, Exception) else future.result()
                self._post(partial(done, result))

        try:
            thread = self._threads[size > LONG]
            thread.submit(begin).add_done_callback(finished)
        except RuntimeError as error:  # no thread to spare now; the next one would do it after all
            is_refused.set()
            self._post(partial(done, shortages.no_process(error)))

    def _step(self) -> None:
        """Raise OutputError if the daemon stops."""
        if self._leaving.is_set():
            raise OutputError("copying was stopped; the next start goes on with it")

    def close(self) -> None:
        """End running work at its next step; no other begins."""
        self._leaving.set()
        for thread in self._threads:
            thread.shutdown(cancel_futures=True)
