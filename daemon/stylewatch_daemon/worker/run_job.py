"""Paints one job: pictures in, stages and a receipt out; runs wherever an executor puts it."""

import gc
from collections.abc import Callable, Generator, Iterator

from stylewatch_daemon.worker import checkpoint, contact_sheet
from stylewatch_daemon.worker.contract import Event, Order
from stylewatch_daemon.worker.job_run import Painting
from stylewatch_daemon.worker.oom_fallback import Relief
from stylewatch_daemon.worker.prepare import prepare
from stylewatch_daemon.worker.recorder import Story
from stylewatch_painter.errors import CheckpointError
from stylewatch_plugins.contract import Estimate, Wish
from stylewatch_plugins.errors import error_kind


def work(order: Order, wish: Callable[[], Wish]) -> Iterator[Event]:
    """Paint `order`: events as they come, Done or Stopped last.

    Files are left whole under `order.staging`, each told by a Staged, the receipt last. With a
    memo at `order.checkpoint` it goes on from there. Where memory does not suffice it begins
    again, with a Started, as `order.out_of_memory` has it. Raises what `prepare` and the backend
    raise; OSError where a file cannot be written. Of a series the sheet is drawn.
    """
    if order.parts:
        yield from contact_sheet.draw(order)
        return
    found = left(order)
    relief = Relief.of(order, found.story)
    while True:
        try:
            less = yield from _try(order, wish, found, relief)
        except CheckpointError:  # pictures or settings changed since: it is of another painting
            if order.checkpoint is None or not found.checkpoint:
                raise
            order.checkpoint.unlink(missing_ok=True)
            found = checkpoint.NOTHING
        else:
            if less is None:
                return
            relief, found = less, left(order)


def measure(order: Order) -> dict[str, object]:
    """The losses, in fp32, of the float picture that `order` starts from at its final size."""
    prepared = prepare(order)
    return prepared.backend.measure(prepared.task).as_json()


def estimate(order: Order) -> Estimate:
    """What `order` would take."""
    prepared = prepare(order)
    return prepared.backend.estimate(prepared.task)


def left(order: Order) -> checkpoint.Memo:
    """What an earlier attempt at `order` left."""
    found = None if order.checkpoint is None else checkpoint.load(order.checkpoint)
    return found or checkpoint.NOTHING


def _try(
    order: Order, wish: Callable[[], Wish], found: checkpoint.Memo, relief: Relief
) -> Generator[Event, None, Relief | None]:
    """Paint as `relief` has it; what to do without next time, where memory did not suffice."""
    lighter = relief.applied(order)
    decided = found.story.get("decided", {}).get(order.settings.backend, {})
    decided = {**decided, **relief.options}
    prepared = prepare(lighter, found.checkpoint or None, decided)
    try:
        begun = Story.begin(lighter, prepared, found.story, relief)
        yield from Painting(lighter, wish, begun).whole()
        return None
    except Exception as error:
        if error_kind(error) != "memory" or (less := relief.further(order, prepared)) is None:
            raise
    # out here the error is gone, and with it the frames that held the memory
    gc.collect()
    if order.checkpoint is not None:
        kept = left(order) if less.size == relief.size else checkpoint.NOTHING
        told = {**kept.story, "relief": less.as_json()}
        checkpoint.save(order.checkpoint, checkpoint.Memo(kept.checkpoint, told))
    return less
