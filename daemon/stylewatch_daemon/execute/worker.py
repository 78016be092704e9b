"""Paints one job: pictures in, stages and a receipt out; runs wherever an executor puts it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.execute import memo
from stylewatch_daemon.execute.contract import Done, Event, Order, Progress, Started, Stopped
from stylewatch_daemon.execute.prepare import Prepared, prepare
from stylewatch_daemon.execute.story import Story
from stylewatch_painter.errors import CheckpointError
from stylewatch_plugins.contract import Estimate, Stage, Step, Wish

CHECKPOINT_EVERY = 60.0
"""Seconds between two checkpoints, or twenty times what the last one took, if that is longer."""


def work(order: Order, wish: Callable[[], Wish]) -> Iterator[Event]:
    """Paint `order`: events as they come, Done or Stopped last.

    Files are left whole under `order.staging`, each told by a Staged, the receipt last. With a
    memo at `order.checkpoint` it goes on from there. Raises what `prepare` and the backend
    raise; OSError where a file cannot be written.
    """
    found = None if order.checkpoint is None else memo.load(order.checkpoint)
    if found is not None:
        try:
            yield from _paint(order, wish, found)
            return
        except CheckpointError:
            pass  # pictures or settings changed since: what was painted is of another painting
    yield from _paint(order, wish, None)


def measure(order: Order) -> dict[str, object]:
    """The losses, in fp32, of the float picture that `order` starts from at its final size."""
    prepared = prepare(order)
    return prepared.backend.measure(prepared.task).as_json()


def estimate(order: Order) -> Estimate:
    """What `order` would take."""
    prepared = prepare(order)
    return prepared.backend.estimate(prepared.task)


def _paint(order: Order, wish: Callable[[], Wish], found: memo.Memo | None) -> Iterator[Event]:
    if found is None:
        prepared = prepare(order)
    else:
        decided = found.story["decided"].get(order.settings.backend)
        prepared = prepare(order, found.checkpoint, decided)
    if prepared.task.recipe.schedule.steps == 0:
        raise SettingsError("steps: 0 only measures, and is for `stylewatch render`: ask for some")
    story = Story.begin(order, prepared, {} if found is None else found.story)
    yield _started(prepared, story)
    keeper = _Keeper(order, wish)
    for step in prepared.backend.paint(prepared.task, keeper.wish):
        story.add(step)
        yield Progress(step.step, step.steps, step.size, step.losses.total, step.seconds)
        if isinstance(step, Stage):
            yield from story.stage(step)
            if step.step == step.steps or keeper.asked is Wish.FINISH:
                yield from story.end(step)
                yield Done(story.receipt)
                return
        keeper.keep(step, story)
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
    )


@dataclass(eq=False)
class _Keeper:
    """Says when a checkpoint is due, and keeps it."""

    order: Order
    ask: Callable[[], Wish]
    asked: Wish = Wish.GO_ON
    pause: float = CHECKPOINT_EVERY

    def __post_init__(self) -> None:
        self._last = time.monotonic()

    def wish(self) -> Wish:
        """What is asked from outside; now and then, if nothing is, a checkpoint."""
        self.asked = self.ask()
        due = time.monotonic() - self._last >= self.pause
        if self.asked is Wish.GO_ON and due and self.order.checkpoint is not None:
            self.asked = Wish.CHECKPOINT
        return self.asked

    def keep(self, step: Step, story: Story) -> None:
        """Write the checkpoint that `step` brings, if any."""
        if step.checkpoint is None or self.order.checkpoint is None:
            return
        began = time.monotonic()
        memo.save(self.order.checkpoint, memo.Memo(step.checkpoint, story.remember()))
        self._last = time.monotonic()
        self.pause = max(CHECKPOINT_EVERY, 20 * (self._last - began))
