"""The queue of jobs, which stands in the ledger: which is next, and which have to wait.

Inboxes take turns by their weights; within one, higher priority comes first, then who came first.

A crash makes its job wait, for a time that chance draws. Something outside (a full disk, a device
that is gone) makes wait what depends on it: all jobs for that outbox, all that need the same
backend, device and recipe, or all jobs where the machine or the state folder is short of something.
The job that met it waits longer than the others, so that it is another that finds out whether
things are better: one that nothing can help does not stop the rest.

What was seen to be in the way (a disk without room, a lack of file descriptors) is looked at every
few seconds, which costs next to nothing; once it is gone, all that waited for it go on. So they do
once another job got through.
"""

import math
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from stylewatch_daemon.errors import QuarantinedError, ShortageError, UnavailableError
from stylewatch_daemon.files import disk_space, shortages
from stylewatch_daemon.files.mounts import Moorings
from stylewatch_daemon.outbox.publish import Outbox
from stylewatch_daemon.processes.wakeup import Backoff, Pauses
from stylewatch_daemon.queue.attempt import Verdict, verdict
from stylewatch_daemon.queue.dispatcher import Outcome
from stylewatch_daemon.queue.fair_queue import Turns
from stylewatch_daemon.store.journal import JobState, Journal
from stylewatch_daemon.store.ledger_rows import plain
from stylewatch_daemon.store.ledger_turns import Held
from stylewatch_daemon.store.state import State

RETRY = Backoff(first=1.0, most=60.0)
"""After a crash."""

PAUSE = Backoff(first=5.0, most=120.0, least=0.5)
"""For what depends on something that is not there."""

PUT_OFF = Backoff(first=10.0, most=300.0, least=0.5)
"""For the job that found it out."""

BEGUN: tuple[JobState, ...] = ("running", "ending", "refusing", "failing")
"""The states of jobs that are on their way; after a new start, or a fault, some are to go on."""

AHEAD = 64
"""Jobs of an inbox that are looked up at a time."""

ROOM = 64 << 20
"""Bytes; a disk with less is taken for full."""

MORE = 1 << 20
"""Bytes that have to come free on a full disk before it is tried again."""

PROBE_EVERY = 5.0
"""Seconds between two looks at what is in the way."""

ALONE_AFTER = 5.0
"""Seconds after which it is seen again whether a job can be run alone."""

MACHINE = "machine"
"""What all jobs need: file descriptors, processes, and the state folder."""


