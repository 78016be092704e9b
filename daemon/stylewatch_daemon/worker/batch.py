"""Run orders that came together: at once where the backend can, else one after the other."""

import gc
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from stylewatch_daemon.base.model import Started
from stylewatch_daemon.worker import checkpoint, run_job
from stylewatch_daemon.worker.failures import as_end
from stylewatch_daemon.worker.messages import Event, Failed, Order, Refused, Stopped
from stylewatch_daemon.worker.prepare import Prepared, load_backend, prepare
from stylewatch_daemon.worker.recorder import Recorder
from stylewatch_daemon.worker.run_job import JobRun
from stylewatch_plugins.contract import PaintsMany, Pixels, Step, Wish
from stylewatch_plugins.errors import BackendError, error_kind

IndexedEvent = tuple[int, Event]
"""An event, after the index of its order."""

Ask = Callable[[], Wish]
"""Returns the current request to an order."""


def work(orders: Sequence[Order], asks: Sequence[Ask]) -> Iterator[IndexedEvent]:
    """Run `orders`, all for one backend and one device: events of each, an End last.

    Clips and orders with a snapshot of an earlier attempt run alone, and so do those for which
    memory did not suffice at once.
    """
    alone, too_many = list(range(len(orders))), 0
    fresh = [
        index
        for index, order in enumerate(orders)
        if len(orders) > 1
        and not order.is_clip
        and run_job.load_snapshot(order) is checkpoint.EMPTY
    ]
    backend = _batch_backend(orders[fresh[0]]) if len(fresh) > 1 else None
    if backend is not None:
        batch = _Batch(backend, {index: (orders[index], asks[index]) for index in fresh})
        yield from batch.run()
        alone = sorted({*alone} - {*fresh} | {*batch.left})
        too_many = batch.too_many
        del batch
        gc.collect()  # the memory of the others is free before the next begins
    for index in alone:
        yield from _run_alone(index, orders[index], asks[index], too_many)


def _batch_backend(order: Order) -> PaintsMany | None:
    """The backend of `order`, if it runs several; a missing one is reported by each order."""
    try:
        backend = load_backend(order, {})
    except BackendError:
        return None
    return backend if isinstance(backend, PaintsMany) else None


def _run_alone(index: int, order: Order, ask: Ask, too_many: int) -> Iterator[IndexedEvent]:
    """Run one order by itself, unless it is to stop by now."""
    try:
        if ask() is Wish.STOP:
            yield index, Stopped(run_job.load_snapshot(order).record.get("step", 0))
            return
        for event in run_job.work(order, ask):
            if isinstance(event, Started):
                yield index, replace(event, too_many=too_many)
            else:
                yield index, event
    except Exception as error:
        yield index, as_end(error)


class _Batch:
    """Orders, by index, that `backend` runs at once.

    After `run`, `left` are the orders that it could not run, and `too_many` is the number for which
    memory did not suffice, or 0.
    """

    def __init__(self, backend: PaintsMany, orders: dict[int, tuple[Order, Ask]]) -> None:
        self.left: list[int] = []
        self.too_many = 0
        self._backend, self._orders = backend, orders
        self._runs: dict[int, JobRun] = {}
        self._styles: dict[tuple[str, tuple[int, ...]], Pixels] = {}

    def run(self) -> Iterator[IndexedEvent]:
        """Run the orders; the events of each, and an End of all that are not left."""
        for index, (order, ask) in self._orders.items():
            try:
                recorder = Recorder.begin(order, self._prepared(order), {})
                self._runs[index] = JobRun(order, ask, recorder)
            except Exception as error:
                yield from self._failed(index, error)
        if len(self._runs) <= 1:
            self.left += self._runs
            return
        with ThreadPoolExecutor(len(self._runs)) as encoder:
            for index, run in self._runs.items():
                run.recorder.together, run.encoder = len(self._runs), encoder
                yield index, run.started()
            end = yield from self._paint()
        running = [index for index, run in self._runs.items() if not run.ended]
        if self.too_many:
            self.left += running
            return
        for index in running:
            yield index, end or self._runs[index].stopped()

    def _prepared(self, order: Order) -> Prepared:
        """The prepared order, with one array for a style, however many orders have it.

        A style that is decoded at several sizes has an array for each.
        The backend is the one that runs them all: it decides on each in view of the others.
        """
        prepared = prepare(order)
        styles = tuple(
            replace(style, picture=self._styles.setdefault(key, style.picture))
            for style in prepared.task.styles
            for key in [(style.digest or style.name, style.picture.shape)]
        )
        task = replace(prepared.task, styles=styles)
        return replace(prepared, backend=self._backend, task=task)

    def _paint(self) -> Generator[IndexedEvent, None, Refused | Failed | None]:
        """Run what is prepared; returns the End of all that still run, if there was an error."""
        indices, runs = list(self._runs), list(self._runs.values())
        tasks = [run.recorder.prepared.task for run in runs]
        end: Refused | Failed | None = None
        try:
            for number, step in self._backend.paint_many(tasks, [run.wish for run in runs]):
                yield from self._guarded(indices[number], _take(runs[number], step))
                yield from self._close(lambda run: run.can_close)
        except Exception as error:
            if error_kind(error) == "memory":
                self.too_many = len(self._orders)
            else:
                end = as_end(error)
        yield from self._close(lambda run: run.last is not None)
        return end

    def _close(self, is_ready: Callable[[JobRun], bool]) -> Iterator[IndexedEvent]:
        """Close those runs that are ready."""
        for index, run in self._runs.items():
            if is_ready(run) and not run.ended:
                yield from self._guarded(index, run.close())

    def _guarded(self, index: int, events: Iterator[Event]) -> Iterator[IndexedEvent]:
        """The `events` of one order; an error in them ends that order alone."""
        try:
            for event in events:
                yield index, event
        except Exception as error:
            self._runs[index].ended = True
            yield from self._failed(index, error)

    def _failed(self, index: int, error: Exception) -> Iterator[IndexedEvent]:
        """The End by an `error`; where memory did not suffice, none, and the order is left."""
        if error_kind(error) == "memory":
            self.too_many = len(self._orders)
            self.left.append(index)
        else:
            yield index, as_end(error)


def _take(run: JobRun, step: Step | Exception) -> Iterator[Event]:
    """The events of a step; raises the error that came in place of one."""
    if run.ended:  # it is asked to stop at its next step
        return
    if isinstance(step, Exception):
        raise step
    yield from run.take(step)
    if run.was_asked(Wish.STOP) and run.last is None:  # at once, whoever else runs on
        yield run.stopped()
