"""Run one job: pictures in, stages and a receipt out; wherever an executor puts it."""

import gc
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from stylewatch_daemon.base.errors import SettingsError
from stylewatch_daemon.base.model import Progress, Started
from stylewatch_daemon.worker import checkpoint
from stylewatch_daemon.worker.checkpoint import EMPTY, Snapshot
from stylewatch_daemon.worker.messages import Done, Event, Order, Saving, Stopped
from stylewatch_daemon.worker.oom_fallback import OomFallback
from stylewatch_daemon.worker.prepare import prepare
from stylewatch_daemon.worker.recorder import Recorder
from stylewatch_painter.errors import CheckpointError
from stylewatch_painter.stage import Checkpoint
from stylewatch_plugins.contract import Estimate, Stage, Step, Wish
from stylewatch_plugins.errors import error_kind

CHECKPOINT_EVERY = 60.0
"""Seconds between two checkpoints; there is one with every stage, too."""

CHECKPOINT_COST = 20.0
"""The job runs at least so many times as long as the last checkpoint took, before the next."""


def work(order: Order, wish: Callable[[], Wish]) -> Iterator[Event]:
    """Run `order`: events as they occur, Done or Stopped last.

    Complete files are left under `order.staging`, each announced by a Staged, the receipt last. A
    snapshot at `order.checkpoint` is continued. Where memory does not suffice the job begins
    again, with a Started, as `order.out_of_memory` says.

    Raises as `prepare` and the backend do; OSError where a file cannot be written.
    """
    snapshot = load_snapshot(order)
    fallback = OomFallback.of(order, snapshot.record)
    while True:
        try:
            further = yield from _attempt(order, wish, snapshot, fallback)
        except CheckpointError:  # pictures or settings changed: it belongs to another job
            if order.checkpoint is None or not snapshot.checkpoint:
                raise
            order.checkpoint.unlink(missing_ok=True)
            snapshot = EMPTY
        else:
            if further is None:
                return
            fallback, snapshot = further, load_snapshot(order)


def measure(order: Order) -> dict[str, object]:
    """The losses, in fp32, of the float picture that `order` starts from at its final size."""
    prepared = prepare(order)
    if prepared.clip is not None:
        raise SettingsError(f"steps: 0 measures a picture, and {order.main.name} is a clip")
    return prepared.backend.measure(prepared.task).as_json()


def estimate(order: Order) -> Estimate:
    """Time and memory that `order` would take."""
    prepared = prepare(order)
    if prepared.clip is not None:
        return prepared.clip.estimate()
    return prepared.backend.estimate(prepared.task)


def load_snapshot(order: Order) -> Snapshot:
    """The snapshot that an earlier attempt at `order` left; EMPTY where there is none."""
    snapshot = None if order.checkpoint is None else checkpoint.load(order.checkpoint)
    return EMPTY if snapshot is None else snapshot


def _attempt(
    order: Order, wish: Callable[[], Wish], snapshot: Snapshot, fallback: OomFallback
) -> Generator[Event, None, OomFallback | None]:
    """Run the job with `fallback`; the next fallback where memory did not suffice."""
    lighter = fallback.applied(order)
    decided = snapshot.record.get("decided", {}).get(order.settings.backend, {})
    prepared = prepare(lighter, snapshot.checkpoint or None, {**decided, **fallback.options})
    try:
        recorder = Recorder.begin(lighter, prepared, snapshot.record, fallback)
        yield from JobRun(lighter, wish, recorder).run()
        return None
    except Exception as error:
        further = fallback.further(order, prepared) if error_kind(error) == "memory" else None
        if further is None:
            raise
    # here the error is gone, and with it the frames that held the memory
    gc.collect()
    if order.checkpoint is not None:
        kept = load_snapshot(order) if further.size == fallback.size else EMPTY
        record = {**kept.record, "relief": further.as_json()}
        if further.device != fallback.device:
            record.pop("decided", None)  # they were chosen for the other device
        checkpoint.save(order.checkpoint, Snapshot(kept.checkpoint, record))
    return further


