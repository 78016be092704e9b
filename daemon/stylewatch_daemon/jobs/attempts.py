"""Attempts at jobs: start them, order them from the executor, and process what workers report."""

import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import (
    DaemonError,
    DamagedError,
    InputError,
    LedgerError,
    MemoryShortError,
    OutputError,
    SettingsError,
    ShortageError,
    TakenError,
    UnavailableError,
    UnlearnedError,
)
from stylewatch_daemon.base.eta import EtaEstimator
from stylewatch_daemon.base.lanes import Step
from stylewatch_daemon.base.model import (
    CHECKPOINT,
    MASK,
    Attempt,
    Cause,
    End,
    Job,
    OutputFile,
    Progress,
    Started,
    State,
    now,
    progress_unit,
)
from stylewatch_daemon.executors.base import Executor
from stylewatch_daemon.files import disks, entries
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.jobs import lifecycle
from stylewatch_daemon.jobs.jobs import Also, Jobs
from stylewatch_daemon.jobs.lifecycle import Activity, Doing, Effect, Kind, Obstacle
from stylewatch_daemon.jobs.live import Worker
from stylewatch_daemon.jobs.waits import cause_of
from stylewatch_daemon.ledger.claim import Claim
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.outbox import staging
from stylewatch_daemon.outbox.publish import RECEIPT, STAGES, STAGING, Outbox
from stylewatch_daemon.outbox.staging import AttemptFiles, StagedFile
from stylewatch_daemon.settings.config import recipe_of, recipes_at_hand, resolve
from stylewatch_daemon.settings.job import (
    JobFile,
    JobSettings,
    fill_file,
    fill_folder,
    name_fields,
    of_record,
)
from stylewatch_daemon.worker import messages
from stylewatch_daemon.worker.messages import AttemptEvent, AttemptRequest, Order, order_for
from stylewatch_painter import installed
from stylewatch_painter.recipes.recipe import Recipe

OBSTACLES: Mapping[Cause, type[OutputError | UnavailableError | ShortageError]] = {
    Cause.DISK: OutputError,
    Cause.DEVICE: UnavailableError,
    Cause.LEARNING: UnlearnedError,
    Cause.MEMORY: MemoryShortError,
    Cause.MACHINE: ShortageError,
}
"""Errors after which a job waits, by cause; the causes are those of `lifecycle.OUTSIDE`."""


@dataclass(frozen=True)
class Preparation:
    """Plan of the next attempt at a queued `job`, made before its outbox is prepared.

    `place` is the preferred folder in the outbox.
    """

    job: Job
    claim: Claim
    settings: JobSettings
    recipe: Recipe
    earlier: Sequence[Attempt]
    place: str


class Chosen(NamedTuple):
    """The folder in the outbox that an attempt gets, and the mark of the disk with it."""

    place: str
    disk: str


class Hindrance(Enum):
    """Reason why no attempt at a job begins after its outbox was prepared."""

    CHANGED = auto()
    """The job has changed since its preparation, for example because it was canceled."""
    NO_TIME = auto()
    """Jobs may not begin now."""
    NO_WORKER = auto()
    """Another job got the worker: this one has been overtaken."""


