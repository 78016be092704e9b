"""The mover: threads that copy, move and hash files, so that the main loop never waits for them."""

from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any, TypeVar

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import OutputError

LONG = 64 << 20
"""Number of bytes above which work is done by a separate thread, so that small files do not wait
for it."""

Step = Callable[[], object]
"""Function called for each piece that is copied or hashed; an exception ends the work."""

Post = Callable[[Callable[[], object]], object]
"""Function that makes the main loop call a function."""

_Result = TypeVar("_Result")


class Mover:
    """Two threads that do work in the order of its arrival; work must not use the ledger.

    `post` makes the main loop call a function with the results.
    """

    def __init__(self, post: Post) -> None:
        self._post, self._leaving = post, Event()
        self._threads: dict[str, tuple[Thread, SimpleQueue[Any]]] = {}
        """Running threads by name, each with its queue of work."""

    def do(
        self,
        work: Callable[[Step], _Result],
        done: Callable[[_Result | Exception], object],
        size: int = 0,
    ) -> None:
        """Run `work`, which handles `size` bytes; then the main loop calls `done` with its result.

        The result is the exception if `work` raised one. `done` is not called for work that is
        interrupted by the end of the daemon.
        """
        name = "long-mover" if size > LONG else "mover"
        try:
            _, queue = self._threads.get(name) or self._start(name)
        except RuntimeError as error:  # no thread is available
            self._post(partial(done, shortages.no_process(error)))
        else:
            queue.put((work, done))

    def _start(self, name: str) -> tuple[Thread, SimpleQueue[Any]]:
        queue: SimpleQueue[Any] = SimpleQueue()
        thread = Thread(target=self._run, args=[queue], name=name, daemon=True)
        thread.start()
        self._threads[name] = thread, queue
        return thread, queue

    def _run(self, queue: SimpleQueue[Any]) -> None:
        while not self._leaving.is_set():
            work, done = queue.get()
            try:
                result = work(self._step)
            except Exception as error:
                result = error
            if not self._leaving.is_set():
                self._post(partial(done, result))

    def _step(self) -> None:
        """Raise OutputError if the daemon is stopping."""
        if self._leaving.is_set():
            raise OutputError("copying was stopped; the next start continues it")

    def close(self) -> None:
        """End running work at its next step, and start no other."""
        self._leaving.set()
        for thread, queue in self._threads.values():
            queue.put((lambda step: None, None))  # wakes a waiting thread, so that it ends
            thread.join()
