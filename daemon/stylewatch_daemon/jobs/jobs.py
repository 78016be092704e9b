"""All jobs: the single place where events change them and where effects begin."""

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import (
    DaemonError,
    DamagedError,
    OutputError,
    ShortageError,
    UnavailableError,
)
from stylewatch_daemon.base.events import Reporter
from stylewatch_daemon.base.lanes import Lanes
from stylewatch_daemon.base.model import PICTURES, Cause, End, Job, OutputFile, State, now
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.files.identity import look
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.jobs.lifecycle import (
    BEGINS,
    FOLLOWS,
    MACHINE,
    Activity,
    Blocked,
    Broke,
    Doing,
    Effect,
    Found,
    Kind,
    Lost,
    Obstacle,
    advance,
)
from stylewatch_daemon.jobs.live import Live
from stylewatch_daemon.jobs.waits import Waits, cause_of, obstacle_behind
from stylewatch_daemon.ledger import claim as claims
from stylewatch_daemon.ledger.claim import Claim, File
from stylewatch_daemon.ledger.ledger import Place
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.outbox.publish import RECEIPT
from stylewatch_daemon.settings.config import ServiceSettings

LEDGER_RETRY_S = 5.0
"""Delay in seconds before changes that failed to be written are written again."""

Also = Callable[[LedgerWriter], object]
"""Function that writes more into the ledger, in the transaction of an event."""

Handler = Callable[[Job, object], object]
"""Function that carries out an effect for a job; the second argument is the event that led to
it."""


class _Posted(NamedTuple):
    job_id: str
    event: object
    also: Also | None = None


