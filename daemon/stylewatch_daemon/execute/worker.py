"""Paints one job: pictures in, stages and a receipt out; runs wherever an executor puts it."""

import gc
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.execute import memo
from stylewatch_daemon.execute.contract import (
    Done,
    Event,
    Order,
    Progress,
    Saving,
    Started,
    Stopped,
)
from stylewatch_daemon.execute.prepare import Prepared, prepare
from stylewatch_daemon.execute.relief import Relief
from stylewatch_daemon.execute.story import Story
from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.stage import Checkpoint
from stylewatch_plugins.contract import Estimate, Stage, Wish
from stylewatch_plugins.trouble import trouble

CHECKPOINT_EVERY = 60.0
"""Seconds between two checkpoints; there is one with every stage, too."""

CHEAP = 20.0
"""How many times as long as the last checkpoint took is painted, at least, before the next."""


def work(order: Order, wish: Callable[[], Wish]) -> Iterator[Event]:
    """Paint `order`: events as they come, Done or Stopped last.

    Files are left whole under `order.staging`, each told by a Staged, the receipt last. With a
    memo at `order.checkpoint` it goes on from there. Where memory does not suffice it begins
    again, with a Started, as `order.out_of_memory` has it. Raises what `prepare` and the backend
    raise; OSError where a file cannot be written.
    """
    found = _found(order)
    relief = Relief.of(order, found.story)
    while True:
        try:
            less = yield from _try(order, wish, found, relief)
        except CheckpointError:  # pictures or settings changed since: it is of another painting
            if order.checkpoint is None or not found.checkpoint:
                raise
            order.checkpoint.unlink(missing_ok=True)
            found = memo.NOTHING
        else:
            if less is None:
                return
            relief, found = less, _found(order)


def measure(order: Order) -> dict[str, object]:
    """The losses, in fp32, of the float picture that `order` starts from at its final size."""
    prepared = prepare(order)
    return prepared.backend.measure(prepared.task).as_json()


def estimate(order: Order) -> Estimate:
    """What `order` would take."""
    prepared = prepare(order)
    return prepared.backend.estimate(prepared.task)


def _found(order: Order) -> memo.Memo:
    """What an earlier attempt at `order` left."""
    left = None if order.checkpoint is None else memo.load(order.checkpoint)
    return left or memo.NOTHING


def _try(
    order: Order, wish: Callable[[], Wish], found: memo.Memo, relief: Relief
) -> Generator[Event, None, Relief | None]:
    """Paint as `relief` has it; what to do without next time, where memory did not suffice."""
    lighter = relief.applied(order)
    decided = found.story.get("decided", {}).get(order.settings.backend, {})
    if relief.device is not None:
        decided = {**decided, "device": relief.device}
    prepared = prepare(lighter, found.checkpoint or None, decided)
    try:
        yield from _paint(lighter, wish, Story.begin(lighter, prepared, found.story, relief))
        return None
    except Exception as error:
        if trouble(error) != "memory" or (less := relief.further(order, prepared)) is None:
            raise
    # out here the error is gone, and with it the frames that held the memory
    gc.collect()
    if order.checkpoint is not None:
        kept = _found(order) if less.size == relief.size else memo.NOTHING
        told = {**kept.story, "relief": less.as_json()}
        memo.save(order.checkpoint, memo.Memo(kept.checkpoint, told))
    return less


def _paint(order: Order, wish: Callable[[], Wish], story: Story) -> Iterator[Event]:
    prepared = story.prepared
    if prepared.task.recipe.schedule.steps == 0:
        raise SettingsError("steps: 0 only measures, and is for `stylewatch render`: ask for some")
    yield _started(prepared, story)
    keeper = _Keeper(order, wish, prepared.task.recipe.schedule.save_every, story.step)
    for step in prepared.backend.paint(prepared.task, keeper.wish):
        story.add(step)
        yield Progress(step.step, step.steps, step.size, step.losses.total, step.seconds)
        if isinstance(step, Stage):
            yield from story.stage(step)
            if step.step == step.steps or keeper.asked is Wish.FINISH:
                yield from story.end(step)
                story.keep_staged()
                yield Done(story.receipt)
                return
        if step.checkpoint is not None and order.checkpoint is not None:
            yield Saving()
            story.keep_staged()
            keeper.keep(order.checkpoint, step.checkpoint, story)
    yield Stopped(story.step)


def _started(prepared: Prepared, story: Story) -> Started:
    seen = prepared.backend.provenance(prepared.task)
    levels = prepared.task.levels()
    return Started(
        backend=seen.name,
        device=seen.device,
        sizes=tuple(level.size for level in levels),
        steps_at=tuple(level.steps for level in levels),
        step=story.step,
        warnings=story.warnings,
        accelerators=_accelerators(prepared),
    )


def _accelerators(prepared: Prepared) -> tuple[str, ...]:
    """The devices of the backend, but for the CPU."""
    return tuple(one.name for one in prepared.backend.devices() if one.name != "cpu")


@dataclass(eq=False)
class _Keeper:
    """Says when a checkpoint is due, and keeps it."""

    order: Order
    ask: Callable[[], Wish]
    save_every: int
    step: int
    """The step that was made last."""
    asked: Wish = Wish.GO_ON

    def __post_init__(self) -> None:
        self._last = time.monotonic()
        self._took = 0.0

    def wish(self) -> Wish:
        """What is asked from outside, once after every step; if nothing is, a checkpoint if due."""
        self.asked = self.ask()
        self.step += 1
        if self.asked is Wish.GO_ON and self.order.checkpoint is not None and self._due():
            self.asked = Wish.CHECKPOINT
        return self.asked

    def _due(self) -> bool:
        waited = time.monotonic() - self._last
        wanted = self.step % self.save_every == 0 or waited >= CHECKPOINT_EVERY
        return wanted and waited >= CHEAP * self._took

    def keep(self, path: Path, checkpoint: Checkpoint, story: Story) -> None:
        """Write `checkpoint` to `path`."""
        began = time.monotonic()
        memo.save(path, memo.Memo(checkpoint, story.remember()))
        self._last = time.monotonic()
        self._took = self._last - began