class JobRun:
    """One run of a job: what its backend yields becomes files, events, checkpoints and an end.

    `ask` returns the current request from outside. Raises SettingsError where there is no step.
    """

    def __init__(self, order: Order, ask: Callable[[], Wish], recorder: Recorder) -> None:
        self._schedule = recorder.prepared.task.recipe.schedule
        if self._schedule.steps == 0:
            raise SettingsError(
                "steps: 0 only measures, and is for `stylewatch render`: ask for some"
            )
        self.order, self.recorder = order, recorder
        self._ask, self._wish, self._step = ask, Wish.GO_ON, recorder.step
        self._saved_at, self._save_took = time.monotonic(), 0.0

    def run(self) -> Iterator[Event]:
        """Run the job from first to last; raises as the backend does."""
        yield self.started()
        yield from self.recorder.earlier_stages()
        prepared, clip = self.recorder.prepared, self.recorder.prepared.clip
        if clip is None:
            steps = prepared.backend.paint(prepared.task, self.wish)
        else:
            steps = clip.paint(self.wish, self._ask)
        for step in steps:
            yield from self._take(step)
            if isinstance(step, Stage) and self._is_last(step):
                yield from self.recorder.finish(step)
                self.recorder.sync()
                yield Done(self.recorder.receipt)
                return
        yield Stopped(self.recorder.step)

    def started(self) -> Started:
        """The event before the first step."""
        recorder = self.recorder
        backend = recorder.prepared.backend
        steps_at = recorder.prepared.steps_at
        return Started(
            backend=recorder.provenance.name,
            device=recorder.provenance.device,
            sizes=tuple(size for size, _ in steps_at),
            steps_at=tuple(steps for _, steps in steps_at),
            step=recorder.step,
            warnings=recorder.warnings,
            accelerators=tuple(device.name for device in backend.devices() if device.name != "cpu"),
        )

    def wish(self) -> Wish:
        """The request after a step, asked once for each; a checkpoint where one is due."""
        self._wish = self._ask()
        self._step += 1
        if self._wish is Wish.GO_ON and self.order.checkpoint is not None and self._is_due():
            self._wish = Wish.CHECKPOINT
        return self._wish

    def _is_last(self, stage: Stage) -> bool:
        """Return whether the job ends with `stage`: as planned, or as its owner asked for that.

        The request may have come after a later step than the one that is recorded.
        """
        asked = self._wish is Wish.FINISH and self.recorder.step >= self._step
        return stage.step == stage.steps or asked

    def _take(self, step: Step) -> Iterator[Event]:
        """Handle a step; raises OSError where a file cannot be written."""
        if step.step > self.recorder.step:  # not the start, nor a sign of life of a clip
            self.recorder.add(step)
        if step.step or not isinstance(step, Stage):
            unit = self.recorder.prepared.unit
            yield Progress(step.step, step.steps, step.size, step.losses.total, step.seconds, unit)
        if isinstance(step, Stage):
            yield from self.recorder.stage(step)
            if self._is_last(step):
                return
        if step.checkpoint is not None and self.order.checkpoint is not None:
            yield Saving()
            self.recorder.sync()
            self._save(self.order.checkpoint, step.checkpoint)

    def _is_due(self) -> bool:
        waited = time.monotonic() - self._saved_at
        is_clip = self.recorder.prepared.clip is not None
        # a frame takes long, and its checkpoint little
        due = is_clip or self._step % self._schedule.save_every == 0 or waited >= CHECKPOINT_EVERY
        return due and waited >= CHECKPOINT_COST * self._save_took

    def _save(self, path: Path, state: Checkpoint) -> None:
        began = time.monotonic()
        checkpoint.save(path, Snapshot(state, self.recorder.remember()))
        self._saved_at = time.monotonic()
        self._save_took = self._saved_at - began
