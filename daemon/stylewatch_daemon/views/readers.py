"""Threads that read the files of jobs, and for which the page waits only a few seconds.

A file may be slow to read, and a disk may not answer. The page then goes on without the files that
are not read in time. Only a few threads at a time read for the same job and in the same outbox (law
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
"""Maximum time in seconds that the page waits for a free thread, and again for its result."""

OF_JOB, OF_OUTBOX = 2, 12
"""Maximum number of threads that read files of one job, and of threads for one outbox."""

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
    """Call `work`, which reads files of a job in its outbox, in a thread, and return its result.

    Raises as `work` does, OutputError if there is no result in time, and ShortageError if no thread
    can be started. A result that comes too late is passed to `late`. In a thread of this module,
    `work` is called directly.
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
    """Return the maximum time to wait for a free thread, in seconds.

    The wait ends once the newest thread at one of the full `places` has been reading for WAIT_S; it
    is 0 if one has been reading that long already.
    """
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
