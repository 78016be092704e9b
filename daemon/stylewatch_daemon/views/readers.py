"""Threads that read the files of jobs, for which the page waits only a moment.

A file may be slow to read, and a disk may not answer. Only a few threads at a time may read for a
job, and for an outbox, so that the page goes on without the files that are not read in time (law
11).
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, InvalidStateError, wait
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import OutputError

WAIT_S = 3.0
"""Maximum seconds for which the page waits for a thread to be free, and for its result."""

OF_JOB, OF_OUTBOX = 2, 12
"""Maximum numbers of threads that read files of a job, and files in an outbox."""

_Result = TypeVar("_Result")

_changed = threading.Condition()
_reading: defaultdict[str, list[float]] = defaultdict(list)
"""Times at which the running threads began, by the id of a job and by the path of an outbox."""

_thread = threading.local()
"""Data of each thread: `reads` is set in the threads of this module."""


def read(
    job_id: str,
    outbox: Path | str,
    work: Callable[[], _Result],
    late: Callable[[_Result], object] = lambda result: None,
) -> _Result:
    """Return the result of `work`, which reads files of a job in its outbox, in a thread.

    Raises as `work` does, and OutputError if there is no result in time. A result that comes later
    is given to `late`.
    """
    if hasattr(_thread, "reads"):
        return work()
    places = {f"job {job_id}": OF_JOB, f"outbox {outbox}": OF_OUTBOX}
    began = time.monotonic()
    with _changed:
        if not _changed.wait_for(lambda: not _full(places), _patience(places)):
            raise _too_slow()
        for place in places:
            _reading[place].append(began)
    future = Future[_Result]()

    def run() -> None:
        _thread.reads = True
        try:
            _answer(future, work, late)
        finally:
            _end(places, began)

    try:
        threading.Thread(target=run, name="reader", daemon=True).start()
    except RuntimeError as error:  # no thread is available
        _end(places, began)
        raise shortages.no_process(error) from error
    wait([future], WAIT_S)
    if future.cancel():
        raise _too_slow()
    return future.result()


def _answer(
    future: "Future[_Result]", work: Callable[[], _Result], late: Callable[[_Result], object]
) -> None:
    try:
        result = work()
    except Exception as error:
        with suppress(InvalidStateError):
            future.set_exception(error)
        return
    try:
        future.set_result(result)
    except InvalidStateError:
        late(result)


def _full(places: Mapping[str, int]) -> list[str]:
    """Return the jobs and outboxes in `places` whose number of threads is used up."""
    return [place for place, most in places.items() if len(_reading.get(place, ())) >= most]


def _patience(places: Mapping[str, int]) -> float:
    """Return the seconds to wait for a free thread; 0 if all threads of a place are stuck."""
    latest = [max(_reading[place]) for place in _full(places)]
    return max(0.0, min(latest, default=0.0) + WAIT_S - time.monotonic())


def _end(places: Iterable[str], began: float) -> None:
    with _changed:
        for place in places:
            _reading[place].remove(began)
            if not _reading[place]:
                del _reading[place]
        _changed.notify_all()


def _too_slow() -> OutputError:
    return OutputError("the disk answers slowly: try again later")
