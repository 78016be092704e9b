"""Work on a disk that may never answer, in a thread that can be abandoned."""

from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Lock, Thread
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class SilentError(Exception):
    """A disk does not answer. It is no OSError: a disk that times out by itself does answer."""


class Patience:
    """Calls of work that has so many `seconds` to answer, in threads of this `name`.

    Calls of several threads wait for one another. While one call hangs, others fail: nothing else
    begins on that disk (law 9).
    """

    def __init__(self, name: str, seconds: float) -> None:
        self._name = name
        self._seconds = seconds
        self._turn = Lock()
        self._latest: Future[Any] | None = None

    def call(self, work: Callable[[], _Result]) -> _Result:
        """Return the result of `work`; raises its errors, and SilentError without an answer."""
        if not self._turn.acquire(timeout=self._seconds):
            raise SilentError(self._name)
        try:
            if self._latest is not None and not self._latest.done():
                raise SilentError(self._name)
            self._latest = answer = Future[_Result]()
            Thread(target=_answer, args=(answer, work), name=self._name, daemon=True).start()
            wait([answer], self._seconds)
            if not answer.done():
                raise SilentError(self._name)
            return answer.result()
        finally:
            self._turn.release()


def _answer(answer: Future[_Result], work: Callable[[], _Result]) -> None:
    try:
        answer.set_result(work())
    except Exception as error:
        answer.set_exception(error)
