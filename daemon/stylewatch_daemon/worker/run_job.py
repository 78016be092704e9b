"""Running one job: pictures in, stages and a receipt out, independently of the executor."""

import gc
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stylewatch_daemon.base.errors import SettingsError, UnavailableError
from stylewatch_daemon.base.model import Progress, Started
from stylewatch_daemon.settings.job import MEASURES_ONLY
from stylewatch_daemon.worker import checkpoint
from stylewatch_daemon.worker.checkpoint import EMPTY, Snapshot
from stylewatch_daemon.worker.messages import AttemptStopped, Done, Event, Order, Saving
from stylewatch_daemon.worker.oom_fallback import OomFallback
from stylewatch_daemon.worker.prepare import prepare
from stylewatch_daemon.worker.recorder import Recorder
from stylewatch_painter import installed
from stylewatch_painter.errors import CheckpointError, RecipeError
from stylewatch_painter.recipes import book
from stylewatch_painter.stage import Checkpoint
from stylewatch_plugins import checked
from stylewatch_plugins.contract import Estimate, Stage, Step, Wish
from stylewatch_plugins.errors import error_kind

CHECKPOINT_EVERY = 60.0
"""Interval in seconds after which a checkpoint is due even at a step without a stage. At steps with
a stage, and at all frames of a clip, it is due earlier if CHECKPOINT_COST allows."""

CHECKPOINT_COST = 20.0
"""Minimum ratio of the time between two checkpoints to the time that saving the last one took."""


def work(order: Order, wish: Callable[[], Wish]) -> Iterator[Event]:
    """Run `order` and yield the events as they occur; the last is Done or AttemptStopped.

    Each complete file under `order.staging` is announced by a FileStaged, the receipt last. A
    snapshot at `order.checkpoint` is continued. If memory is not enough, the job starts again, with
    a Started, according to `order.out_of_memory`. Raises as `prepare` and the backend do, OSError
    if a file cannot be written, and UnavailableError if the installation lacks a part that an
    earlier attempt used.
    """
    snapshot = load_snapshot(order)
    order = _with_limits(order, snapshot)
    try:
        yield from _attempts(order, wish, snapshot)
    except (RecipeError, SettingsError) as error:
        if order.checkpoint is not None and (reason := _installation_changed(order, snapshot)):
            raise UnavailableError(f"{reason}: {error}") from error
        raise


@dataclass(frozen=True)
class Start:
    """A start of a job: the snapshot from which it continues, and how it runs."""

    snapshot: Snapshot
    fallback: OomFallback


def _attempts(order: Order, wish: Callable[[], Wish], snapshot: Snapshot) -> Iterator[Event]:
    """Run the job and yield its events, in one or more attempts.

    The job starts again if memory was not enough, or if its snapshot cannot be continued.
    """
    start: Start | None = Start(snapshot, OomFallback.of(order, snapshot.record))
    while start is not None:
        start = yield from _attempt(order, wish, start)


def measure(order: Order) -> dict[str, object]:
    """Return the losses, in fp32, of the initial float picture of `order` at its final size.

    They are plain values, as in the receipt. Raises SettingsError for a clip, and as `prepare` and
    the backend do.
    """
    prepared = prepare(order)
    if prepared.clip is not None:
        raise SettingsError(f"steps: 0 measures a picture, and {order.main.name} is a clip")
    return prepared.backend.measure(prepared.task).as_json(len(prepared.task.styles))


def estimate(order: Order) -> tuple[Estimate, Sequence[str]]:
    """Return the cost of `order`, and doubts about its pictures; raises as `prepare` does."""
    prepared = prepare(order)
    if prepared.clip is not None:
        return prepared.clip.estimate(), prepared.doubts
    return prepared.backend.estimate(prepared.task), prepared.doubts


def load_snapshot(order: Order) -> Snapshot:
    """Return the snapshot that an earlier attempt at `order` left, or EMPTY.

    Raises as `checkpoint.load` does.
    """
    snapshot = None if order.checkpoint is None else checkpoint.load(order.checkpoint)
    return EMPTY if snapshot is None else snapshot


