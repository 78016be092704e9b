"""Paints orders that came together: at once where the backend can, else one after the other."""

import gc
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

from stylewatch_daemon.model import Started
from stylewatch_daemon.worker import checkpoint, run_job
from stylewatch_daemon.worker.contract import Event, Failed, Order, Refused, Stopped
from stylewatch_daemon.worker.failures import as_end
from stylewatch_daemon.worker.job_run import Painting
from stylewatch_daemon.worker.prepare import Prepared, backend_of, prepare
from stylewatch_daemon.worker.recorder import Story
from stylewatch_plugins.contract import Backend, PaintsMany, Pixels, Step, Wish
from stylewatch_plugins.errors import BackendError, error_kind

Said = tuple[int, Event]
"""An event, and the index of the order that it is of."""

Wishes = Sequence[Callable[[], Wish]]


def work(orders: Sequence[Order], wishes: Wishes) -> Iterator[Said]:
    """Paint `orders`, which are for one backend and one device: events of each, an End last.

    Those that an earlier attempt left something of go on by themselves, and those that memory
    did not suffice for at once are tried by themselves.
    """
    alone, too_many = list(range(len(orders))), 0
    fresh = [index for index in alone if run_job.left(orders[index]) is checkpoint.NOTHING]
    backend = _able(orders[fresh[0]]) if len(fresh) > 1 else None
    if backend is not None:
        batch = _Batch(backend, {index: (orders[index], wishes[index]) for index in fresh})
        yield from batch.paint()
        alone = sorted({*alone} - {*fresh} | {*batch.left})
        too_many = batch.too_many
        del batch
        gc.collect()  # the memory of the others is gone before the next begins
    for index in alone:
        yield from _alone(index, orders[index], wishes[index], too_many)


class _Able(Backend, PaintsMany, Protocol):
    """A backend that paints many."""


def _able(order: Order) -> _Able | None:
    """Its backend, if that paints many; where there is none, each order finds it out, and says."""
    try:
        backend = backend_of(order, {})
    except BackendError:
        return None
    return backend if isinstance(backend, PaintsMany) else None


def _alone(index: int, order: Order, wish: Callable[[], Wish], too_many: int) -> Iterator[Said]:
    """Paint one by itself; if it is to stop by now, it is not begun."""
    try:
        if wish() is Wish.STOP:
            yield index, Stopped(run_job.left(order).story.get("step", 0))
            return
        for event in run_job.work(order, wish):
            told = replace(event, too_many=too_many) if isinstance(event, Started) else event
            yield index, told
    except Exception as error:
        yield index, as_end(error)


class _Batch:
    """Orders, by index, that `backend` paints at once; in the end those are `left` that it cannot.

    `too_many` is how many there was no memory for; 0 where there was.
    """

    def __init__(self, backend: _Able, orders: dict[int, tuple[Order, Callable[[], Wish]]]) -> None:
        self.left: list[int] = []
        self.too_many = 0
        self._backend, self._orders = backend, orders
        self._paintings: dict[int, Painting] = {}
        self._looks: dict[str, Pixels] = {}

    def paint(self) -> Iterator[Said]:
        """Paint them; the events of each, and an End of all but those that are left."""
        yield from self._prepare()
        if len(self._paintings) <= 1:
            self.left += self._paintings
            return
        with ThreadPoolExecutor(len(self._paintings)) as aside:
            for index, painting in self._paintings.items():
                painting.story.together, painting.aside = len(self._paintings), aside
                yield index, painting.started()
            end = yield from self._go_through()
        going = [index for index, painting in self._paintings.items() if not painting.ended]
        if self.too_many:
            self.left += going
            return
        for index in going:
            yield index, end or self._paintings[index].stopped()

    def _prepare(self) -> Iterator[Said]:
        """Make ready what can be painted; the End of what cannot."""
        for index, (order, wish) in self._orders.items():
            try:
                story = Story.begin(order, self._prepared(order), {})
                self._paintings[index] = Painting(order, wish, story)
            except Exception as error:
                yield from self._fault(index, error)

    def _prepared(self, order: Order) -> Prepared:
        """What `order` needs, with one array for a style, however many bring it.

        The backend is the one that paints them all: it decides on each beside the others.
        """
        prepared = prepare(order)
        styles = tuple(
            replace(one, picture=self._looks.setdefault(one.digest or one.name, one.picture))
            for one in prepared.task.styles
        )
        task = replace(prepared.task, styles=styles)
        return replace(prepared, backend=self._backend, task=task)

    def _go_through(self) -> Generator[Said, None, Refused | Failed | None]:
        """Paint what is ready; what ended all that were not at their end, if that came."""
        indices, paintings = list(self._paintings), list(self._paintings.values())
        tasks = [one.story.prepared.task for one in paintings]
        end: Refused | Failed | None = None
        try:
            for which, said in self._backend.paint_many(tasks, [one.wish for one in paintings]):
                yield from self._guarded(indices[which], _heard(paintings[which], said))
                yield from self._close(lambda one: one.is_made)
        except Exception as error:
            if error_kind(error) == "memory":
                self.too_many = len(self._orders)
            else:
                end = as_end(error)
        yield from self._close(lambda one: one.last is not None)
        return end

    def _close(self, which: Callable[[Painting], bool]) -> Iterator[Said]:
        """Bring those to their ends that have their last stage."""
        for index, painting in self._paintings.items():
            if which(painting) and not painting.ended:
                yield from self._guarded(index, painting.close())

    def _guarded(self, index: int, events: Iterator[Event]) -> Iterator[Said]:
        """The `events` of one; where something goes wrong in them, that is its end alone."""
        try:
            for event in events:
                yield index, event
        except Exception as error:
            self._paintings[index].ended = True
            yield from self._fault(index, error)

    def _fault(self, index: int, error: Exception) -> Iterator[Said]:
        """What comes of one's `error`: its End, or a try by itself where memory did not suffice."""
        if error_kind(error) == "memory":
            self.too_many = len(self._orders)
            self.left.append(index)
        else:
            yield index, as_end(error)


def _heard(painting: Painting, said: Step | Exception) -> Iterator[Event]:
    """What comes of a step; raises what went wrong in place of one."""
    if painting.ended:  # by something else, and it hears of that at its next step
        return
    if isinstance(said, Exception):
        raise said
    yield from painting.take(said)
    if painting.is_to_stop and painting.last is None:  # which is soon, whoever goes on
        yield painting.stopped()
