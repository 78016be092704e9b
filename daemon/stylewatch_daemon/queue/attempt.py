"""An attempt at a job: its ledger entry, its order for a worker, and the files that it leaves."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files import flat_layout
from stylewatch_daemon.files.names import FINAL
from stylewatch_daemon.model import (
    CHECKPOINT,
    AttemptEnd,
    JobState,
    Progress,
    Started,
    progress_unit,
)
from stylewatch_daemon.outbox.disk_need import check_job
from stylewatch_daemon.outbox.publish import RECEIPT, Outbox
from stylewatch_daemon.outbox.status_txt import Running
from stylewatch_daemon.queue import attempt_dir
from stylewatch_daemon.queue.attempt_dir import AttemptFiles
from stylewatch_daemon.queue.eta import EtaEstimator
from stylewatch_daemon.queue.states import RetryMode, check_transition, crashes, retry_after
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.job import JobSettings, fill_file, fill_folder, name_fields
from stylewatch_daemon.store.journal import MASK, Attempt, Journal
from stylewatch_daemon.store.ledger_writer import now
from stylewatch_daemon.store.state_dir import State
from stylewatch_daemon.worker.messages import (
    AttemptRequest,
    Done,
    End,
    Event,
    Failed,
    Lost,
    Order,
    Part,
    Saving,
    Staged,
    Stopped,
)


class ActiveAttempt:
    """The next or current attempt at `job`, a record that is kept up to date in `state`."""

    def __init__(
        self, job: Journal, state: State, reporter: Reporter, service: ServiceSettings
    ) -> None:
        self.job = job
        self._state = state
        self._job_folder = state.jobs / job.id
        self._reporter = reporter
        self._service = service
        root, ledger = str(job.outbox), state.ledger
        self._outbox = Outbox(
            job.outbox,
            service.outbox.sharing,
            is_reserved=lambda place: ledger.is_reserved(place, root),
        )
        self._folder = job.outbox
        """The folder of the job in the outbox, once it is there."""
        self._files = AttemptFiles(self._outbox, job.id)
        self._eta: EtaEstimator | None = None
        self._has_checkpoint = False
        """True once a checkpoint was announced."""
        self._is_new = job.place is None
        """True if the job's folder in the outbox must still be made."""
        self.wanted = AttemptRequest.GO_ON
        """Latest request passed to the executor."""
        self.alone = False
        """True if nothing else may run at the same time."""
        self.given_up: OSError | None = None
        """Error that kept files from being published; later events of the attempt are ignored."""

    @property
    def title(self) -> str:
        """Name of the job in the outbox."""
        return self.job.title

    @property
    def ticket(self) -> str:
        """Name of the attempt for the executor, used once."""
        attempt = self.job.attempts[-1]
        return f"{self.job.id}#{len(self.job.attempts)} of {attempt.started} by {attempt.pid}"

    def apply(self, settings: JobSettings) -> None:
        """Set the settings of the job; to be called before `reserve`, `begin` and `order`."""
        self.settings, self._inputs = settings, self._state.inputs(self.job)
        styles = self._inputs.get("style", [])
        main = (*self._inputs.get("content", ()), *styles)[0]
        values = name_fields(
            self.job.name, main, styles, recipe=settings.recipe, seed=settings.seed
        )
        name = fill_folder(settings.name, values)
        # A series has no picture of its own; those of its jobs lie beside its contact sheet.
        is_flat = settings.flat and not settings.sweep
        self._wanted_place = flat_layout.folder(name) if is_flat else name
        """Folder of the job in the outbox, unless that is taken."""
        self._final = fill_file(settings.final, values)
        """Name of the final picture."""

    def reserve(self) -> None:
        """Make a folder in the outbox, without an attempt; raises OutputError."""
        self._outbox.probe()
        self._make_folder()

    def begin(self, together: int = 1) -> None:
        """Choose the folder in the outbox, and enter it and the attempt in the ledger.

        `together` jobs share the worker, this one included. Raises OutputError where the disk has
        no room.
        """
        check_transition(self.job, JobState.RUNNING)
        check_job(self.job, self._job_folder, self.settings, self._service)
        place = self.job.place or self._outbox.choose(self._wanted_place)
        earlier = _without_repetition(self.job.attempts)
        self.alone = retry_after(earlier, self._service.limits.attempts) is RetryMode.ALONE
        attempt = Attempt(
            started=now(),
            how=AttemptEnd.CUT_OFF_ALONE if self.alone else AttemptEnd.CUT_OFF,
            backend=self.settings.backend,
            pid=os.getpid(),
            together=together,
        )
        self.job = self._state.begin(self.job, place, (*earlier, attempt), self.settings.text)

    def order(self, parts: tuple[Part, ...] = ()) -> Order:
        """Make the folders in the outbox and return the order, once `begin` is committed.

        Raises OutputError where the outbox cannot be written.
        """
        job, settings, service = self.job, self.settings, self._service
        earlier = self.job.attempts[:-1]
        self._make_folder()
        checkpoint = self._take_over(earlier)
        self.running = Running(self.title, id=job.id, unit=progress_unit(job.frames))
        """Progress, for the status."""
        return Order(
            name=self.title,
            settings=settings,
            content=next(iter(self._inputs.get("content", ())), None),
            styles=tuple(self._inputs.get("style", ())),
            init=next(iter(self._inputs.get("init", ())), None),
            masks={role: paths[-1] for role, paths in self._inputs.items() if role.endswith(MASK)},
            # by its folder, as settings may change meanwhile
            final=FINAL if flat_layout.is_flat(self.title) else self._final,
            staging=self._outbox.staging(self._files.place),
            place=self._folder,
            checkpoint=checkpoint,
            backend_options=service.backends.get(settings.backend, {}),
            recipe_folders=service.recipes,
            max_pixels=service.limits.max_pixels,
            max_frames=service.limits.max_frames,
            max_seconds=service.limits.max_seconds,
            step_timeout_s=service.limits.step_timeout_s,
            memory=service.limits.memory,
            out_of_memory=service.limits.out_of_memory,
            attempts=tuple(_as_record(attempt) for attempt in earlier),
            retry_of=self.job.retry_of or None,
            parts=parts,
            batch=None if service.executor.batch == "auto" else service.executor.batch,
        )

    def handle(self, event: Event) -> End | None:
        """Handle an event of the worker; return the end of the attempt, if the event is that.

        Announced files except the receipt are published; raises OSError where that fails.
        """
        if isinstance(event, Progress):
            self.running = replace(
                self.running,
                step=event.step,
                steps=event.steps,
                loss=event.loss,
                size=event.size,
                seconds_left=self._eta.left(event) if self._eta else None,
                unit=event.unit,
            )
            # A step after a Saving shows that the checkpoint is written: from here on an attempt
            # that runs alone counts as any other one.
            if self._has_checkpoint and self.job.attempts[-1].how == AttemptEnd.CUT_OFF_ALONE:
                self._change_attempt(how=AttemptEnd.CUT_OFF)
            self._reporter.progress(self.title, event)
        elif isinstance(event, Started):
            self._eta = EtaEstimator(event)
            self.running = Running(
                self.title,
                event.step,
                event.steps,
                device=event.device,
                id=self.job.id,
                unit=self.running.unit,
            )
            self._change_attempt(
                backend=event.backend,
                device=event.device,
                step=event.step,
                together=event.together,
            )
            self._reporter.job_started(self.title, event)
        elif isinstance(event, Staged):
            self._publish(event)
        elif isinstance(event, Saving):
            self._has_checkpoint = True
        else:
            return self._verify_end(event)
        return None

    def end(self, how: AttemptEnd, state: JobState, reason: str = "") -> None:
        """Write down how the attempt ended, and the `state` of its job, at once."""
        check_transition(self.job, state)
        job_changes = {"state": state, "reason": reason}
        self._change_attempt(job_changes, ended=now(), how=how, reason=reason)

    def _make_folder(self) -> None:
        """Make the folder that was chosen, or another one where someone else has made it."""

        def remember(place: str) -> None:
            self.job = self._state.save(self.job, place=place)

        chosen = self.job.place
        if chosen is not None and not self._is_new:
            self._folder = self._outbox.reopen(chosen)
        else:
            self._folder = self._outbox.reserve(self._wanted_place, remember, chosen)

    def _take_over(self, earlier: Sequence[Attempt]) -> Path:
        """Take over what earlier attempts left unpublished; returns the path of the checkpoint."""
        checkpoint = self._job_folder / CHECKPOINT
        # The last attempt starts from the beginning: the checkpoint may be what kills the worker.
        # Once that attempt has started, a checkpoint can only be its own.
        failed = AttemptEnd.FAILED
        started = [attempt.how for attempt in earlier if attempt.device or attempt.how == failed]
        is_last = crashes(earlier) == self._service.limits.attempts - 1
        if is_last and started[-1:] == [failed]:
            self._forget_checkpoints()
        if self._service.executor.cluster is not None:
            # The checkpoint comes first: the files it refers to are published, or here to be.
            checkpoint = self._files.begin(attempt_dir.name(self.job.attempts))
        self._files.take_over()
        return checkpoint

    def _forget_checkpoints(self) -> None:
        (self._job_folder / CHECKPOINT).unlink(missing_ok=True)
        self._files.forget_checkpoints()

    def _publish(self, staged: Staged) -> None:
        """Publish an announced file, except the receipt, if its checksum matches."""
        is_there = self._files.check(staged)
        repeated = max(1, staged.step) <= self.job.attempts[-1].step
        if staged.path in self._files.mismatched or staged.path == RECEIPT:
            return
        if not is_there and repeated:
            return  # it was published when the earlier attempt announced it
        path = self._outbox.publish(self._files.place, self._folder, staged.path)
        self._reporter.staged(self.title, path)

    def _verify_end(self, end: End) -> End:
        """Return `end`, or a failure where the staged files contradict it.

        Checkpoints are removed where files do not match, stages that the receipt does not name.
        """
        if isinstance(end, Done | Stopped) and self._files.mismatched:
            self._forget_checkpoints()  # they refer to these files
            paths = ", ".join(sorted(self._files.mismatched))
            return Lost(f"what is in .staging is not what was announced: {paths}")
        if isinstance(end, Done) and not self._outbox.has_receipt(self._files.place):
            return Failed("a fault of our own: the worker was done without a receipt")
        if isinstance(end, Done) and "stages" in end.receipt:
            stages = {stage["file"] for stage in end.receipt["stages"]}
            self._outbox.drop_stages(self._folder, stages)
        return end

    def _change_attempt(self, job_changes: dict[str, Any] | None = None, **changes: Any) -> None:
        """Write `changes` of this attempt, and of its job, into the ledger."""
        *earlier, attempt = self.job.attempts
        attempts = (*earlier, replace(attempt, **changes))
        self.job = self._state.save(self.job, attempts=attempts, **(job_changes or {}))


def _without_repetition(attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    """Drop the last attempt if it was paused like the one before: a pause may last for days."""
    paused = [attempt.how == AttemptEnd.PAUSED for attempt in attempts[-2:]]
    return attempts[:-1] if paused == [True, True] else attempts


def _as_record(attempt: Attempt) -> dict[str, Any]:
    """Return an earlier attempt as the receipt has it."""
    ended = f"{attempt.how}: {attempt.reason}" if attempt.reason else str(attempt.how)
    decided = {"batch": attempt.together} if attempt.together > 1 else {}
    record = {"backend": attempt.backend, "device": attempt.device, "decided": decided,
              "ended": ended}  # fmt: skip
    return {key: value for key, value in record.items() if value}