def _attempt(
    order: Order, wish: Callable[[], Wish], start: Start
) -> Generator[Event, None, Start | None]:
    """Run the job from `start` and yield its events; return the next start, or None at the end.

    A snapshot that cannot be continued is removed, and the next start is from the beginning.
    """
    try:
        further = yield from _painted(order, wish, start)
    except CheckpointError as error:  # pictures, settings or the installation have changed
        if order.checkpoint is None or not start.snapshot.checkpoint:
            raise
        order.checkpoint.unlink(missing_ok=True)
        reason, _, _ = str(error).partition(": without it")
        restarts = [*start.snapshot.record.get("restarts", []), reason]
        return Start(Snapshot(EMPTY.checkpoint, {"restarts": restarts}), start.fallback)
    if further is None:
        return None
    gc.collect()  # the error was released, and with it the frames that held the memory
    return _lighter_start(order, start, further)


def _painted(
    order: Order, wish: Callable[[], Wish], start: Start
) -> Generator[Event, None, OomFallback | None]:
    """Run the job from `start` and yield its events.

    Return the next fallback if memory was not enough, or None if the job has ended.
    """
    fallback = start.fallback
    lighter = fallback.applied(order)
    decided = {**_decided(order, start.snapshot), **fallback.options}
    prepared = prepare(lighter, start.snapshot.checkpoint or None, decided)
    try:
        recorder = Recorder.begin(lighter, prepared, start.snapshot.record, fallback)
        yield from JobRun(lighter, wish, recorder).run()
    except Exception as error:
        further = fallback.further(order, prepared) if error_kind(error) == "memory" else None
        if further is None:
            raise
        return further
    return None


def _lighter_start(order: Order, start: Start, further: OomFallback) -> Start:
    """Return the next start, with the `further` fallback, and save it at `order.checkpoint`.

    The latest snapshot is continued if the fallback leaves the size of the picture as it is. If it
    changes the device, the options that `auto` chose are dropped, except the weights. Without
    `order.checkpoint`, nothing is saved, and the job starts from the beginning.
    """
    if order.checkpoint is None:
        return Start(EMPTY, further)
    kept = load_snapshot(order) if further.size == start.fallback.size else EMPTY
    record = {**kept.record, "relief": further.as_json(), "limits": order.limits}
    if further.device != start.fallback.device:  # all but the weights was chosen for that device
        name = order.settings.backend
        chosen = _decided(order, kept)
        record["decided"] = {name: {key: chosen[key] for key in ("weights",) if key in chosen}}
    checkpoint.save(order.checkpoint, Snapshot(kept.checkpoint, record))
    return Start(load_snapshot(order), further)


def _with_limits(order: Order, snapshot: Snapshot) -> Order:
    """Return `order` with no lower limits than those with which the job began.

    It was accepted with these. A job without a snapshot has the limits of now.
    """
    began = snapshot.record.get("limits", {})
    return replace(order, **{name: max(began[name], getattr(order, name)) for name in began})


def _decided(order: Order, snapshot: Snapshot) -> Mapping[str, Any]:
    """Return the options that `auto` chose in an earlier attempt.

    Records of earlier versions have the name of the weights only in `weights`. It is an option of
    stylewatch's own backends, which are recognized by their choice of a `tile`.
    """
    decided = snapshot.record.get("decided", {}).get(order.settings.backend, {})
    name = snapshot.record.get("weights", {}).get("name")
    return {"weights": name, **decided} if name and "tile" in decided else decided


def _installation_changed(order: Order, snapshot: Snapshot) -> str:
    """Return a sentence on parts of the installation that can no longer be loaded, or "".

    The settings were valid when the job was claimed. If they are not valid now, the installation
    has changed.
    """
    lacking = installed.lacking(snapshot.record.get("packages", {}))
    if lacking:
        return f"the job was begun with {' and '.join(lacking)}, which cannot be loaded any more"
    try:
        book.check(order.recipe)
        return ""
    except RecipeError:
        return "; ".join(installed.left_out())


