"""Waiting: for another try of a job that crashed, and for obstacles outside the daemon."""

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
"""After a crash of a job, or the refusal of pictures that may still be written."""

PAUSE = Backoff(first=5.0, most=60.0)
"""For everything that depends on an obstacle outside the daemon."""

MACHINE = "machine"
"""Key of what stands in the way of all jobs: a shortage, or the state folder."""

LEEWAY = 1 << 20
"""Bytes, beside those to keep free: a disk with fewer has room for no job."""


class Waits:
    """What has to wait, by keys: an outbox, the needs of a job, MACHINE, or the id of a job.

    `clock` is monotonic, in seconds. `probe` raises OSError if the state folder cannot be written.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        mount_guard: MountGuard,
        probe: Callable[[], object],
    ) -> None:
        self.crashed = Pauses(RETRY, clock)
        self.blocked = Pauses(PAUSE, clock)
        self._mount_guard, self._probe = mount_guard, probe

    def held(self, retry: bool = True) -> frozenset[str]:
        """Return the keys that have to wait now; without `retry` those that had to at any time."""
        return self.crashed.held() | (self.blocked.held() if retry else self.blocked.all())

    def soonest(self) -> float | None:
        """Return the seconds until something that waits may go on; None if nothing waits."""
        times = (self.crashed.soonest(), self.blocked.soonest())
        return min((seconds for seconds in times if seconds is not None), default=None)

    def block(self, job: Job, error: Exception) -> str:
        """Let all that depends on the obstacle of `job` wait; return the key of that.

        The job itself waits longer: another one finds out whether the obstacle is gone. If others
        got past it meanwhile, it is the trouble of this job alone.
        """
        key, known = self._key(job, error), self.blocked.all()
        if job.id in known and key not in known:
            key = job.id
        self.blocked.begin(key)
        self.blocked.begin(job.id, times=2)  # no longer if that is the key
        return key

    def passed(self, job: Job, *more: str) -> None:
        """Note that `job` got past the obstacles of its outbox, its own, and `more`."""
        for key in (job.id, job.outbox, *more):
            self.crashed.forget(key)
            self.blocked.forget(key)

    def _key(self, job: Job, error: Exception) -> str:
        """Return the key of what has to wait because `job` met `error`."""
        folder, cause = Path(job.outbox), cause_of(error)
        if cause is not Cause.DISK:
            return job.needs if cause is Cause.DEVICE else MACHINE
        if isinstance(error, FullError):
            if disks.free(error.folder) >= error.reserve + LEEWAY:
                return job.id  # it has room for smaller ones
            return job.outbox if error.folder == folder else MACHINE
        try:
            self._mount_guard.check(folder)
            Outbox(folder).probe()
        except OSError:
            return job.outbox
        try:
            self._probe()
        except OSError:
            return MACHINE
        return job.id


def cause_of(error: Exception) -> Cause:
    """Return the typed cause of an error that keeps a job waiting."""
    if shortages.shortage(error) is not None:
        return Cause.MACHINE
    cause: Cause = getattr(error, "cause", Cause.DISK)
    return cause
