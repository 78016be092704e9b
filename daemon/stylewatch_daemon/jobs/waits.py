"""Waits of crashed jobs for their next try, and of jobs and requests for obstacles outside."""

from collections.abc import Callable
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
"""Delays after a crash of a job, or the refusal of pictures that may still be written."""

PAUSE = Backoff(first=5.0, most=60.0)
"""Delays for everything that depends on an obstacle outside the daemon; doubled for the job
that met the obstacle."""

LEEWAY = 1 << 20
"""Free bytes, in addition to those that are reserved, below which a disk has no room for any
job."""


class Waits:
    """Obstacles that are waited for; `clock` is monotonic, in seconds.

    One job at a time tries whether an obstacle is gone; the others wait for its result. So it must
    be in the way of all of them alike: what depends on the job is an obstacle of that job alone.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._crashed = Pauses[Obstacle](RETRY, clock)
        self._blocked = Pauses[Obstacle](PAUSE, clock)
        self._tried: dict[Obstacle, str] = {}
        """Obstacles that a job tries, or searches for, at this moment, with the id of the job."""

    # -- who waits

    def held(self, retry: bool = True) -> frozenset[Obstacle]:
        """Return the obstacles that nobody else may try now; without `retry`, all known ones."""
        blocked = self._blocked.held() if retry else self._blocked.all()
        # nothing else begins in an outbox that is looked at, whether or not it was an obstacle
        tried = {
            obstacle
            for obstacle in self._tried
            if obstacle.kind is Kind.OUTBOX or self.knows(obstacle)
        }
        return self._crashed.held() | blocked | tried

    def is_paused(self, obstacle: Obstacle) -> bool:
        """Return whether an obstacle was met a short while ago."""
        return obstacle in self._blocked.held()

    def knows(self, obstacle: Obstacle | None) -> bool:
        """Return whether an obstacle was met, and nobody has got past it since."""
        return obstacle in self._blocked.all()

    @property
    def awaits_crashed(self) -> bool:
        """True while a crashed job waits for its next try."""
        return self._crashed.soonest() is not None

    def has_crashed(self, job_id: str) -> bool:
        """Return whether a job crashed before, or its pictures were refused once."""
        return Obstacle(Kind.JOB, job_id) in self._crashed.all()

    def seconds(self, obstacle: Obstacle | None) -> float:
        """Return the seconds until an obstacle may be tried again; 0 if it is not waited for."""
        return self._blocked.seconds(obstacle)

    def soonest(self) -> float | None:
        """Return the seconds until the first wait ends; None if nothing waits."""
        times = (self._crashed.soonest(), self._blocked.soonest())
        return min((seconds for seconds in times if seconds is not None), default=None)

    # -- waits

    def crashed(self, job_id: str, times: float = 1.0) -> None:
        """Start the wait of a crashed job for its next try; its delay is multiplied by `times`."""
        self._crashed.begin(Obstacle(Kind.JOB, job_id), times)

    def begin(self, obstacle: Obstacle) -> None:
        """Start a wait for everything with an obstacle."""
        self._blocked.begin(obstacle)

    def meet(self, job_id: str, obstacle: Obstacle) -> Obstacle:
        """Start a wait for everything with the obstacle that a job met; return the obstacle.

        The job itself waits longer, so that another one tries next. If others got past it in the
        meantime, the obstacle is this job alone.
        """
        job_obstacle = Obstacle(Kind.JOB, job_id)
        if self.knows(job_obstacle) and not self.knows(obstacle):
            obstacle = job_obstacle
        self.release(job_id)
        self._blocked.begin(obstacle)
        self._blocked.begin(job_obstacle, times=2)  # no effect if that is the obstacle
        return obstacle

    def forget(self, *obstacles: Obstacle) -> None:
        """Forget obstacles that are gone."""
        for obstacle in obstacles:
            self._crashed.forget(obstacle)
            self._blocked.forget(obstacle)

    def forget_job(self, job_id: str) -> None:
        """Forget the waits of a job, which has ended."""
        self.release(job_id)
        self.forget(Obstacle(Kind.JOB, job_id))

    # -- tries

    def take(self, job_id: str, *obstacles: Obstacle) -> None:
        """Let a job alone try obstacles, or search for them, until `release`."""
        for obstacle in obstacles:
            self._tried.setdefault(obstacle, job_id)

    def release(self, job_id: str) -> None:
        """Let others try what a job tried."""
        self._tried = {
            obstacle: holder for obstacle, holder in self._tried.items() if holder != job_id
        }

    def give_up(self, job_id: str, folder: Obstacle) -> None:
        """Let others try what a job tried whose `folder` does not answer, except that folder."""
        self._tried = {
            obstacle: holder
            for obstacle, holder in self._tried.items()
            if holder != job_id or obstacle == folder
        }

    def passed(self, job_id: str) -> None:
        """Forget the obstacles that a job got past, if it tried any.

        What it needs is seen only once a worker has it, and its own trouble once it has ended.
        """
        for obstacle in [obstacle for obstacle, holder in self._tried.items() if holder == job_id]:
            if obstacle.kind is not Kind.NEEDS:
                del self._tried[obstacle]
            if obstacle.kind not in (Kind.NEEDS, Kind.JOB):
                self.forget(obstacle)


def obstacle(
    job: Job,
    root: Path,
    error: Exception,
    mount_guard: MountGuard,
    probe: Callable[[], object],
) -> Obstacle:
    """Return the obstacle behind an `error` of `job` on a disk; it looks into the folder `root`.

    That is its outbox or its inbox. `probe` raises OSError if the state folder cannot be written.
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
    """Return the typed cause of an error that blocks a job."""
    if shortages.shortage(error) is not None:
        return Cause.MACHINE
    cause: Cause = getattr(error, "cause", Cause.DISK)
    return cause