class Queue:
    """The jobs in the ledger of `state`; `weights` are by inbox.

    `clock` is monotonic, in seconds, `chance` gives numbers in 0..1. Jobs with the ids `busy` are
    being painted already. Of a job as many `attempts` may go wrong.
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
        self._turns = Turns({_text(inbox): weight for inbox, weight in weights.items()})
        self._clock = clock
        self._crashed, self._put_off, self._outside = (
            Pauses(backoff, clock, chance) for backoff in (RETRY, PUT_OFF, PAUSE)
        )
        self._waits_for: dict[str, str] = {}
        """What a job that was put off waits for: an outbox, its needs, the MACHINE, or itself."""
        self._let_go_on: set[str] = set()
        """The jobs that another's success set free; one that is stopped again waits its time."""
        self._probes: dict[str, Callable[[], bool]] = {}
        """For what was seen to be in the way, whether it still is."""
        self._probe_at = 0.0
        self._next: tuple[bool, dict[str, list[str]]] | None = None
        """The next jobs of each inbox, with `again` or not, as long as nothing changes that."""
        self._taken: set[str] = set()
        self._begun = state.ledger.ids(*BEGUN) - set(busy)
        self._attempts = attempts
        self._last: set[str] = set()
        """The jobs that are run alone, behind all others."""

    def next(self, again: bool) -> Journal | None:
        """The job whose turn it is; with `again` also what met something outside, after a time.

        Those that are to be run alone are left for `last`. A job whose record is damaged is set
        aside, and it is the next one's turn. Raises OSError.
        """
        while (job := self._head(again)) is not None:
            if job.state != "queued" or verdict(job.attempts, self._attempts) is not Verdict.ALONE:
                return job
            self._last.add(job.id)
            self._next = None
        return None

    def last(self, again: bool) -> Journal | None:
        """The next job that is to be run alone, once `next` has none; raises as that does."""
        if not self._last:
            return None
        last, self._last, self._next = self._last, set(), None
        job = self._head(again)
        self._last, self._next = last, None
        return job

    def _head(self, again: bool) -> Journal | None:
        while (job_id := self._next_id(again)) is not None:
            try:
                return self._state.load(job_id)
            except QuarantinedError:
                self._next = None
        return None

    def _next_id(self, again: bool) -> str | None:
        if again:
            self._probe()
        if MACHINE in (self._outside.held() if again else self._outside.all()):
            return None
        if self._next is None or self._next[0] != again or not all(self._next[1].values()):
            heads = self._state.ledger.heads(self._held(again), self._begun, AHEAD)
            self._next = again, heads
        heads = self._next[1]
        inbox = self._turns.next(heads)
        return None if inbox is None else heads[inbox][0]

    def decided(self, again: bool) -> list[Journal]:
        """Take the jobs whose end is decided and that wait for nothing; `again` as for `next`.

        The daemon itself does what is left to do for them: they need no worker, and no turn.
        """
        if not self._begun:
            return []
        self.look_again()
        ids = self._state.ledger.decided(self._begun, self._held(again))
        self._begun.difference_update(ids)
        self._taken.update(ids)
        jobs = []
        for job_id in ids:
            with suppress(QuarantinedError):
                jobs.append(self._state.load(job_id))
        return jobs

    def along(self, job: Journal, most: int, workers: int, again: bool) -> list[Journal]:
        """Up to `most` jobs to be painted at once with `job`, which has begun; so have they.

        Inboxes take turns in it, and each of their jobs is a turn: one whose jobs do not fit is
        owed as many, and comes next. Of an inbox only those go along that have the priority of its
        next job. So what does not fit waits for one batch, for each job that was before it, and
        longer for none. Where several `workers` are free each gets its share. Raises as `next`.
        """
        self._next = None
        alike = self._state.ledger.alike(job.shape, self._held(again, job.id), most * workers)
        count = sum(len(jobs) for jobs in alike.values()) + 1
        chosen: list[Journal] = []
        while len(chosen) < min(most, math.ceil(count / workers) - 1):
            inbox = self._turns.next({inbox for inbox, jobs in alike.items() if jobs})
            if inbox is None:
                break
            self._turns.took(inbox, in_turn=False)
            with suppress(QuarantinedError):
                chosen.append(self._state.load(alike[inbox].pop(0)))
        return chosen

    def begun(self, job: Journal) -> None:
        """The turn of the job's inbox is taken."""
        self._begun.discard(job.id)
        self._taken.add(job.id)
        if self._next is not None and (line := self._next[1].get(_text(job.inbox))):
            self._next[1][_text(job.inbox)] = [one for one in line if one != job.id]
        self._turns.took(_text(job.inbox))

    def entered(self, job_id: str) -> None:
        """A job has come; what intake has refused is on its way to that end from the beginning."""
        if self._state.ledger.state(job_id) in BEGUN:
            self._begun.add(job_id)

    def look_again(self) -> None:
        """All that was begun is in the ledger by now, and others may have changed there."""
        self._next = None
        self._taken.clear()

    def ended(self, job: Journal, outcome: Outcome) -> None:
        """Draw from the `outcome` of `job` what has to wait, and what has not any more."""
        outbox = _text(job.outbox)
        self._begun.discard(job.id)
        self._last.discard(job.id)
        self._next = None
        if outcome.kind == "again":
            self._crashed.begin(job.id)
        elif outcome.kind == "paused":
            self._begun.add(job.id)  # its end may be settled, or the ledger not know that it waits
            self._put_off.begin(job.id)
            self._wait(job, outcome)
        elif outcome.kind != "stopped":
            for pauses, what in ((self._crashed, job.id), (self._put_off, job.id)):
                pauses.forget(what)
            self._waits_for.pop(job.id, None)
            self._let_go_on.discard(job.id)
            through = (outbox, job.needs, MACHINE) if outcome.kind == "done" else (outbox,)
            for what in through:
                self._outside.forget(what)
                self._release(what, {*self._waits_for} - self._let_go_on)

    def crashed_for(self) -> float | None:
        """Seconds until a job that crashed is tried again; None where there is none."""
        return self._crashed.soonest()

    def soonest(self) -> float | None:
        """Seconds until something that has to wait may go on; None where nothing has to."""
        each = [pauses.soonest() for pauses in (self._crashed, self._put_off, self._outside)]
        if self._last:  # that nothing else comes is nothing that anybody tells
            each.append(ALONE_AFTER)
        if self._probes:
            each.append(max(0.0, self._probe_at - self._clock()))
        return min((one for one in each if one is not None), default=None)

    def _wait(self, job: Journal, outcome: Outcome) -> None:
        """Let what depends on it wait for what `job` met; what is seen of that is watched."""
        what, probe = self._met(job, outcome)
        self._waits_for[job.id] = what
        if what != job.id:
            self._outside.begin(what)
        if probe is None:
            self._probes.pop(what, None)
        elif what not in self._probes:
            if not self._probes:
                self._probe_at = self._clock() + PROBE_EVERY
            self._probes[what] = probe

    def _met(self, job: Journal, outcome: Outcome) -> tuple[str, Callable[[], bool] | None]:
        """What `job` met, and a probe for it if it can be seen."""
        if outcome.exit_code == UnavailableError.exit_code:
            return job.needs, None
        if outcome.exit_code == ShortageError.exit_code:
            return MACHINE, shortages.is_short if shortages.is_short() else None
        if outcome.lacks is not None:
            return job.id, partial(_lacks_room, *outcome.lacks)
        for what, folder, write in (
            (_text(job.outbox), job.outbox, partial(_write_outbox, job, self._state.moorings)),
            (MACHINE, self._state.root, self._state.probe),
        ):
            is_in_the_way = _probe_of(folder, write)
            if is_in_the_way():
                return what, is_in_the_way
        return job.id, None

    def _probe(self) -> None:
        """Let go on what waits for something that is no longer in the way."""
        if not self._probes or self._clock() < self._probe_at:
            return
        self._probe_at = self._clock() + PROBE_EVERY
        for what in [what for what, is_there in self._probes.items() if not is_there()]:
            self._outside.release(what)
            self._release(what, self._waits_for)

    def _release(self, what: str, jobs: Collection[str]) -> None:
        """Let those of the `jobs` go on that wait for `what`, which is not in the way any more."""
        self._probes.pop(what, None)
        for job_id in [one for one in jobs if self._waits_for[one] == what]:
            del self._waits_for[job_id]
            self._put_off.release(job_id)
            self._let_go_on.add(job_id)
        self._next = None

    def _held(self, again: bool, *busy: str) -> Held:
        """What is not to be begun now."""
        each = (self._put_off, self._outside)
        put_off, outside = (one.held() if again else one.all() for one in each)
        held = {*busy, *self._taken, *self._last, *put_off, *self._crashed.held()}
        held |= {*self._state.ledger.divided(), *self._state.quarantined}
        return Held(held, outside, outside)


def _probe_of(folder: Path, write: Callable[[], object]) -> Callable[[], bool]:
    """A probe: whether `folder` cannot be written, or is as good as full."""
    try:
        wanted = min(ROOM, disk_space.free(folder) + MORE)
    except OSError:
        wanted = 0

    def is_in_the_way() -> bool:
        try:
            write()
            return disk_space.free(folder) < wanted
        except OSError:
            return True

    return is_in_the_way


def _write_outbox(job: Journal, moorings: Moorings) -> None:
    moorings.check(job.outbox)
    Outbox(job.outbox).probe()


def _lacks_room(folder: Path, wanted: int) -> bool:
    """Whether the disk of `folder` has fewer than `wanted` bytes free, as far as can be told."""
    with suppress(OSError):
        return disk_space.free(folder) < wanted
    return True


def _text(path: object) -> str:
    """A path as the ledger has it."""
    return str(plain(str(path)))
