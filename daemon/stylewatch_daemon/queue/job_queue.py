"""The queue of jobs, which is in the ledger: which job is next, and which jobs have to wait.

Inboxes take turns by their weights; within an inbox, higher priority comes first, then who came
first.

A crash makes its job wait, for a random time. An obstacle outside of stylewatch (a full disk, a
device that is gone) makes everything wait that depends on it: all jobs for that outbox, all that
need the same backend, device and recipe, or all jobs where the machine or the state folder is short
of something. The job that met the obstacle waits longer than the others, so that another job finds
out whether it is gone: a job that nothing can help does not stop the rest.

An obstacle that can be seen (a disk without room, a lack of file descriptors) is checked every few
seconds, which costs next to nothing; once it is gone, all that waited for it go on. They also
go on once another job got past the obstacle.
"""

import math
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from stylewatch_daemon.errors import (
    DamagedError,
    QuarantinedError,
    ShortageError,
    UnavailableError,
)
from stylewatch_daemon.files import disk_space, shortages
from stylewatch_daemon.model import JobState, Started, best_batch
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.processes.wakeup import Backoff, Pauses
from stylewatch_daemon.queue.states import BEGUN, Outcome, OutcomeKind, RetryMode, retry_after
from stylewatch_daemon.settings.sections import Batch
from stylewatch_daemon.store.journal import Journal
from stylewatch_daemon.store.ledger import Held
from stylewatch_daemon.store.ledger_schema import sql_value
from stylewatch_daemon.store.state_dir import State

RETRY = Backoff(first=1.0, most=60.0)
"""After a crash."""

PAUSE = Backoff(first=5.0, most=120.0, least=0.5)
"""For everything that depends on an obstacle outside of stylewatch."""

PUT_OFF = Backoff(first=10.0, most=300.0, least=0.5)
"""For the job that met the obstacle."""

AHEAD = 64
"""Jobs of an inbox that are looked up at a time."""

ROOM = 64 << 20
"""Bytes, beside those to keep free; a disk that had less is full until it has as many."""

MORE = 1 << 20
"""Bytes that have to come free on a full disk before it is tried again. A disk with fewer, beside
those to keep free, has room for no job."""

PROBE_EVERY = 5.0
"""Seconds between two checks of the obstacles."""

ALONE_AFTER = 5.0
"""Seconds between two checks whether a job can run alone."""

MACHINE = "machine"
"""Obstacle for all jobs: file descriptors, processes, and the state folder."""


