"""Waits of crashed jobs for their next try, and of other jobs for obstacles outside the daemon."""

from collections.abc import Callable
from pathlib import Path

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import FullError
from stylewatch_daemon.base.model import Cause, Job
from stylewatch_daemon.base.wakeup import Backoff, Pauses
from stylewatch_daemon.files import disks
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.outbox.publish import Outbox

RETRY = Backoff(first=1.0, most=60.0)
"""Delays after a crash of a job, or the refusal of pictures that may still be written."""

PAUSE = Backoff(first=5.0, most=60.0)
"""Delays for everything that depends on an obstacle outside the daemon; doubled for the job
that met the obstacle."""

MACHINE = "machine"
"""Key of obstacles for all jobs: a shortage, or the state folder."""

LEEWAY = 1 << 20
"""Free bytes, in addition to those that are reserved, below which a disk has no room for any
job."""


class Waits:
    """Waits by key: an outbox, the needs of a job, MACHINE, or the id of a job.

    `clock` is monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.crashed = Pauses(RETRY, clock)
        self.blocked = Pauses(PAUSE, clock)

    def held(self, retry: bool = True) -> frozenset[str]:
        """Return the keys that are waiting now; without `retry`, also those blocked before."""
        return self.crashed.held() | (self.blocked.held() if retry else self.blocked.all())

    def soonest(self) -> float | None:
        """Return the seconds until the first wait ends; None if nothing waits."""
        times = (self.crashed.soonest(), self.blocked.soonest())
        return min((seconds for seconds in times if seconds is not None), default=None)

    def block(self, job: Job, key: str) -> str:
        """Start a wait for everything with the obstacle `key`, which `job` met; return the key.

        The job itself waits longer, so that another one finds out whether the obstacle is gone. If
        others got past it in the meantime, the obstacle concerns this job alone.
        """
        known = self.blocked.all()
        if job.id in known and key not in known:
            key = job.id
        self.blocked.begin(key)
        self.blocked.begin(job.id, times=2)  # no effect if that is the key
        return key

    def forget(self, *keys: str) -> None:
        """Forget waits that are over."""
        for key in keys:
            self.crashed.forget(key)
            self.blocked.forget(key)


def obstacle(
    job: Job, error: Exception, mount_guard: MountGuard, probe: Callable[[], object]
) -> str:
    """Return the key of the obstacle on a disk behind an `error` of `job`; it reads the outbox.

    `probe` raises OSError if the state folder cannot be written.
    """
    folder = Path(job.outbox)
    if isinstance(error, FullError):
        if disks.free(error.folder) >= error.reserve + LEEWAY:
            return job.id  # there is room for smaller jobs
        return job.outbox if error.folder == folder else MACHINE
    try:
        mount_guard.check(folder)
        Outbox(folder).probe()
    except OSError:
        return job.outbox
    try:
        probe()
    except OSError:
        return MACHINE
    return job.id


def cause_of(error: Exception) -> Cause:
    """Return the typed cause of an error that blocks a job."""
    if shortages.shortage(error) is not None:
        return Cause.MACHINE
    cause: Cause = getattr(error, "cause", Cause.DISK)
    return cause
