"""Waits of crashed jobs for their next try, and of jobs and requests for obstacles outside.

An obstacle is known from `meet` (or `begin`, if it ended no trial) until `forget`. For a while
after it was met, nobody tries it. Then one job at a time does, and the others wait for its result.
The trial of a job begins with `take`; it ends with `release` if it has no result, and with `meet`
if it failed. `passed` tells that a step of the job's work succeeded; what follows depends on the
kind of the obstacle:

| kind    | held                     | a step succeeded            | also forgotten after        |
| ------- | ------------------------ | --------------------------- | --------------------------- |
| JOB     | this job                 | the trial ends, no more     | a published file, its end   |
| NEEDS   | jobs with the same needs | nothing                     | a published file            |
| OUTBOX  | jobs of this outbox      | the obstacle is gone        | a published file, an end    |
| INBOX   | claims in this inbox     | the obstacle is gone        |                             |
| MACHINE | everything               | the obstacle is gone        | a published file            |
| REQUEST | this request             | (no job tries it)           | the end of the request      |

Only a worker shows whether a job has what it needs: once it has started, the trial is released. A
trial must end when work on the job ends, because it holds all jobs with the same obstacles.

A crash is no obstacle: it holds its job alone, with delays of its own, and nobody tries it.
"""

from collections.abc import Callable, Mapping
from enum import Enum, auto
from pathlib import Path

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import FullError
from stylewatch_daemon.base.model import Cause, Job
from stylewatch_daemon.base.wakeup import Backoff, Pauses
from stylewatch_daemon.files import disks, entries
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.jobs.lifecycle import MACHINE, Kind, Obstacle
from stylewatch_daemon.outbox.publish import Outbox

RETRY = Backoff(first=1.0, most=60.0)
"""Delays, in seconds, after a crash of a job or the refusal of pictures that may be incomplete."""

PAUSE = Backoff(first=5.0, most=60.0)
"""Delays, in seconds, before an obstacle is tried again; doubled for the job that met it."""

LEEWAY = 1 << 20
"""Free bytes, beyond `limits.free_bytes`, below which a disk has no room for any job."""


class _Conclusion(Enum):
    """Conclusion, from a step of a job that succeeded, about an obstacle that the job tries."""

    NONE = auto()
    TRIAL_ENDS = auto()
    OBSTACLE_IS_GONE = auto()


_CONCLUSIONS: Mapping[Kind, _Conclusion] = {
    Kind.JOB: _Conclusion.TRIAL_ENDS,
    Kind.NEEDS: _Conclusion.NONE,
    Kind.OUTBOX: _Conclusion.OBSTACLE_IS_GONE,
    Kind.INBOX: _Conclusion.OBSTACLE_IS_GONE,
    Kind.MACHINE: _Conclusion.OBSTACLE_IS_GONE,
    Kind.REQUEST: _Conclusion.NONE,
}
"""The conclusion about each kind of obstacle, as in the table above."""


