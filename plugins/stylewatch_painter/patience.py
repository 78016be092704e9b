"""Work on a disk that may never answer, in a thread that can be abandoned."""

from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Lock, Thread
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class SilentError(Exception):
    """A disk did not answer in time.

    This is not an OSError, because a disk that reports an OSError has answered.
    """


class Patience:
    """Runner of calls that must end within `seconds`, each in a new thread called `name`.

    Callers in several threads take turns. While one call hangs, all others fail, so that no further
    work begins on the same disk (law 9).
    """

    def __init__(self, name: str, seconds: float) -> None:
        self._name = name
        self._seconds = seconds
        self._turn = Lock()
        self._latest: Future[Any] | None = None

    def call(self, work: Callable[[], _Result]) -> _Result:
        """Run `work` in a new thread, and return its result.

        Raises the errors of `work`. Raises SilentError if `work` does not end within the allowed
        seconds, if the turn of this call does not come within that time, or if an earlier call
        still hangs. Work that hangs is abandoned, but may still end later.
        """
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
    except BaseException as error:  # without an answer, no later call would have its turn
        answer.set_exception(error)
