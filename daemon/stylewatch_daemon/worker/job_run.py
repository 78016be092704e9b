"""A painting on its way: what its backend yields becomes files, events, checkpoints, an end."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.model import Progress, Started
from stylewatch_daemon.worker import checkpoint as memo
from stylewatch_daemon.worker.contract import Done, Event, Order, Saving, Stopped
from stylewatch_daemon.worker.recorder import Story
from stylewatch_painter.stage import Checkpoint
from stylewatch_plugins.contract import PaintsMany, Stage, Step, Wish

CHECKPOINT_EVERY = 60.0
"""Seconds between two checkpoints; there is one with every stage, too."""

CHEAP = 20.0
"""How many times as long as the last checkpoint took is painted, at least, before the next."""

AHEAD = 2
"""How many stages of a painting may wait for their files; each holds a picture."""


class Painting:
    """The painting of which `story` tells; `ask` says what is asked of it from outside.

    Raises SettingsError where it has no step to make.
    """

    def __init__(self, order: Order, ask: Callable[[], Wish], story: Story) -> None:
        self._schedule = story.prepared.task.recipe.schedule
        if self._schedule.steps == 0:
            raise SettingsError(
                "steps: 0 only measures, and is for `stylewatch render`: ask for some"
            )
        self.order, self.story, self.ended = order, story, False
        self.aside: futures.Executor | None = None
        """Makes files of pictures while others are painted; without it nothing else goes on."""
        self.last: Stage | None = None
        """The last stage, once there is one."""
        self._stages: deque[tuple[Stage, futures.Future[bytes]]] = deque()
        """Those whose files are being made."""
        self._ask, self._asked, self._step = ask, Wish.GO_ON, story.step
        self._kept_at, self._took = time.monotonic(), 0.0

    def whole(self) -> Iterator[Event]:
        """Paint it by itself, from first to last; raises what the backend raises."""
        yield self.started()
        yield from self.story.stages_again()
        prepared = self.story.prepared
        for step in prepared.backend.paint(prepared.task, self.wish):
            yield from self.take(step)
            if self.ended:
                return
        yield self.stopped()

    def started(self) -> Started:
        """What is told before the first step."""
        backend, task = self.story.prepared.backend, self.story.prepared.task
        levels = task.levels()
        return Started(
            backend=self.story.seen.name,
            device=self.story.seen.device,
            sizes=tuple(level.size for level in levels),
            steps_at=tuple(level.steps for level in levels),
            step=self.story.step,
            warnings=self.story.warnings,
            accelerators=tuple(one.name for one in backend.devices() if one.name != "cpu"),
            paints_many=isinstance(backend, PaintsMany),
            together=self.story.together,
        )

    def wish(self) -> Wish:
        """What is asked from outside, once after every step; if nothing is, a checkpoint if due.

        Once it has ended, whatever else goes on, it is to stop.
        """
        self._asked = Wish.STOP if self.ended else self._ask()
        self._step += 1
        if self._asked is Wish.GO_ON and self.order.checkpoint is not None and self._due():
            self._asked = Wish.CHECKPOINT
        return self._asked

    @property
    def is_to_stop(self) -> bool:
        """Whether it was told to stop after the step that came last."""
        return self._is_asked(Wish.STOP)

    def take(self, step: Step) -> Iterator[Event]:
        """What comes of a step; where that is the last it is to be closed, or is already.

        Raises OSError where a file cannot be written.
        """
        self.story.add(step)
        yield Progress(step.step, step.steps, step.size, step.losses.total, step.seconds)
        yield from self._leave_made()
        if isinstance(step, Stage):
            yield from self._stage(step)
            if step.step == step.steps or self._is_asked(Wish.FINISH):
                self.last = step
                if self.aside is None:
                    yield from self.close()
                return
        if step.checkpoint is not None and self.order.checkpoint is not None:
            yield from self._leave_made(all_of_them=True)
            yield Saving()
            self.story.keep_staged()
            self._keep(self.order.checkpoint, step.checkpoint)

    def close(self) -> Iterator[Event]:
        """What is left to do once there was the last stage, and a Done: by that it has ended."""
        yield from self._leave_made(all_of_them=True)
        if self.last is not None:
            yield from self.story.end(self.last)
            self.story.keep_staged()
            self.ended = True
            yield Done(self.story.receipt)

    @property
    def is_made(self) -> bool:
        """Whether it can be closed, and nothing has to be waited for any more."""
        return self.last is not None and not self.ended and all(m.done() for _, m in self._stages)

    def stopped(self) -> Stopped:
        """What is told where no step comes any more."""
        self.ended = True
        return Stopped(self.story.step)

    def _stage(self, stage: Stage) -> Iterator[Event]:
        """Leave a stage, or have its file made."""
        if self.aside is None:
            yield from self.story.stage(stage)
            return
        yield from self._leave_made(all_of_them=len(self._stages) >= AHEAD)
        self._stages.append((stage, self.aside.submit(self.story.encoded, stage)))

    def _leave_made(self, *, all_of_them: bool = False) -> Iterator[Event]:
        """Leave the stages whose files are made by now, in their order, or wait for them all."""
        while self._stages and (all_of_them or self._stages[0][1].done()):
            stage, made = self._stages.popleft()
            yield from self.story.stage(stage, made.result())

    def _is_asked(self, wish: Wish) -> bool:
        """Whether that was the wish after the step that came last; it may have been asked ahead."""
        return self._asked is wish and self.story.step >= self._step

    def _due(self) -> bool:
        waited = time.monotonic() - self._kept_at
        wanted = self._step % self._schedule.save_every == 0 or waited >= CHECKPOINT_EVERY
        # those that are painted with it wait for its checkpoint, as it does for theirs
        return wanted and waited >= CHEAP * self._took * self.story.together

    def _keep(self, path: Path, checkpoint: Checkpoint) -> None:
        """Write `checkpoint` to `path`."""
        began = time.monotonic()
        memo.save(path, memo.Memo(checkpoint, self.story.remember()))
        self._kept_at = time.monotonic()
        self._took = self._kept_at - began
