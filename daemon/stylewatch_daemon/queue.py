"""The queue of jobs, which stands in the ledger: which is next, and which have to wait.

Inboxes take turns by their weights; within one, higher priority comes first, then who came first.

A crash makes its job wait, for a time that chance draws. Something outside (a full disk, a device
that is gone) makes wait what depends on it: all jobs for that outbox, all that need the same
backend, device and recipe. The job that met it waits longer than the others, so that it is another
that finds out whether things are better: one that nothing can help does not stop the rest.
"""

import math
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

from stylewatch_daemon import space
from stylewatch_daemon.dispatch import Outcome
from stylewatch_daemon.errors import OutputError, QuarantinedError, UnavailableError
from stylewatch_daemon.journal import JobState, Journal
from stylewatch_daemon.ledger_rows import plain
from stylewatch_daemon.ledger_turns import Held
from stylewatch_daemon.mounts import Moorings
from stylewatch_daemon.outbox import Outbox
from stylewatch_daemon.pauses import Backoff, Pauses
from stylewatch_daemon.state import State
from stylewatch_daemon.turns import Turns

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
"""Bytes; an outbox with less is taken for full."""


class Queue:
    """The jobs in the ledger of `state`; `weights` are by inbox.

    `clock` is monotonic, in seconds, `chance` gives numbers in 0..1. Jobs with the ids `busy` are
    being painted already.
    """

    def __init__(
        self,
        state: State,
        weights: Mapping[str, float],
        clock: Callable[[], float],
        chance: Callable[[], float],
        busy: Collection[str] = (),
    ) -> None:
        self._state = state
        self._turns = Turns({_text(inbox): weight for inbox, weight in weights.items()})
        self._crashed, self._put_off, self._needs, self._outboxes = (
            Pauses(backoff, clock, chance) for backoff in (RETRY, PUT_OFF, PAUSE, PAUSE)
        )
        self._next: tuple[bool, dict[str, list[str]]] | None = None
        """The next jobs of each inbox, with `again` or not, as long as nothing changes that."""
        self._taken: set[str] = set()
        self._begun = state.ledger.ids(*BEGUN) - set(busy)

    def next(self, again: bool) -> Journal | None:
        """The job whose turn it is; with `again` also what met something outside, after a time.

        A job whose record is damaged is set aside, and it is the next one's turn. Raises OSError.
        """
        while True:
            job_id = self._next_id(again)
            if job_id is None:
                return None
            try:
                return self._state.load(job_id)
            except QuarantinedError:
                self._next = None

    def _next_id(self, again: bool) -> str | None:
        if self._next is None or self._next[0] != again or not all(self._next[1].values()):
            heads = self._state.ledger.heads(self._held(again), self._begun, AHEAD)
            self._next = again, heads
        heads = self._next[1]
        inbox = self._turns.next(heads)
        return None if inbox is None else heads[inbox][0]

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
        self._next = None
        if outcome.kind == "again":
            self._crashed.begin(job.id)
        elif outcome.kind == "paused":
            self._begun.add(job.id)  # its end may be settled, or the ledger not know that it waits
            self._put_off.begin(job.id)
            if outcome.exit_code == UnavailableError.exit_code:
                self._needs.begin(job.needs)
            elif _is_in_the_way(job, self._state.moorings):
                self._outboxes.begin(outbox)
        elif outcome.kind != "stopped":
            for pauses, what in ((self._crashed, job.id), (self._put_off, job.id)):
                pauses.forget(what)
            self._outboxes.forget(outbox)
            if outcome.kind == "done":
                self._needs.forget(job.needs)

    def crashed_for(self) -> float | None:
        """Seconds until a job that crashed is tried again; None where there is none."""
        return self._crashed.soonest()

    def soonest(self) -> float | None:
        """Seconds until something that has to wait may go on; None where nothing has to."""
        each = (self._crashed, self._put_off, self._needs, self._outboxes)
        return min((one for one in (pauses.soonest() for pauses in each) if one is not None),
                   default=None)  # fmt: skip

    def _held(self, again: bool, *busy: str) -> Held:
        """What is not to be begun now."""
        outside = (self._put_off, self._needs, self._outboxes)
        put_off, needs, outboxes = (one.held() if again else one.all() for one in outside)
        held = {*busy, *self._taken, *put_off, *self._crashed.held(), *self._state.ledger.divided(),
                *self._state.quarantined}  # fmt: skip
        return Held(held, needs, outboxes)


def _is_in_the_way(job: Journal, moorings: Moorings) -> bool:
    """Whether it is the job's outbox, and not only the job, that something is wrong with."""
    try:
        moorings.check(job.outbox)
        Outbox(job.outbox).probe()
        return space.free(job.outbox) < ROOM
    except (OSError, OutputError):
        return True


def _text(path: object) -> str:
    """A path as the ledger has it."""
    return str(plain(str(path)))
