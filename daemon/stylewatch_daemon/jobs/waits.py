"""Waiting: for another try of a job that crashed, and for obstacles outside the daemon."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from stylewatch_daemon.base import shortages
from stylewatch_daemon.base.errors import FullError, ShortageError, UnavailableError
from stylewatch_daemon.base.model import Cause, Job
from stylewatch_daemon.base.wakeup import Backoff, Pauses
from stylewatch_daemon.files import disks
from stylewatch_daemon.files.disks import MountGuard
from stylewatch_daemon.ledger.schema import sql_value
from stylewatch_daemon.outbox.publish import Outbox

RETRY = Backoff(first=1.0, most=60.0)
"""After a crash of a job."""

PAUSE = Backoff(first=5.0, most=60.0, least=0.5)
"""For everything that depends on an obstacle outside the daemon."""

PUT_OFF = Backoff(first=10.0, most=300.0, least=0.5)
"""For the job that met the obstacle: another one finds out whether that is gone, so that a job that
keeps failing does not block the others."""

MACHINE = "machine"
"""Key of what stands in the way of all jobs: a shortage, or the state folder."""

LEEWAY = 1 << 20
"""Bytes, beside those to keep free: a disk with fewer has room for no job."""


class Waits:
    """What has to wait, by keys: an outbox, the needs of a job, MACHINE, or the id of a job.

    `clock` is monotonic, in seconds; `chance` returns random numbers in 0..1. `probe` raises
    OSError if the state folder cannot be written.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        chance: Callable[[], float],
        mount_guard: MountGuard,
        probe: Callable[[], object],
    ) -> None:
        self.crashed = Pauses(RETRY, clock, chance)
        self.blocked = Pauses(PAUSE, clock, chance)
        self._put_off = Pauses(PUT_OFF, clock, chance)
        self._mount_guard, self._probe = mount_guard, probe

    def held(self, retry: bool = True) -> frozenset[str]:
        """Return the keys that have to wait now; without `retry` those that had to at any time."""
        pauses = (self.blocked, self._put_off)
        obstacles = (each.held() if retry else each.all() for each in pauses)
        return self.crashed.held().union(*obstacles)

    def soonest(self) -> float | None:
        """Return the seconds until something that waits may go on; None if nothing waits."""
        pauses = (self.crashed, self.blocked, self._put_off)
        times = [each.soonest() for each in pauses]
        return min((seconds for seconds in times if seconds is not None), default=None)

    def block(self, job: Job, cause: Cause, error: OSError) -> str:
        """Let all that depends on the obstacle of `job` wait; return the key of that."""
        key = self._key(job, cause, error)
        self.blocked.begin(key)
        self._put_off.begin(job.id)
        return key

    def passed(self, job: Job, *more: str) -> None:
        """Note that `job` got past the obstacles of its outbox, its own, and `more`."""
        for key in (job.id, str(sql_value(job.outbox)), *more):
            for pauses in (self.crashed, self.blocked, self._put_off):
                pauses.forget(key)

    def _key(self, job: Job, cause: Cause, error: OSError) -> str:
        outbox, folder = str(sql_value(job.outbox)), Path(job.outbox)
        if cause is Cause.DEVICE:
            return job.needs
        if cause is Cause.MACHINE:
            return MACHINE
        if isinstance(error, FullError):
            full_for_all = disks.free(error.folder) < error.reserve + LEEWAY
            everyone = outbox if error.folder == folder else MACHINE
            return everyone if full_for_all else job.id
        for key, check in ((outbox, lambda: self._write(folder)), (MACHINE, self._probe)):
            try:
                check()
            except OSError:
                return key
        return job.id

    def _write(self, outbox: Path) -> None:
        self._mount_guard.check(outbox)
        Outbox(outbox).probe()


def cause_of(error: Exception) -> Cause:
    """Return the typed cause of an error that keeps a job waiting."""
    if isinstance(error, UnavailableError):
        return Cause.DEVICE
    is_short = isinstance(error, ShortageError)
    with suppress(OSError):
        is_short = is_short or shortages.shortage(error) is not None
    return Cause.MACHINE if is_short else Cause.DISK


class FairTurns:
    """Turns of inboxes: over time each gets its weight's share of the jobs that are begun.

    Each job moves its inbox on by 1 / weight, and the inbox that is furthest behind comes next.
    An inbox that was empty starts level with the others: it is owed nothing for that time.
    """

    def __init__(self, weights: dict[str, float]) -> None:
        self._weights = {str(sql_value(inbox)): weight for inbox, weight in weights.items()}
        self._positions: dict[str, float] = {}
        self._level = 0.0

    def next(self, waiting: set[str]) -> str | None:
        """Return the inbox of `waiting` whose turn it is; of equals the first by name."""
        return min(sorted(waiting), key=self._position, default=None)

    def took(self, inbox: str) -> None:
        """Note that a job of `inbox` was begun."""
        self._level = self._position(inbox)
        self._positions[inbox] = self._level + 1 / self._weights.get(inbox, 1.0)

    def _position(self, inbox: str) -> float:
        return max(self._positions.get(inbox, 0.0), self._level)
