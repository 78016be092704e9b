"""Work on a disk that may never answer, in a thread that can be abandoned."""

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

_Result = TypeVar("_Result")


class SilentError(Exception):
    """A disk does not answer. It is no OSError: a disk that times out by itself does answer."""


class Patience:
    """Calls of work that has so many `seconds` to answer, in threads of this `name`.

    While one call hangs, others fail at once: nothing else begins on that disk (law 9).
    """

    def __init__(self, name: str, seconds: float) -> None:
        self._name, self._seconds = name, seconds
        self.thread: Thread | None = None
        """The thread of the latest call."""

    def call(self, work: Callable[[], _Result]) -> _Result:
        """Return the result of `work`; raises its errors, and SilentError without an answer."""
        if self.thread is not None and self.thread.is_alive():
            raise SilentError(f"{self._name}: an earlier call does not answer")
        results: SimpleQueue[_Result | Exception] = SimpleQueue()

        def run() -> None:
            try:
                results.put(work())
            except Exception as error:
                results.put(error)

        self.thread = Thread(target=run, name=self._name, daemon=True)
        self.thread.start()
        try:
            result = results.get(timeout=self._seconds)
        except Empty:
            raise SilentError(f"{self._name}: no answer in {self._seconds:g} seconds") from None
        if isinstance(result, Exception):
            raise result
        return result