class Waits:
    """Obstacles for which jobs and requests wait; `clock` is monotonic, in seconds.

    An obstacle must stop all jobs that wait for it alike, because one job tries it for all. Trouble
    that depends on the job is an obstacle of that job alone.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._crashes = Pauses[Obstacle](RETRY, clock)
        self._met = Pauses[Obstacle](PAUSE, clock)
        self._tried_by: dict[Obstacle, str] = {}
        """For each obstacle, the id of the job that tries it, or searches for it, now."""

    # -- who waits

    def held(self, retry: bool = True) -> frozenset[Obstacle]:
        """Return the obstacles that no further job may try now.

        Without `retry`, these include all known obstacles.
        """
        obstacles = self._crashes.all() | self._met.all() | self._tried_by.keys()
        return frozenset(obstacle for obstacle in obstacles if self.is_held(obstacle, retry))

    def is_held(self, obstacle: Obstacle, retry: bool = True) -> bool:
        """Return whether no further job may try an obstacle now; see `held`."""
        is_met = self.is_paused(obstacle) if retry else self.knows(obstacle)
        # An outbox is tried by one job at a time whether or not it was an obstacle: nothing else
        # begins while it is searched, or prepared for an attempt.
        is_exclusive = obstacle.kind is Kind.OUTBOX or self.knows(obstacle)
        is_tried = is_exclusive and obstacle in self._tried_by
        return is_met or is_tried or self._crashes.seconds(obstacle) > 0

    def is_paused(self, obstacle: Obstacle) -> bool:
        """Return whether the pause after an obstacle was met still lasts; nobody tries it then."""
        return self._met.seconds(obstacle) > 0

    def knows(self, obstacle: Obstacle | None) -> bool:
        """Return whether an obstacle was met, and nobody has got past it since."""
        return obstacle in self._met

    @property
    def awaits_crashed(self) -> bool:
        """True while a crashed job waits for its next try."""
        return self._crashes.soonest() is not None

    def has_crashed(self, job_id: str) -> bool:
        """Return whether a job has crashed, or its pictures were refused once."""
        return Obstacle(Kind.JOB, job_id) in self._crashes

    def seconds(self, obstacle: Obstacle | None) -> float:
        """Return the seconds until an obstacle may be tried again; 0 if it may be tried now."""
        return self._met.seconds(obstacle)

    def soonest(self) -> float | None:
        """Return the seconds until the first wait ends; None if nothing waits."""
        times = (self._crashes.soonest(), self._met.soonest())
        return min((seconds for seconds in times if seconds is not None), default=None)

    # -- waits

    def crashed(self, job_id: str, times: float = 1.0) -> None:
        """Start the wait of a crashed job for its next try; its delay is multiplied by `times`."""
        self._crashes.begin(Obstacle(Kind.JOB, job_id), times)

    def begin(self, obstacle: Obstacle) -> None:
        """Start the wait for an obstacle, whoever met it; the trials of jobs go on."""
        self._met.begin(obstacle)

    def meet(self, job_id: str, obstacle: Obstacle, *, is_common: bool = False) -> Obstacle:
        """Start the wait for an obstacle that a job met, which ends its trial.

        The job itself waits longer, so that another job tries next. If the job has met an obstacle
        before, and `obstacle` is not known now because other jobs got past it, the job waits for an
        obstacle of its own instead, unless `is_common`. Returns the obstacle for which it waits.
        """
        job_obstacle = Obstacle(Kind.JOB, job_id)
        if not is_common and self.knows(job_obstacle) and not self.knows(obstacle):
            obstacle = job_obstacle
        self.release(job_id)
        self._met.begin(obstacle)
        self._met.begin(job_obstacle, times=2)  # no effect if that is the obstacle
        return obstacle

    def forget(self, *obstacles: Obstacle) -> None:
        """Forget obstacles that are gone; the trials of jobs go on."""
        for obstacle in obstacles:
            self._crashes.forget(obstacle)
            self._met.forget(obstacle)

    def forget_job(self, job_id: str) -> None:
        """Forget the waits of a job, which has ended."""
        self.release(job_id)
        self.forget(Obstacle(Kind.JOB, job_id))

    # -- trials

    def take(self, job_id: str, *obstacles: Obstacle) -> None:
        """Reserve `obstacles` for a job, except those that another job has reserved.

        The job then tries each obstacle, or finds out which disk is the obstacle; the reservation
        lasts until its trial ends. A training reserves obstacles under a name instead of a job id.
        """
        for obstacle in obstacles:
            self._tried_by.setdefault(obstacle, job_id)

    def release(self, job_id: str) -> None:
        """End the trials of all obstacles by a job, without a result."""
        for obstacle in self._tried(job_id):
            del self._tried_by[obstacle]

    def give_up(self, job_id: str, folder: Obstacle) -> None:
        """End the trials by a job whose `folder` does not answer, except that of the folder."""
        for obstacle in self._tried(job_id):
            if obstacle != folder:
                del self._tried_by[obstacle]

    def passed(self, job_id: str) -> None:
        """End trials and forget obstacles after a successful step of a job; see the table above."""
        for obstacle in self._tried(job_id):
            conclusion = _CONCLUSIONS[obstacle.kind]
            if conclusion is not _Conclusion.NONE:
                del self._tried_by[obstacle]
            if conclusion is _Conclusion.OBSTACLE_IS_GONE:
                self.forget(obstacle)

    def _tried(self, job_id: str) -> list[Obstacle]:
        """Return the obstacles that a job tries."""
        return [obstacle for obstacle, holder in self._tried_by.items() if holder == job_id]


def obstacle_behind(
    job: Job,
    root: Path,
    error: Exception,
    mount_guard: MountGuard,
    probe: Callable[[], object],
) -> Obstacle:
    """Return the obstacle behind an `error` of `job` on a disk, by trying the disks.

    If `root`, the outbox or the inbox of the job, does not work, the obstacle is that folder; else
    the machine, if `probe` raises OSError because the state folder cannot be written; else the job
    alone. A full disk with room for smaller jobs is an obstacle of the job alone, too.
    """
    is_outbox = root == Path(job.outbox)
    folder = Obstacle(Kind.OUTBOX if is_outbox else Kind.INBOX, str(root))
    if isinstance(error, FullError):
        if disks.free(error.folder) >= error.reserve + LEEWAY:
            return Obstacle(Kind.JOB, job.id)  # there is room for smaller jobs
        return folder if error.folder == root else MACHINE
    try:
        mount_guard.check(root)
        if is_outbox:
            Outbox(root).probe()
        else:
            entries.names(root)
    except OSError:
        return folder
    try:
        probe()
    except OSError:
        return MACHINE
    return Obstacle(Kind.JOB, job.id)


def cause_of(error: Exception) -> Cause:
    """Return the cause of an error that blocks a job: `cause` of its class, else `Cause.DISK`.

    The cause of a shortage is `Cause.MACHINE`.
    """
    if shortages.shortage(error) is not None:
        return Cause.MACHINE
    cause: Cause = getattr(error, "cause", Cause.DISK)
    return cause
