"""Learning of styles: a child process trains a backend on the styles that queued jobs wait for.

A training run is not a job: it has no row in the ledger and nothing in an outbox. The waiting jobs
determine which run is due, so the daemon stores nothing about it. The backend's package saves its
progress, and continues from there if the photographs are the same.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Thread

from stylewatch_daemon.app.learning_main import Learned, NotLearned, Report
from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.child import Child
from stylewatch_daemon.base.errors import ShortageError
from stylewatch_daemon.base.lanes import Post
from stylewatch_daemon.base.model import Cause, Job, State
from stylewatch_daemon.base.wakeup import Backoff, Pauses
from stylewatch_daemon.files.names import shown
from stylewatch_daemon.jobs import lifecycle
from stylewatch_daemon.jobs.attempts import Attempts
from stylewatch_daemon.jobs.jobs import Jobs
from stylewatch_daemon.jobs.lifecycle import Kind, Obstacle
from stylewatch_plugins.learning import LearnRequest

LEARN = "stylewatch_daemon.app.learning_main:learn"

MOST_PHOTOGRAPHS = 15
"""Maximum number of photographs to learn from: with more, a training would see each too rarely."""

STEADY_S = 20.0
"""Seconds without a new photograph after which a training may begin with fewer photographs than
MOST_PHOTOGRAPHS: before that, somebody may still be copying an album."""

LOOK_S = 2.0
"""Minimum interval in seconds between two looks at the jobs that wait for a style."""

SILENT_S = 1800.0
"""Seconds without a report after which a training counts as hung: it may read many clips first."""

LONGEST_ROUND_S = 10.0
"""Maximum seconds of silence that count from one round of the main loop to the next, so that no
training looks hung after the machine was asleep."""

RETRY = Backoff(first=60.0, most=3600.0)
"""Delays after a training that failed."""

_TRIER = "learning"
"""Name in place of the id of a job under which the Learner takes obstacles (`Waits.take`)."""


@dataclass(frozen=True)
class Group:
    """Queued jobs with the same needs as `lead`, a job that waits for styles to be learned.

    `waiting` is the number of jobs. `photographs` are the contents of the first MOST_PHOTOGRAPHS of
    them, by the ids of the jobs.
    """

    lead: Job
    waiting: int
    photographs: Mapping[str, Path]

    @property
    def obstacle(self) -> Obstacle:
        """The obstacle for which the jobs wait."""
        return Obstacle(Kind.NEEDS, self.lead.needs)

    @property
    def title(self) -> str:
        """The names of the styles, for people."""
        return shown(", ".join(file.name for file in self.lead.inputs if file.role == "style"))


@dataclass(eq=False)
class Training:
    """The training that runs, with its `group` as it was when the training began."""

    group: Group
    process: Child
    report: str = ""
    """Its latest report."""
    silent_s: float = 0.0
    """Seconds since its latest sign of life."""


class Learner:
    """Runner of at most one training at a time, which takes the place of a worker.

    It does nothing if `limits.learn_minutes` is 0 or the executor is remote. A training begins only
    while `may_begin` returns True, and is ended once `must_end` does. A thread listens to the
    training process, and uses `post` to call functions in the main loop. `clock` is monotonic, in
    seconds.
    """

    def __init__(
        self,
        jobs: Jobs,
        attempts: Attempts,
        may_begin: Callable[[], bool],
        must_end: Callable[[], bool],
        post: Post,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._jobs = jobs
        self._post = post
        self._attempts = attempts
        self._may_begin = may_begin
        self._must_end = must_end
        self._clock = clock
        limits, executor = jobs.settings.limits, jobs.settings.executor.own
        self._minutes = 0 if executor.is_remote else limits.learn_minutes
        """Minutes of a training; 0 if none may run."""
        self._training: Training | None = None
        self._group: Group | None = None
        """The group that is trained next or, during a training, its group as it is now; None if no
        group waits."""
        self._reason = ""
        """Why the latest training failed; empty once another one began."""
        self._seen_changes = -1
        self._must_look = False
        """True if a training has ended, or failed, since the last look at the jobs that wait."""
        self._grown = self._looked = -float("inf")
        self._went_on = 0.0
        """Time of the last round."""
        self._failures = Pauses[Obstacle](RETRY, clock)

    @property
    def in_work(self) -> bool:
        """True while a style is learned, or will be soon."""
        group = self._group
        is_held = group is None or group.obstacle in self._failures.held()
        return self._must_look or not is_held

    @property
    def told(self) -> list[str]:
        """Sentences for the status: one about the style that is learned now or next, if any."""
        group = self._group
        if group is None:
            return []
        of = "1 photograph waits" if group.waiting == 1 else f"{group.waiting} photographs wait"
        report = self._reason if self._training is None else self._training.report
        return [f"{group.title}, for which {of}: {report or 'it begins soon'}"]

    def is_awaited(self, job_id: str) -> bool:
        """Return whether a job waits for a style that will be learned.

        This is no trouble, unless a training for it has failed: then the result is False.
        """
        job = self._jobs.ledger.get(job_id) if self._minutes else None
        if job is None or job.cause is not Cause.LEARNING or not _learns(job):
            return False
        return Obstacle(Kind.NEEDS, job.needs) not in self._failures

    def go_on(self) -> None:
        """Begin the training that is due, or end the running one if it must not go on.

        A training is ended if no job waits for it any more, if a preview needs its place, if
        `must_end` returns True, or if it hangs. Raises OutputError if the ledger cannot be read.
        """
        if not self._minutes:
            return
        self._look_if_due()
        training = self._training
        passed = min(self._clock() - self._went_on, LONGEST_ROUND_S)
        self._went_on = self._clock()
        if training is not None:
            training.silent_s += passed
            is_preview_due = self._attempts.kept > 0 and self._attempts.free < 0
            if self._group is None:
                self.end("no job waits for it")
            elif is_preview_due:
                self.end("a preview needs its place")
            elif self._must_end():
                self.end("jobs must end now")
            elif training.silent_s > SILENT_S:
                self.end("it hangs")
                reason = f"the training was silent for {training.silent_s:.0f} s"
                self._failed(training.group, reason)
        elif self._group is not None and self._is_due(self._group):
            self._begin(self._group)

    def end(self, why: str = "the daemon stops") -> None:
        """Kill the training that runs, if any; a later one goes on from what it saved last.

        The next round looks again at the jobs that wait, because another group may be next.
        """
        if self._training is not None:
            _debug(f"training -> ended: {why}")
            self._training.process.kill()
            self._training = None
            self._attempts.lent = 0
            self._must_look = True

    def _look_if_due(self) -> None:
        """Look for a group, if jobs wait for their needs and have changed since the last look.

        While there is a group, looks are at least LOOK_S apart, unless a training has just ended.
        If no job waits for its needs, there is no group.
        """
        changes = self._jobs.changes
        is_due = self._group is None or self._clock() - self._looked >= LOOK_S
        if not any(each.kind is Kind.NEEDS for each in self._jobs.waits.held(retry=False)):
            self._group = None
        elif self._must_look or (changes != self._seen_changes and is_due):
            self._looked = self._clock()
            self._seen_changes = changes
            self._look()
        self._must_look = False

    def _look(self) -> None:
        """Set the group that is trained next; during a training, update its group, or drop it.

        The obstacle of the group is taken, so that no job tries whether the style is learned; after
        a failed training, jobs may try.
        """
        waits = self._jobs.waits
        former = self._group
        if self._training is None:
            waiting = filter(_learns, self._jobs.ledger.queued_for(Cause.LEARNING))
            leads = [*{lead.needs: lead for lead in waiting}.values()]
        else:
            trained = self._training.group
            leads = [trained.lead] if waits.knows(trained.obstacle) else []
        groups = [group for group in map(self._group_of, leads) if group.photographs]
        failed = self._failures.held()
        self._group = min(groups, key=lambda group: group.obstacle in failed, default=None)
        waits.release(_TRIER)
        if self._group is None:
            return
        if self._group.obstacle not in failed:
            waits.take(_TRIER, self._group.obstacle)
        is_other = former is None or former.obstacle != self._group.obstacle
        if former is None or is_other or self._group.waiting > former.waiting:
            self._grown = self._clock()
        if self._group != former:
            _debug(f"{self._group.title}: {self._group.waiting} wait")

    def _group_of(self, lead: Job) -> Group:
        first, count = self._jobs.ledger.queued_with(lead.needs, MOST_PHOTOGRAPHS)
        photographs = {
            job.id: self._jobs.state.files(job.id) / content.name
            for job in first
            if (content := job.input_as("content")) is not None
        }
        return Group(lead, count, photographs)

    def _is_due(self, group: Group) -> bool:
        """Return whether a group has enough photographs, and the place of a worker is free."""
        if group.obstacle in self._failures.held() or not self._may_begin():
            return False
        is_steady = self._clock() - self._grown >= STEADY_S
        is_enough = is_steady or len(group.photographs) == MOST_PHOTOGRAPHS
        return is_enough and self._attempts.free > 0

    def _begin(self, group: Group) -> None:
        styles = [
            self._jobs.state.files(group.lead.id) / file.name
            for file in group.lead.inputs
            if file.role == "style"
        ]
        settings, service = group.lead.settings or {}, self._jobs.settings
        options = {**service.backends.get(settings["backend"], {})}
        if settings["device"] is not None:
            options["device"] = settings["device"]
        photographs, limits = tuple(group.photographs.values()), service.limits
        wanted = LearnRequest(tuple(styles), photographs, self._minutes, limits.max_pixels, options)
        try:
            process = Child(LEARN, settings["backend"], wanted, name="learning", isolated=True)
        except ShortageError as error:
            self._failed(group, str(error))
            return
        _debug(f"{group.title}: training with {len(group.photographs)} of {group.waiting}")
        self._training = Training(group, process)
        self._reason = ""
        self._attempts.lent = 1
        try:
            Thread(target=self._listen, args=(process,), name="learning", daemon=True).start()
        except RuntimeError as error:
            self.end("nothing listens to it")
            self._failed(group, str(shortages.no_process(error)))
            return
        self._jobs.reporter.requested(f"Learning the style of {group.title}.")

    def _listen(self, process: Child) -> None:
        """Post each message of a training, and its end, to the main loop; this runs in a thread."""
        while isinstance(self._pass_on(process), Report):
            pass

    def _pass_on(self, process: Child) -> object:
        """Wait for the next message of a training, or its end; post it, and return it."""
        try:
            message: object = process.receive(Report, Learned, NotLearned)
        except (EOFError, OSError, ValueError):
            message = NotLearned(f"the training ended: {process.exit_reason() or 'a fault'}")
        self._post(partial(self._heard, process, message))
        return message

    def _heard(self, process: Child, message: object) -> None:
        """Note a report of the running training, or end it after its last message.

        Messages of a training that was ended before are ignored. A style that was not learned is
        tried again later; if `NotLearned.is_final`, the jobs whose photographs were used are
        refused.
        """
        training = self._training
        if training is None or training.process is not process:
            return
        _debug(shown(message))
        if isinstance(message, Report):
            training.silent_s = 0.0
            training.report = shown(message.text)
            return
        self.end("it is over")
        group = training.group
        if isinstance(message, Learned):
            self._learned(group)
        elif isinstance(message, NotLearned) and self._waits(group.lead.id, group):
            if message.is_final:
                self._refuse(group, message.reason)
            self._failed(group, message.reason)
        # else the files of its lead may be gone, which is nobody's fault

    def _waits(self, job_id: str, group: Group) -> bool:
        """Return whether a job is still queued with the needs of a group."""
        job = self._jobs.ledger.get(job_id)
        return job is not None and job.state is State.QUEUED and job.needs == group.lead.needs

    def _learned(self, group: Group) -> None:
        """Report that the styles of a group were learned, and end the wait of its jobs.

        If these jobs still find a style unlearned, the next training waits as after a failure.
        """
        self._jobs.reporter.requested(f"Learned the style of {group.title}.")
        self._failures.begin(group.obstacle)
        waits = self._jobs.waits
        waits.release(_TRIER)
        waits.forget(group.obstacle)
        for job_id, live in self._jobs.live.items():
            if live.doing.obstacle == group.obstacle:
                waits.forget(Obstacle(Kind.JOB, job_id))
        self._group = None

    def _refuse(self, group: Group, reason: str) -> None:
        """Refuse those jobs whose photographs a training has used, and which still wait."""
        for job_id in group.photographs:
            if self._waits(job_id, group):
                self._jobs.post(job_id, lifecycle.Unusable(Cause.PICTURE, reason))

    def _failed(self, group: Group, reason: str) -> None:
        self._failures.begin(group.obstacle)
        self._must_look = True  # another group may be next
        _debug(f"{group.title}: next try in {self._failures.seconds(group.obstacle):.0f} s")
        self._jobs.waits.release(_TRIER)
        self._reason = shown(reason)
        self._jobs.reporter.waits(group.title, self._reason)
        for job_id, live in [*self._jobs.live.items()]:
            if live.doing.obstacle == group.obstacle:
                self._jobs.turn(job_id, replace(live.doing, reason=self._reason))


def _debug(text: str) -> None:
    """Log what happens with trainings, at the level debug."""
    logging.getLogger(__name__).debug("%s", text)


def _learns(job: Job) -> bool:
    """Return whether a job has `learn: true`."""
    return job.settings is not None and bool(job.settings.get("learn"))
