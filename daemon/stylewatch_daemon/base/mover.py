"""The mover: threads that copy, move and hash files, so that the main loop never waits for one."""

from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Event, Thread
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
    """Does work in two threads, in the order it came; no work may touch the ledger.

    `post` has the main loop call what follows from it.
    """

    def __init__(self, post: Post) -> None:
        self._post, self._leaving = post, Event()
        self._threads: dict[str, tuple[Thread, SimpleQueue[Any]]] = {}
        """The threads that run, by their names, each with the queue of its work."""

    def do(
        self,
        work: Callable[[Step], _Result],
        done: Callable[[_Result | Exception], object],
        size: int = 0,
    ) -> None:
        """Run `work`, which handles `size` bytes; then the main loop calls `done` with its result.

        The result is the exception if it raised one. Work that the daemon's end cuts off has none.
        """
        name = "long-mover" if size > LONG else "mover"
        try:
            _, queue = self._threads.get(name) or self._start(name)
        except RuntimeError as error:  # no thread to spare now
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
        """Raise OutputError if the daemon stops."""
        if self._leaving.is_set():
            raise OutputError("copying was stopped; the next start goes on with it")

    def close(self) -> None:
        """End running work at its next step; no other begins."""
        self._leaving.set()
        for thread, queue in self._threads.values():
            queue.put((lambda step: None, None))  # lets it end if it waits
            thread.join()