class FairQueue:
    """Turns of inboxes: over time each gets its weight's share of the jobs that are begun.

    Each job moves its inbox on by 1 / weight, and the inbox that is furthest behind comes next.
    An inbox that was empty starts level with the others: it is owed nothing for that time.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = dict(weights)
        self._positions: dict[str, float] = {}
        self._level = 0.0

    def next(self, waiting: Collection[str]) -> str | None:
        """Return the inbox of `waiting` whose turn it is; of equals the first by name."""
        return min(sorted(waiting), key=self._position, default=None)

    def took(self, inbox: str, *, in_turn: bool = True) -> None:
        """Note that a job of `inbox` was begun; without `in_turn` the others keep their turns."""
        position = self._position(inbox)
        if in_turn:
            self._level = position
        self._positions[inbox] = position + 1 / self._weights.get(inbox, 1.0)

    def _position(self, inbox: str) -> float:
        return max(self._positions.get(inbox, 0.0), self._level)


class BatchSizes:
    """How many jobs of a shape are best begun together, as far as workers have reported.

    A shape is the backend, device and all else that jobs in one batch share. As long as nothing is
    known of its backend, a job begins alone: its Started event has it.
    """

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._by_backend: dict[str, int] = {}
        self._by_shape: dict[str, int] = {}
        """For shapes that ran out of memory."""

    def learn(self, shape: str, started: Started) -> None:
        """Note what a job of that shape began with."""
        wanted = best_batch(started.device) if self._batch == "auto" else self._batch
        self._by_backend[_backend(shape)] = wanted if started.paints_many else 1
        if started.too_many:
            self._by_shape[shape] = max(1, started.too_many // 2)

    def most(self, shape: str) -> int:
        """Return how many jobs of that shape to begin together, at most."""
        known = self._by_backend.get(_backend(shape), 1) if shape else 1
        return min(known, self._by_shape.get(shape, known))


def _backend(shape: str) -> str:
    """Return the backend of a shape, and the device if one was asked for."""
    return shape.rpartition(" ")[0]


class JobQueue:
    """The jobs in the ledger of `state`; `weights` are by inbox.

    `clock` is monotonic, in seconds; `chance` returns numbers in 0..1. The jobs with the ids `busy`
    are running already. Up to `attempts` attempts at a job may go wrong.

    With `retry`, methods consider the jobs that had to wait, too, once their time is over.
    """

    def __init__(
        self,
        state: State,
        weights: Mapping[str, float],
        clock: Callable[[], float],
        chance: Callable[[], float],
        busy: Collection[str] = (),
        attempts: int = 3,
    ) -> None:
        self._state = state
        self._turns = FairQueue({_text(inbox): weight for inbox, weight in weights.items()})
        self._clock = clock
        self._crashed, self._put_off, self._outside = (
            Pauses(backoff, clock, chance) for backoff in (RETRY, PUT_OFF, PAUSE)
        )
        self._waits_for: dict[str, str] = {}
        """Obstacle of each job that was put off: an outbox, its needs, MACHINE, or its own id."""
        self._released: set[str] = set()
        """Jobs that another job's success released; if stopped again, they wait their time."""
        self._probes: dict[str, Callable[[], bool]] = {}
        """For each obstacle that can be seen, a check whether it is still there."""
        self._probe_at = 0.0
        self._heads: tuple[bool, dict[str, list[str]]] | None = None
        """The next jobs of each inbox, with `retry` or not, until something changes them."""
        self._taken: set[str] = set()
        self._begun = state.ledger.ids(*BEGUN) - set(busy)
        self._attempts = attempts
        self._alone: set[str] = set()
        """Jobs that run alone, after all others."""

    def next(self, retry: bool) -> Journal | None:
        """Return the job whose turn it is, except those that run alone (see `next_alone`).

        A job whose record is damaged is set aside, and it is the next job's turn.
        """
        while (job_id := self._next_id(retry)) is not None:
            if (job := self._load(job_id)) is not None:
                how = retry_after(job.attempts, self._attempts)
                if job.state != JobState.QUEUED or how is not RetryMode.ALONE:
                    return job
                self._alone.add(job.id)
            self._heads = None
        return None

    def next_alone(self, retry: bool) -> Journal | None:
        """Return the next job that runs alone, once `next` has none."""
        job, alone = None, self._alone
        while alone and job is None:
            self._alone, self._heads = set(), None
            job_id = self._next_id(retry)
            self._alone, self._heads = alone, None
            if job_id is None:
                return None
            job = self._load(job_id)
        return job

    def _load(self, job_id: str) -> Journal | None:
        """Load a job; return None if it is set aside, or if the machine is short of something.

        Raises DamagedError.
        """
        try:
            return self._state.load(job_id)
        except QuarantinedError:
            return None
        except DamagedError:
            raise
        except OSError:
            self._wait(job_id, *_shortage())
            return None

    def _next_id(self, retry: bool) -> str | None:
        if retry:
            self.check_probes()
        if MACHINE in (self._outside.held() if retry else self._outside.all()):
            return None
        if self._heads is None or self._heads[0] != retry or not all(self._heads[1].values()):
            heads = self._state.ledger.heads(self._held(retry), self._begun, AHEAD)
            self._heads = retry, heads
        heads = self._heads[1]
        inbox = self._turns.next(heads)
        return None if inbox is None else heads[inbox][0]

    def decided(self, retry: bool) -> list[Journal]:
        """Take the jobs whose end is decided and that wait for nothing.

        They are only to be finalized, which needs no worker and no turn.
        """
        if not self._begun:
            return []
        self.refresh()
        ids = self._state.ledger.decided(self._begun, self._held(retry))
        jobs = [job for job_id in ids if (job := self._load(job_id)) is not None]
        loaded = {job.id for job in jobs}
        self._begun -= loaded
        self._taken |= loaded
        return jobs

    def companions(self, job: Journal, most: int, workers: int, retry: bool) -> list[Journal]:
        """Take up to `most` jobs to run in one batch with `job`, which has begun.

        Inboxes take turns, and each job counts as one, so an inbox whose jobs do not fit the batch
        gets as many turns afterwards. Only jobs with the priority of their inbox's next job are
        taken. So a job that does not fit waits for at most one batch for each job ahead of it. With
        several idle `workers` the jobs are shared among them.
        """
        self._heads = None
        alike = self._state.ledger.alike(job.shape, self._held(retry, job.id), most * workers)
        count = sum(len(ids) for ids in alike.values()) + 1
        chosen: list[Journal] = []
        while len(chosen) < min(most, math.ceil(count / workers) - 1):
            inbox = self._turns.next({inbox for inbox, ids in alike.items() if ids})
            if inbox is None:
                break
            self._turns.took(inbox, in_turn=False)
            if (companion := self._load(alike[inbox].pop(0))) is not None:
                self._taken.add(companion.id)
                chosen.append(companion)
        return chosen

    def begun(self, job: Journal) -> None:
        """Note that a job was begun, and that its inbox had its turn."""
        self._begun.discard(job.id)
        self._taken.add(job.id)
        inbox = _text(job.inbox)
        if self._heads is not None and (ids := self._heads[1].get(inbox)):
            self._heads[1][inbox] = [job_id for job_id in ids if job_id != job.id]
        self._turns.took(inbox)

    def entered(self, job_id: str) -> None:
        """Note that a job was entered; one that the inspection refused is only to be finalized."""
        if self._state.ledger.state(job_id) in BEGUN:
            self._begun.add(job_id)

    def refresh(self) -> None:
        """Read the ledger again: all that was begun is entered there, and others may have come."""
        self._heads = None
        self._taken.clear()

    def ended(self, job: Journal, outcome: Outcome) -> None:
        """Update what has to wait, and what no longer has to, by the `outcome` of `job`."""
        outbox, kind = _text(job.outbox), outcome.kind
        self._begun.discard(job.id)
        self._alone.discard(job.id)
        self._heads = None
        if kind == OutcomeKind.RETRY:
            self._crashed.begin(job.id)
        elif kind == OutcomeKind.PAUSED:
            # its end may be settled, or the ledger may not know that it waits
            self._begun.add(job.id)
            self._put_off.begin(job.id)
            self._wait(job.id, *self._obstacle(job, outcome))
        elif kind != OutcomeKind.STOPPED:
            self._crashed.forget(job.id)
            self._put_off.forget(job.id)
            self._waits_for.pop(job.id, None)
            self._probes.pop(job.id, None)
            self._released.discard(job.id)
            through = (outbox, job.needs, MACHINE) if kind == OutcomeKind.DONE else (outbox,)
            for obstacle in through:
                self._outside.forget(obstacle)
                self._release(obstacle, {*self._waits_for} - self._released)

    def seconds_to_retry(self) -> float | None:
        """Return the seconds until a job that crashed is tried again; None if there is none."""
        return self._crashed.soonest()

    def soonest(self) -> float | None:
        """Return the seconds until something that waits may go on; None if nothing waits."""
        times = [pauses.soonest() for pauses in (self._crashed, self._put_off, self._outside)]
        if self._alone:  # no event tells that no other job comes
            times.append(ALONE_AFTER)
        if self._probes:
            times.append(max(0.0, self._probe_at - self._clock()))
        return min((seconds for seconds in times if seconds is not None), default=None)

    def _wait(self, job_id: str, obstacle: str, probe: Callable[[], bool] | None) -> None:
        """Make everything that depends on the obstacle of a job wait, and watch the obstacle."""
        self._waits_for[job_id] = obstacle
        if obstacle != job_id:
            self._outside.begin(obstacle)
        if probe is None:
            self._probes.pop(obstacle, None)
            return
        if not self._probes:
            self._probe_at = self._clock() + PROBE_EVERY
        self._probes.setdefault(obstacle, probe)

    def _obstacle(self, job: Journal, outcome: Outcome) -> tuple[str, Callable[[], bool] | None]:
        """Return the obstacle that `job` met, and a check for it if it can be seen."""
        if outcome.exit_code == UnavailableError.exit_code:
            return job.needs, None
        if outcome.exit_code == ShortageError.exit_code:
            return _shortage()
        if (full := outcome.full) is not None:
            if not _lacks_room(full.folder, full.reserve + MORE):
                return job.id, partial(_lacks_room, full.folder, full.wanted)
            everyone = _text(job.outbox) if full.folder == job.outbox else MACHINE
            enough = min(full.wanted, full.reserve + ROOM)
            return everyone, partial(_lacks_room, full.folder, enough)

        def write_outbox() -> None:
            self._state.mount_guard.check(job.outbox)
            Outbox(job.outbox).probe()

        for obstacle, folder, write in (
            (_text(job.outbox), job.outbox, write_outbox),
            (MACHINE, self._state.root, self._state.probe),
        ):
            probe = _probe_of(folder, write)
            if probe():
                return obstacle, probe
        return job.id, None

    def check_probes(self) -> None:
        """Release everything that waits for an obstacle that is gone; look every PROBE_EVERY s."""
        if not self._probes or self._clock() < self._probe_at:
            return
        self._probe_at = self._clock() + PROBE_EVERY
        for obstacle in [obstacle for obstacle, is_there in self._probes.items() if not is_there()]:
            self._outside.release(obstacle)
            self._release(obstacle, self._waits_for)

    def _release(self, obstacle: str, jobs: Collection[str]) -> None:
        """Release those of `jobs` that wait for `obstacle`, which is gone."""
        self._probes.pop(obstacle, None)
        for job_id in [job_id for job_id in jobs if self._waits_for[job_id] == obstacle]:
            del self._waits_for[job_id]
            self._put_off.release(job_id)
            self._released.add(job_id)
        self._heads = None

    def _held(self, retry: bool, *busy: str) -> Held:
        """Return what must not be begun now."""
        put_off, outside = (
            pauses.held() if retry else pauses.all() for pauses in (self._put_off, self._outside)
        )
        held = {*busy, *self._taken, *self._alone, *put_off, *self._crashed.held()}
        held |= {*self._state.ledger.divided(), *self._state.quarantined}
        return Held(held, outside, outside)


def _shortage() -> tuple[str, Callable[[], bool] | None]:
    """Return MACHINE, and a check whether it is short of something if that can be seen."""
    return MACHINE, shortages.is_short if shortages.is_short() else None


def _probe_of(folder: Path, write: Callable[[], object]) -> Callable[[], bool]:
    """Return a check whether `folder` cannot be written, or is as good as full."""
    try:
        wanted = min(ROOM, disk_space.free(folder) + MORE)
    except OSError:
        wanted = 0

    def is_there() -> bool:
        try:
            write()
            return disk_space.free(folder) < wanted
        except OSError:
            return True

    return is_there


def _lacks_room(folder: Path, wanted: int) -> bool:
    """Return whether the disk of `folder` has fewer than `wanted` bytes free, or cannot tell."""
    with suppress(OSError):
        return disk_space.free(folder) < wanted
    return True


def _text(path: object) -> str:
    """Return a path as the ledger has it."""
    return str(sql_value(str(path)))