class JobRun:
    """One run of a job, which turns the steps of its backend into files, events and checkpoints.

    `ask` returns the current request from outside. Raises SettingsError if there are no steps.
    """

    def __init__(self, order: Order, ask: Callable[[], Wish], recorder: Recorder) -> None:
        self._schedule = recorder.prepared.task.recipe.schedule
        if self._schedule.steps == 0:
            raise SettingsError(MEASURES_ONLY)
        self.order = order
        self.recorder = recorder
        self._ask = ask
        self._asked_after = recorder.step
        """Step after which the backend called `wish` last; it calls `wish` once after each step."""
        self._finishes_at: int | None = None
        """Step from which on any stage is the last one, because the owner asked to finish; None if
        not."""
        self._saved_at = time.monotonic()
        self._save_took = 0.0

    def run(self) -> Iterator[Event]:
        """Run the job, and yield its events, Done or AttemptStopped last.

        Raises as the backend does, and OSError if a file cannot be written.
        """
        yield self.started()
        yield from self.recorder.earlier_stages()
        prepared = self.recorder.prepared
        clip = self.recorder.prepared.clip
        if clip is not None:
            steps = clip.paint(self.wish, self._ask)
        else:
            steps = checked.paint(prepared.backend, prepared.task, self.wish)
        for step in steps:
            if isinstance(step, Saving):
                yield step
                continue
            yield from self._take(step)
            if isinstance(step, Stage) and self._is_last(step):
                yield from self.recorder.finish(step)
                self.recorder.sync()
                yield Done(self.recorder.receipt)
                return
        yield AttemptStopped(self.recorder.step)

    def started(self) -> Started:
        """Return the event that announces the start of the job, before its first step."""
        recorder = self.recorder
        backend = recorder.prepared.backend
        steps_at = recorder.prepared.steps_at
        return Started(
            backend=recorder.provenance.name,
            device=recorder.provenance.device,
            sizes=tuple(size for size, _ in steps_at),
            steps_at=tuple(steps for _, steps in steps_at),
            step=recorder.step,
            warnings=(*recorder.warnings, *recorder.provenance.advice),
            accelerators=tuple(device.name for device in backend.devices() if device.name != "cpu"),
        )

    def wish(self) -> Wish:
        """Count a step, and return the current request, or CHECKPOINT if a checkpoint is due.

        A request to finish or stop takes precedence over a checkpoint.
        """
        wish = self._ask()
        self._asked_after += 1
        if wish is Wish.FINISH and self._asked_after < self.order.shown_step:
            wish = Wish.GO_ON  # its owner wants a picture that this attempt, anew, has yet to reach
        if wish is not Wish.FINISH:
            self._finishes_at = None
        elif self._finishes_at is None:
            self._finishes_at = self._asked_after
        if wish is Wish.GO_ON and self.order.checkpoint is not None and self._is_due():
            return Wish.CHECKPOINT
        return wish

    def _is_last(self, stage: Stage) -> bool:
        """Return whether the job ends with `stage`, as planned or as requested by its owner.

        After a request to finish, a backend may still yield a stage of an earlier step.
        """
        is_requested = self._finishes_at is not None and stage.step >= self._finishes_at
        return is_requested or stage.step == stage.steps

    def _take(self, step: Step) -> Iterator[Event]:
        """Record a step, write its files and checkpoint, and yield the events."""
        if step.step > self.recorder.step:  # not the start, nor a clip's sign of life
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
        # a frame takes long, but its checkpoint is fast
        due = (
            is_clip
            or self._asked_after % self._schedule.save_every == 0
            or waited >= CHECKPOINT_EVERY
        )
        return due and waited >= CHECKPOINT_COST * self._save_took

    def _save(self, path: Path, state: Checkpoint) -> None:
        began = time.monotonic()
        checkpoint.save(path, Snapshot(state, self.recorder.remember()))
        self._saved_at = time.monotonic()
        self._save_took = self._saved_at - began