class Attempts:
    """Runner of `jobs` with `executor`.

    `stopping` returns whether the daemon is to stop, `may_begin` whether jobs may begin now. All
    work in an outbox is done in its lane, in the order in which workers report it.
    """

    def __init__(
        self,
        jobs: Jobs,
        executor: Executor,
        stopping: Callable[[], bool],
        may_begin: Callable[[], bool],
    ) -> None:
        self._jobs = jobs
        self._executor = executor
        self._stopping = stopping
        self._may_begin = may_begin
        self.kept = 0
        """Number of workers that are kept for other work than jobs."""
        self.lent = 0
        """Number of workers that must stay idle, because a training has their processors."""
        self._state = jobs.state
        self._ledger = jobs.ledger
        self._reporter = jobs.reporter
        jobs.handlers |= {
            Effect.ORDER: self._order,
            Effect.ASK_WORKER: self._ask,
            Effect.DROP_WORKER: self._drop,
            Effect.PUBLISH_FILE: self._publish,
        }

    @property
    def running(self) -> dict[str, Worker]:
        """The workers of the running jobs, by job id."""
        return {id_: live.worker for id_, live in self._jobs.live.items() if live.worker}

    def are_at_work(self, silent: Collection[Path] = ()) -> bool:
        """Return whether a worker has an order whose end has not been reported.

        Workers for the `silent` outboxes, which do not answer, do not count.
        """
        return any(
            worker.ticket and not worker.has_ended and worker.outbox.root not in silent
            for worker in self.running.values()
        )

    @property
    def is_busy(self) -> bool:
        """True while an outbox is being prepared for a job, or a job has a worker."""
        lives = self._jobs.live.values()
        return any(live.doing.activity is Activity.PREPARING or live.worker for live in lives)

    @property
    def free(self) -> int:
        """Number of idle workers that no job is about to get, and that are not `kept` or `lent`.

        It is negative if more workers are promised than are idle. A worker is promised to each job
        that was overtaken because its outbox is slow, as long as that outbox answers: otherwise the
        jobs of a faster outbox would get all workers.
        """
        ordered = sum(not worker.ticket for worker in self.running.values())
        return self._executor.free() - ordered - self._awaited() - self.kept - self.lent

    def _awaited(self) -> int:
        """Return the number of overtaken jobs that are prepared now in outboxes that answer."""
        silent = self._jobs.lanes.silent()
        lives = self._jobs.live.items()
        awaited = (job_id for job_id, live in lives
                   if live.is_overtaken and live.doing.activity is Activity.PREPARING)  # fmt: skip
        jobs = map(self._ledger.get, awaited)
        return sum(job is not None and Path(job.outbox) not in silent for job in jobs)

    # -- beginning a job

    def begin(self, job: Job) -> None:
        """Have the lane prepare the outbox for an attempt at a job, or post why no attempt begins.

        Until the outbox is prepared, nothing else begins in it. If the priority or the needs of the
        job have changed, only the change is posted: the job then begins when its new turn comes.
        Raises DamagedError and LedgerError.
        """
        waits = self._jobs.waits
        self._jobs.took_turn(job)
        try:
            preparation = self._preparation(job)
        except DamagedError:
            raise
        except Exception as error:
            waits.release(job.id)
            self._cannot_begin(job, error)
            return
        settings = preparation.settings
        needs = settings.needs(file.sha256 for file in job.inputs if file.role == "style")
        if (job.priority, job.needs) != (settings.priority, needs):
            waits.release(job.id)  # the needs that it has now may be an obstacle
            self._jobs.post(job.id, lifecycle.Resolved(settings.priority, needs))
            return
        self._jobs.turn(job.id, Doing(Activity.PREPARING))
        waits.take(job.id, Obstacle(Kind.OUTBOX, job.outbox))
        outbox = Outbox(Path(job.outbox), self._jobs.reserved(job.outbox))
        work = partial(self._prepare, preparation, outbox)
        self._jobs.lanes.do(outbox.root, work, partial(self._prepared, preparation))

    def _preparation(self, job: Job) -> Preparation:
        """Return the plan of the next attempt at a job, without access to its outbox.

        `_cannot_begin` handles the errors that this raises.
        """
        earlier = self._ledger.attempts(job.id)
        with self._jobs.mount_guard.checked(self._state.root):
            claim = self._jobs.claim_of(job)
            settings, recipe = self._settings_of(job, earlier)
            place = self._wanted_place(job, settings)
        return Preparation(job, claim, settings, recipe, earlier, place)

    def _prepare(self, preparation: Preparation, outbox: Outbox, step: Step) -> Chosen:
        """Check the outbox of a job, and choose its folder there; this runs in the lane.

        If the folder is a new one, the checkpoints of the job are removed. Raises OSError.
        """
        job = preparation.job
        place = preparation.place
        guard = self._jobs.mount_guard
        with guard.checked_inside(outbox.root, job.place or place, disk=job.disk):
            outbox.probe()
            needed = [(outbox.root, preparation.claim.archived), (self._state.root, 0)]
            disks.check(needed, self._jobs.settings.limits.free_bytes)
            if job.place is not None and not outbox.has_receipt(job.place):
                return Chosen(job.place, job.disk)
            # A new folder lacks the stages that a checkpoint refers to. Remove the checkpoints now:
            # once the folder is recorded, nothing shows that it is new.
            self._forget_checkpoints(job.id, AttemptFiles(outbox, job.id))
            return Chosen(outbox.choose(place), job.disk or disks.marked(outbox.root, guard))

    def _prepared(self, preparation: Preparation, result: Chosen | Exception) -> None:
        """Begin an attempt in the folder that was chosen, or leave the job in the queue.

        If no attempt begins, the job's trial of its obstacles ends here: otherwise all jobs that
        wait for these obstacles would wait forever. If an attempt begins, its worker shows whether
        the obstacles are gone. An error of the preparation is posted.
        """
        job = preparation.job
        jobs = self._jobs
        live = jobs.known(job.id)
        is_preparing = live.doing.activity is Activity.PREPARING
        if is_preparing:
            jobs.turn(job.id, Doing())
        jobs.commit()  # a request that came in the meantime may end the job
        hindrance = self._hindrance(job) if is_preparing else Hindrance.CHANGED
        if hindrance in (None, Hindrance.NO_WORKER):
            live.is_overtaken = hindrance is not None
        if hindrance is None and isinstance(result, Chosen):
            jobs.waits.passed(job.id)
            # if another job has got the folder, the next round begins this job elsewhere
            if result.place == job.place or result.place not in jobs.reserved(job.outbox):
                self._begin_in(result, preparation)
                return
        jobs.waits.release(job.id)
        if hindrance is None and isinstance(result, Exception):
            self._cannot_begin(job, result)

    def _hindrance(self, job: Job) -> Hindrance | None:
        """Return why no attempt at a prepared job begins now; None if an attempt may begin."""
        if self._ledger.get(job.id) != job:
            return Hindrance.CHANGED
        if not self._may_begin():
            return Hindrance.NO_TIME
        return Hindrance.NO_WORKER if self.free <= 0 else None

    def _begin_in(self, chosen: Chosen, preparation: Preparation) -> None:
        """Create the worker of an attempt in the `chosen` folder, and post that it begins."""
        job = preparation.job
        settings = preparation.settings
        place, disk = chosen
        is_new = place != job.place
        listed = self._ledger.files(job.id)
        outbox = Outbox(Path(job.outbox), self._jobs.reserved(job.outbox), disk)
        worker = Worker(
            job.id,
            settings,
            preparation.recipe,
            outbox,
            place,
            Attempt(now(), backend=settings.backend, pid=os.getpid()),
            lifecycle.numbered(preparation.earlier),
            is_new=is_new,
            files=AttemptFiles(outbox, job.id),
            disk=disk,
            unit=progress_unit(job.frames),
            staged={file.path.removeprefix(f"{place}/") for file in listed},
        )
        self._jobs.known(job.id).worker = worker
        row = _row(worker)

        def record(ledger: LedgerWriter) -> None:
            row(ledger)
            if is_new:  # files that the job published in its former folder belong to another job
                ledger.drop_files(job.id, [file.path for file in ledger.files(job.id)])

        event = lifecycle.Begun(place, settings.model_dump(mode="json"), disk)
        self._jobs.post(job.id, event, record)

    def _cannot_begin(self, job: Job, error: Exception) -> None:
        """Post why a job cannot begin."""
        is_short = shortages.shortage(error) is not None
        if isinstance(error, OSError | UnavailableError) or (
            isinstance(error, DaemonError) and is_short
        ):
            self._jobs.block(job, error)
        elif isinstance(error, InputError | SettingsError):
            self._jobs.post(job.id, lifecycle.Unusable(error.cause, str(error)))
        elif isinstance(error, ValueError):  # the claim is damaged
            self._jobs.post(job.id, lifecycle.Broke(str(error), Cause.DISK))
        else:
            self._jobs.broke(job.id, error)

    def _settings_of(self, job: Job, earlier: Sequence[Attempt]) -> tuple[JobSettings, Recipe]:
        """Return the settings with which a job began, and its recipe as it is now.

        A job that has not begun gets its settings from its job.yaml and the service as they are
        now.
        """
        service = self._jobs.settings
        guard = self._jobs.mount_guard
        if job.settings is not None and any(attempt.device for attempt in earlier):
            with suppress(ValidationError):  # of settings that an earlier version wrote
                begun = JobFile.model_validate_json(json.dumps(of_record(job.settings)))
                with recipes_at_hand(service, guard):
                    return begun, self._recipe_of_begun(begun)
        return resolve(service, self._path(job, "job"), guard, is_retry=bool(job.retry_of))

    def _recipe_of_begun(self, settings: JobSettings) -> Recipe:
        """Return the recipe of a job that has begun.

        Raises UnavailableError if the recipe cannot be used now. Since the job has begun with it, a
        package or a file must be gone, and the job waits until it is back.
        """
        try:
            return recipe_of(settings, self._jobs.settings, "the settings with which it was begun")
        except SettingsError as error:
            left_out = "; ".join((str(error), *installed.left_out()))
            raise UnavailableError(f"{left_out}: the job waits until they can be used") from error

    def _path(self, job: Job, role: str) -> Path | None:
        """Return the path of the first claimed file with a role; None if there is none."""
        paths = self._paths(job, role)
        return paths[0] if paths else None

    def _paths(self, job: Job, role: str) -> list[Path]:
        """Return the paths of the claimed files with a role."""
        files = self._jobs.claim_of(job).files
        folder = self._state.files(job.id)
        return [folder / file.name for file in files if file.role == role]

    def _wanted_place(self, job: Job, settings: JobSettings) -> str:
        """Return the preferred folder of a job in the outbox."""
        return fill_folder(settings.name, self._fields(job, settings))

    def _fields(self, job: Job, settings: JobSettings) -> Mapping[str, str]:
        main = self._state.files(job.id) / self._jobs.claim_of(job).main.name
        styles = self._paths(job, "style")
        return name_fields(job.name, main, styles, recipe=settings.recipe, seed=settings.seed)

    def _order(self, job: Job, event: object) -> None:
        """Have the lane make or reopen the folder of an attempt; then order the attempt.

        Unpublished files of earlier attempts are taken over, and a checkpoint that may not be
        resumed is removed. If someone else has created the folder, another folder is recorded
        first.
        """
        worker = self._jobs.known(job.id).worker
        if worker is None:  # the attempt was given up before the ledger could be written
            return
        self._jobs.begin(job, Effect.ORDER)
        worker.title = job.title
        place = self._wanted_place(job, worker.settings)
        limit = self._jobs.settings.limits.attempts
        may_resume = lifecycle.may_resume(job, worker.earlier, limit)

        def work(step: Step) -> tuple[Path, Path] | str:
            """Return the paths of checkpoint and staging; if the folder is taken, a new place."""
            with self._on_disk_of(worker):
                if not worker.is_new:
                    worker.outbox.reopen(worker.title)
                elif not worker.outbox.make(worker.title):
                    return worker.outbox.choose(place)
                checkpoint = self._take_over(worker, may_resume=may_resume)
                return checkpoint, worker.outbox.staging(worker.files.place)

        self._in_lane(worker, work, partial(self._ordered, job, worker))

    def _ordered(self, job: Job, worker: Worker, result: tuple[Path, Path] | str) -> None:
        if worker.obstacle is not None:
            self._blocked(job, worker.obstacle)
            return
        if isinstance(result, str):  # someone else has created the folder: record another one
            self._jobs.post(job.id, lifecycle.Placed(result))
            return
        try:
            order = self._order_of(job, worker, *result)
            ticket = f"{job.id}#{worker.number} of {worker.attempt.started}"
            self._executor.submit(ticket, order)
            worker.ticket = ticket
        except OSError as error:
            self._blocked(job, error)
            return
        latest = self._ledger.get(job.id)
        if latest is not None:
            self._ask(latest, None)

    def _on_disk_of(self, worker: Worker) -> AbstractContextManager[None]:
        """Return a context that checks, at its start and end, the disk of a worker's outbox."""
        guard = self._jobs.mount_guard
        root = worker.outbox.root
        return guard.checked_inside(root, worker.title, disk=worker.disk)

    def _in_lane(
        self, worker: Worker, work: Callable[[Step], Any], done: Callable[[Any], object]
    ) -> None:
        """Have the lane do `work` in a worker's outbox; then call `done`, if the attempt goes on.

        `done` gets the result. An OSError of `work` becomes the obstacle of the attempt, which the
        executor drops, and `done` gets None. An error of the ledger in `done` is raised: the main
        loop then calls `done` again later, or ends. Any other error makes the job fail.
        """

        def call(result: Any) -> None:
            live = self._jobs.live.get(worker.job_id)
            if live is None or live.worker is not worker:
                return
            try:
                if isinstance(result, OSError):
                    worker.obstacle = worker.obstacle or result
                    if worker.ticket:
                        self._executor.drop(worker.ticket)
                    result = None
                elif isinstance(result, Exception):
                    raise result
                done(result)
            except (DamagedError, LedgerError):
                raise  # the loop ends, or calls this again later
            except Exception as error:
                self._jobs.broke(worker.job_id, error)

        self._jobs.lanes.do(worker.outbox.root, work, call)

    def _order_of(self, job: Job, worker: Worker, checkpoint: Path, folder: Path) -> Order:
        settings = worker.settings
        roles = sorted({file.role for file in self._jobs.claim_of(job).files})  # a fixed order
        order = order_for(
            self._jobs.settings,
            settings,
            worker.recipe,
            name=worker.title,
            pictures=(self._path(job, "content"), tuple(self._paths(job, "style"))),
            staging=folder,
        )
        return replace(
            order,
            init=self._path(job, "init"),
            masks={role: self._paths(job, role)[0] for role in roles if role.endswith(MASK)},
            # by its folder, because settings may change in the meantime
            final=fill_file(settings.final, self._fields(job, settings)),
            checkpoint=checkpoint,
            shown_step=job.step,
            place=worker.place,
            attempts=tuple(map(_as_record, worker.earlier)),
            retry_of=job.retry_of or None,
        )

    def _take_over(self, worker: Worker, *, may_resume: bool) -> Path:
        """Take over unpublished files of earlier attempts; return the path of the checkpoint.

        Unless the attempt `may_resume`, earlier checkpoints are removed first.
        """
        checkpoint = self._state.jobs / worker.job_id / CHECKPOINT
        if not may_resume:
            self._forget_checkpoints(worker.job_id, worker.files)
        if self._jobs.settings.executor.own.is_remote:
            # The checkpoint comes first: the files that it refers to are published already, or will
            # be published from this folder.
            name = staging.name([*worker.earlier, worker.attempt])
            checkpoint = worker.files.begin(name)
        worker.files.take_over()
        return checkpoint

    def _forget_checkpoints(self, job_id: str, files: AttemptFiles) -> None:
        with self._jobs.mount_guard.checked(self._state.root):
            entries.unlink(self._state.jobs / job_id / CHECKPOINT)
        files.forget_checkpoints()

    # -- while it runs

    def _ask(self, job: Job, event: object) -> None:
        """Pass the owner's request, if there is one, on to the worker of a job."""
        worker = self._jobs.known(job.id).worker
        if worker is not None and job.asked is not None:
            is_cancel = job.asked is End.CANCELED
            self._pass_on(worker, AttemptRequest.CANCEL if is_cancel else AttemptRequest.FINISH)

    def _drop(self, job: Job, event: object) -> None:
        """Give up the attempt of a job that has failed."""
        worker = self._jobs.known(job.id).worker
        if worker is not None:
            if worker.ticket:
                self._executor.drop(worker.ticket)
            self._end(job.id, None, Cause.BUG, job.reason)

    def stop_workers(
        self,
        reason: str = "",
        *,
        but: Collection[AttemptRequest] = (AttemptRequest.CANCEL,),
        most: int | None = None,
    ) -> None:
        """Ask all workers, or those of the first `most` jobs, to save a checkpoint and stop.

        Workers whose last request is in `but` are not asked. The end of an attempt that was not
        ordered yet is posted at once. `reason` says why the attempts end; it is empty if the daemon
        stops.
        """
        for job_id, worker in islice(self.running.items(), most):
            worker.stopped_for = reason
            if not worker.ticket:  # nothing was ordered yet
                self._end(job_id, lifecycle.Stopped(), Cause.DAEMON, reason)
            elif worker.wanted not in but:
                self._pass_on(worker, AttemptRequest.STOP)

    def _pass_on(self, worker: Worker, request: AttemptRequest) -> None:
        if worker.ticket and request is not worker.wanted:
            worker.wanted = request
            self._executor.ask(worker.ticket, request)
            self._jobs.look_at(worker.outbox.root)  # the worker may wait for it: is it silent?

    def follow(self) -> Sequence[AttemptEvent]:
        """Process the events of workers since the last call; return the events that are of no job.

        Events of attempts that were given up are dropped.
        """
        others = list[AttemptEvent]()
        for event in self._executor.events():
            job_id = event.ticket.partition("#")[0]
            live = self._jobs.live.get(job_id)
            if live is None:
                others.append(event)
            elif live.worker and live.worker.ticket == event.ticket:
                try:
                    self._handle(live.worker, event.event)
                except DamagedError:
                    raise
                except Exception as error:
                    self._jobs.broke(job_id, error)
        return others

    def _handle(self, worker: Worker, event: messages.Event) -> None:
        if isinstance(event, messages.AttemptEnd):
            worker.has_ended = True
            self._note_silence(worker, event)
            # first, the lane checks the files that the worker staged before, and they are recorded
            self._in_lane(worker, lambda step: None, partial(self._recorded, worker, event))
        elif worker.obstacle is not None:
            return
        elif isinstance(event, Progress):
            worker.step = event.step
            worker.steps = event.steps
            worker.loss = event.loss
            worker.size = event.size
            worker.unit = event.unit
            worker.seconds_left = worker.eta.left(event) if worker.eta else None
            self._reporter.progress(shown(worker.title), event)
        elif isinstance(event, Started):
            worker.eta = EtaEstimator(event)
            worker.device = event.device
            worker.step = event.step
            worker.steps = event.steps
            worker.loss = None
            worker.attempt = replace(
                worker.attempt, backend=event.backend, device=event.device, step=event.step
            )
            self._jobs.waits.release(worker.job_id)  # other jobs may get a device now, too
            self._jobs.post(worker.job_id, None, _row(worker))
            self._reporter.job_started(shown(worker.title), event)
        elif isinstance(event, messages.FileStaged):
            done = partial(self._staged, worker, event)
            self._in_lane(worker, lambda step: self._look(worker, event), done)

    def _look(self, worker: Worker, event: messages.FileStaged) -> StagedFile | None:
        """Return the size of a staged file, and whether it has the announced bytes.

        Returns None if the file is gone.
        """
        with self._on_disk_of(worker):
            return worker.files.look(event.path, event.sha256)

    def _note_silence(self, worker: Worker, event: messages.AttemptEnd) -> None:
        """Record a silent outbox as the obstacle of a worker that died or failed meanwhile."""
        is_lost = isinstance(event, messages.AttemptLost | messages.Failed)
        if is_lost and worker.obstacle is None and worker.outbox.root in self._jobs.lanes.silent():
            worker.obstacle = OutputError(f"the outbox {worker.outbox.root} does not answer")

    def _staged(self, worker: Worker, event: messages.FileStaged, look: StagedFile | None) -> None:
        """Post that an announced file is staged, which records and then publishes it.

        The receipt is left out, and so are a file that differs from its announcement and a missing
        file that an earlier attempt announced.
        """
        if worker.obstacle is not None:
            return
        if look is not None and not look.is_announced:
            worker.mismatched.add(event.path)
        elif look is not None:
            worker.mismatched.discard(event.path)
        if event.path in worker.mismatched or event.path == RECEIPT:
            return
        if look is None and max(1, event.step) <= worker.attempt.step:
            return  # an earlier attempt announced it, and it was published then
        part = STAGES if event.path.startswith(f"{STAGES}/") else "files"
        file = OutputFile(
            f"{worker.title}/{event.path}", part, event.sha256, look.size if look else 0
        )
        is_first = event.path not in worker.staged
        worker.staged.add(event.path)
        staged = lifecycle.Staged(event.step, event.path, is_first)
        self._jobs.post(
            worker.job_id, staged, lambda ledger: ledger.put_files(worker.job_id, [file])
        )

    def _publish(self, job: Job, event: object) -> None:
        """Have the lane publish an announced file, and report it, unless an obstacle was met.

        The receipt of another job in the folder is an obstacle, too.
        """
        worker = self._jobs.known(job.id).worker
        assert isinstance(event, lifecycle.Staged)
        if worker is None:
            return
        staged_at = worker.files.place
        path = event.path
        is_first = event.is_first

        def work(step: Step) -> Path | None:
            if worker.obstacle is not None:
                return None
            with self._on_disk_of(worker):
                if worker.outbox.has_receipt(worker.title):
                    raise TakenError(f"{worker.place} has the receipt of another job")
                worker.outbox.publish(staged_at, worker.title, path, step, is_first=is_first)
            return worker.place / path

        def done(published: Path | None) -> None:
            if published is not None:
                self._jobs.got_past_all(job)
                self._reporter.staged(shown(worker.title), published)

        self._in_lane(worker, work, done)

    # -- its end

    def _recorded(self, worker: Worker, end: messages.AttemptEnd, result: object) -> None:
        """Commit the staged files of an attempt; then have the lane check the attempt, and end it.

        The commit also begins to publish the files. Raises LedgerError if the ledger cannot be
        written now.
        """
        self._jobs.commit()
        if self._jobs.trouble:
            raise LedgerError(self._jobs.trouble)
        done = partial(self._follow_end, worker)
        self._in_lane(worker, lambda step: self._checked(worker, end), done)

    def _checked(self, worker: Worker, end: messages.AttemptEnd) -> messages.AttemptEnd:
        """Return `end`, or a failure if the staged files contradict it.

        If files differ from what was announced, the checkpoints are removed, because they refer to
        these files. Raises OSError if the files cannot be read.
        """
        if worker.obstacle is not None:
            return end
        if isinstance(end, messages.Done | messages.AttemptStopped) and worker.mismatched:
            self._forget_checkpoints(worker.job_id, worker.files)
            paths = ", ".join(sorted(worker.mismatched))
            return messages.AttemptLost(
                f"files in .staging differ from what was announced: {paths}"
            )
        if isinstance(end, messages.Done):
            with self._on_disk_of(worker):
                has_receipt = worker.outbox.has_receipt(f"{STAGING}/{worker.files.place}")
            if not has_receipt:
                reason = "a fault of stylewatch: the worker was done without a receipt"
                return messages.Failed(reason)
        return end

    def _follow_end(self, worker: Worker, event: messages.AttemptEnd) -> None:
        """Post the consequence of the checked end of an attempt, if the job is still running.

        The job is complete or refused, waits for an obstacle, has failed once more, or returns to
        the queue. A failure after a request to stop also returns it to the queue: the worker may
        have been killed while it loaded, because it could not answer soon.
        """
        job = self._ledger.get(worker.job_id)
        if job is None or job.state is not State.RUNNING:
            self._jobs.known(worker.job_id).worker = None
            return
        obstacle: OSError | DaemonError | None = worker.obstacle
        failed = event if isinstance(event, messages.Failed) else None
        if isinstance(event, messages.AttemptLost):
            failed = messages.Failed(event.reason, Cause.WORKER)
        if failed is not None and failed.cause in OBSTACLES and not self._stopping():
            obstacle = obstacle or OBSTACLES[failed.cause](failed.reason)
        if obstacle is not None:
            self._blocked(job, obstacle)
        elif isinstance(event, messages.Done):
            self._finished(job, event)
        elif isinstance(event, messages.Refused):
            unusable = lifecycle.Unusable(event.cause, event.reason)
            self._end(job.id, unusable, End.REFUSED, event.reason)
        elif failed is None or worker.is_to_stop or self._stopping():
            # a worker that was lost has no checkpoint of the steps since its last stage
            step = event.step if isinstance(event, messages.AttemptStopped) else job.step
            self._stopped(job, worker, step)
        else:
            also = self._closed(job.id, failed.cause, failed.reason)
            self._jobs.lost(job, failed.cause, failed.reason, failed.trace, also)

    def _stopped(self, job: Job, worker: Worker, step: int) -> None:
        canceled = job.asked is End.CANCELED
        if canceled:
            self._end(job.id, lifecycle.Stopped(), End.CANCELED, "")
        else:
            self._end(job.id, lifecycle.Stopped(), Cause.DAEMON, worker.stopped_for)
            self._reporter.stopped(job.title, step, worker.unit)

    def _finished(self, job: Job, done: messages.Done) -> None:
        """Post that the output is complete, with the digests of the inputs that were read."""
        end = End(done.receipt.get("state", End.DONE))
        digests = {
            entry["name"]: entry["sha256"]
            for entry in done.receipt.get("inputs", ())
            if "sha256" in entry
        }
        worker = self._jobs.known(job.id).worker
        seconds = done.receipt.get("seconds")
        if worker is not None and isinstance(seconds, float):
            worker.attempt = replace(worker.attempt, painted_s=seconds)
        self._end(job.id, lifecycle.Finished(end, digests), end)

    def _blocked(self, job: Job, error: OSError | DaemonError) -> None:
        if isinstance(error, TakenError):
            self._end(job.id, lifecycle.Displaced(), Cause.DISK, str(error))
            return
        also = self._closed(job.id, cause_of(error), shortages.in_words(error))
        self._jobs.block(job, error, also=also)

    def _end(self, job_id: str, event: object, how: End | Cause, reason: str = "") -> None:
        """Drop the worker of a job, and post the event that ends its attempt."""
        self._jobs.post(job_id, event, self._closed(job_id, how, reason))

    def _closed(self, job_id: str, how: End | Cause, reason: str) -> Also:
        """Drop the worker of a job, which becomes idle; return a function that records the end."""
        live = self._jobs.known(job_id)
        worker = live.worker
        live.worker = None
        assert worker is not None
        self._jobs.turn(job_id, Doing())
        self._jobs.waits.release(job_id)
        worker.attempt = replace(worker.attempt, ended=now(), how=str(how), reason=reason)
        return _row(worker)

    def leave(self) -> None:
        """Give up attempts that have not ended, and commit that they stopped: the daemon exits."""
        for job_id, worker in self.running.items():
            if worker.ticket and not worker.has_ended:
                self._executor.drop(worker.ticket)
            self._end(job_id, lifecycle.Stopped(), Cause.DAEMON)
        self._jobs.commit()


def _row(worker: Worker) -> Also:
    """Return a function that records an attempt as it is now."""
    attempt = worker.attempt
    return lambda ledger: ledger.put_attempt(worker.job_id, worker.number, attempt)


def _as_record(attempt: Attempt) -> dict[str, Any]:
    """Return an earlier attempt in the form of the receipt."""
    ended = f"{attempt.how}: {attempt.reason}" if attempt.reason else attempt.how
    record = {"backend": attempt.backend, "device": attempt.device, "ended": ended}
    return {key: value for key, value in record.items() if value}