class _BrokenEventError(Exception):
    """The event at `index` could not be applied; `__cause__` is the unforeseen error."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


class Jobs:
    """The jobs in `ledger`, with their files in `state`; `clock` is monotonic, in seconds.

    `handlers` carry out the effects: each part of the daemon adds its own.
    """

    def __init__(
        self,
        state: StateDir,
        ledger: LedgerWriter,
        reporter: Reporter,
        settings: ServiceSettings,
        clock: Callable[[], float],
        lanes: Lanes,
        mount_guard: MountGuard | None = None,
    ) -> None:
        self.state = state
        self.ledger = ledger
        self.reporter = reporter
        self.lanes = lanes
        self.settings = settings
        self.mount_guard = mount_guard or MountGuard()
        self.mount_guard.former = self._mounts = ledger.mounts()
        with shortages.translated("the state folder cannot be used"):
            self.mount_guard.check(state.root)
            self.mount_guard.hold(state.root, state.ledger)
        self.live: dict[str, Live] = {}
        """Temporary data of the jobs with which the daemon does something, or that wait."""
        self.handlers: dict[Effect, Handler] = {}
        self.waits = Waits(clock)
        self.trouble = ""
        """Why the ledger cannot be written; empty if it can."""
        self.changes = 0
        """Number of applied events, by which others detect changes."""
        self._clock = clock
        self._retry_at = 0.0
        self._posted: list[_Posted] = []
        self.turns: dict[str, int] = {}
        """Number of the last turn of each inbox, from which the next inbox is chosen."""

    def note_mounts(self) -> None:
        """Have the lanes record the mounts of all folders in the settings."""
        inboxes = (inbox.path for inbox in self.settings.inboxes)
        sources = *self.settings.recipe_folders, self.settings.pairing.styles
        for folder in (*self.settings.outboxes, *inboxes, *self.settings.finals, *sources):
            self.look_at(folder)

    def look_at(self, folder: Path) -> None:
        """Have the lane of `folder` check and record its mount; this shows if it answers (law 9).

        Errors are dropped: they are reported when the folder is used.
        """
        self.lanes.do(folder, lambda step: self.mount_guard.check(folder), lambda result: None)

    # -- events

    def post(self, job_id: str, event: object, also: Also | None = None) -> None:
        """Queue an event for a job: the next `commit` applies it, together with what `also` writes.

        The event None changes no job, so that only `also` writes; `job_id` may then be empty.
        """
        self._posted.append(_Posted(job_id, event, also))

    def has_posted(self, job_id: str) -> bool:
        """Return whether the ledger still lacks events that were posted for a job."""
        return any(posted.job_id == job_id for posted in self._posted)

    def withdraw(self, job_id: str) -> bool:
        """Withdraw the posted events of a job that the ledger does not have yet; forget the job.

        Returns False if the ledger has the job. Raises LedgerError if it cannot be read now.
        """
        if self.ledger.get(job_id) is not None:
            return False
        self._posted = [posted for posted in self._posted if posted.job_id != job_id]
        self.forget(job_id)
        return True

    def commit(self) -> bool:
        """Apply the posted events, commit, then begin their effects; return whether there were any.

        If the ledger cannot be written, no effect begins, the result is False, and a later call
        tries everything again. Raises DamagedError if the ledger is damaged.
        """
        if self.trouble and self._clock() < self._retry_at:
            return False
        # without events, an empty transaction finds out whether the disk can be written again
        began = bool(self._posted or self.trouble)
        while self._posted or self.trouble or self._known_mounts != self._mounts:
            posted = self._posted
            self._posted = []
            try:
                effects = self._write(posted)
            except DamagedError:
                raise
            except (OutputError, ShortageError) as error:
                self._posted = posted + self._posted
                self.note_trouble(error)
                return False
            except _BrokenEventError as error:
                replacement = self._instead_of(posted[error.index], error.__cause__)
                rest = posted[error.index + 1 :]
                self._posted = [*posted[: error.index], replacement, *rest, *self._posted]
                continue
            self.trouble = ""
            self.changes += len(posted)
            for job, effect, event in effects:
                self.carry_out(job, effect, event)
        return began

    def note_trouble(self, error: OutputError | ShortageError) -> None:
        """Record that the ledger cannot be used now: nothing begins until it can."""
        self._retry_at = self._clock() + LEDGER_RETRY_S
        if not self.trouble:
            self.reporter.waits("the ledger", str(error))
        self.trouble = str(error)

    def check_state(self) -> None:
        """Raise OutputError or ShortageError if the state folder cannot be used now.

        The ledger that this process has open may be another one than that in the folder: what is
        recorded there would be lost.
        """
        with shortages.translated("the state folder cannot be used"):
            self.mount_guard.check_held(self.state.root)

    def _write(self, posted: Sequence[_Posted]) -> list[tuple[Job, Effect, object]]:
        """Apply events in one transaction; return the effects.

        Raises OutputError or ShortageError if the ledger cannot be written, and _BrokenEventError
        if an event cannot be applied; then no event is applied.
        """
        self.check_state()
        effects = []
        mounts = self._known_mounts
        with self.ledger.transaction():
            if mounts != self._mounts:
                self.ledger.put_mounts(mounts)
            for index, (job_id, event, also) in enumerate(posted):
                try:
                    effects += self._apply(job_id, event, also)
                except OSError:
                    raise
                except Exception as error:
                    raise _BrokenEventError(index) from error
        self._mounts = mounts
        return effects

    def _instead_of(self, posted: _Posted, error: BaseException | None) -> _Posted:
        """Return an event that makes the job fail, in place of `posted`, which cannot be applied.

        If `posted` itself is a failure of the job or enters the job, the result changes nothing.
        The `error` is logged.
        """
        broken = self._broken(posted.job_id, f"{type(posted.event).__name__}: ", error)
        if isinstance(posted.event, Broke | Found):
            return _Posted("", None)  # not even a failure can be recorded for it
        return _Posted(posted.job_id, broken)

    @property
    def _known_mounts(self) -> frozenset[Path]:
        """Mounts that a later daemon must expect, also if no job was begun meanwhile (law 16)."""
        return self.mount_guard.former | self.mount_guard.roots

    def _apply(
        self, job_id: str, event: object, also: Also | None
    ) -> list[tuple[Job, Effect, object]]:
        former = self.ledger.get(job_id) if job_id else None
        job, effects = advance(former, event)
        if job is None and former is not None:
            self.ledger.delete(job_id)
        elif job is not None and job != former:
            self.ledger.put(job)
        if job is not None and Effect.NOTIFY in effects and self.settings.hooks.of(job.end)[1]:
            self.ledger.put_hook(job_id)
        if also is not None:
            also(self.ledger)
        if event is not None:
            self._debug(job_id, _told(event, former, job, effects))
        subject = job or former
        return [] if subject is None else [(subject, effect, event) for effect in effects]

    # -- effects

    def carry_out(self, job: Job, effect: Effect, event: object = None) -> None:
        """Begin an effect; an error becomes an event of the job, except DamagedError."""
        with self._for_one(job, effect):
            self.handlers[effect](job, event)

    def turn(self, job_id: str, doing: Doing) -> None:
        """Set the activity of the daemon with a job (law 12).

        Raises AssertionError if by FOLLOWS it may not follow the present activity.
        """
        live = self.known(job_id)
        former = live.doing.activity
        if doing.activity not in FOLLOWS[former]:
            raise AssertionError(f"{doing.activity} cannot follow {former}")
        is_news = doing != live.doing and {former, doing.activity} != {Activity.IDLE}
        live.doing = doing
        if is_news:
            wait = self.waits.seconds(doing.obstacle)
            again = f"; next try in {wait:.0f} s" if wait else ""
            self._debug(job_id, f"{former} -> {doing}{again}")

    def begin(self, job: Job, effect: Effect) -> None:
        """Set the activity of the daemon with a job to `BEGINS[effect]`."""
        self.turn(job.id, Doing(BEGINS[effect], effect))

    def then(
        self, job: Job, effect: Effect, done: Callable[[Any], object], root: Path | None = None
    ) -> Callable[[Any], object]:
        """Return a function that calls `done` with the result of `effect` for the job.

        The function first makes the job idle. After a result that is not an error, the job has got
        past the obstacles that it tried (see `Waits.passed`). An error that `done` raises affects
        only this job; an error of a disk is attributed to the folder `root`, by default the outbox.
        """

        def call(result: Any) -> None:
            self.turn(job.id, Doing(effect=effect))
            with self._for_one(job, effect, root):
                done(result)
                if not isinstance(result, Exception):
                    self.waits.passed(job.id)

        return call

    @contextmanager
    def _for_one(self, job: Job, effect: Effect, root: Path | None = None) -> Iterator[None]:
        """Confine errors of an `effect` to its job: it waits or fails; DamagedError is raised."""
        try:
            yield
        except DamagedError:
            raise
        except (OSError, UnavailableError) as error:
            self.block(job, error, again=effect, root=root)
        except Exception as error:
            self.broke(job.id, error)

    def block(
        self,
        job: Job,
        error: OSError | DaemonError,
        *,
        again: Effect | None = None,
        also: Also | None = None,
        root: Path | None = None,
    ) -> None:
        """Make a job, and all jobs with the same obstacle, wait for something outside the daemon.

        A claimed, ending or ended job repeats the effect `again` afterwards. If a disk is the
        obstacle, the lane of the folder `root`, by default the outbox, finds out which disk it is.
        Nothing else begins in that folder until then.
        """
        reason = shortages.in_words(error)
        cause = cause_of(error)
        if cause is Cause.DISK:
            self._search(job, error, Doing(Activity.SEARCHING, again, reason=reason), root)
        else:
            self._meet(job, _of(cause, job), cause, again, reason)
        self.reporter.waits(shown(job.title), reason)
        has_output = job.end in PICTURES and has_receipt(job, self.ledger.files(job.id))
        self.post(job.id, Blocked(cause, reason, has_output), also)

    def _search(self, job: Job, error: Exception, search: Doing, root: Path | None) -> None:
        """Have the lane of `root` find out which disk caused `error`; then the job waits for it.

        Until then nothing else begins in the folder, which is the outbox if `root` is None.
        """
        folder = root or Path(job.outbox)
        kind = Kind.OUTBOX if folder == Path(job.outbox) else Kind.INBOX

        def found(result: Obstacle | Exception) -> None:
            live = self.live.get(job.id)
            if live is not None and live.doing is search:
                job_obstacle = Obstacle(Kind.JOB, job.id)
                disk_obstacle = job_obstacle if isinstance(result, Exception) else result
                self._meet(job, disk_obstacle, Cause.DISK, search.effect, search.reason)

        self.waits.release(job.id)
        self.waits.take(job.id, Obstacle(kind, str(folder)))  # perhaps an inbox that is silent
        self.turn(job.id, search)
        look = partial(obstacle_behind, job, folder, error, self.mount_guard, self.state.probe)
        self.lanes.do(folder, lambda step: look(), found)

    def _meet(
        self, job: Job, obstacle: Obstacle, cause: Cause, again: Effect | None, reason: str
    ) -> None:
        obstacle = self.waits.meet(job.id, obstacle, is_common=cause is Cause.LEARNING)
        self.turn(job.id, Doing(Activity.WAITING, again, obstacle, reason))

    def hold(self, job_id: str, reason: str, again: Effect | None = None) -> None:
        """Make one job wait for a while, and repeat the effect `again` afterwards, if any."""
        job_obstacle = Obstacle(Kind.JOB, job_id)
        self.waits.release(job_id)
        self.waits.begin(job_obstacle)
        self.turn(job_id, Doing(Activity.WAITING, again, job_obstacle, reason))

    def got_past_all(self, job: Job) -> None:
        """Forget the obstacles of a job, apart from its inbox, once a file of it is published."""
        job_obstacle = Obstacle(Kind.JOB, job.id)
        needs = Obstacle(Kind.NEEDS, job.needs)
        self.waits.forget(job_obstacle, needs, Obstacle(Kind.OUTBOX, job.outbox), MACHINE)

    def go_on(self, job_id: str) -> None:
        """End the wait of a job at once, because its owner wants it canceled or finished."""
        live = self.live.get(job_id)
        if live is not None and live.doing.activity is Activity.WAITING:
            self.turn(job_id, replace(live.doing, obstacle=None))

    def lost(self, job: Job, cause: Cause, reason: str, trace: str, also: Also | None) -> None:
        """Post that the worker of a job died or met a bug; the job waits for its next attempt.

        After `limits.attempts` such faults in a row the job fails. A canceled job does not wait.
        `also` records the end of the attempt.
        """
        if job.asked is not End.CANCELED:
            self.waits.crashed(job.id)
            self.reporter.attempt_failed(shown(job.title), reason, trace)
        self.post(job.id, Lost(cause, reason, self.settings.limits.attempts), also)

    def broke(self, job_id: str, error: Exception) -> None:
        """Make a job fail because of an unforeseen error, with its trace in the log."""
        job = self.ledger.get(job_id)
        # `Broke` may change nothing in a job that is ending or has ended: then repeat the effect
        effects = {State.ENDING: Effect.PUBLISH_END, State.ENDED: Effect.DISCARD}
        self.hold(job_id, "", effects.get(job.state) if job is not None else None)
        self.post(job_id, self._broken(job_id, "", error))

    def _broken(self, job_id: str, where: str, error: BaseException | None) -> Broke:
        reason = f"{where}{type(error).__name__}: {shown(error)}"
        self.log(job_id, reason, error)
        return Broke(f"a fault of stylewatch: {reason}; please report it with the log")

    def _debug(self, job_id: str, text: str) -> None:
        """Log a line about a job at level DEBUG, which helps to find out why the job waits."""
        log = logging.getLogger(__name__)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s", text, extra={"job": self.title(job_id)})

    def log(self, job_id: str, reason: str, error: BaseException | None) -> None:
        """Log an error that concerns one job, with its trace."""
        trace = "".join(traceback.format_exception(error))
        log = logging.getLogger(__name__)
        log.error("%s", reason, extra={"job": self.title(job_id), "trace": trace})

    def repeat(self, retry: bool = True) -> None:
        """Repeat the effects of claimed, ending and ended jobs whose wait is over.

        Among jobs with the same obstacle, one job at a time tries whether the obstacle is gone.
        Without `retry`, no job tries an obstacle.
        """
        self._let_others_try()
        for job_id, live in list(self.live.items()):
            doing = live.doing
            if doing.activity is not Activity.WAITING or doing.effect is None:
                continue
            if doing.obstacle is not None:
                if self.waits.is_held(doing.obstacle, retry):
                    continue
                if self.waits.knows(doing.obstacle):
                    self.waits.take(job_id, doing.obstacle)
            self.turn(job_id, Doing(effect=doing.effect))
            job = self.ledger.get(job_id)
            if job is not None and job.state in (State.CLAIMED, State.ENDING, State.ENDED):
                self.carry_out(job, doing.effect)

    def _let_others_try(self) -> None:
        """End the trials of jobs whose folder does not answer, because that may last for hours."""
        silent = self.lanes.silent()
        for job_id, live in self.live.items() if silent else ():
            job = self.ledger.get(job_id) if live.doing.is_work else None
            if job is not None and Path(job.outbox) in silent:
                self.waits.give_up(job_id, Obstacle(Kind.OUTBOX, job.outbox))
            if job is not None and Path(job.inbox) in silent:
                self.waits.give_up(job_id, Obstacle(Kind.INBOX, job.inbox))

    # -- the queue

    def next(self, retry: bool = True) -> Job | None:
        """Return the queued job whose turn it is; None if none may begin now.

        Without `retry`, no job with an obstacle that was met is returned. A job with trouble of its
        own, such as too little memory for its pictures, comes after all others that were there at
        its last try: otherwise many such jobs would keep others from being tried at all.
        """
        held = self.waits.held(retry)
        if MACHINE in held:
            return None
        names = {
            kind: [obstacle.name for obstacle in held if obstacle.kind is kind] for kind in Kind
        }
        names[Kind.JOB] += (job_id for job_id, live in self.live.items() if live.doing.is_work)
        places = {
            job_id: live.place
            for job_id, live in self.live.items()
            if live.place is not None and live.doing.obstacle == Obstacle(Kind.JOB, job_id)
        }
        heads = self.ledger.next_of_inboxes(
            names[Kind.JOB], names[Kind.NEEDS], names[Kind.OUTBOX], places
        )
        inbox = min(heads, key=lambda inbox: (self.turns.get(inbox, 0), inbox), default=None)
        return None if inbox is None else self.ledger.get(heads[inbox])

    def reserved(self, outbox: str) -> frozenset[str]:
        """Return the folders in the outbox that no other job may get.

        The folder of a job that has ended is kept while an input may still have to be published
        there.
        """
        return self.ledger.reserved(outbox, self.live)

    def took_turn(self, job: Job) -> None:
        """Record that `job` has the turn of its inbox; reserve known obstacles for its trial.

        These are obstacles that the job may share with others. The inbox whose last turn is longest
        ago is next. Raises LedgerError.
        """
        self.known(job.id).place = Place(self.ledger.newest(), self._clock())
        self.turns[job.inbox] = 1 + max(self.turns.values(), default=0)
        self.waits.take(job.id, *filter(self.waits.knows, _common(job)))

    # -- jobs

    def known(self, job_id: str) -> Live:
        """Return the temporary data of a job, creating it if necessary."""
        return self.live.setdefault(job_id, Live())

    def works_on(self, job_id: str) -> bool:
        """Return whether something works on a job, or is about to change it."""
        is_changing = any(posted.job_id == job_id for posted in self._posted)
        return is_changing or (job_id in self.live and self.live[job_id].doing.is_work)

    def forget(self, job_id: str) -> None:
        """Drop the temporary data of a job, and end its trials of obstacles.

        The caller ensures that the job waits for nothing and has no worker.
        """
        self.live.pop(job_id, None)
        self.waits.release(job_id)

    def title(self, job_id: str) -> str:
        """Return the title of a job for messages.

        If the ledger does not have the job, the result is its name in the claim, or else its id.
        """
        job = self.ledger.get(job_id)
        live = self.live.get(job_id)
        if job is not None:
            return shown(job.title)
        return shown(live.claim.name if live is not None and live.claim is not None else job_id)

    def claim_of(self, job: Job) -> Claim:
        """Return the claim of a job; raises ValueError if it is damaged or missing, and OSError."""
        live = self.known(job.id)
        if live.claim is None:
            with self.mount_guard.checked(self.state.root):
                live.claim = claims.load(self.state.jobs / job.id)
        return live.claim

    def claim_to_publish(self, job: Job) -> Claim:
        """Return the claim of a job that is ending or has ended.

        A damaged or missing claim is rebuilt from the row of the ledger, with the files that exist.
        Raises OSError if the claim cannot be read now, or it is not known which files exist.
        """
        try:
            return self.claim_of(job)
        except ValueError:
            folder = self.state.files(job.id)
            with self.mount_guard.checked(self.state.root):
                names = self.state.input_names(job.id)
                inputs = [file for file in job.inputs if file.name in names]
                looks = [(file, look(folder / file.name)) for file in inputs]
            files = tuple(
                File(file.role, file.name, Path(file.source), file_look, own=True)
                for file, file_look in looks
                if file_look is not None
            )
            inbox = Path(job.inbox)
            outbox = Path(job.outbox)
            return Claim(job.id, job.name, inbox, outbox, "archive", files, retry_of=job.retry_of)


def _told(event: object, former: Job | None, current: Job | None, effects: Iterable[Effect]) -> str:
    """Return a line for the log: the change of a job by an event, and the effects that follow."""
    states = [str(job.state) if job is not None else "no job" for job in (former, current)]
    follows = ", ".join(effect.name.lower().replace("_", " ") for effect in effects)
    change = f"{type(event).__name__}: {' -> '.join(dict.fromkeys(states))}"
    return f"{change}; then {follows}" if follows else change


def has_receipt(job: Job, listed: Iterable[OutputFile]) -> bool:
    """Return whether the receipt of a job is among the files that the ledger lists for it.

    If so, the output of the job is complete, and the receipt may be published already: after a
    kill, only the list tells that.
    """
    return f"{job.title}/{RECEIPT}" in {file.path for file in listed}


def _of(cause: Cause, job: Job) -> Obstacle:
    """Return the obstacle of a job for a `cause` other than a disk."""
    job_obstacle = Obstacle(Kind.JOB, job.id)
    if cause in (Cause.DEVICE, Cause.LEARNING):
        # a job that is being inspected lacks what its pictures need
        return job_obstacle if job.state is State.CLAIMED else Obstacle(Kind.NEEDS, job.needs)
    return job_obstacle if cause is Cause.MEMORY else MACHINE  # smaller jobs may begin


def _common(job: Job) -> tuple[Obstacle, ...]:
    """Return the obstacles that a job may have in common with others."""
    return MACHINE, Obstacle(Kind.NEEDS, job.needs), Obstacle(Kind.OUTBOX, job.outbox)


def job_of(claim: Claim) -> Job:
    """Return a new job for a claim."""
    return Job(
        id=claim.id,
        name=claim.name,
        inbox=str(claim.inbox),
        outbox=str(claim.outbox),
        entered=now(),
        inputs=claim.inputs,
        bytes=sum(file.look.size for file in claim.files),
        retry_of=claim.retry_of,
    )
